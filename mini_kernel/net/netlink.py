"""AF_NETLINK, as far as C libraries use it: NETLINK_ROUTE lists the devices and their addresses (rtnetlink(7))."""

import struct
from collections import deque
from typing import ClassVar, Final

from mini_kernel.errors import SysError
from mini_kernel.fs.file import READABLE, WRITABLE, Views
from mini_kernel.net import device
from mini_kernel.net.address import LOOPBACK4, LOOPBACK6, family_of
from mini_kernel.net.message import Outgoing, Received, fill
from mini_kernel.net.network import Network
from mini_kernel.net.socket import Socket
from mini_kernel.uapi.errno import EINVAL, EMSGSIZE, ENOBUFS, EOPNOTSUPP
from mini_kernel.uapi.socket import (
    AF_INET,
    AF_INET6,
    AF_NETLINK,
    AF_UNSPEC,
    ARPHRD_LOOPBACK,
    MSG_OOB,
    MSG_PEEK,
    MSG_TRUNC,
)

_HEADER: Final = struct.Struct("<IHHII")  # nlmsghdr: length, type, flags, sequence number, port
_ADDRESS: Final = struct.Struct("<HHII")  # sockaddr_nl: family, padding, port, groups
NLMSG_ERROR, NLMSG_DONE = 2, 3
NLM_F_REQUEST, NLM_F_MULTI, NLM_F_DUMP = 1, 2, 0x300
RTM_NEWLINK, RTM_GETLINK, RTM_NEWADDR, RTM_GETADDR = 16, 18, 20, 22
IFLA_ADDRESS, IFLA_BROADCAST, IFLA_IFNAME, IFLA_MTU, IFLA_TXQLEN = 1, 2, 3, 4, 13
IFA_ADDRESS, IFA_LOCAL, IFA_LABEL = 1, 2, 3
IFA_F_PERMANENT, RT_SCOPE_HOST = 0x80, 254
_MAX_ANSWERS: Final = 64  # not yet read
_LARGEST: Final = 65536


def _attribute(kind: int, data: bytes) -> bytes:
    """struct rtattr."""
    return struct.pack("<HH", 4 + len(data), kind) + data + bytes(-len(data) % 4)


def _link() -> bytes:
    """struct ifinfomsg of the loopback device."""
    head = struct.pack("<BxHiII", AF_UNSPEC, ARPHRD_LOOPBACK, device.INDEX, device.FLAGS, 0)
    return head + b"".join((
        _attribute(IFLA_IFNAME, device.NAME + b"\0"), _attribute(IFLA_TXQLEN, struct.pack("<I", 1000)),
        _attribute(IFLA_MTU, struct.pack("<I", device.MTU)), _attribute(IFLA_ADDRESS, bytes(6)),
        _attribute(IFLA_BROADCAST, bytes(6)),
    ))  # fmt: skip


def _addresses(family: int) -> list[bytes]:
    """struct ifaddrmsg of each address, of one version or of both."""
    found: list[bytes] = []
    if family in (AF_UNSPEC, AF_INET):
        head = struct.pack("<BBBBI", AF_INET, 8, IFA_F_PERMANENT, RT_SCOPE_HOST, device.INDEX)
        label = _attribute(IFA_LABEL, device.NAME + b"\0")
        found.append(head + _attribute(IFA_ADDRESS, LOOPBACK4) + _attribute(IFA_LOCAL, LOOPBACK4) + label)
    if family in (AF_UNSPEC, AF_INET6):
        head = struct.pack("<BBBBI", AF_INET6, 128, IFA_F_PERMANENT, RT_SCOPE_HOST, device.INDEX)
        found.append(head + _attribute(IFA_ADDRESS, LOOPBACK6))
    return found


class NetlinkSocket(Socket):
    """A socket to the kernel: each request is answered in the call that sends it."""

    __slots__ = ("answers", "groups", "port")

    family: ClassVar[int] = AF_NETLINK
    breaks_silently = True

    def __init__(self, net: Network, type_: int, protocol: int, flags: int) -> None:
        super().__init__(net, type_, protocol, flags)
        self.port = 0
        self.groups = 0
        self.answers: deque[bytes] = deque()

    # -- names --------------------------------------------------------------------------------------

    def bind(self, address: bytes) -> None:
        if len(address) < _ADDRESS.size or family_of(address) != AF_NETLINK:
            raise SysError(EINVAL)
        _family, _pad, port, self.groups = _ADDRESS.unpack(address[: _ADDRESS.size])
        if self.port and port and port != self.port:
            raise SysError(EINVAL)
        self.port = port or self.port
        self._bind_any()

    def _bind_any(self) -> None:
        """The first socket of a process has its number as the port, the others have numbers of their own."""
        taken = {s.port for s in self.net.sockets.values() if isinstance(s, NetlinkSocket)}
        own = self.net.caller.tgid
        self.port = self.port or (own if own not in taken else 0xFFFF_0000 + self.inode.ino % 0xFFFF)

    def connect(self, address: bytes) -> None:
        if family_of(address) not in (AF_NETLINK, AF_UNSPEC):
            raise SysError(EINVAL)
        self._bind_any()

    def address(self) -> bytes:
        return _ADDRESS.pack(AF_NETLINK, 0, self.port, self.groups)

    def peer_address(self) -> bytes:
        return _ADDRESS.pack(AF_NETLINK, 0, 0, 0)

    # -- requests -----------------------------------------------------------------------------------

    def may_send(self, n: int, out: Outgoing) -> int:
        if out.flags & MSG_OOB:
            raise SysError(EOPNOTSUPP)
        if out.address and (len(out.address) < _ADDRESS.size or family_of(out.address) != AF_NETLINK):
            raise SysError(EINVAL)
        if n > _LARGEST:
            raise SysError(EMSGSIZE)
        if len(self.answers) >= _MAX_ANSWERS:
            raise SysError(ENOBUFS)
        return n

    def send(self, views: Views, out: Outgoing) -> int:
        self._bind_any()
        data = b"".join(views)
        at = 0
        while at + _HEADER.size <= len(data) and len(self.answers) < _MAX_ANSWERS:
            length, kind, flags, sequence, _port = _HEADER.unpack_from(data, at)
            if not _HEADER.size <= length <= len(data) - at:
                break
            if flags & NLM_F_REQUEST:
                self._answer(data[at : at + length], kind, flags, sequence)
            at += length + 3 & ~3
        self.queue.wake(READABLE)
        return len(data)

    def _answer(self, request: bytes, kind: int, flags: int, sequence: int) -> None:
        family = request[_HEADER.size] if len(request) > _HEADER.size else AF_UNSPEC
        if flags & NLM_F_DUMP and kind == RTM_GETLINK:
            parts = [self._message(RTM_NEWLINK, NLM_F_MULTI, sequence, _link())]
        elif flags & NLM_F_DUMP and kind == RTM_GETADDR:
            parts = [self._message(RTM_NEWADDR, NLM_F_MULTI, sequence, part) for part in _addresses(family)]
        else:
            error = struct.pack("<i", -EOPNOTSUPP) + request[: _HEADER.size]
            self.answers.append(self._message(NLMSG_ERROR, 0, sequence, error))
            return
        if parts:
            self.answers.append(b"".join(parts))
        self.answers.append(self._message(NLMSG_DONE, NLM_F_MULTI, sequence, bytes(4)))

    def _message(self, kind: int, flags: int, sequence: int, body: bytes) -> bytes:
        padding = bytes(-len(body) % 4)
        return _HEADER.pack(_HEADER.size + len(body), kind, flags, sequence, self.port) + body + padding

    # -- answers ------------------------------------------------------------------------------------

    def may_receive(self, n: int, flags: int) -> int:
        if self.answers:
            return min(n, len(self.answers[0]))
        return self.pause(flags, self.receive_timeout)

    def receive(self, views: Views, flags: int) -> Received:
        data = self.answers[0]
        out = Received(fill(views, data), len(data), source=self.peer_address())
        out.flags = MSG_TRUNC if out.length > out.n else 0
        if not flags & MSG_PEEK:
            self.answers.popleft()
        return out

    def unread(self) -> int:
        return len(self.answers[0]) if self.answers else 0

    def poll(self) -> int:
        return WRITABLE | (READABLE if self.answers else 0)
