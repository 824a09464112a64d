"""socket(2) and socketpair(2): which families, types and protocols there are."""

from typing import Final

from mini_kernel.errors import SysError
from mini_kernel.net.netlink import NetlinkSocket
from mini_kernel.net.network import Network
from mini_kernel.net.socket import Socket
from mini_kernel.net.tcp import Tcp6Socket, TcpSocket
from mini_kernel.net.udp import Udp6Socket, UdpSocket
from mini_kernel.net.unix import UnixSocket
from mini_kernel.net.unix_packet import UnixPacket
from mini_kernel.net.unix_stream import UnixStream
from mini_kernel.uapi.errno import EAFNOSUPPORT, EINVAL, EOPNOTSUPP, EPROTONOSUPPORT, ESOCKTNOSUPPORT
from mini_kernel.uapi.socket import (
    AF_INET,
    AF_INET6,
    AF_NETLINK,
    AF_UNIX,
    IPPROTO_MAX,
    IPPROTO_TCP,
    IPPROTO_UDP,
    NETLINK_ROUTE,
    SOCK_DGRAM,
    SOCK_RAW,
    SOCK_SEQPACKET,
    SOCK_STREAM,
)

_TYPES: Final = 11  # Linux SOCK_MAX
_INET: Final = {SOCK_STREAM: IPPROTO_TCP, SOCK_DGRAM: IPPROTO_UDP}


def create(net: Network, family: int, type_: int, protocol: int, flags: int) -> Socket:
    """A new socket. Raises SysError: EINVAL, EAFNOSUPPORT, ESOCKTNOSUPPORT, EPROTONOSUPPORT."""
    if not 0 <= type_ < _TYPES:
        raise SysError(EINVAL)
    if family == AF_UNIX:
        return _unix(net, type_, protocol, flags)
    if family in (AF_INET, AF_INET6):
        return _inet(net, family, type_, protocol, flags)
    if family == AF_NETLINK:
        if type_ not in (SOCK_RAW, SOCK_DGRAM):
            raise SysError(ESOCKTNOSUPPORT)
        if protocol != NETLINK_ROUTE:
            raise SysError(EPROTONOSUPPORT)
        return NetlinkSocket(net, type_, protocol, flags)
    raise SysError(EAFNOSUPPORT)


def _unix(net: Network, type_: int, protocol: int, flags: int) -> UnixSocket:
    if protocol not in (0, AF_UNIX):
        raise SysError(EPROTONOSUPPORT)
    if type_ == SOCK_STREAM:
        return UnixStream(net, type_, flags)
    if type_ in (SOCK_DGRAM, SOCK_RAW, SOCK_SEQPACKET):
        return UnixPacket(net, SOCK_DGRAM if type_ == SOCK_RAW else type_, flags)
    raise SysError(ESOCKTNOSUPPORT)


def _inet(net: Network, family: int, type_: int, protocol: int, flags: int) -> Socket:
    if not 0 <= protocol < IPPROTO_MAX:
        raise SysError(EINVAL)
    if type_ not in (SOCK_STREAM, SOCK_DGRAM, SOCK_RAW):
        raise SysError(ESOCKTNOSUPPORT)
    if type_ not in _INET or protocol not in (0, _INET[type_]):
        raise SysError(EPROTONOSUPPORT)
    if type_ == SOCK_STREAM:
        return TcpSocket(net, flags) if family == AF_INET else Tcp6Socket(net, flags)
    return UdpSocket(net, flags) if family == AF_INET else Udp6Socket(net, flags)


def pair(net: Network, family: int, type_: int, protocol: int, flags: int) -> tuple[Socket, Socket]:
    """Two sockets, connected to each other. Raises SysError as `create`, and EOPNOTSUPP."""
    one = create(net, family, type_, protocol, flags)
    if not isinstance(one, UnixSocket):
        one.put()
        raise SysError(EOPNOTSUPP)
    other = _unix(net, type_, protocol, flags)
    one.join(other)
    return one, other
