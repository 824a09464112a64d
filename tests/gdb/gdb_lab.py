"""A real gdb against our server: a script in, what gdb printed out."""

import re
import shutil
import subprocess
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

LIMIT_S = 120  # only keeps a test from being endless
ROOT = Path(__file__).parent.parent.parent
GDB = shutil.which("gdb")

needs_gdb = pytest.mark.skipif(GDB is None, reason="gdb is not installed")


@contextmanager
def serving(program: str | Path, *arguments: str, options: Sequence[str] = ("--once",)) -> Generator[int]:
    """A server for a program; its port."""
    command = [sys.executable, "-m", "emu.cli.main", "gdb", *options, str(program), *arguments]
    server = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert server.stderr is not None
        line = server.stderr.readline()
        assert "target extended-remote 127.0.0.1:" in line, line + server.stderr.read()
        yield int(line.rstrip().rstrip("'").rsplit(":", 1)[1])
    finally:
        server.kill()
        server.communicate()


def gdb(port: int, script: str) -> str:
    """Run a gdb with these commands behind `target extended-remote`."""
    assert GDB is not None
    head = ("set pagination off", "set confirm off", "set width 0", f"target extended-remote 127.0.0.1:{port}")
    words = [word for line in (*head, *filter(None, map(str.strip, script.splitlines()))) for word in ("-ex", line)]
    ended = subprocess.run(
        [GDB, "-nx", "-batch", *words],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    return ended.stdout


def session(program: str | Path, script: str, *arguments: str) -> str:
    """One session from the program's start."""
    with serving(program, *arguments) as port:
        return gdb(port, script)


def in_order(text: str, *pieces: str) -> None:
    """Each piece is in the text, behind the one before."""
    at = 0
    for piece in pieces:
        found = text.find(piece, at)
        assert found >= 0, f"{piece!r} does not come at this place:\n{text[at:]}\n-- all of it --\n{text}"
        at = found + len(piece)


# -- the same natively -------------------------------------------------------------------------------

#: What differs between any two runs, and between a host's program and a guest's.
_NOISE = re.compile(r"^(Reading |warning: File transfers|Program stopped|\[Thread debugging|Using host).*\n|^\n", re.M)
_NAMES = (
    (re.compile(r"\[(New |Switching to )?Thread .*\]\n"), ""),
    (re.compile(r"Thread (0x\w+ \(LWP \d+\)|\d+\.\d+)( \"\w+\")?( \(\w+\))? *"), "Thread "),
    (re.compile(r"(context|argv)=0x\w+|process \d+| of /.*/\w+$|0x7ff[f0-9a-e]+", re.M), ""),
    (re.compile(r"^  Id .*$", re.M), ""),
)


def natively(program: Path, script: str, written: str = "$.") -> str:
    """What gdb says of a program on the host, as `plain` has it. Skips where processes may not be traced."""
    assert GDB is not None
    head = ("set pagination off", "set confirm off", "set width 0", "set startup-with-shell off", "starti")
    words = [word for line in (*head, *script.splitlines()) for word in ("-ex", line)]
    command = [GDB, "-nx", "-batch", *words, str(program)]
    ended = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=LIMIT_S, check=False
    )
    if "Program stopped" not in ended.stdout:
        pytest.skip("the host does not let processes be traced")
    return plain(ended.stdout, written)


def plain(text: str, written: str = "$.") -> str:
    """From the first stop on, without what may differ, and lines that the program wrote."""
    text = _NOISE.sub("", text)
    for pattern, instead in _NAMES:
        text = pattern.sub(instead, text)
    lines = text.splitlines()
    start = next(i for i, line in enumerate(lines) if " in _start ()" in line)
    return "\n".join(line for line in lines[start:] if not re.match(written, line))


def compiled(directory: Path, name: str) -> Path:
    """A C program beside this file, static and with debug information."""
    path, source = directory / name, Path(__file__).parent / f"{name}.c"
    command = ["gcc", "-g", "-O0", "-static", "-o", str(path), str(source)]
    subprocess.run(command, check=True, capture_output=True)
    return path
