"""A C program at a terminal, on the host and in the lab: the same keys at the same questions, the same transcript."""

import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
from collections.abc import Sequence
from fcntl import ioctl
from pathlib import Path
from time import monotonic

import pytest
from program_lab import NOT_NATIVE, compile_c, compiler_missing

SOURCE = Path(__file__).parent / "terminal" / "terminal.c"
DEADLINE_S = 60.0  # only a failing test waits so long
_QUESTION = re.compile(rb"\[([^\]]*)\]\r\n")

pytestmark = pytest.mark.skipif(bool(NOT_NATIVE), reason=NOT_NATIVE)


def _take_terminal() -> None:
    """In the child, a session's leader: descriptor 0 becomes its controlling terminal."""
    ioctl(0, termios.TIOCSCTTY, 0)


def transcript(command: Sequence[str | Path]) -> tuple[str, int]:
    """Run a command at a terminal of 24 by 80; type what it asks for. All that was shown, and the exit status."""
    master, slave = pty.openpty()
    ioctl(master, termios.TIOCSWINSZ, struct.pack("<HHHH", 24, 80, 0, 0))
    process = subprocess.Popen(
        command,
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
        preexec_fn=_take_terminal,  # noqa: PLW1509  # nothing else gives a child its controlling terminal; no threads
    )
    shown, answered, end = b"", 0, monotonic() + DEADLINE_S
    try:
        while True:
            over = process.poll() is not None
            ready = bool(select.select([master], [], [], 0 if over else 0.05)[0])
            if ready:
                shown += os.read(master, 65536)
            elif over:
                return shown.decode(errors="replace"), process.returncode
            question = _QUESTION.search(shown, answered)
            if question:
                answered = question.end()
                os.write(master, question[1])
            assert monotonic() < end, shown.decode(errors="replace")
    finally:
        process.kill()
        process.wait()
        os.close(master)
        os.close(slave)


def test_a_terminal_does_what_the_hosts_does(tmp_path: Path) -> None:
    """Names, windows, raw and canonical reads, keys that are signals, job control, losing the terminal."""
    missing = compiler_missing("gcc")
    if missing:
        pytest.skip(missing)
    path = compile_c(SOURCE, tmp_path / "terminal")
    expected = transcript([path])
    found = transcript([sys.executable, "-m", "emu.cli.main", "run", path])
    assert found[0] == expected[0]
    assert found[1] == expected[1] == 7
