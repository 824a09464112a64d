"""vFile: gdb reads files of the guest's own tree, /proc included: the program for its symbols, maps for `info proc`.

Nothing is written. Only regular files are opened, since a FIFO or a terminal would make the guest's kernel wait; their
content is taken at once, so that it is of one moment whatever the guest does, or is taken back, meanwhile.
"""

import struct
import time
from collections.abc import Callable
from typing import Final, NamedTuple

from emu.gdb.packet import escape
from mini_kernel.clock import EPOCH_NS
from mini_kernel.errors import SysError
from mini_kernel.fs.inode import Symlink
from mini_kernel.fs.path import walk
from mini_kernel.fs.vfs import BootCaller, Vfs
from mini_kernel.uapi.errno import EACCES, EBADF, EFBIG, EINVAL, EMFILE, ENAMETOOLONG, ENOENT, EROFS
from mini_kernel.uapi.fcntl import O_RDONLY, S_IFMT, S_IFREG
from mini_kernel.uapi.structs import Stat
from mini_kernel.wait import Block

_MAX_OPEN: Final = 64
_MAX_READ: Final = 64 << 10
_MAX_FILE: Final = 64 << 20
_WRITES: Final = 0x1 | 0x2 | 0x8 | 0x200 | 0x400  # the protocol's O_WRONLY O_RDWR O_APPEND O_CREAT O_TRUNC
_UNKNOWN: Final = 9999
#: errno values that the protocol knows; they are Linux's (ENAMETOOLONG is 91 there).
_KNOWN: Final = frozenset((1, 2, 4, 5, 9, 13, 14, 16, 17, 19, 20, 21, 22, 23, 24, 27, 28, 29, 30, 88))
_STAT: Final = struct.Struct(">IIIIIIIQQQIII")


class _Opened(NamedTuple):
    data: bytes
    stat: Stat


class Files:
    """The files that a session has open. `vfs` gives the tree of the moment.

    gdb compares a program's time with that of its sources, which are the host's. So times are told as if the guest's
    clock had begun when the session did.
    """

    def __init__(self, vfs: Callable[[], Vfs]) -> None:
        self._vfs = vfs
        self._began = time.time_ns() - EPOCH_NS
        self._open: dict[int, _Opened] = {}

    def answer(self, request: bytes) -> bytes:
        """The reply to `vFile:` and this: F result, or F-1 with an errno; empty for operations that are not there."""
        operation, _, rest = request.partition(b":")
        arguments = rest.split(b",")
        try:
            match operation:
                case b"setfs":
                    return b"F0"  # one file system for every process
                case b"open":
                    return b"F%x" % self._opened(*arguments)
                case b"close":
                    self._of(arguments[0])
                    del self._open[_number(arguments[0])]
                    return b"F0"
                case b"pread":
                    return self._read(*arguments)
                case b"fstat":
                    return _attachment(_packed(self._of(arguments[0]).stat, self._began))
                case b"readlink":
                    return _attachment(self._link(arguments[0]))
                case b"pwrite" | b"unlink":
                    raise SysError(EROFS)
                case _:
                    return b""
        except (SysError, Block) as error:
            errno = error.errno if isinstance(error, SysError) else EACCES
            return b"F-1,%x" % (91 if errno == ENAMETOOLONG else errno if errno in _KNOWN else _UNKNOWN)
        except (TypeError, ValueError):
            return b"F-1,%x" % EINVAL

    def _of(self, number: bytes) -> _Opened:
        try:
            return self._open[_number(number)]
        except KeyError:
            raise SysError(EBADF) from None

    def _opened(self, path: bytes, flags: bytes, _mode: bytes) -> int:
        if _number(flags) & _WRITES:
            raise SysError(EROFS)
        if len(self._open) >= _MAX_OPEN:
            raise SysError(EMFILE)
        number = next(n for n in range(3, _MAX_OPEN + 3) if n not in self._open)
        self._open[number] = self._load(_path(path))
        return number

    def _load(self, name: bytes) -> _Opened:
        vfs = self._vfs()
        caller = BootCaller(vfs.context())
        inode = walk(caller, name).inode
        if inode is None:
            raise SysError(ENOENT)
        if inode.mode & S_IFMT != S_IFREG:
            raise SysError(EACCES)
        file = vfs.open(caller, name, O_RDONLY)
        try:
            data = bytearray()
            while piece := file.readable_at(_MAX_READ, len(data)):
                buffer = bytearray(piece)
                data += buffer[: file.read_at([memoryview(buffer)], len(data))]
                if len(data) > _MAX_FILE:
                    raise SysError(EFBIG)
            return _Opened(bytes(data), inode.stat())
        finally:
            file.put()

    def _read(self, number: bytes, count: bytes, offset: bytes) -> bytes:
        start = _number(offset)
        return _attachment(self._of(number).data[start : start + min(_number(count), _MAX_READ)])

    def _link(self, path: bytes) -> bytes:
        caller = BootCaller(self._vfs().context())
        inode = walk(caller, _path(path), None, follow=False).inode
        if inode is None:
            raise SysError(ENOENT)
        if not isinstance(inode, Symlink):
            raise SysError(EINVAL)
        return inode.read_target(caller)


def _number(text: bytes) -> int:
    return int(text, 16)


def _path(text: bytes) -> bytes:
    return bytes.fromhex(text.decode("ascii"))


def _attachment(data: bytes) -> bytes:
    return b"F%x;%b" % (len(data), escape(data))


def _packed(s: Stat, began: int) -> bytes:
    """struct stat as the protocol has it: 64 bytes, big-endian."""
    seconds = (min((ns + began) // 10**9, 0xFFFF_FFFF) for ns in (s.atime, s.mtime, s.ctime))
    low = 0xFFFF_FFFF
    return _STAT.pack(
        s.dev & low, s.ino & low, s.mode, s.nlink & low, s.uid, s.gid, s.rdev & low, s.size, s.blksize, s.blocks,
        *seconds,
    )  # fmt: skip
