"""Packets of the remote serial protocol: framing, checksums, escapes (GDB manual, appendix E). Pure: no socket here.

A packet is `$data#xx`, xx the sum of the data's bytes modulo 256. In data, `}` escapes the next byte, which is sent
XORed with 0x20. Outside packets there are acknowledgements `+` and `-`, and 0x03, which asks a running program to stop.
"""

from typing import Final

MAX_PACKET: Final = 1 << 20  # bytes of data in one packet; longer ones are refused
INTERRUPT: Final = b"\x03"
_ESCAPED: Final = frozenset(b"#$}*")


class BadPacket(ValueError):
    """What came is no packet: a wrong checksum, or too long."""


def checksum(data: bytes) -> int:
    """The sum modulo 256."""
    return sum(data) & 0xFF


def frame(data: bytes) -> bytes:
    """The packet for data that is escaped already."""
    return b"$%b#%02x" % (data, checksum(data))


def escape(data: bytes) -> bytes:
    """Binary data for a packet."""
    if not _ESCAPED.intersection(data):
        return data
    out = bytearray()
    for byte in data:
        if byte in _ESCAPED:
            out += bytes((0x7D, byte ^ 0x20))
        else:
            out.append(byte)
    return bytes(out)


def unescape(data: bytes) -> bytes:
    """The inverse. Raises BadPacket for an escape without a byte behind it."""
    if b"}" not in data:
        return data
    out = bytearray()
    rest = iter(data)
    for byte in rest:
        if byte == 0x7D:
            escaped = next(rest, None)
            if escaped is None:
                raise BadPacket("an escape at the end")
            byte = escaped ^ 0x20
        out.append(byte)
    return bytes(out)


class Reader:
    """Takes bytes as they come and gives packets, still escaped; acknowledgements are dropped."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> None:
        """More bytes have come."""
        self._buffer += data

    def next(self) -> bytes | None:
        """The next packet's data, INTERRUPT, or None if more bytes are needed. Raises BadPacket, then goes on."""
        buffer = self._buffer
        while buffer and buffer[0] not in b"$\x03":
            del buffer[0]
        if not buffer:
            return None
        if buffer[0] == 3:
            del buffer[0]
            return INTERRUPT
        end = buffer.find(b"#")
        if end < 0 or len(buffer) < end + 3:
            if len(buffer) > MAX_PACKET:
                buffer.clear()
                raise BadPacket("too long")
            return None
        data, digits = bytes(buffer[1:end]), bytes(buffer[end + 1 : end + 3])
        del buffer[: end + 3]
        if len(data) > MAX_PACKET:
            raise BadPacket("too long")
        try:
            told = int(digits, 16)
        except ValueError:
            told = -1
        if told != checksum(data):
            raise BadPacket("a wrong checksum")
        return data

    def interrupted(self) -> bool:
        """Take one INTERRUPT off, if that comes next. While a program runs nothing else is expected."""
        buffer = self._buffer
        while buffer and buffer[0] in b"+-":
            del buffer[0]
        if buffer.startswith(INTERRUPT):
            del buffer[0]
            return True
        return False
