"""System V IPC: shmget(2), semget(2), msgget(2); and the structures of shmctl(2).

Source: linux/ipc.h, linux/shm.h, linux/sem.h, linux/msg.h, asm-generic/ipcbuf.h, asm-generic/shmbuf.h (x86-64).
"""

from struct import Struct
from typing import Final, NamedTuple

IPC_PRIVATE: Final = 0
IPC_CREAT: Final = 0o1000
IPC_EXCL: Final = 0o2000
IPC_NOWAIT: Final = 0o4000
IPC_DIPC: Final = 0o10000
IPC_OWN: Final = 0o20000
IPC_RMID: Final = 0
IPC_SET: Final = 1
IPC_STAT: Final = 2
IPC_INFO: Final = 3
IPC_OLD: Final = 0
IPC_64: Final = 0x100
SEMOP: Final = 1
SEMGET: Final = 2
SEMCTL: Final = 3
SEMTIMEDOP: Final = 4
MSGSND: Final = 11
MSGRCV: Final = 12
MSGGET: Final = 13
MSGCTL: Final = 14
SHMAT: Final = 21
SHMDT: Final = 22
SHMGET: Final = 23
SHMCTL: Final = 24
SHMMIN: Final = 1
SHMMNI: Final = 4096
SHMMAX: Final = 0xFFFF_FFFF_FEFF_FFFF  # bytes, ULONG_MAX - (1 << 24)
SHMALL: Final = 0xFFFF_FFFF_FEFF_FFFF  # pages
SHMSEG: Final = 4096
SHM_R: Final = 0o400
SHM_W: Final = 0o200
SHM_HUGETLB: Final = 0o4000
SHM_NORESERVE: Final = 0o10000
SHM_DEST: Final = 0o1000  # in shm_perm.mode: goes with the last detach
SHM_LOCKED: Final = 0o2000
SHM_RDONLY: Final = 0o10000
SHM_RND: Final = 0o20000
SHM_REMAP: Final = 0o40000
SHM_EXEC: Final = 0o100000
SHM_LOCK: Final = 11
SHM_UNLOCK: Final = 12
SHM_STAT: Final = 13
SHM_INFO: Final = 14
SHM_STAT_ANY: Final = 15
SEM_UNDO: Final = 0x1000
GETPID: Final = 11
GETVAL: Final = 12
GETALL: Final = 13
GETNCNT: Final = 14
GETZCNT: Final = 15
SETVAL: Final = 16
SETALL: Final = 17
SEM_STAT: Final = 18
SEM_INFO: Final = 19
SEM_STAT_ANY: Final = 20
SEMMNI: Final = 32000
SEMMSL: Final = 32000
SEMMNS: Final = 0x3D090000
SEMOPM: Final = 500
SEMVMX: Final = 32767
SEMAEM: Final = 32767
SEMUME: Final = 500
SEMMNU: Final = 0x3D090000
SEMMAP: Final = 0x3D090000
SEMUSZ: Final = 20
MSG_STAT: Final = 11
MSG_INFO: Final = 12
MSG_STAT_ANY: Final = 13
MSG_NOERROR: Final = 0o10000
MSG_EXCEPT: Final = 0o20000
MSG_COPY: Final = 0o40000
MSGMNI: Final = 32000
MSGMAX: Final = 8192
MSGMNB: Final = 16384
MSGPOOL: Final = 0x7D000
MSGTQL: Final = 16384
MSGMAP: Final = 16384
MSGSSZ: Final = 16
MSGSEG: Final = 65535

SHMID_DS_SIZE: Final = 112
SHMINFO_SIZE: Final = 72
SHM_INFO_SIZE: Final = 48

_IPC_PERM = Struct("<IIIIIIHxxxxxx16x")
_SHMID_DS = Struct("<48sQqqqiiQ16x")
_SHMINFO = Struct("<5Q32x")
_SHM_INFO = Struct("<ixxxx3Q16x")


class IpcPerm(NamedTuple):
    """struct ipc64_perm."""

    key: int
    uid: int
    gid: int
    cuid: int
    cgid: int
    mode: int
    seq: int


def pack_shmid_ds(
    perm: IpcPerm, size: int, atime: int, dtime: int, ctime: int, cpid: int, lpid: int, nattch: int
) -> bytes:
    """struct shmid_ds, 112 bytes; times in seconds."""
    key, uid, gid, cuid, cgid, mode, seq = perm
    head = _IPC_PERM.pack(key & 0xFFFF_FFFF, uid, gid, cuid, cgid, mode, seq & 0xFFFF)
    return _SHMID_DS.pack(head, size, atime, dtime, ctime, cpid, lpid, nattch)


def unpack_shmid_ds(data: bytes) -> tuple[IpcPerm, int, int, int, int, int, int, int]:
    """(perm, size, atime, dtime, ctime, cpid, lpid, nattch)."""
    head, *rest = _SHMID_DS.unpack(data)
    size, atime, dtime, ctime, cpid, lpid, nattch = rest
    return IpcPerm(*_IPC_PERM.unpack(head)), size, atime, dtime, ctime, cpid, lpid, nattch


def pack_shminfo(shmmax: int, shmmin: int, shmmni: int, shmseg: int, shmall: int) -> bytes:
    """struct shminfo of IPC_INFO, 72 bytes."""
    return _SHMINFO.pack(shmmax, shmmin, shmmni, shmseg, shmall)


def pack_shm_info(used_ids: int, total: int, resident: int) -> bytes:
    """struct shm_info of SHM_INFO, 48 bytes; total and resident in pages."""
    return _SHM_INFO.pack(used_ids, total, resident, 0)


SEMID_DS_SIZE: Final = 104
SEMINFO_SIZE: Final = 40
MSQID_DS_SIZE: Final = 120
MSGINFO_SIZE: Final = 32

_SEMID_DS = Struct("<48sq8xq8xQ16x")
_SEMINFO = Struct("<10i")
_MSQID_DS = Struct("<48sqqqQQQii16x")
_MSGINFO = Struct("<7iH2x")


def _pack_perm(perm: IpcPerm) -> bytes:
    key, uid, gid, cuid, cgid, mode, seq = perm
    return _IPC_PERM.pack(key & 0xFFFF_FFFF, uid, gid, cuid, cgid, mode, seq & 0xFFFF)


def pack_semid_ds(perm: IpcPerm, otime: int, ctime: int, nsems: int) -> bytes:
    """struct semid_ds, 104 bytes; times in seconds."""
    return _SEMID_DS.pack(_pack_perm(perm), otime, ctime, nsems)


def unpack_semid_ds(data: bytes) -> tuple[IpcPerm, int, int, int]:
    """(perm, otime, ctime, nsems)."""
    head, otime, ctime, nsems = _SEMID_DS.unpack(data)
    return IpcPerm(*_IPC_PERM.unpack(head)), otime, ctime, nsems


def pack_seminfo(semmns: int, usz: int, aem: int) -> bytes:
    """struct seminfo, 40 bytes; the last three are counts or limits that the command chooses."""
    return _SEMINFO.pack(SEMMAP, SEMMNI, semmns, SEMMNU, SEMMSL, SEMOPM, SEMUME, usz, SEMVMX, aem)


def pack_msqid_ds(
    perm: IpcPerm, times: tuple[int, int, int], cbytes: int, qnum: int, qbytes: int, lspid: int, lrpid: int
) -> bytes:
    """struct msqid_ds, 120 bytes; times: send, receive, change, in seconds."""
    return _MSQID_DS.pack(_pack_perm(perm), *times, cbytes, qnum, qbytes, lspid, lrpid)


def unpack_msqid_ds(data: bytes) -> tuple[IpcPerm, int, int, int, int, int, int, int, int]:
    """(perm, stime, rtime, ctime, cbytes, qnum, qbytes, lspid, lrpid)."""
    head, *rest = _MSQID_DS.unpack(data)
    stime, rtime, ctime, cbytes, qnum, qbytes, lspid, lrpid = rest
    return IpcPerm(*_IPC_PERM.unpack(head)), stime, rtime, ctime, cbytes, qnum, qbytes, lspid, lrpid


def pack_msginfo(pool: int, map_: int, tql: int) -> bytes:
    """struct msginfo, 32 bytes; the arguments are counts or limits that the command chooses."""
    return _MSGINFO.pack(pool, map_, MSGMAX, MSGMNB, MSGMNI, MSGSSZ, tql, MSGSEG)
