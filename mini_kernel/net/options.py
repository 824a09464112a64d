"""getsockopt(2) and setsockopt(2): socket(7), ip(7), ipv6(7), tcp(7), unix(7).

Most options are integers that are kept and given back; what changes behaviour looks them up where it matters.
"""

import struct
from typing import Final

from mini_kernel.errors import SysError
from mini_kernel.net import device
from mini_kernel.net.inet import InetSocket
from mini_kernel.net.socket import BUFFER, OptionKey, Socket
from mini_kernel.net.tcp import RECEIVE_BUFFER, SEND_BUFFER, TcpSocket
from mini_kernel.uapi import socket as u
from mini_kernel.uapi.errno import EDOM, EINVAL, ENODEV, ENOENT, ENOPROTOOPT, EOPNOTSUPP
from mini_kernel.uapi.structs import NSEC_PER_SEC, pack_timeval, unpack_timeval

MAX_BUFFER: Final = 212992  # net.core.rmem_max, wmem_max
MIN_SEND, MIN_RECEIVE = 4608, 2304
_SOCKET: Final = u.SOL_SOCKET
#: Integer options and their defaults.
_INTEGERS: Final[dict[OptionKey, int]] = {
    **{(_SOCKET, name): 0 for name in (u.SO_PRIORITY, u.SO_MARK, u.SO_BUSY_POLL)},
    (_SOCKET, u.SO_RCVLOWAT): 1,
    **{(u.SOL_IP, name): 0 for name in (u.IP_TOS,)},
    (u.SOL_IP, u.IP_TTL): 64, (u.SOL_IP, u.IP_MTU_DISCOVER): 1, (u.SOL_IP, u.IP_MULTICAST_TTL): 1,
    (u.SOL_IPV6, u.IPV6_UNICAST_HOPS): 64, (u.SOL_IPV6, u.IPV6_TCLASS): 0,
    (u.SOL_TCP, u.TCP_KEEPIDLE): 7200, (u.SOL_TCP, u.TCP_KEEPINTVL): 75, (u.SOL_TCP, u.TCP_KEEPCNT): 9,
    (u.SOL_TCP, u.TCP_SYNCNT): 6, (u.SOL_TCP, u.TCP_LINGER2): 60, (u.SOL_TCP, u.TCP_DEFER_ACCEPT): 0,
    (u.SOL_TCP, u.TCP_USER_TIMEOUT): 0, (u.SOL_TCP, u.TCP_MAXSEG): 536,
}  # fmt: skip
#: Options that are on or off.
_SWITCHES: Final[dict[OptionKey, int]] = {
    **{
        (_SOCKET, name): 0
        for name in (
            u.SO_DEBUG, u.SO_REUSEADDR, u.SO_DONTROUTE, u.SO_BROADCAST, u.SO_KEEPALIVE, u.SO_OOBINLINE,
            u.SO_REUSEPORT, u.SO_TIMESTAMP, u.SO_TIMESTAMPNS, u.SO_NO_CHECK, u.SO_RXQ_OVFL, u.SO_PASSCRED,
        )
    },
    **{
        (u.SOL_IP, name): 0
        for name in (u.IP_PKTINFO, u.IP_RECVERR, u.IP_RECVTTL, u.IP_FREEBIND, u.IP_BIND_ADDRESS_NO_PORT)
    },
    (u.SOL_IP, u.IP_MULTICAST_LOOP): 1,
    (u.SOL_IPV6, u.IPV6_V6ONLY): 0, (u.SOL_IPV6, u.IPV6_RECVERR): 0, (u.SOL_IPV6, u.IPV6_RECVPKTINFO): 0,
    (u.SOL_TCP, u.TCP_NODELAY): 0, (u.SOL_TCP, u.TCP_CORK): 0, (u.SOL_TCP, u.TCP_QUICKACK): 1,
}  # fmt: skip
_RECEIVE_TIMEOUTS: Final = (u.SO_RCVTIMEO_OLD, u.SO_RCVTIMEO_NEW)
_SEND_TIMEOUTS: Final = (u.SO_SNDTIMEO_OLD, u.SO_SNDTIMEO_NEW)
_CONGESTION: Final = b"cubic"


def _int(value: int) -> bytes:
    return struct.pack("<i", value)


def _check_level(sock: Socket, level: int, name: int, unknown: int = ENOPROTOOPT) -> None:
    """SysError: EOPNOTSUPP or `unknown` if this kind of socket has no such options."""
    if level == _SOCKET:
        if name == u.SO_PASSCRED and sock.family not in (u.AF_UNIX, u.AF_NETLINK):
            raise SysError(EOPNOTSUPP)
        return
    if sock.family == u.AF_UNIX:
        raise SysError(EOPNOTSUPP)
    levels = {u.SOL_IP} if isinstance(sock, InetSocket) else set[int]()
    levels |= {u.SOL_TCP} if isinstance(sock, TcpSocket) else set()
    levels |= {u.SOL_IPV6} if sock.family == u.AF_INET6 else set()
    if level not in levels:
        raise SysError(unknown)


# -- reading --------------------------------------------------------------------------------------------


def get(sock: Socket, level: int, name: int) -> bytes:
    """The value of an option. Raises SysError: ENOPROTOOPT, EOPNOTSUPP."""
    _check_level(sock, level, name, EOPNOTSUPP if sock.family == u.AF_INET else ENOPROTOOPT)
    key = level, name
    if key in _INTEGERS:
        return _int(sock.option(level, name, _INTEGERS[key]))
    if key in _SWITCHES:
        return _int(sock.option(level, name, _SWITCHES[key]))
    if level == _SOCKET:
        return _get_socket(sock, name)
    if level == u.SOL_TCP and name == u.TCP_CONGESTION:
        return _CONGESTION.ljust(16, b"\0")
    if isinstance(sock, TcpSocket) and name == u.TCP_INFO:
        return bytes((sock.state,)).ljust(104, b"\0")
    raise SysError(ENOPROTOOPT)


def _get_socket(sock: Socket, name: int) -> bytes:
    if name == u.SO_PEERCRED:
        return struct.pack("<iII", *sock.peer_credentials())
    if name in _RECEIVE_TIMEOUTS:
        return pack_timeval(sock.receive_timeout)
    if name in _SEND_TIMEOUTS:
        return pack_timeval(sock.send_timeout)
    if name == u.SO_LINGER:
        linger = sock.option(_SOCKET, u.SO_LINGER)
        return struct.pack("<ii", bool(linger), max(linger - 1, 0))
    if name == u.SO_ERROR:
        error, sock.error = sock.error, 0
        return _int(error)
    if name == u.SO_BINDTODEVICE:
        return b""
    values = {
        u.SO_TYPE: sock.type, u.SO_DOMAIN: sock.family, u.SO_PROTOCOL: sock.protocol,
        u.SO_ACCEPTCONN: sock.listening(), u.SO_SNDLOWAT: 1,
        u.SO_SNDBUF: sock.option(_SOCKET, u.SO_SNDBUF, SEND_BUFFER if isinstance(sock, TcpSocket) else BUFFER),
        u.SO_RCVBUF: sock.option(_SOCKET, u.SO_RCVBUF, RECEIVE_BUFFER if isinstance(sock, TcpSocket) else BUFFER),
    }  # fmt: skip
    if name not in values:
        raise SysError(ENOPROTOOPT)
    return _int(values[name])


# -- writing --------------------------------------------------------------------------------------------


def put(sock: Socket, level: int, name: int, data: bytes) -> None:
    """Set an option. Raises SysError: ENOPROTOOPT, EOPNOTSUPP, EINVAL, EDOM, ENODEV."""
    _check_level(sock, level, name)
    key = level, name
    if level == _SOCKET and name == u.SO_BINDTODEVICE:
        if data.split(b"\0", 1)[0] not in (b"", device.NAME):
            raise SysError(ENODEV)
        return
    if level == u.SOL_TCP and name == u.TCP_CONGESTION:
        if data.split(b"\0", 1)[0] not in (_CONGESTION, b"reno"):
            raise SysError(ENOENT)
        return
    if len(data) < 4:
        if level == u.SOL_IP and data:
            data = data[:1] + bytes(3)  # the options of ip(7) may be bytes
        else:
            raise SysError(EINVAL)
    (value,) = struct.unpack_from("<i", data)
    if key in _SWITCHES:
        _put_switch(sock, key, value)
    elif key in _INTEGERS:
        sock.options[key] = max(value, 1) if key == (_SOCKET, u.SO_RCVLOWAT) else value
    elif level == _SOCKET:
        _put_socket(sock, name, value, data)
    else:
        raise SysError(ENOPROTOOPT)


def _put_switch(sock: Socket, key: OptionKey, value: int) -> None:
    if key == (u.SOL_IPV6, u.IPV6_V6ONLY) and isinstance(sock, InetSocket) and sock.local.port:
        raise SysError(EINVAL)
    sock.options[key] = int(value != 0)


def _put_socket(sock: Socket, name: int, value: int, data: bytes) -> None:
    if name in (u.SO_SNDBUF, u.SO_SNDBUFFORCE):
        limit = MAX_BUFFER if name == u.SO_SNDBUF else 0x3FFF_FFFF
        sock.options[_SOCKET, u.SO_SNDBUF] = max(MIN_SEND, 2 * min(value & 0xFFFF_FFFF, limit))
        sock.queue.wake()
    elif name in (u.SO_RCVBUF, u.SO_RCVBUFFORCE):
        limit = MAX_BUFFER if name == u.SO_RCVBUF else 0x3FFF_FFFF
        sock.options[_SOCKET, u.SO_RCVBUF] = max(MIN_RECEIVE, 2 * min(value & 0xFFFF_FFFF, limit))
    elif name == u.SO_LINGER:
        if len(data) < 8:
            raise SysError(EINVAL)
        on, seconds = struct.unpack_from("<ii", data)
        sock.options[_SOCKET, u.SO_LINGER] = max(seconds, 0) + 1 if on else 0
    elif name in _RECEIVE_TIMEOUTS:
        sock.receive_timeout = _timeout(data)
    elif name in _SEND_TIMEOUTS:
        sock.send_timeout = _timeout(data)
    else:
        raise SysError(ENOPROTOOPT)


def _timeout(data: bytes) -> int:
    """Nanoseconds; 0 waits for ever, and a time below it is none at all (Linux sock_set_timeout)."""
    if len(data) < 16:
        raise SysError(EINVAL)
    seconds, microseconds = unpack_timeval(data[:16])
    if not 0 <= microseconds < 1_000_000:
        raise SysError(EDOM)
    return 1 if seconds < 0 else seconds * NSEC_PER_SEC + microseconds * 1000
