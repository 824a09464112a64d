"""Renderers for System V shared memory: shmget(2), shmat(2), shmctl(2)."""

import struct

from emu.render.strace import flags
from emu.render.strace.call import Call, hexadecimal, pointer, shows
from emu.render.strace.scalars import octal
from mini_kernel.syscalls.table import u32
from mini_kernel.uapi import ipc


@shows("shmkey")
def _key(call: Call, i: int) -> str:
    key = u32(call.arg(i))
    return "IPC_PRIVATE" if key == ipc.IPC_PRIVATE else f"{key:#x}"


@shows("shmgetflags")
def _creation(call: Call, i: int) -> str:
    """Flags by name, then the permission bits."""
    value = u32(call.arg(i))
    names = flags.flags("shmgetbits", value & ~0o777) if value & ~0o777 else ""
    return "|".join(filter(None, (names, octal(value & 0o777))))


@shows("shmcommand")
def _command(call: Call, i: int) -> str:
    value = u32(call.arg(i))
    wide = "IPC_64|" if value & ipc.IPC_64 else ""
    return wide + flags.name("shmctlcmd", value & ~ipc.IPC_64)


@shows("shmbuffer", late=True)
def _buffer(call: Call, i: int) -> str:
    """What the command reads or has filled, else the address."""
    command, address = u32(call.arg(i - 1)), call.arg(i)
    if command == ipc.IPC_SET:
        data = call.whole(address, ipc.SHMID_DS_SIZE)
        return pointer(address) if data is None else f"{{shm_perm={_owner(data)}}}"
    size, text = {
        ipc.IPC_STAT: (ipc.SHMID_DS_SIZE, _segment),
        ipc.SHM_STAT: (ipc.SHMID_DS_SIZE, _segment),
        ipc.SHM_STAT_ANY: (ipc.SHMID_DS_SIZE, _segment),
        ipc.IPC_INFO: (ipc.SHMINFO_SIZE, _limits),
        ipc.SHM_INFO: (ipc.SHM_INFO_SIZE, _usage),
    }.get(command, (0, None))
    data = None if call.failed or text is None else call.whole(address, size)
    return pointer(address) if data is None or text is None else text(data)


def _owner(data: bytes) -> str:
    perm = ipc.unpack_shmid_ds(data)[0]
    return f"{{uid={perm.uid}, gid={perm.gid}, mode={octal(perm.mode)}}}"


def _segment(data: bytes) -> str:
    perm, size, atime, dtime, ctime, cpid, lpid, attached = ipc.unpack_shmid_ds(data)
    key = hexadecimal(perm.key)
    owner = f"{_owner(data)[:-1]}, key={key}, cuid={perm.cuid}, cgid={perm.cgid}}}"
    return (
        f"{{shm_perm={owner}, shm_segsz={size}, shm_cpid={cpid}, shm_lpid={lpid}, shm_nattch={attached}, "
        f"shm_atime={atime}, shm_dtime={dtime}, shm_ctime={ctime}}}"
    )


def _limits(data: bytes) -> str:
    most, least, segments, per_process, pages = struct.unpack_from("<5Q", data)
    return f"{{shmmax={most}, shmmin={least}, shmmni={segments}, shmseg={per_process}, shmall={pages}}}"


def _usage(data: bytes) -> str:
    used, total, resident, swapped, attempts, successes = struct.unpack("<ixxxx5Q", data)
    return (
        f"{{used_ids={used}, shm_tot={total}, shm_rss={resident}, shm_swp={swapped}, swap_attempts={attempts}, "
        f"swap_successes={successes}}}"
    )
