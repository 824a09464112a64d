"""Renderers of single values: numbers, names, flags, strings, buffers."""

from collections.abc import Callable

from emu.render.strace import flags
from emu.render.strace.call import Call, hexadecimal, pointer, quote, shows
from mini_kernel.syscalls.table import s32, s64, u32
from mini_kernel.uapi import signal_names
from mini_kernel.uapi.fcntl import AT_FDCWD, O_CREAT, O_TMPFILE, S_IFBLK, S_IFCHR, S_IFMT
from mini_kernel.uapi.mman import MREMAP_DONTUNMAP, MREMAP_FIXED

_NUMBERS: dict[str, Callable[[int], str]] = {
    "int": lambda v: str(s32(v)),
    "uint": lambda v: str(u32(v)),
    "fd": lambda v: str(s32(v)),
    "len": str,
    "off": lambda v: str(s64(v)),
    "ptr": pointer,
    "hex": hexadecimal,
    "mode": lambda v: octal(v & 0o7777777),
    "id": lambda v: str(s32(v)),
    "dirfd": lambda v: "AT_FDCWD" if s32(v) == AT_FDCWD else str(s32(v)),
    "sig": lambda v: signal(s32(v)),
}


def octal(value: int) -> str:
    """A file mode: a leading zero, at least three digits."""
    return f"0{value:02o}"


def signal(signo: int) -> str:
    """SIGINT, or the number."""
    return signal_names.get(signo, str(signo))


def file_mode(mode: int) -> str:
    """st_mode: S_IFREG|0644."""
    kind = mode & S_IFMT
    permissions = octal(mode & 0o7777)
    return f"{flags.name('filetype', kind)}|{permissions}" if kind else permissions


def device(number: int) -> str:
    """dev_t: makedev(0x1, 0x3)."""
    major, minor = number >> 8 & 0xFFF, number & 0xFF | number >> 12 & 0xFFF00
    return f"makedev({hexadecimal(major)}, {hexadecimal(minor)})"


def _number(text: Callable[[int], str]) -> Callable[[Call, int], str]:
    return lambda call, i: text(call.arg(i))


def _named(kind: str, text: Callable[[str, int], str]) -> Callable[[Call, int], str]:
    return lambda call, i: text(kind, u32(call.arg(i)))


for _kind, _text in _NUMBERS.items():
    shows(_kind)(_number(_text))
for _kind in sorted(flags.FLAG_KINDS):
    shows(_kind)(_named(_kind, flags.flags))
for _kind in sorted(flags.NAME_KINDS):
    shows(_kind)(_named(_kind, flags.name))


# -- flags that need more than a table ---------------------------------------------------------------


def open_flags(value: int) -> str:
    """O_RDONLY, O_WRONLY or O_RDWR, then the other flags of open(2)."""
    access = flags.name("accmode", value & 3)
    rest = value & ~3
    return f"{access}|{flags.flags('openflags', rest)}" if rest else access


@shows("oflags")
def _open_flags(call: Call, i: int) -> str:
    return open_flags(u32(call.arg(i)))


@shows("oflagsonly")
def _creation_flags(call: Call, i: int) -> str:
    """O_CLOEXEC and O_NONBLOCK of pipe2(2) and dup3(2)."""
    return flags.flags("openflags", u32(call.arg(i)))


@shows("skip")
def _skip(call: Call, i: int) -> None:
    """The unused high half of an offset."""
    return


@shows("omode")
def _open_mode(call: Call, i: int) -> str | None:
    """The third argument of open(2), there only when a file may be created."""
    how = call.arg(i - 1)
    return octal(call.arg(i) & 0o7777) if how & O_CREAT or how & O_TMPFILE == O_TMPFILE else None


@shows("filemode")
def _file_mode(call: Call, i: int) -> str:
    return file_mode(u32(call.arg(i)))


@shows("dev")
def _device(call: Call, i: int) -> str | None:
    """The device of mknod(2), there only for devices."""
    return device(call.arg(i)) if call.arg(i - 1) & S_IFMT in (S_IFCHR, S_IFBLK) else None


@shows("newaddr")
def _new_address(call: Call, i: int) -> str | None:
    """The fifth argument of mremap(2)."""
    return pointer(call.arg(i)) if call.arg(i - 1) & (MREMAP_FIXED | MREMAP_DONTUNMAP) else None


@shows("fallocmode")
def _fallocate_mode(call: Call, i: int) -> str:
    return hexadecimal(call.arg(i))


# -- strings and buffers -----------------------------------------------------------------------------


@shows("path")
def _path(call: Call, i: int) -> str:
    return text_at(call, call.arg(i), None)


@shows("str")
def _string(call: Call, i: int) -> str:
    return text_at(call, call.arg(i))


def text_at(call: Call, address: int, limit: int | None = 32) -> str:
    """A zero-terminated string in user memory, or its address where there is none."""
    data = call.string(address) if address else None
    return pointer(address) if data is None else quote(data, limit)


@shows("in")
def _input(call: Call, i: int) -> str:
    """A buffer whose length is the next argument."""
    return buffer(call, call.arg(i), call.arg(i + 1))


@shows("out", late=True)
def _output(call: Call, i: int) -> str:
    """A buffer that the call has filled with as many bytes as it returned."""
    if call.failed:
        return pointer(call.arg(i))
    return buffer(call, call.arg(i), call.result or 0)


@shows("random", late=True)
def _random(call: Call, i: int) -> str:
    """As `out`, every byte in hexadecimal."""
    n = call.result or 0
    data = None if call.failed else call.peek(call.arg(i), min(n, 32))
    if data is None or len(data) < min(n, 32):
        return pointer(call.arg(i))
    return '"' + "".join(f"\\x{byte:02x}" for byte in data) + '"' + ("..." if n > 32 else "")


@shows("cwd", late=True)
def _directory(call: Call, i: int) -> str:
    return pointer(call.arg(i)) if call.failed else text_at(call, call.arg(i), None)


def buffer(call: Call, address: int, n: int) -> str:
    """`n` bytes as a string, cut at 32."""
    if not n:
        return '""' if address else "NULL"
    data = call.peek(address, min(n, 33))
    return quote(data, more=n > 32) if len(data) >= min(n, 32) and address else pointer(address)


@shows("entries", late=True)
def _entries(call: Call, i: int) -> str:
    """What getdents64(2) wrote: how many entries."""
    data = b"" if call.failed else call.peek(call.arg(i), call.result or 0)
    if call.failed or len(data) < (call.result or 0):
        return pointer(call.arg(i))
    count = at = 0
    while at + 19 <= len(data):
        at += max(19, int.from_bytes(data[at + 16 : at + 18], "little"))
        count += 1
    return f"{pointer(call.arg(i))} /* {count} entries */"


@shows("argv")
def _argv(call: Call, i: int) -> str:
    """An array of strings, NULL at its end."""
    address = call.arg(i)
    if not address:
        return "NULL"
    shown: list[str] = []
    while len(shown) < 32:
        word = call.whole(address + 8 * len(shown), 8)
        if word is None:
            return pointer(address)
        if not any(word):
            return f"[{', '.join(shown)}]"
        shown.append(text_at(call, int.from_bytes(word, "little")))
    return f"[{', '.join(shown)}, ...]"


@shows("envp")
def _environment(call: Call, i: int) -> str:
    """An array of strings: its address, and how many."""
    address, count = call.arg(i), 0
    while address:
        word = call.whole(address + 8 * count, 8)
        if word is None:
            return pointer(address)
        if not any(word):
            break
        count += 1
    return f"{pointer(address)} /* {count} var{'' if count == 1 else 's'} */" if address else "NULL"
