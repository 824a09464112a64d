"""/proc/net: the sockets of the system, and its network device, as text."""

from collections.abc import Callable
from typing import Final

from mini_kernel.net.address import ANY4, ANY6, Endpoint
from mini_kernel.net.inet import InetSocket
from mini_kernel.net.network import Network
from mini_kernel.net.tcp import CLOSE, ESTABLISHED, TcpSocket
from mini_kernel.net.udp import UdpSocket
from mini_kernel.net.unix import UnixSocket
from mini_kernel.uapi.socket import AF_INET, AF_INET6

_HEADING: Final = (
    "  sl  local_address                         remote_address                        st tx_queue rx_queue tr "
    "tm->when retrnsmt   uid  timeout inode\n"
)
_HEADING4: Final = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode"
_DEVICES: Final = (
    "Inter-|   Receive                                                |  Transmit\n"
    " face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier "
    "compressed\n"
    "    lo:       0       0    0    0    0     0          0         0        0       0    0    0    0     0       0 "
    "         0\n"
)
_ACCEPTS: Final = 1 << 16  # __SO_ACCEPTCON


def unix(net: Network) -> bytes:
    """/proc/net/unix (Linux unix_seq_show). No addresses of the kernel's."""
    rows = [b"Num       RefCount Protocol Flags    Type St Inode Path\n"]
    for sock in net.sockets.values():
        if not isinstance(sock, UnixSocket):
            continue
        state = 3 if sock.peer is not None and sock.connects else 1  # SS_CONNECTED, SS_UNCONNECTED
        flags = _ACCEPTS if sock.listening() else 0
        name = b"@" + sock.bound[1:].replace(b"\0", b"@") if sock.bound[:1] == b"\0" else sock.bound
        row = f"{0:016x}: {sock.refs + 1:08X} {0:08X} {flags:08X} {sock.type:04X} {state:02X} {sock.inode.ino:5d}"
        rows.append(row.encode() + (b" " + name if name else b"") + b"\n")
    return b"".join(rows)


def _hex(endpoint: Endpoint | None, length: int) -> str:
    """An address as words of the machine, and a port."""
    ip, port = endpoint or Endpoint(ANY4 if length == 4 else ANY6, 0)
    if len(ip) < length:
        ip = bytes(10) + b"\xff\xff" + ip
    return "".join(f"{int.from_bytes(ip[i : i + 4], 'little'):08X}" for i in range(0, length, 4)) + f":{port:04X}"


def _row(number: int, sock: InetSocket, state: int, waiting: int) -> str:
    length = 4 if sock.family == AF_INET else 16
    return (
        f"{number:4d}: {_hex(sock.local, length)} {_hex(sock.remote, length)} {state:02X} {sock.unsent():08X}:"
        f"{waiting:08X} 00:00000000 00000000 {sock.inode.uid:5d} {0:8d} {sock.inode.ino} {sock.refs} "
        "0000000000000000"
    )


def _tcp(net: Network, family: int) -> bytes:
    rows = [_HEADING4.ljust(149) + "\n" if family == AF_INET else _HEADING]
    found = [s for s in net.sockets.values() if isinstance(s, TcpSocket) and s.family == family and s.state != CLOSE]
    for number, sock in enumerate(found):
        waiting = len(sock.pending) if sock.listening() else len(sock.buffer)
        rows.append(f"{_row(number, sock, sock.state, waiting)} 100 0 0 10 0".ljust(149) + "\n")
    return "".join(rows).encode()


def _udp(net: Network, family: int) -> bytes:
    rows = [_HEADING4.ljust(127) + "\n" if family == AF_INET else _HEADING]
    found = [s for s in net.sockets.values() if isinstance(s, UdpSocket) and s.family == family and s.local.port]
    for number, sock in enumerate(found):
        state = ESTABLISHED if sock.remote is not None else CLOSE
        rows.append(f"{_row(number, sock, state, sock.held)} 0".ljust(127) + "\n")
    return "".join(rows).encode()


FILES: Final[dict[bytes, Callable[[Network], bytes]]] = {
    b"unix": unix,
    b"tcp": lambda net: _tcp(net, AF_INET),
    b"tcp6": lambda net: _tcp(net, AF_INET6),
    b"udp": lambda net: _udp(net, AF_INET),
    b"udp6": lambda net: _udp(net, AF_INET6),
    b"dev": lambda _net: _DEVICES.encode(),
}
