"""Socket addresses as bytes: struct sockaddr_un, sockaddr_in, sockaddr_in6.

AF_UNIX names are kept as `sun_path` says them: a path, b"\\0..." in the abstract namespace, b"" for none. Internet
addresses are 4 or 16 bytes; those that IPv6 maps from IPv4 (::ffff:1.2.3.4) are kept as the 4 they stand for.
"""

import struct
from typing import Final, NamedTuple

from mini_kernel.errors import SysError
from mini_kernel.uapi.errno import EAFNOSUPPORT, EINVAL
from mini_kernel.uapi.socket import AF_INET, AF_INET6, AF_UNIX, AF_UNSPEC

SUN_PATH: Final = 108
SOCKADDR_MAX: Final = 128  # struct sockaddr_storage
_INET: Final = struct.Struct("<H2s4s8x")
_INET6: Final = struct.Struct("<H2sI16sI")
_MAPPED: Final = bytes(10) + b"\xff\xff"
ANY4: Final = bytes(4)
ANY6: Final = bytes(16)
LOOPBACK4: Final = b"\x7f\0\0\1"
LOOPBACK6: Final = bytes(15) + b"\1"


class Endpoint(NamedTuple):
    """An Internet address and a port."""

    ip: bytes
    port: int


def family_of(address: bytes) -> int:
    """sa_family. Raises SysError(EINVAL) if the address is too short to have one."""
    if len(address) < 2:
        raise SysError(EINVAL)
    return int.from_bytes(address[:2], "little")


def parse_unix(address: bytes) -> bytes:
    """The name in a sockaddr_un, b"" for one without (autobind). Raises SysError(EINVAL)."""
    if not 2 <= len(address) <= 2 + SUN_PATH or family_of(address) != AF_UNIX:
        raise SysError(EINVAL)
    path = address[2:]
    return path if path[:1] == b"\0" else path.split(b"\0", 1)[0]


def pack_unix(name: bytes) -> bytes:
    """struct sockaddr_un, as long as the name: a path with its zero byte."""
    end = b"\0" if name and name[:1] != b"\0" else b""
    return AF_UNIX.to_bytes(2, "little") + name + end


def parse_inet(family: int, address: bytes, lenient: bool = False) -> Endpoint:
    """The endpoint in an address for a socket of this family. Raises SysError EINVAL (too short), EAFNOSUPPORT.

    `lenient`: AF_UNSPEC with all zeros is as good as AF_INET, for old programs' bind(2).
    """
    if len(address) < (16 if family == AF_INET else 24):
        raise SysError(EINVAL)
    given = family_of(address)
    if family == AF_INET:
        _family, port, ip = _INET.unpack(address[:16])
        if given != AF_INET and not (lenient and given == AF_UNSPEC and ip == ANY4):
            raise SysError(EAFNOSUPPORT)
        return Endpoint(ip, int.from_bytes(port, "big"))
    if given != AF_INET6:
        raise SysError(EAFNOSUPPORT)
    _family, port, _flow, ip, _scope = _INET6.unpack(address[:28].ljust(28, b"\0"))
    return Endpoint(ip[12:] if ip.startswith(_MAPPED) else ip, int.from_bytes(port, "big"))


def pack_inet(family: int, endpoint: Endpoint) -> bytes:
    """The endpoint as a socket of this family shows it."""
    ip, port = endpoint.ip, endpoint.port.to_bytes(2, "big")
    if family == AF_INET:
        return _INET.pack(AF_INET, port, ip)
    return _INET6.pack(AF_INET6, port, 0, _MAPPED + ip if len(ip) == 4 else ip, 0)


def is_any(ip: bytes) -> bool:
    """True for 0.0.0.0 and ::."""
    return not any(ip)


def is_local(ip: bytes) -> bool:
    """True for an address of the loopback device: 127.0.0.0/8 or ::1."""
    return ip[:1] == b"\x7f" if len(ip) == 4 else ip == LOOPBACK6
