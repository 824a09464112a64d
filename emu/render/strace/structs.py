"""Renderers of structures in user memory. Where one cannot be read, its address is printed."""

import struct
from collections.abc import Callable, Iterable
from typing import Final

from emu.render.strace import flags
from emu.render.strace.call import Call, pointer, quote, shows
from emu.render.strace.scalars import buffer, device, file_mode, signal
from mini_kernel.syscalls.table import s32, u32
from mini_kernel.uapi.fcntl import S_IFBLK, S_IFCHR, S_IFMT
from mini_kernel.uapi.resource import RLIM_INFINITY
from mini_kernel.uapi.structs import RUSAGE_SIZE, STAT_SIZE, STATFS_SIZE, STATX_SIZE, SYSINFO_SIZE
from mini_kernel.uapi.time import UTIME_NOW, UTIME_OMIT
from mini_kernel.uapi.wait import WNOHANG

_U64, _I64x2, _U64x2 = struct.Struct("<Q"), struct.Struct("<qq"), struct.Struct("<QQ")
_INFINITY_TEXT: Final = "RLIM64_INFINITY"
_ALL_SIGNALS: Final = 64

#: From the bytes of a structure to its text.
Text = Callable[[bytes], str]


def _given(size: int, text: Text) -> Callable[[Call, int], str]:
    """A structure that the caller filled."""

    def show(call: Call, i: int) -> str:
        data = call.whole(call.arg(i), size)
        return pointer(call.arg(i)) if data is None else text(data)

    return show


def _returned(size: int, text: Text) -> Callable[[Call, int], str]:
    """A structure that the call filled, if it was successful."""
    show = _given(size, text)
    return lambda call, i: pointer(call.arg(i)) if call.failed else show(call, i)


def _both(kind: str, size: int, text: Text) -> None:
    """Register `kind` for input and `o` + `kind` for output."""
    shows(kind)(_given(size, text))
    shows("o" + kind, late=True)(_returned(size, text))


# -- time and resources ------------------------------------------------------------------------------


def timespec(data: bytes) -> str:
    """struct timespec."""
    seconds, rest = _I64x2.unpack(data)
    return f"{{tv_sec={seconds}, tv_nsec={rest}}}"


def timeval(data: bytes) -> str:
    """struct timeval."""
    seconds, rest = _I64x2.unpack(data)
    return f"{{tv_sec={seconds}, tv_usec={rest}}}"


def _itimerval(data: bytes) -> str:
    return f"{{it_interval={timeval(data[:16])}, it_value={timeval(data[16:])}}}"


def _itimerspec(data: bytes) -> str:
    return f"{{it_interval={timespec(data[:16])}, it_value={timespec(data[16:])}}}"


def _utimes(data: bytes) -> str:
    def one(part: bytes) -> str:
        special = {UTIME_NOW: "UTIME_NOW", UTIME_OMIT: "UTIME_OMIT"}
        return special.get(_I64x2.unpack(part)[1]) or timespec(part)

    return f"[{one(data[:16])}, {one(data[16:])}]"


def _timevals(data: bytes) -> str:
    return f"[{timeval(data[:16])}, {timeval(data[16:])}]"


def _utimbuf(data: bytes) -> str:
    return "{{actime={}, modtime={}}}".format(*_I64x2.unpack(data))


def _limit(value: int) -> str:
    if value == RLIM_INFINITY:
        return _INFINITY_TEXT
    return f"{value >> 10}*1024" if value > 1024 and not value & 1023 else str(value)


def _rlimit(data: bytes) -> str:
    soft, hard = _U64x2.unpack(data)
    return f"{{rlim_cur={_limit(soft)}, rlim_max={_limit(hard)}}}"


def _rusage(data: bytes) -> str:
    return f"{{ru_utime={timeval(data[:16])}, ru_stime={timeval(data[16:32])}, ...}}"


def _tms(data: bytes) -> str:
    return "{{tms_utime={}, tms_stime={}, tms_cutime={}, tms_cstime={}}}".format(*struct.unpack("<4q", data))


def _sysinfo(data: bytes) -> str:
    fields = struct.unpack_from("<q3Q6QHHxxxxQQI", data)
    names = ["totalram", "freeram", "sharedram", "bufferram", "totalswap", "freeswap", "procs"]
    shown = [f"uptime={fields[0]}", f"loads=[{', '.join(map(str, fields[1:4]))}]"]
    shown += [f"{name}={value}" for name, value in zip(names, fields[4:11], strict=True)]
    return f"{{{', '.join([*shown, f'totalhigh={fields[12]}', f'freehigh={fields[13]}', f'mem_unit={fields[14]}'])}}}"


for _kind, _size, _text in (
    ("timespec", 16, timespec), ("timeval", 16, timeval), ("itimerval", 32, _itimerval),
    ("itimerspec", 32, _itimerspec), ("utimes", 32, _utimes), ("timevals", 32, _timevals), ("utimbuf", 16, _utimbuf),
    ("rlimit", 16, _rlimit), ("rusage", RUSAGE_SIZE, _rusage), ("tms", 32, _tms), ("sysinfo", SYSINFO_SIZE, _sysinfo),
):  # fmt: skip
    _both(_kind, _size, _text)


@shows("timeleft", late=True)
def _time_left(call: Call, i: int) -> str:
    """What is left of a sleep: written only when a handler cut it short."""
    data = call.whole(call.arg(i), 16) if call.result is not None and call.result < 0 else None
    return pointer(call.arg(i)) if data is None else timespec(data)


# -- files -------------------------------------------------------------------------------------------


def _stat(data: bytes) -> str:
    mode = struct.unpack_from("<I", data, 24)[0]
    rdev, size = struct.unpack_from("<Qq", data, 40)
    last = f"st_rdev={device(rdev)}" if mode & S_IFMT in (S_IFCHR, S_IFBLK) else f"st_size={size}"
    return f"{{st_mode={file_mode(mode)}, {last}, ...}}"


def _statx(data: bytes) -> str:
    mask, _blksize, attributes, _nlink, _uid, _gid, mode = struct.unpack_from("<IIQIIIH", data)
    size = struct.unpack_from("<Q", data, 40)[0]
    return (
        f"{{stx_mask={flags.flags('statxmask', mask)}, stx_attributes={attributes:#x}".replace("=0x0", "=0")
        + f", stx_mode={file_mode(mode)}, stx_size={size}, ...}}"
    )


def _statfs(data: bytes) -> str:
    magic, *rest = struct.unpack_from("<qqQQQQQiiqqq", data)
    names = ["f_bsize", "f_blocks", "f_bfree", "f_bavail", "f_files", "f_ffree"]
    shown = [f"{n}={v}" for n, v in zip(names, rest, strict=False)]
    shown.append(f"f_fsid={{val=[{rest[6]:#x}, {rest[7]:#x}]}}".replace("0x0", "0"))
    shown += [f"f_namelen={rest[8]}", f"f_frsize={rest[9]}", f"f_flags={flags.flags('statfsflags', rest[10])}"]
    return f"{{f_type={flags.name('fsmagic', magic)}, {', '.join(shown)}}}"


def flock(data: bytes) -> str:
    """struct flock."""
    kind, whence, start, length, _pid = struct.unpack("<hhxxxxqqixxxx", data)
    return (
        f"{{l_type={flags.name('locktype', kind)}, l_whence={flags.name('whence', whence)}, l_start={start}, "
        f"l_len={length}}}"
    )


def _utsname(data: bytes) -> str:
    system, node = (data[at : at + 65].split(b"\0")[0] for at in (0, 65))
    return f"{{sysname={quote(system)}, nodename={quote(node)}, ...}}"


def _number(data: bytes) -> str:
    return f"[{int.from_bytes(data, 'little', signed=True)}]"


def _address(data: bytes) -> str:
    return f"[{pointer(_U64.unpack(data)[0])}]"


for _kind, _size, _text in (
    ("stat", STAT_SIZE, _stat), ("statx", STATX_SIZE, _statx), ("statfs", STATFS_SIZE, _statfs),
    ("utsname", 390, _utsname), ("int*", 4, _number), ("off*", 8, _number), ("ptr*", 8, _address),
):  # fmt: skip
    _both(_kind, _size, _text)


@shows("opipe", late=True)
def _pipe(call: Call, i: int) -> str:
    data = None if call.failed else call.whole(call.arg(i), 8)
    return pointer(call.arg(i)) if data is None else "[{}, {}]".format(*struct.unpack("<ii", data))


@shows("iov")
def _gathered(call: Call, i: int) -> str:
    """Buffers to write from."""
    return _vectors(call, i, lambda base, n: buffer(call, base, n))


@shows("oiov", late=True)
def _scattered(call: Call, i: int) -> str:
    """Buffers that the call has filled, the first ones first."""
    left = [0 if call.failed else call.result or 0]

    def text(base: int, n: int) -> str:
        if call.failed:
            return pointer(base)
        filled = min(n, left[0])
        left[0] -= filled
        return buffer(call, base, filled)

    return _vectors(call, i, text)


def _vectors(call: Call, i: int, text: Callable[[int, int], str]) -> str:
    count = min(call.arg(i + 1), 1024)
    data = call.whole(call.arg(i), 16 * count) if count else None
    if data is None:
        return pointer(call.arg(i))
    pairs = list(_U64x2.iter_unpack(data))
    shown = [f"{{iov_base={text(base, n)}, iov_len={n}}}" for base, n in pairs[:32]]
    return f"[{', '.join([*shown, '...'] if len(pairs) > 32 else shown)}]"


# -- signals and processes ---------------------------------------------------------------------------


def mask_text(mask: int) -> str:
    """A signal set: [INT TERM], ~[] for all, and what is missing where that is shorter."""
    present = [n for n in range(1, _ALL_SIGNALS + 1) if mask >> n - 1 & 1]
    if len(present) * 3 > 2 * _ALL_SIGNALS:
        return "~" + _signals(n for n in range(1, _ALL_SIGNALS + 1) if not mask >> n - 1 & 1)
    return _signals(present)


def _signals(numbers: Iterable[int]) -> str:
    return f"[{' '.join(signal(n).removeprefix('SIG') for n in numbers)}]"


def _sigset(data: bytes) -> str:
    return mask_text(_U64.unpack(data)[0])


def _sigaction(data: bytes) -> str:
    handler, how, restorer, mask = struct.unpack("<4Q", data)
    shown = {0: "SIG_DFL", 1: "SIG_IGN"}.get(handler) or f"{handler:#x}"
    text = f"{{sa_handler={shown}, sa_mask={mask_text(mask)}, sa_flags={flags.flags('sigactionflags', how)}"
    return text + (f", sa_restorer={restorer:#x}}}" if how & 0x4000000 else "}")


def _stack(data: bytes) -> str:
    address, how, size = struct.unpack("<QixxxxQ", data)
    return f"{{ss_sp={pointer(address)}, ss_flags={flags.flags('stackflags', how & 0xFFFF_FFFF)}, ss_size={size}}}"


for _kind, _size, _text in (("sigset", 8, _sigset), ("sigaction", 32, _sigaction), ("stack", 24, _stack)):
    _both(_kind, _size, _text)


@shows("sigmask", late=True, free=True)
def _restored_mask(call: Call, i: int) -> str:
    """What rt_sigreturn(2) restored."""
    return f"{{mask={mask_text(call.task.blocked)}}}"


def wait_status(status: int) -> str:
    """A wait status as the macros of wait(2) take it apart."""
    if status == 0xFFFF:
        return "[{WIFCONTINUED(s)}]"
    if status & 0xFF == 0x7F:
        return f"[{{WIFSTOPPED(s) && WSTOPSIG(s) == {signal(status >> 8 & 0xFF)}}}]"
    if status & 0x7F:
        core = " && WCOREDUMP(s)" if status & 0x80 else ""
        return f"[{{WIFSIGNALED(s) && WTERMSIG(s) == {signal(status & 0x7F)}{core}}}]"
    return f"[{{WIFEXITED(s) && WEXITSTATUS(s) == {status >> 8 & 0xFF}}}]"


@shows("wstatus", late=True)
def _wait_status(call: Call, i: int) -> str:
    nothing = call.result == 0 and call.arg(i + 1) & WNOHANG
    data = None if call.failed or nothing else call.whole(call.arg(i), 4)
    return pointer(call.arg(i)) if data is None else wait_status(u32(int.from_bytes(data, "little")))


def siginfo(data: bytes) -> str:
    """siginfo_t, at least 48 bytes."""
    signo, _errno, code = struct.unpack_from("<iii", data)
    pid, uid = struct.unpack_from("<iI", data, 16)
    return signal_info(signo, code, pid, uid, *struct.unpack_from("<QQ", data, 16), status=s32(_word(data, 24)))


def _word(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "little")


def signal_info(signo: int, code: int, pid: int, uid: int, address: int, value: int, status: int) -> str:
    """`{si_signo=SIGSEGV, si_code=SEGV_MAPERR, si_addr=0x10}`: the fields that mean something for this signal."""
    from emu.render.bits import code_name

    shown = [f"si_signo={signal(signo)}", f"si_code={code_name(signo, code)}"]
    sender = [f"si_pid={pid}", f"si_uid={uid}"]
    if signo in _FAULTS and (code > 0 and (code != _SI_KERNEL or signo == _SIGSEGV)):
        shown.append(f"si_addr={pointer(address)}")
    elif signo == _SIGCHLD and code > 0:
        ended = str(status) if code == 1 else signal(status)
        shown += [*sender, f"si_status={ended}", "si_utime=0", "si_stime=0"]
    elif code in (0, -6):
        shown += sender
    elif code < 0:
        shown += [*sender, f"si_int={s32(value)}", f"si_ptr={pointer(value)}"]
    return f"{{{', '.join(shown)}}}"


_FAULTS: Final = frozenset((4, 5, 7, 8, 11))  # SIGILL SIGTRAP SIGBUS SIGFPE SIGSEGV
_SIGSEGV, _SIGCHLD, _SI_KERNEL = 11, 17, 0x80
_both("siginfo", 128, siginfo)
