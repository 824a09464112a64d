"""Ancillary data of messages: struct cmsghdr, with descriptors and credentials (cmsg(3), unix(7))."""

import struct
from typing import TYPE_CHECKING, Final

from mini_kernel.errors import SysError
from mini_kernel.mm import uaccess
from mini_kernel.net.message import NOBODY, Credentials, Outgoing, Received
from mini_kernel.net.rights import SCM_MAX_FD
from mini_kernel.net.socket import Socket
from mini_kernel.uapi.errno import EINVAL, EPERM
from mini_kernel.uapi.socket import (
    AF_UNIX,
    MSG_CMSG_CLOEXEC,
    MSG_CTRUNC,
    SCM_CREDENTIALS,
    SCM_RIGHTS,
    SO_PASSCRED,
    SOL_SOCKET,
)

if TYPE_CHECKING:
    from mini_kernel.task import Task

_HEADER: Final = struct.Struct("<Qii")  # length with this, level, type
_UCRED: Final = struct.Struct("<iII")
_LARGEST: Final = 20480  # net.core.optmem_max, about


def _align(n: int) -> int:
    return n + 7 & ~7


# -- sending --------------------------------------------------------------------------------------------


def read(t: "Task", sock: Socket, address: int, length: int, out: Outgoing) -> None:
    """Take what a message is sent with. Raises SysError: EINVAL, EBADF, EPERM, EFAULT."""
    data = uaccess.read(t.mm, address, min(length, _LARGEST))
    at = 0
    while at + _HEADER.size <= len(data):
        size, level, kind = _HEADER.unpack_from(data, at)
        if not _HEADER.size <= size <= len(data) - at:
            raise SysError(EINVAL)
        if level == SOL_SOCKET and sock.family == AF_UNIX:
            _take(t, kind, data[at + _HEADER.size : at + size], out)
        at += _align(size)


def _take(t: "Task", kind: int, body: bytes, out: Outgoing) -> None:
    if kind == SCM_RIGHTS:
        numbers = struct.unpack(f"<{len(body) // 4}i", body[: len(body) & ~3])
        if len(out.rights) + len(numbers) > SCM_MAX_FD:
            raise SysError(EINVAL)
        out.rights += [t.files.get(fd) for fd in numbers]
    elif kind == SCM_CREDENTIALS and len(body) == _UCRED.size:
        out.credentials = Credentials(*_UCRED.unpack(body))
        _check_credentials(t, out.credentials)
    else:
        raise SysError(EINVAL)


def _check_credentials(t: "Task", given: Credentials) -> None:
    """Only root may say that it is somebody else."""
    mine = t.fs.uid == 0 or (given.pid == t.tgid and given.uid == t.fs.uid and given.gid == t.fs.gid)
    if not mine:
        raise SysError(EPERM)


# -- receiving ------------------------------------------------------------------------------------------


def drop(received: Received) -> None:
    """Let go of files that nobody asked for."""
    for file in received.rights:
        file.put()
    received.rights = []


def write(t: "Task", sock: Socket, received: Received, address: int, room: int, flags: int) -> tuple[int, int]:
    """Store what a message came with: (bytes used, MSG_CTRUNC if not all fits). Raises SysError(EFAULT)."""
    wants_ids = sock.option(SOL_SOCKET, SO_PASSCRED)
    if not address or not room:
        truncated = bool(wants_ids or received.rights)
        drop(received)
        return 0, MSG_CTRUNC if truncated else 0
    out, how = bytearray(), 0
    if wants_ids:
        how |= _append(out, room, SCM_CREDENTIALS, _UCRED.pack(*(received.credentials or NOBODY)))
    installed: list[int] = []
    if received.rights:
        how |= _append_rights(t, out, room, received, bool(flags & MSG_CMSG_CLOEXEC), installed)
    try:
        uaccess.write(t.mm, address, bytes(out))
    except SysError:
        for fd in installed:
            t.files.close(fd)
        raise
    return len(out), how


def _append(out: bytearray, room: int, kind: int, body: bytes) -> int:
    """One header with its data; MSG_CTRUNC if it is cut off or left out (Linux put_cmsg)."""
    left = room - len(out)
    if left < _HEADER.size:
        return MSG_CTRUNC
    size = _HEADER.size + len(body)
    cut = min(size, left)
    data = _HEADER.pack(cut, SOL_SOCKET, kind) + body[: cut - _HEADER.size]
    out += data.ljust(min(_align(cut), left), b"\0")
    return MSG_CTRUNC if cut < size else 0


def _append_rights(
    t: "Task", out: bytearray, room: int, received: Received, cloexec: bool, installed: list[int]
) -> int:
    """Install as many files as there is room to tell of (Linux scm_detach_fds)."""
    fits = max(0, (room - len(out) - _HEADER.size) // 4)
    files, received.rights = received.rights, []
    for i, file in enumerate(files):
        if i >= fits:
            file.put()
            continue
        try:
            installed.append(t.files.install(file, cloexec))
        except SysError:
            fits = i
    if installed:
        _append(out, room, SCM_RIGHTS, struct.pack(f"<{len(installed)}i", *installed))
    return MSG_CTRUNC if len(installed) < len(files) else 0
