"""Suites of tiny guest tests, run by pytest as their authors would."""

import importlib.util
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Final

from emu.bench.whole import environment
from emu.errors import EmuError

WORKERS: Final = 2
_LIMIT: Final = 600.0  # seconds
#: Each is another program, so that each must be assembled.
_TEST: Final = """\
# EXPECT exit == {status}
# EXPECT stdout == "test {number}\\n"
# EXPECT faults.file <= 3
_start:
    mov eax, SYS_write
    mov edi, 1
    lea rsi, [rip + text]
    mov edx, {length}
    syscall
    mov edi, {status}
    mov eax, SYS_exit_group
    syscall
.data
text: .ascii "test {number}\\n"
"""
#: Runs them and prints the median of what a test takes, in milliseconds: setup, call, teardown and reports.
_TIMED: Final = """
import statistics, sys, time, pytest
took = []
class Clock:
    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self):
        began = time.perf_counter()
        try:
            return (yield)
        finally:
            took.append(1000 * (time.perf_counter() - began))
status = pytest.main(["-q", "-p", "emu.pytest_plugin", "--rootdir", sys.argv[1], sys.argv[1]], [Clock()])
print("\\nmedian", statistics.median(took))
sys.exit(status)
"""


def missing() -> str:
    """What is not installed, or ""."""
    return next((name for name in ("pytest", "xdist") if importlib.util.find_spec(name) is None), "")


def write(directory: Path, count: int) -> None:
    """So many tests."""
    for number in range(count):
        text = _TEST.format(number=number, status=number % 100, length=len(f"test {number}\n"))
        (directory / f"test_{number:04}.asm").write_text(text, "utf-8")


def seconds(count: int) -> list[float]:
    """How long a suite takes, start to end, with two workers of pytest-xdist."""
    with tempfile.TemporaryDirectory(prefix="emu-bench-") as directory:
        write(Path(directory), count)
        began = perf_counter()
        plugins = ["-p", "emu.pytest_plugin", "-p", "xdist"]
        _run(["-m", "pytest", "-q", *plugins, "-n", str(WORKERS), "--rootdir", directory, directory])
        return [perf_counter() - began]


def milliseconds(count: int) -> list[float]:
    """The median test of a suite that is run for the first time, and again."""
    with tempfile.TemporaryDirectory(prefix="emu-bench-") as directory:
        write(Path(directory), count)
        return [float(_run(["-c", _TIMED, directory]).rpartition("median")[2]) for _ in range(2)]


def _run(arguments: list[str]) -> str:
    command = [sys.executable, *arguments]
    alone = {**environment(), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}  # others that are installed take time as well
    try:
        done = subprocess.run(command, capture_output=True, check=True, env=alone, text=True, timeout=_LIMIT)
    except subprocess.CalledProcessError as error:
        raise EmuError(f"bench: a suite of guest tests failed: {error.stdout[-500:]}{error.stderr[-500:]}") from None
    except (OSError, subprocess.SubprocessError) as error:
        raise EmuError(f"bench: a suite of guest tests cannot be run: {error}") from None
    return done.stdout
