"""Renderers for sockets: addresses, types and flags, messages, options."""

import ipaddress
import struct
from typing import Final

from emu.render.strace import flags
from emu.render.strace.call import Call, hexadecimal, pointer, quote, shows
from emu.render.strace.scalars import buffer
from mini_kernel.syscalls.table import s32, u32
from mini_kernel.uapi import socket as u

_MSGHDR: Final = struct.Struct("<QiIQQQQi4x")
_SOCKADDR_MAX: Final = 128
_TYPES: Final = {
    getattr(u, name): name for name in ("SOCK_STREAM", "SOCK_DGRAM", "SOCK_RAW", "SOCK_RDM", "SOCK_SEQPACKET")
}
_LEVELS: Final = {u.SOL_SOCKET: ("SOL_SOCKET", "SO_"), u.SOL_TCP: ("SOL_TCP", "TCP_"), u.SOL_IP: ("SOL_IP", "IP_")}


def sockaddr(data: bytes) -> str:
    """struct sockaddr of the families there are."""
    if len(data) < 2:
        return hexadecimal(int.from_bytes(data, "little"))
    family = int.from_bytes(data[:2], "little")
    if family == u.AF_UNIX:
        return _unix(data[2:])
    if family == u.AF_INET and len(data) >= 16:
        ip = ipaddress.IPv4Address(data[4:8])
        port = int.from_bytes(data[2:4], "big")
        return f'{{sa_family=AF_INET, sin_port=htons({port}), sin_addr=inet_addr("{ip}")}}'
    if family == u.AF_INET6 and len(data) >= 28:
        port, flow, scope = int.from_bytes(data[2:4], "big"), *struct.unpack_from("<I16xI", data, 4)
        return (
            f"{{sa_family=AF_INET6, sin6_port=htons({port}), sin6_flowinfo=htonl({flow}), "
            f'inet_pton(AF_INET6, "{ipaddress.IPv6Address(data[8:24])}", &sin6_addr), sin6_scope_id={scope}}}'
        )
    if family == u.AF_NETLINK and len(data) >= 12:
        port, groups = struct.unpack_from("<II", data, 4)
        return f"{{sa_family=AF_NETLINK, nl_pid={port}, nl_groups={groups:08x}}}"
    return f"{{sa_family={flags.name('sockfamily', family)}, sa_data={quote(data[2:], None)}}}"


def _unix(path: bytes) -> str:
    if not path:
        return "{sa_family=AF_UNIX}"
    if path[:1] == b"\0":
        return f"{{sa_family=AF_UNIX, sun_path=@{quote(path[1:], None)}}}"
    return f"{{sa_family=AF_UNIX, sun_path={quote(path.split(chr(0).encode(), 1)[0], None)}}}"


@shows("sockaddr")
def _address(call: Call, i: int) -> str:
    """An address whose length is the next argument."""
    data = call.whole(call.arg(i), min(u32(call.arg(i + 1)), _SOCKADDR_MAX)) if call.arg(i + 1) else None
    return pointer(call.arg(i)) if data is None else sockaddr(data)


@shows("osockaddr", late=True)
def _returned_address(call: Call, i: int) -> str:
    """An address that the call has stored; its length is where the next argument points."""
    length = None if call.failed else call.whole(call.arg(i + 1), 4)
    data = call.whole(call.arg(i), min(int.from_bytes(length, "little"), _SOCKADDR_MAX)) if length else None
    return pointer(call.arg(i)) if data is None else sockaddr(data)


@shows("socktype")
def _type(call: Call, i: int) -> str:
    value = u32(call.arg(i))
    name = _TYPES.get(value & 0xF, hexadecimal(value & 0xF))
    return "|".join(filter(None, (name, flags.flags("sockflags", value & ~0xF) if value & ~0xF else "")))


@shows("sockproto")
def _protocol(call: Call, i: int) -> str:
    """The protocol, by name where the family has some."""
    value = s32(call.arg(i))
    if u32(call.arg(0)) in (u.AF_INET, u.AF_INET6):
        return flags.constant("IPPROTO_", value) or str(value)
    if u32(call.arg(0)) == u.AF_NETLINK:
        return flags.constant("NETLINK_", value) or hexadecimal(value)
    return str(value)


# -- options -----------------------------------------------------------------------------------------


@shows("optlevel")
def _level(call: Call, i: int) -> str:
    value = s32(call.arg(i))
    return _LEVELS.get(value, (flags.constant("SOL_", value) or str(value), ""))[0]


@shows("optname")
def _option(call: Call, i: int) -> str:
    prefix = _LEVELS.get(s32(call.arg(i - 1)), ("", "IPV6_"))[1]
    return flags.constant(prefix, s32(call.arg(i))) or hexadecimal(u32(call.arg(i)))


@shows("optval")
def _value(call: Call, i: int) -> str:
    """What is set: a number, or bytes."""
    return _option_value(call, call.arg(i), u32(call.arg(i + 1)))


@shows("ooptval", late=True)
def _returned_value(call: Call, i: int) -> str:
    length = None if call.failed else call.whole(call.arg(i + 1), 4)
    return _option_value(call, call.arg(i), int.from_bytes(length, "little")) if length else pointer(call.arg(i))


def _option_value(call: Call, address: int, length: int) -> str:
    data = call.whole(address, min(length, 64))
    if data is None:
        return pointer(address)
    return f"[{int.from_bytes(data, 'little', signed=True)}]" if length == 4 else quote(data, None)


# -- messages ----------------------------------------------------------------------------------------


def _message(call: Call, i: int, filled: int | None) -> str:
    """struct msghdr; of its buffers the first `filled` bytes, all if None."""
    data = call.whole(call.arg(i), _MSGHDR.size)
    if data is None:
        return pointer(call.arg(i))
    name, name_length, _pad, iov, count, control, control_length, how = _MSGHDR.unpack(data)
    raw = call.whole(name, min(max(name_length, 0), _SOCKADDR_MAX)) if name and name_length > 0 else None
    left = filled
    vectors: list[str] = []
    for base, n in struct.iter_unpack("<QQ", call.whole(iov, 16 * min(count, 32)) or b""):
        shown = n if left is None else min(n, left)
        left = None if left is None else left - shown
        vectors.append(f"{{iov_base={buffer(call, base, shown)}, iov_len={n}}}")
    extra = f"msg_control={pointer(control)}, " if control_length else ""
    return (
        f"{{msg_name={pointer(name) if raw is None else sockaddr(raw)}, msg_namelen={name_length}, "
        f"msg_iov=[{', '.join(vectors)}], msg_iovlen={count}, {extra}msg_controllen={control_length}, "
        f"msg_flags={flags.flags('msgflags', u32(how))}}}"
    )


@shows("msghdr")
def _sent(call: Call, i: int) -> str:
    return _message(call, i, None)


@shows("omsghdr", late=True)
def _received(call: Call, i: int) -> str:
    return pointer(call.arg(i)) if call.failed else _message(call, i, call.result or 0)


@shows("sembufs")
def _operations(call: Call, i: int) -> str:
    """An array of struct sembuf; the next argument is its length."""
    data = call.whole(call.arg(i), 6 * min(u32(call.arg(i + 1)), 32)) if call.arg(i + 1) else None
    if data is None:
        return pointer(call.arg(i))
    shown = [
        f"{{sem_num={number}, sem_op={change}, sem_flg={flags.flags('semflags', how & 0xFFFF)}}}"
        for number, change, how in struct.iter_unpack("<Hhh", data)
    ]
    return f"[{', '.join(shown)}]"
