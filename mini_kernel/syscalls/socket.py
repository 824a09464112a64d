"""Sockets: making, naming and connecting them, and their options. Sending and receiving is in messages."""

from typing import TYPE_CHECKING, Final

from mini_kernel.errors import SysError
from mini_kernel.mm import uaccess
from mini_kernel.net import family as families
from mini_kernel.net import options
from mini_kernel.net.address import SOCKADDR_MAX
from mini_kernel.net.socket import RECEIVE, SEND, Socket
from mini_kernel.syscalls.args import file_of, install_pair
from mini_kernel.syscalls.table import s32, syscall, u32
from mini_kernel.uapi.errno import ECONNABORTED, EINVAL, ENOTCONN, ENOTSOCK
from mini_kernel.uapi.fcntl import O_NONBLOCK
from mini_kernel.uapi.numbers import (
    SYS_accept,
    SYS_accept4,
    SYS_bind,
    SYS_connect,
    SYS_getpeername,
    SYS_getsockname,
    SYS_getsockopt,
    SYS_listen,
    SYS_setsockopt,
    SYS_shutdown,
    SYS_socket,
    SYS_socketpair,
)
from mini_kernel.uapi.socket import SHUT_RD, SHUT_RDWR, SHUT_WR, SOCK_CLOEXEC, SOCK_NONBLOCK

if TYPE_CHECKING:
    from mini_kernel.kernel import Kernel
    from mini_kernel.task import Task

_TYPE_MASK: Final = 0xF
_FLAGS: Final = SOCK_CLOEXEC | SOCK_NONBLOCK
_OPTION_MAX: Final = 4096  # bytes of a value that are looked at
_HOW: Final = {SHUT_RD: RECEIVE, SHUT_WR: SEND, SHUT_RDWR: RECEIVE | SEND}


def socket_of(t: "Task", fd: int) -> Socket:
    """The socket of a descriptor. Raises SysError EBADF, ENOTSOCK."""
    file = file_of(t, fd)
    if not isinstance(file, Socket):
        raise SysError(ENOTSOCK)
    return file


def read_address(t: "Task", address: int, length: int) -> bytes:
    """A struct sockaddr. Raises SysError EINVAL, EFAULT."""
    length = s32(length)
    if not 0 <= length <= SOCKADDR_MAX:
        raise SysError(EINVAL)
    return uaccess.read(t.mm, address, length) if length else b""


def write_address(t: "Task", data: bytes, address: int, length: int) -> None:
    """Store a struct sockaddr as far as there is room, and how long it is. Raises SysError EINVAL, EFAULT."""
    room = s32(uaccess.read_u32(t.mm, length))
    if room < 0:
        raise SysError(EINVAL)
    uaccess.write(t.mm, address, data[:room])
    uaccess.write_u32(t.mm, length, len(data))


# -- making ---------------------------------------------------------------------------------------------


def _split(type_: int) -> tuple[int, int, bool]:
    """(type, O_NONBLOCK or 0, close on exec). Raises SysError(EINVAL) for other flags."""
    flags = u32(type_) & ~_TYPE_MASK
    if flags & ~_FLAGS:
        raise SysError(EINVAL)
    return type_ & _TYPE_MASK, O_NONBLOCK if flags & SOCK_NONBLOCK else 0, bool(flags & SOCK_CLOEXEC)


@syscall(SYS_socket)
def sys_socket(k: "Kernel", t: "Task", family: int, type_: int, protocol: int) -> int:
    """socket(2)."""
    kind, flags, cloexec = _split(type_)
    return t.files.install(families.create(k.net, s32(family), kind, s32(protocol), flags), cloexec)


@syscall(SYS_socketpair)
def sys_socketpair(k: "Kernel", t: "Task", family: int, type_: int, protocol: int, address: int) -> int:
    """socketpair(2). Neither descriptor exists if either cannot, or cannot be told."""
    kind, flags, cloexec = _split(type_)
    one, other = families.pair(k.net, s32(family), kind, s32(protocol), flags)
    install_pair(t, one, other, cloexec, address)
    return 0


# -- names and connections ------------------------------------------------------------------------------


@syscall(SYS_bind)
def sys_bind(k: "Kernel", t: "Task", fd: int, address: int, length: int) -> int:
    """bind(2)."""
    sock = socket_of(t, fd)
    sock.bind(read_address(t, address, length))
    return 0


@syscall(SYS_listen)
def sys_listen(k: "Kernel", t: "Task", fd: int, backlog: int) -> int:
    """listen(2)."""
    socket_of(t, fd).listen(s32(backlog))
    return 0


@syscall(SYS_connect)
def sys_connect(k: "Kernel", t: "Task", fd: int, address: int, length: int) -> int:
    """connect(2)."""
    sock = socket_of(t, fd)
    sock.connect(read_address(t, address, length))
    return 0


@syscall(SYS_accept4)
def sys_accept4(k: "Kernel", t: "Task", fd: int, address: int, length: int, flags: int) -> int:
    """accept4(2)."""
    flags = u32(flags)
    if flags & ~_FLAGS:
        raise SysError(EINVAL)
    sock = socket_of(t, fd)
    t.files.free()
    end = sock.accept(0)
    if flags & SOCK_NONBLOCK:
        end.flags |= O_NONBLOCK
    if address:
        try:
            write_address(t, end.peer_address(), address, length)
        except SysError as error:
            end.put()
            raise SysError(ECONNABORTED if error.errno == ENOTCONN else error.errno) from None
    return t.files.install(end, bool(flags & SOCK_CLOEXEC))


@syscall(SYS_accept)
def sys_accept(k: "Kernel", t: "Task", fd: int, address: int, length: int) -> int:
    """accept(2)."""
    return sys_accept4(k, t, fd, address, length, 0)


@syscall(SYS_getsockname)
def sys_getsockname(k: "Kernel", t: "Task", fd: int, address: int, length: int) -> int:
    """getsockname(2)."""
    write_address(t, socket_of(t, fd).address(), address, length)
    return 0


@syscall(SYS_getpeername)
def sys_getpeername(k: "Kernel", t: "Task", fd: int, address: int, length: int) -> int:
    """getpeername(2)."""
    write_address(t, socket_of(t, fd).peer_address(), address, length)
    return 0


@syscall(SYS_shutdown)
def sys_shutdown(k: "Kernel", t: "Task", fd: int, how: int) -> int:
    """shutdown(2)."""
    sock, direction = socket_of(t, fd), _HOW.get(s32(how))
    if direction is None:
        raise SysError(EINVAL)
    sock.shutdown(direction)
    return 0


# -- options --------------------------------------------------------------------------------------------


@syscall(SYS_getsockopt)
def sys_getsockopt(k: "Kernel", t: "Task", fd: int, level: int, name: int, value: int, length: int) -> int:
    """getsockopt(2)."""
    sock = socket_of(t, fd)
    room = s32(uaccess.read_u32(t.mm, length))
    if room < 0:
        raise SysError(EINVAL)
    data = options.get(sock, s32(level), s32(name))[:room]
    uaccess.write(t.mm, value, data)
    uaccess.write_u32(t.mm, length, len(data))
    return 0


@syscall(SYS_setsockopt)
def sys_setsockopt(k: "Kernel", t: "Task", fd: int, level: int, name: int, value: int, length: int) -> int:
    """setsockopt(2)."""
    sock, size = socket_of(t, fd), s32(length)
    if size < 0:
        raise SysError(EINVAL)
    options.put(sock, s32(level), s32(name), uaccess.read(t.mm, value, min(size, _OPTION_MAX)))
    return 0
