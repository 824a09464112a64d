"""The standard streams as files: a terminal if the host's stream is one, else the end of a pipe.

Line editing and echo stay with the host's terminal; what the guest sets with tcsetattr(3) is stored and read back.
"""

import struct
from typing import TYPE_CHECKING, Final

from mini_kernel.errors import SysError
from mini_kernel.fs.file import READABLE, WRITABLE, File, User, Views
from mini_kernel.fs.inode import Inode, SuperBlock
from mini_kernel.fs.stream import HostStream
from mini_kernel.mm import uaccess
from mini_kernel.uapi.errno import EAGAIN, EINVAL, ENOTTY
from mini_kernel.uapi.fcntl import O_NONBLOCK, S_IFCHR, S_IFIFO
from mini_kernel.uapi.ioctls import (
    CREAD,
    CS8,
    ECHO,
    ECHOCTL,
    ECHOE,
    ECHOK,
    ECHOKE,
    FIONREAD,
    ICANON,
    ICRNL,
    IEXTEN,
    ISIG,
    IXON,
    ONLCR,
    OPOST,
    TCFLSH,
    TCGETS,
    TCSBRK,
    TCSETS,
    TCSETSF,
    TCSETSW,
    TCXONC,
    TIOCGPGRP,
    TIOCGSID,
    TIOCGWINSZ,
    TIOCNOTTY,
    TIOCSCTTY,
    TIOCSPGRP,
    TIOCSWINSZ,
)
from mini_kernel.uapi.structs import makedev

if TYPE_CHECKING:
    from mini_kernel.fs.path import Caller

TERMIOS_SIZE: Final = 36  # the kernel's struct termios, NCCS = 19
_B38400: Final = 0xF
#: INIT_C_CC of Linux: ^C ^\ DEL ^U ^D 0 1 0 ^Q ^S ^Z 0 ^R ^O ^W ^V 0
_CONTROL: Final = bytes((3, 28, 127, 21, 4, 0, 1, 0, 17, 19, 26, 0, 18, 15, 23, 22, 0, 0, 0))
_SANE: Final = (
    struct.pack(
        "<IIIIB", ICRNL | IXON, OPOST | ONLCR, _B38400 | CS8 | CREAD,
        ISIG | ICANON | ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE | IEXTEN, 0,
    )
    + _CONTROL
)  # fmt: skip
_READ_SIZE: Final = 65536


class Terminal:
    """State of the controlling terminal, shared by the streams that are one."""

    def __init__(self, rows: int, columns: int) -> None:
        self.termios = _SANE
        self.window = struct.pack("<HHHH", rows, columns, 0, 0)
        self.pgrp = 0  # foreground process group; 0: that of whoever asks
        self.input: StreamInode | None = None
        self.output: StreamInode | None = None

    def ioctl(self, user: User, request: int, argument: int) -> int:
        """tty_ioctl(4). Raises SysError(ENOTTY) for other requests, (EFAULT)."""
        mm = user.mm
        if request == TCGETS:
            uaccess.write(mm, argument, self.termios)
        elif request in (TCSETS, TCSETSW, TCSETSF):
            self.termios = uaccess.read(mm, argument, TERMIOS_SIZE)
        elif request == TIOCGWINSZ:
            uaccess.write(mm, argument, self.window)
        elif request == TIOCSWINSZ:
            self.window = uaccess.read(mm, argument, 8)
        elif request == TIOCGPGRP:
            uaccess.write_u32(mm, argument, self.pgrp or user.pgid)
        elif request == TIOCSPGRP:
            self._set_pgrp(uaccess.read_u32(mm, argument))
        elif request == TIOCGSID:
            uaccess.write_u32(mm, argument, user.sid)
        elif request not in (TIOCSCTTY, TIOCNOTTY, TCFLSH, TCXONC, TCSBRK):
            raise SysError(ENOTTY)
        return 0

    def _set_pgrp(self, pgrp: int) -> None:
        if not 0 < pgrp < 1 << 31:
            raise SysError(EINVAL)
        self.pgrp = pgrp


class StreamInode(Inode):
    """A standard stream. Bytes read from the host too early wait in `buffer` for whoever reads next."""

    def __init__(self, sb: SuperBlock, stream: HostStream) -> None:
        self.terminal = sb.terminal if stream.isatty() else None
        self.kind = S_IFCHR if self.terminal else S_IFIFO
        super().__init__(sb, 0o620 if self.terminal else 0o600)
        self.rdev = makedev(136, 0) if self.terminal else 0
        self.stream = stream
        self.buffer = bytearray()

    def open_data(self, flags: int, path: bytes, caller: "Caller") -> File:
        return StreamFile(self, flags, path)


class StreamFile(File):
    """An open standard stream. Reading waits for the host, the whole machine with it; poll says always ready."""

    __slots__ = ()

    inode: StreamInode
    can_poll = True

    def may_read(self, n: int) -> int:
        inode = self.inode
        if not inode.buffer:
            if self.flags & O_NONBLOCK and not inode.stream.ready():
                raise SysError(EAGAIN)
            inode.buffer += inode.stream.read(_READ_SIZE)
        return min(n, len(inode.buffer))

    def read_into(self, views: Views) -> int:
        buffer, done = self.inode.buffer, 0
        for view in views:
            view[:] = buffer[done : done + len(view)]
            done += len(view)
        del buffer[:done]
        return done

    def may_write(self, n: int) -> int:
        return n

    def write_from(self, views: Views) -> int:
        data = b"".join(views)
        self.inode.stream.write(data)
        return len(data)

    def poll(self) -> int:
        return (READABLE if self.can_read else 0) | (WRITABLE if self.can_write else 0)

    def ioctl(self, user: User, request: int, argument: int) -> int:
        if request == FIONREAD:
            uaccess.write_u32(user.mm, argument, len(self.inode.buffer))
            return 0
        if self.inode.terminal is None:
            raise SysError(ENOTTY)
        return self.inode.terminal.ioctl(user, request, argument)


class TerminalFile(StreamFile):
    """/dev/tty and /dev/console: reads come from the terminal's input, writes go to its output."""

    __slots__ = ("output",)

    def __init__(self, terminal: Terminal, source: StreamInode, flags: int, path: bytes) -> None:
        super().__init__(source, flags, path)
        self.output = terminal.output or source

    def write_from(self, views: Views) -> int:
        data = b"".join(views)
        self.output.stream.write(data)
        return len(data)
