"""send(2), recv(2) and their kin.

A stream call that waits in the middle keeps its count in `t.restart["done"]`, as do sendmmsg(2) and recvmmsg(2), which
count messages.
"""

import struct
from typing import TYPE_CHECKING, Final, NamedTuple

from mini_kernel.errors import SysError
from mini_kernel.mm import uaccess
from mini_kernel.net.message import Outgoing, Received
from mini_kernel.net.socket import Socket
from mini_kernel.net.tcp import TcpSocket
from mini_kernel.syscalls import control
from mini_kernel.syscalls.args import Iov, gather, read_iov
from mini_kernel.syscalls.io import MAX_RW
from mini_kernel.syscalls.poll import read_timespec
from mini_kernel.syscalls.socket import read_address, socket_of, write_address
from mini_kernel.syscalls.table import syscall, u32
from mini_kernel.uapi.errno import EFAULT, EINVAL, EMSGSIZE, ENOBUFS, EPIPE
from mini_kernel.uapi.fcntl import IOV_MAX
from mini_kernel.uapi.numbers import (
    SYS_recvfrom,
    SYS_recvmmsg,
    SYS_recvmsg,
    SYS_sendmmsg,
    SYS_sendmsg,
    SYS_sendto,
)
from mini_kernel.uapi.signal import SIGPIPE
from mini_kernel.uapi.socket import (
    MSG_CMSG_CLOEXEC,
    MSG_DONTWAIT,
    MSG_NOSIGNAL,
    MSG_PEEK,
    MSG_TRUNC,
    MSG_WAITALL,
    MSG_WAITFORONE,
)
from mini_kernel.uapi.structs import pack_timespec
from mini_kernel.wait import Block
from mini_kernel.x86 import TASK_SIZE

if TYPE_CHECKING:
    from mini_kernel.kernel import Kernel
    from mini_kernel.task import Task

_MSGHDR: Final = struct.Struct("<QiIQQQQi4x")  # name, its length, padding, iov, its length, control, its length, flags
_MMSGHDR_SIZE: Final = 64  # a msghdr, and how many bytes of it went
_MAX_MESSAGES: Final = 1024


class Header(NamedTuple):
    """struct msghdr in user memory, and its buffers."""

    name: int
    name_length: int
    iov: Iov
    total: int  # bytes of the buffers
    control: int
    control_length: int


def _read_header(t: "Task", address: int) -> Header:
    """Raises SysError: EFAULT, EINVAL, EMSGSIZE."""
    name, name_length, _pad, iov, count, control_, control_length, _flags = _MSGHDR.unpack(
        uaccess.read(t.mm, address, _MSGHDR.size)
    )
    if not name:
        name_length = 0
    if name_length < 0:
        raise SysError(EINVAL)
    if count > IOV_MAX:
        raise SysError(EMSGSIZE)
    vectors, total = read_iov(t, iov, count)
    return Header(name, name_length, vectors, min(total, MAX_RW), control_, control_length)


def _one(buffer: int, length: int) -> tuple[Iov, int]:
    """A single buffer. Raises SysError(EFAULT)."""
    length = min(length, MAX_RW)
    if buffer + length > TASK_SIZE:
        raise SysError(EFAULT)
    return [(buffer, length)], length


# -- sending --------------------------------------------------------------------------------------------


def _send(t: "Task", sock: Socket, iov: Iov, total: int, out: Outgoing) -> int:
    """Send from buffers; the count. Raises Block or SysError; a broken stream sends SIGPIPE unless MSG_NOSIGNAL."""
    if not sock.is_stream:
        sock.may_send(total, out)
        views = gather(t.mm, iov, 0, total, False) if total else []
        if sum(map(len, views)) < total:
            raise SysError(EFAULT)
        return sock.send(views, out)
    done: int = t.restart.get("done", 0)
    try:
        while done < total:
            n = sock.may_send(total - done, out)
            taken = sock.send(gather(t.mm, iov, done, n, False), Outgoing(out.flags) if done else out)
            done += taken
            if taken < n:
                break
    except Block:
        if done:
            t.restart["done"] = done
        raise
    except SysError as error:
        if done:
            return done
        if error.errno == EPIPE and not out.flags & MSG_NOSIGNAL:
            t.send_signal(SIGPIPE)
        raise
    return done


@syscall(SYS_sendto)
def sys_sendto(k: "Kernel", t: "Task", fd: int, buffer: int, length: int, flags: int, address: int, size: int) -> int:
    """sendto(2)."""
    iov, total = _one(buffer, length)
    sock = socket_of(t, fd)
    out = Outgoing(u32(flags), read_address(t, address, size) if address else b"")
    return _send(t, sock, iov, total, out)


def _send_message(t: "Task", sock: Socket, address: int, flags: int) -> int:
    header = _read_header(t, address)
    name = read_address(t, header.name, min(header.name_length, 128)) if header.name_length else b""
    out = Outgoing(flags, name)
    if header.control_length > 0x7FFF_FFFF:
        raise SysError(ENOBUFS)
    if header.control_length:
        control.read(t, sock, header.control, header.control_length, out)
    return _send(t, sock, header.iov, header.total, out)


@syscall(SYS_sendmsg)
def sys_sendmsg(k: "Kernel", t: "Task", fd: int, message: int, flags: int) -> int:
    """sendmsg(2)."""
    return _send_message(t, socket_of(t, fd), message, u32(flags))


@syscall(SYS_sendmmsg)
def sys_sendmmsg(k: "Kernel", t: "Task", fd: int, messages: int, count: int, flags: int) -> int:
    """sendmmsg(2): how many messages went, an error only if none did."""
    sock, count = socket_of(t, fd), min(u32(count), _MAX_MESSAGES)
    done: int = t.restart.pop("messages", 0)
    while done < count:
        at = messages + done * _MMSGHDR_SIZE
        try:
            sent = _send_message(t, sock, at, u32(flags))
            uaccess.write_u32(t.mm, at + _MSGHDR.size, sent)
        except SysError:
            if done:
                break
            raise
        except Block:
            t.restart["messages"] = done
            raise
        t.restart.pop("done", None)
        done += 1
    return done


# -- receiving ------------------------------------------------------------------------------------------


def _receive(t: "Task", sock: Socket, iov: Iov, total: int, flags: int) -> Received:
    """Receive into buffers. Raises Block or SysError."""
    if flags & MSG_WAITALL and sock.is_stream and not flags & MSG_PEEK:
        return _receive_all(t, sock, iov, total, flags)
    return _receive_some(t, sock, iov, 0, total, flags)


def _receive_some(t: "Task", sock: Socket, iov: Iov, skip: int, total: int, flags: int) -> Received:
    n = sock.may_receive(total - skip, flags)
    if flags & MSG_TRUNC and isinstance(sock, TcpSocket):
        return sock.discard(n)
    return sock.receive(gather(t.mm, iov, skip, n, True) if n else (), flags)


def _receive_all(t: "Task", sock: Socket, iov: Iov, total: int, flags: int) -> Received:
    """MSG_WAITALL: go on until the buffers are full, the end, an error, or something that came with files."""
    done: int = t.restart.get("done", 0)
    received = Received(0, 0)
    try:
        while done < total:
            received = _receive_some(t, sock, iov, done, total, flags)
            done += received.n
            if not received.n or received.rights:
                break
    except Block:
        t.restart["done"] = done
        raise
    except SysError:
        if not done:
            raise
    received.n = received.length = done
    return received


@syscall(SYS_recvfrom)
def sys_recvfrom(k: "Kernel", t: "Task", fd: int, buffer: int, length: int, flags: int, address: int, size: int) -> int:
    """recvfrom(2)."""
    iov, total = _one(buffer, length)
    sock, flags = socket_of(t, fd), u32(flags)
    received = _receive(t, sock, iov, total, flags)
    control.drop(received)
    if address:
        write_address(t, received.source, address, size)
    return received.length if flags & MSG_TRUNC else received.n


def _receive_message(t: "Task", sock: Socket, address: int, flags: int) -> int:
    header = _read_header(t, address)
    received = _receive(t, sock, header.iov, header.total, flags)
    used, how = control.write(t, sock, received, header.control, header.control_length, flags)
    if header.name:
        uaccess.write(t.mm, header.name, received.source[: header.name_length])
        uaccess.write_u32(t.mm, address + 8, len(received.source))
    uaccess.write_u64(t.mm, address + 40, used)
    uaccess.write_u32(t.mm, address + 48, received.flags | how | flags & MSG_CMSG_CLOEXEC)
    return received.length if flags & MSG_TRUNC else received.n


@syscall(SYS_recvmsg)
def sys_recvmsg(k: "Kernel", t: "Task", fd: int, message: int, flags: int) -> int:
    """recvmsg(2)."""
    return _receive_message(t, socket_of(t, fd), message, u32(flags))


@syscall(SYS_recvmmsg)
def sys_recvmmsg(k: "Kernel", t: "Task", fd: int, messages: int, count: int, flags: int, timeout: int) -> int:
    """recvmmsg(2): how many messages came. The timeout is looked at between messages, as in Linux."""
    sock, count, flags = socket_of(t, fd), min(u32(count), _MAX_MESSAGES), u32(flags)
    timeout_ns = read_timespec(t, timeout)
    deadline = None if timeout_ns is None else t.restart.setdefault("until", k.clock.now_ns() + timeout_ns)
    done: int = t.restart.get("done", 0)
    while done < count:
        at = messages + done * _MMSGHDR_SIZE
        one = flags & ~(MSG_WAITFORONE | MSG_WAITALL) | (MSG_DONTWAIT if done and flags & MSG_WAITFORONE else 0)
        try:
            n = _receive_message(t, sock, at, one)
            uaccess.write_u32(t.mm, at + _MSGHDR.size, n)
        except SysError:
            if done:
                break
            raise
        except Block:
            t.restart["done"] = done
            raise
        t.restart.pop("deadline", None)
        done += 1
        if deadline is not None and k.clock.now_ns() >= deadline:
            break
    if deadline is not None:
        uaccess.write(t.mm, timeout, pack_timespec(max(0, deadline - k.clock.now_ns())))
    return done
