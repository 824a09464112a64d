"""The one network device, `lo`, and what the SIOCGIF* requests tell about it (netdevice(7))."""

import struct
from typing import Final

from mini_kernel.errors import SysError
from mini_kernel.fs.file import User
from mini_kernel.mm import uaccess
from mini_kernel.net.address import LOOPBACK4, Endpoint, pack_inet
from mini_kernel.uapi.errno import EINVAL, ENODEV, ENOTTY
from mini_kernel.uapi.socket import (
    AF_INET,
    ARPHRD_LOOPBACK,
    IFF_LOOPBACK,
    IFF_LOWER_UP,
    IFF_RUNNING,
    IFF_UP,
    SIOCGIFADDR,
    SIOCGIFCONF,
    SIOCGIFFLAGS,
    SIOCGIFHWADDR,
    SIOCGIFINDEX,
    SIOCGIFMTU,
    SIOCGIFNAME,
    SIOCGIFNETMASK,
)

NAME: Final = b"lo"
INDEX: Final = 1
MTU: Final = 65536
FLAGS: Final = IFF_UP | IFF_LOOPBACK | IFF_RUNNING | IFF_LOWER_UP
IFNAMSIZ: Final = 16
_IFREQ_SIZE: Final = 40
_NETMASK: Final = b"\xff\0\0\0"


def _inet(ip: bytes) -> bytes:
    return pack_inet(AF_INET, Endpoint(ip, 0))


#: What stands behind the name in struct ifreq.
_ANSWERS: Final = {
    SIOCGIFINDEX: struct.pack("<i", INDEX),
    SIOCGIFFLAGS: struct.pack("<H", FLAGS & 0xFFFF),
    SIOCGIFMTU: struct.pack("<i", MTU),
    SIOCGIFADDR: _inet(LOOPBACK4),
    SIOCGIFNETMASK: _inet(_NETMASK),
    SIOCGIFHWADDR: struct.pack("<H14x", ARPHRD_LOOPBACK),
}


def device_ioctl(user: User, request: int, argument: int) -> None:
    """A request about a device. Raises SysError: ENOTTY for others, ENODEV for other devices, EINVAL."""
    if request == SIOCGIFCONF:
        _list(user, argument)
    elif request == SIOCGIFNAME:
        (index,) = struct.unpack("<i", uaccess.read(user.mm, argument + IFNAMSIZ, 4))
        if index != INDEX:
            raise SysError(ENODEV)
        uaccess.write(user.mm, argument, NAME.ljust(IFNAMSIZ, b"\0"))
    elif request in _ANSWERS:
        name = uaccess.read(user.mm, argument, _IFREQ_SIZE)[: IFNAMSIZ - 1].split(b"\0", 1)[0]
        if name != NAME:
            raise SysError(ENODEV)
        uaccess.write(user.mm, argument + IFNAMSIZ, _ANSWERS[request])
    else:
        raise SysError(ENOTTY)


def _list(user: User, argument: int) -> None:
    """struct ifconf: a buffer for struct ifreqs, or none to ask for the room they take."""
    length, buffer = struct.unpack("<i4xQ", uaccess.read(user.mm, argument, 16))
    if buffer and length < 0:
        raise SysError(EINVAL)
    row = (NAME.ljust(IFNAMSIZ, b"\0") + _inet(LOOPBACK4)).ljust(_IFREQ_SIZE, b"\0")
    if not buffer:
        length = len(row)
    elif length >= len(row):
        uaccess.write(user.mm, buffer, row)
        length = len(row)
    else:
        length = 0
    uaccess.write(user.mm, argument, struct.pack("<i", length))
