"""The line discipline against the host's: the same keys and settings give the same lines and the same echo."""

import errno
import os
import pty
import select
import sys
import termios
from collections.abc import Iterator

import pytest

from mini_kernel.fs.ldisc import SANE, TERMIOS, LineDiscipline
from mini_kernel.uapi import ioctls
from mini_kernel.uapi.signal import SIGINT, SIGQUIT, SIGTSTP

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the host has no Linux terminals")
DEADLINE_S = 20  # only a failing test waits so long
COOKED = ioctls.ICANON | ioctls.ECHO | ioctls.ISIG | ioctls.IEXTEN

#: name -> (local flags to clear, to set; input flags to clear, to set; keys)
CASES: dict[str, tuple[int, int, int, int, bytes]] = {
    "lines": (0, 0, 0, 0, b"one\rtwo\nthree"),
    "erase": (0, 0, 0, 0, b"helo\x7flo\x7f\x7f\x7f\x7f\x7f\x7f\x7fx\r"),
    "erase utf-8": (0, 0, 0, ioctls.IUTF8, "añ€\x7f\x7fb\r".encode()),
    "erase utf-8 as bytes": (0, 0, ioctls.IUTF8, 0, "ñ\x7fb\r".encode()),
    "erase control": (0, 0, 0, 0, b"a\x01b\x02\x7f\x7f\x7fc\r"),
    "erase control without ECHOCTL": (ioctls.ECHOCTL, 0, 0, 0, b"a\x01\x7f\x7f\r"),
    "erase tab": (0, 0, 0, 0, b"ab\tc\x7f\x7fd\t\t\x7f\r"),
    "erase without ECHOE": (ioctls.ECHOE, 0, 0, 0, b"abc\x7f\x7f\r"),
    "word": (0, 0, 0, 0, b"one two_2  \x17three -- \x17\x17x\r"),
    "kill": (0, 0, 0, 0, b"gone\x15kept\r"),
    "kill without ECHOKE": (ioctls.ECHOKE, 0, 0, 0, b"gone\x15kept\r"),
    "kill without ECHOK": (ioctls.ECHOK | ioctls.ECHOKE, 0, 0, 0, b"gone\x15kept\r"),
    "reprint": (0, 0, 0, 0, b"ab\x01\x12c\r"),
    "literal": (0, 0, 0, 0, b"a\x16\x03\x16\x7f\x16\rb\r"),
    "no extensions": (ioctls.IEXTEN, 0, 0, 0, b"one two\x17\x16\x12\r"),
    "end of file": (0, 0, 0, 0, b"half\x04\x04line\r\x04"),
    "interrupt flushes": (0, 0, 0, 0, b"line\rhalf\x03x\r"),
    "quit and suspend": (0, ioctls.NOFLSH, 0, 0, b"a\x1cb\x1ac\r"),
    "no signals": (ioctls.ISIG, 0, 0, 0, b"a\x03b\r"),
    "no echo": (ioctls.ECHO, 0, 0, 0, b"secret\x7f\r"),
    "no echo but newlines": (ioctls.ECHO, ioctls.ECHONL, 0, 0, b"secret\r"),
    "carriage returns": (0, 0, ioctls.ICRNL, 0, b"a\rb\n"),
    "no carriage returns": (0, 0, 0, ioctls.IGNCR, b"a\rb\n"),
    "newlines as returns": (0, 0, ioctls.ICRNL, ioctls.INLCR, b"a\nb\x04"),
    "seven bits": (0, 0, ioctls.IUTF8, ioctls.ISTRIP, b"\xe1\xe2\r"),
    "raw": (COOKED, 0, ioctls.ICRNL | ioctls.IXON, 0, b"a\r\x03\x7f\x16\x04\xff"),
    "raw with echo": (ioctls.ICANON, 0, 0, 0, b"ab\r\x15\x7f\t"),
    "flow": (0, 0, 0, 0, b"a\x13\x11b\r"),
    "no flow": (0, 0, ioctls.IXON, 0, b"a\x13b\r"),
}  # fmt: skip


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    """(master, slave) of a terminal of the host."""
    master, slave = pty.openpty()
    for fd in (master, slave):
        os.set_blocking(fd, False)
    yield master, slave
    os.close(master)
    os.close(slave)


def _settings(case: tuple[int, int, int, int, bytes]) -> bytes:
    """struct termios: the usual settings changed as the case says, without output processing."""
    local_off, local_on, input_off, input_on, _keys = case
    iflag, _oflag, cflag, lflag, line, keys = TERMIOS.unpack(SANE)
    return TERMIOS.pack(iflag & ~input_off | input_on, 0, cflag, lflag & ~local_off | local_on, line, keys)


def _configure(slave: int, settings: bytes) -> None:
    iflag, oflag, cflag, lflag, _line, keys = TERMIOS.unpack(settings)
    now = termios.tcgetattr(slave)
    now[:4] = [iflag, oflag, cflag, lflag]
    now[6] = [bytes((key,)) for key in keys] + now[6][len(keys) :]
    termios.tcsetattr(slave, termios.TCSANOW, now)


def _read(fd: int) -> bytes | None:
    """What can be read now, None if nothing can."""
    try:
        return os.read(fd, 65536)
    except OSError as error:
        assert error.errno == errno.EAGAIN, error
        return None


def _collect(fd: int, count: int) -> list[bytes]:
    """`count` reads, waiting for each, and whatever can be read then."""
    found: list[bytes] = []
    while len(found) < count and select.select([fd], [], [], DEADLINE_S)[0]:
        data = _read(fd)
        if data is not None:
            found.append(data)
    more = _read(fd)
    return found if more is None else [*found, more]


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_keys_become_what_the_host_makes_of_them(
    case: tuple[int, int, int, int, bytes], terminal: tuple[int, int]
) -> None:
    """Reads give the same pieces, and the same is shown."""
    master, slave = terminal
    settings, keys = _settings(case), case[4]
    ours = LineDiscipline()
    ours.configure(settings)
    ours.receive(keys)
    lines: list[bytes] = []
    while ours.segments:
        lines.append(ours.take(65536) if ours.segments[0] else bytes(ours.segments.pop(0)))

    _configure(slave, settings)
    os.write(master, keys)
    echo = b""
    while len(echo) < len(ours.echo) and select.select([master], [], [], DEADLINE_S)[0]:
        echo += _read(master) or b""
    assert (_collect(slave, len(lines)), echo + (_read(master) or b"")) == (lines, bytes(ours.echo))


def test_signals_go_to_the_foreground_in_order() -> None:
    r"""^C, ^\ and ^Z."""
    ours = LineDiscipline()
    ours.receive(b"\x03\x1c\x1a")
    assert ours.signals == [SIGINT, SIGQUIT, SIGTSTP]


def test_changing_the_mode_keeps_what_was_typed() -> None:
    """Half a line can be read once lines do not count; what was whole is a line again later."""
    ours = LineDiscipline()
    ours.receive(b"whole\rhalf")
    iflag, oflag, cflag, lflag, line, keys = TERMIOS.unpack(SANE)
    ours.configure(TERMIOS.pack(iflag, oflag, cflag, lflag & ~ioctls.ICANON, line, keys))
    assert ours.available() == 10
    assert ours.take(3) == b"who"
    ours.configure(SANE)
    assert ours.take(100) == b"le\n"
    assert ours.take(100) == b"half"
