"""Renderers for calls whose arguments depend on each other, and for what stands behind a result."""

import struct
from typing import Final

from emu.render.strace import flags
from emu.render.strace.call import Call, hexadecimal, pointer, shows
from emu.render.strace.scalars import open_flags, signal, text_at
from emu.render.strace.structs import flock, mask_text, timespec, timeval
from mini_kernel.syscalls.table import s32, s64, u32
from mini_kernel.uapi import fcntl as f
from mini_kernel.uapi import futex as x
from mini_kernel.uapi import prctl as p
from mini_kernel.uapi.sched import (
    CLONE_CHILD_CLEARTID,
    CLONE_CHILD_SETTID,
    CLONE_PARENT_SETTID,
    CLONE_SETTLS,
)

_POLLFD = struct.Struct("<ihh")
_IOC_DIRECTIONS: Final = ("_IOC_NONE", "_IOC_WRITE", "_IOC_READ", "_IOC_READ|_IOC_WRITE")

# -- fcntl and ioctl ---------------------------------------------------------------------------------


@shows("fcntlarg")
def _fcntl_argument(call: Call, i: int) -> str | None:
    command, value = u32(call.arg(i - 1)), call.arg(i)
    if command in (f.F_GETFD, f.F_GETFL, f.F_GETOWN, f.F_GETSIG, f.F_GETPIPE_SZ, f.F_GET_SEALS, f.F_GETLEASE):
        return None
    if command in (f.F_DUPFD, f.F_DUPFD_CLOEXEC, f.F_SETOWN, f.F_SETPIPE_SZ):
        return str(s32(value))
    if command == f.F_SETFD:
        return flags.flags("fdflags", u32(value))
    if command == f.F_SETFL:
        return open_flags(u32(value))
    if command == f.F_ADD_SEALS:
        return flags.flags("seals", u32(value))
    if command in (f.F_SETLK, f.F_SETLKW, f.F_GETLK, f.F_OFD_SETLK, f.F_OFD_SETLKW, f.F_OFD_GETLK):
        data = call.whole(value, 32)
        return pointer(value) if data is None else flock(data)
    return hexadecimal(value)


def fcntl_result(call: Call, result: int) -> str:
    """F_GETFL and F_GETFD with the flags by name."""
    command = u32(call.arg(1))
    if command == f.F_GETFL:
        return f"{result:#x} (flags {open_flags(result)})"
    if command == f.F_GETFD and result:
        return f"{result:#x} (flags {flags.flags('fdflags', result)})"
    return str(result)


@shows("ioctlreq")
def _ioctl_request(call: Call, i: int) -> str:
    request = u32(call.arg(i))
    for prefix in ("FIO", "TC", "TIOC", "BLK", "FS_IOC", "FICLONE"):
        name = flags.constant(prefix, request)
        if name:
            return name
    kind, number, size = request >> 8 & 0xFF, request & 0xFF, request >> 16 & 0x3FFF
    return f"_IOC({_IOC_DIRECTIONS[request >> 30]}, {kind:#x}, {number:#x}, {hexadecimal(size)})"


@shows("ioctlarg", late=True)
def _ioctl_argument(call: Call, i: int) -> str:
    request, value = u32(call.arg(i - 1)), call.arg(i)
    name = "" if call.failed else flags.constant("FIO", request) or flags.constant("TIOC", request) or ""
    if name in ("FIONREAD", "TIOCINQ", "FIONBIO", "TIOCGPGRP", "TIOCSPGRP", "TIOCOUTQ", "TIOCGSID"):
        data = call.whole(value, 4)
        return pointer(value) if data is None else f"[{int.from_bytes(data, 'little', signed=True)}]"
    if name in ("TIOCGWINSZ", "TIOCSWINSZ"):
        data = call.whole(value, 8)
        names = ("ws_row", "ws_col", "ws_xpixel", "ws_ypixel")
        fields = zip(names, struct.unpack("<4H", data), strict=True) if data else ()
        return f"{{{', '.join(f'{n}={v}' for n, v in fields)}}}" if data else pointer(value)
    return hexadecimal(value)


# -- processes ---------------------------------------------------------------------------------------


@shows("cstack")
def _clone_flags(call: Call, i: int) -> str:
    """Of clone(2), stack and flags by name, in strace's order; the low byte is the exit signal."""
    value = u32(call.arg(0))
    shown = flags.flags("cloneflags", value & ~0xFF) if value & ~0xFF else ""
    signo = signal(value & 0xFF) if value & 0xFF else ""
    return f"child_stack={pointer(call.arg(1))}, flags={'|'.join(filter(None, (shown, signo))) or '0'}"


@shows("cdetails", late=True)
def _clone_details(call: Call, i: int) -> str | None:
    how = call.arg(0)
    shown: list[str] = []
    if how & CLONE_PARENT_SETTID:
        data = None if call.failed else call.whole(call.arg(2), 4)
        parent = pointer(call.arg(2)) if data is None else f"[{int.from_bytes(data, 'little')}]"
        shown.append(f"parent_tid={parent}")
    if how & CLONE_SETTLS:
        shown.append(f"tls={pointer(call.arg(4))}")
    if how & (CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID):
        shown.append(f"child_tidptr={pointer(call.arg(3))}")
    return ", ".join(shown) or None


@shows("clone3args")
def _clone3(call: Call, i: int) -> str:
    data = call.whole(call.arg(i), 64)
    if data is None:
        return pointer(call.arg(i))
    how, _pidfd, child, parent, signo, stack, size, tls = struct.unpack("<8Q", data)
    shown = [f"flags={flags.flags('cloneflags', how)}"]
    if how & (CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID):
        shown.append(f"child_tid={child:#x}")
    if how & CLONE_PARENT_SETTID:
        shown.append(f"parent_tid={parent:#x}")
    shown += [
        f"exit_signal={signal(signo) if signo else 0}",
        f"stack={pointer(stack)}",
        f"stack_size={hexadecimal(size)}",
    ]
    return f"{{{', '.join([*shown, f'tls={tls:#x}'] if how & CLONE_SETTLS else shown)}}}"


@shows("prctlop")
def _prctl_option(call: Call, i: int) -> str:
    option = u32(call.arg(i))
    name = flags.constant("PR_SET_", option) or flags.constant("PR_GET_", option) or flags.constant("PR_", option)
    return name or f"{hexadecimal(option)} /* PR_??? */"


@shows("prctlarg", late=True)
def _prctl_argument(call: Call, i: int) -> str:
    option, value = u32(call.arg(0)), call.arg(i)
    if option == p.PR_SET_NAME or (option == p.PR_GET_NAME and not call.failed):
        return text_at(call, value)
    if option == p.PR_SET_PDEATHSIG:
        return signal(u32(value))
    return str(value) if value < 10 else hexadecimal(value)


@shows("archarg", late=True)
def _arch_argument(call: Call, i: int) -> str:
    data = call.whole(call.arg(1), 8) if u32(call.arg(0)) in (p.ARCH_GET_FS, p.ARCH_GET_GS) else None
    if data is None or call.failed:
        return hexadecimal(call.arg(i))
    return f"[{pointer(int.from_bytes(data, 'little'))}]"


@shows("cpus", late=True)
def _cpus(call: Call, i: int) -> str:
    data = None if call.failed else call.whole(call.arg(i), call.result or 0)
    if data is None:
        return pointer(call.arg(i))
    mask = int.from_bytes(data, "little")
    return f"[{' '.join(str(n) for n in range(mask.bit_length()) if mask >> n & 1)}]"


@shows("ids", late=True)
def _ids(call: Call, i: int) -> str:
    """The list that getgroups(2) wrote."""
    n = 4 * (call.result or 0)
    data = None if call.failed or not n else call.whole(call.arg(i), n)
    return pointer(call.arg(i)) if data is None else f"[{', '.join(str(v) for (v,) in struct.iter_unpack('<I', data))}]"


@shows("mincore", late=True)
def _residency(call: Call, i: int) -> str:
    n = call.arg(1) + 4095 >> 12
    data = None if call.failed else call.whole(call.arg(i), min(n, 32))
    if data is None:
        return pointer(call.arg(i))
    return f"[{', '.join([*map(str, data), '...'] if n > 32 else map(str, data))}]"


# -- futex -------------------------------------------------------------------------------------------


@shows("futexop")
def _futex_operation(call: Call, i: int) -> str:
    value = u32(call.arg(i))
    name = flags.name("futexcmd", value & ~(x.FUTEX_PRIVATE_FLAG | x.FUTEX_CLOCK_REALTIME))
    private = "_PRIVATE" if value & x.FUTEX_PRIVATE_FLAG else ""
    return name + private + ("|FUTEX_CLOCK_REALTIME" if value & x.FUTEX_CLOCK_REALTIME else "")


@shows("futexrest")
def _futex_rest(call: Call, i: int) -> str | None:
    """What futex(2) looks at behind `val`, depending on the operation."""
    command = u32(call.arg(1)) & 127
    timeout = call.whole(call.arg(3), 16)
    waits = pointer(call.arg(3)) if timeout is None else timespec(timeout)
    last = u32(call.arg(5))
    bits = "FUTEX_BITSET_MATCH_ANY" if last == x.FUTEX_BITSET_MATCH_ANY else hexadecimal(last)
    requeue = f"{u32(call.arg(3))}, {pointer(call.arg(4))}"
    return {
        x.FUTEX_WAIT: waits,
        x.FUTEX_LOCK_PI: waits,
        x.FUTEX_WAIT_BITSET: f"{waits}, {bits}",
        x.FUTEX_WAKE_BITSET: bits,
        x.FUTEX_REQUEUE: requeue,
        x.FUTEX_CMP_REQUEUE: f"{requeue}, {last}",
        x.FUTEX_WAKE_OP: f"{requeue}, {last:#x}",
    }.get(command)


# -- poll and select ---------------------------------------------------------------------------------


def _pollfds(call: Call) -> list[tuple[int, int, int]] | None:
    count = min(call.arg(1), 1024)
    data = call.whole(call.arg(0), 8 * count) if count else None
    return None if data is None else list(_POLLFD.iter_unpack(data))


@shows("pollfds")
def _poll_input(call: Call, i: int) -> str:
    entries = _pollfds(call)
    if entries is None:
        return pointer(call.arg(0))
    shown = [_poll_entry(fd, "events", events) for fd, events, _revents in entries]
    return f"[{', '.join(shown)}]"


def _poll_entry(fd: int, label: str, events: int) -> str:
    return f"{{fd={fd}, {label}={flags.flags('pollevents', events & 0xFFFF)}}}" if fd >= 0 else f"{{fd={fd}}}"


def poll_result(call: Call, result: int) -> str:
    """The number of ready descriptors and which."""
    if not result:
        return "0 (Timeout)"
    ready = [e for e in _pollfds(call) or () if e[2]]
    return f"{result} ([{', '.join(_poll_entry(fd, 'revents', revents) for fd, _events, revents in ready)}])"


def _fd_set(call: Call, i: int) -> str | None:
    """The descriptors of a set, None where it cannot be read."""
    n = min(u32(call.arg(0)), 1024)
    data = call.whole(call.arg(i), n + 63 >> 6 << 3) if n else b""
    if data is None or not call.arg(i):
        return None
    bits = int.from_bytes(data, "little")
    return f"[{' '.join(str(fd) for fd in range(n) if bits >> fd & 1)}]"


@shows("fdset")
def _select_set(call: Call, i: int) -> str:
    return _fd_set(call, i) or pointer(call.arg(i))


def select_result(call: Call, result: int) -> str:
    """The number of ready descriptors, which, and the time that was left."""
    if not result:
        return "0 (Timeout)"
    sets = ((name, _fd_set(call, i)) for i, name in ((1, "in"), (2, "out"), (3, "except")))
    shown = [f"{name} {text}" for name, text in sets if text and text != "[]"]
    left = call.whole(call.arg(4), 16)
    if left is not None:
        shown.append(f"left {timeval(left) if call.name == 'select' else timespec(left)}")
    return f"{result} ({', '.join(shown)})" if shown else str(result)


@shows("sigmaskpair")
def _mask_pair(call: Call, i: int) -> str:
    """The last argument of pselect6(2): a pointer to a mask and its size."""
    data = call.whole(call.arg(i), 16)
    if data is None:
        return pointer(call.arg(i))
    address, size = struct.unpack("<QQ", data)
    mask = call.whole(address, 8)
    shown = pointer(address) if mask is None else mask_text(int.from_bytes(mask, "little"))
    return f"{{sigmask={shown}, sigsetsize={size}}}"


@shows("epollevent")
def _epoll_event(call: Call, i: int) -> str:
    data = call.whole(call.arg(i), 12)
    return pointer(call.arg(i)) if data is None else _event_text(data)


@shows("oepollevents", late=True)
def _epoll_events(call: Call, i: int) -> str:
    n = 0 if call.failed else call.result or 0
    data = None if call.failed else call.whole(call.arg(i), 12 * n) if n else b""
    if data is None:
        return pointer(call.arg(i))
    return f"[{', '.join(_event_text(data[at : at + 12]) for at in range(0, 12 * n, 12))}]"


def _event_text(data: bytes) -> str:
    events, value = struct.unpack("<IQ", data)
    return f"{{events={flags.flags('epollevents', events)}, data={{u32={u32(value)}, u64={value}}}}}"


@shows("eventcount")
def _event_count(call: Call, i: int) -> str:
    return str(u32(call.arg(i)))


def time_result(call: Call, result: int) -> str:
    """Seconds since the epoch."""
    return str(s64(result))
