"""AF_INET and AF_INET6: addresses and ports of a machine that has nothing but a loopback device."""

from typing import ClassVar, Final

from mini_kernel.errors import SysError
from mini_kernel.net.address import (
    ANY4,
    ANY6,
    LOOPBACK4,
    LOOPBACK6,
    Endpoint,
    is_any,
    is_local,
    pack_inet,
    parse_inet,
)
from mini_kernel.net.network import Network
from mini_kernel.net.socket import Socket
from mini_kernel.uapi.errno import EACCES, EADDRINUSE, EADDRNOTAVAIL, EINVAL, ENETUNREACH
from mini_kernel.uapi.socket import AF_INET, AF_INET6, IPV6_V6ONLY, SO_REUSEADDR, SO_REUSEPORT, SOL_IPV6, SOL_SOCKET

FIRST_EPHEMERAL, LAST_EPHEMERAL = 32768, 60999  # net.ipv4.ip_local_port_range
RESERVED: Final = 1024  # ports below are root's


class InetSocket(Socket):
    """A socket with an Internet address. A bound one has a port and is in `net.ports`.

    `local.ip` is all zeros while any address will do; `remote` is None while there is no peer.
    """

    __slots__ = ("bound_ip", "bound_port", "local", "remote")

    family: ClassVar[int] = AF_INET

    def __init__(self, net: Network, type_: int, protocol: int, flags: int) -> None:
        super().__init__(net, type_, protocol, flags)
        self.local = Endpoint(ANY4 if self.family == AF_INET else ANY6, 0)
        self.bound_ip = self.bound_port = False  # chosen by bind(2), not by the kernel
        self.remote: Endpoint | None = None

    def release(self) -> None:
        super().release()
        self.leave_port()

    # -- addresses ----------------------------------------------------------------------------------

    def address(self) -> bytes:
        return pack_inet(self.family, self.local)

    def only_v6(self) -> bool:
        """True for an AF_INET6 socket that takes nothing from IPv4."""
        return self.family == AF_INET6 and bool(self.option(SOL_IPV6, IPV6_V6ONLY))

    def parse(self, address: bytes) -> Endpoint:
        """Where to send or connect to: any address of ours means the loopback one.

        Raises SysError EINVAL, EAFNOSUPPORT, ENETUNREACH.
        """
        ip, port = parse_inet(AF_INET if self._speaks_v4(address) else self.family, address)
        if is_any(ip):
            ip = LOOPBACK4 if len(ip) == 4 else LOOPBACK6
        if not is_local(ip) or (len(ip) == 4 and self.only_v6()):
            raise SysError(ENETUNREACH)
        return Endpoint(ip, port)

    def _speaks_v4(self, address: bytes) -> bool:
        """True if an AF_INET6 socket may be given this AF_INET address: UDP, for sending."""
        return False

    def covers(self, ip: bytes) -> bool:
        """True if what is sent to `ip` may be for this socket."""
        mine = self.local.ip
        if is_any(mine):
            return len(mine) == len(ip) or (len(mine) == 16 and not self.only_v6())
        return mine == ip

    def source_for(self, ip: bytes) -> bytes:
        """The address that packets to `ip` come from. Raises SysError(EINVAL) for mixed versions."""
        if not is_any(self.local.ip):
            if len(self.local.ip) != len(ip):
                raise SysError(ENETUNREACH)
            return self.local.ip
        return LOOPBACK4 if len(ip) == 4 else LOOPBACK6

    # -- ports --------------------------------------------------------------------------------------

    def bind(self, address: bytes) -> None:
        wanted = parse_inet(self.family, address, lenient=True)
        if not is_any(wanted.ip) and not is_local(wanted.ip):
            raise SysError(EADDRNOTAVAIL)
        if len(wanted.ip) == 4 and self.only_v6():
            raise SysError(EADDRNOTAVAIL if any(wanted.ip) else EINVAL)
        if 0 < wanted.port < RESERVED and self.net.caller.fs.uid:
            raise SysError(EACCES)
        if self.local.port or not self.may_bind():
            raise SysError(EINVAL)
        before = self.local
        self.local = wanted
        try:
            self.take_port(wanted.port)
        except SysError:
            self.local = before
            raise
        self.bound_ip, self.bound_port = not is_any(wanted.ip), bool(wanted.port)

    def may_bind(self) -> bool:
        """False in states in which a name cannot be chosen any more."""
        return True

    def take_port(self, port: int = 0) -> None:
        """Occupy a port, 0 for a free one. Raises SysError(EADDRINUSE)."""
        port = port or self._free_port()
        if any(self._conflicts(other) for other in self.net.ports.get((self.protocol, port), ())):
            raise SysError(EADDRINUSE)
        self.local = Endpoint(self.local.ip, port)
        self.net.ports.setdefault((self.protocol, port), []).append(self)

    def share_port(self, other: "InetSocket") -> None:
        """Occupy the port of a listening socket, for one of its connections."""
        self.net.ports.setdefault((self.protocol, other.local.port), []).append(self)

    def leave_port(self) -> None:
        """Give the port up."""
        key = self.protocol, self.local.port
        holders = [s for s in self.net.ports.get(key, ()) if s is not self]
        if holders:
            self.net.ports[key] = holders
        else:
            self.net.ports.pop(key, None)
        self.local = Endpoint(self.local.ip, 0)

    def forget_address(self) -> None:
        """The connection is over: keep of the address what bind(2) was told."""
        if not self.bound_port:
            self.leave_port()
        if not self.bound_ip:
            self.local = Endpoint(ANY4 if self.family == AF_INET else ANY6, self.local.port)

    def _free_port(self) -> int:
        span = LAST_EPHEMERAL - FIRST_EPHEMERAL + 1
        start = self.net.random.randrange(span)
        for step in range(span):
            port = FIRST_EPHEMERAL + (start + step) % span
            if (self.protocol, port) not in self.net.ports:
                return port
        raise SysError(EADDRINUSE)

    def _conflicts(self, other: "InetSocket") -> bool:
        """True if the two cannot have the same port (Linux inet_csk_bind_conflict, udp_lib_lport_inuse)."""
        if not self._meets(other):
            return False
        if self.option(SOL_SOCKET, SO_REUSEPORT) and other.option(SOL_SOCKET, SO_REUSEPORT):
            return False
        reused = self.option(SOL_SOCKET, SO_REUSEADDR) and other.option(SOL_SOCKET, SO_REUSEADDR)
        return not reused or other.listening() or self.listening()

    def _meets(self, other: "InetSocket") -> bool:
        """True if some address is of both."""
        if is_any(self.local.ip) and is_any(other.local.ip):
            return bool(self._versions() & other._versions())
        return other.covers(self.local.ip) if is_any(other.local.ip) else self.covers(other.local.ip)

    def _versions(self) -> set[int]:
        """Lengths of the addresses that a socket bound to any address takes."""
        if self.family == AF_INET:
            return {4}
        return {16} if self.only_v6() else {4, 16}
