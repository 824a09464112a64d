"""Measurements of whole processes: start-up, boot, and the memory of an idle machine."""

import importlib.util
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter_ns
from typing import Final

import emu
from emu.bench.guest import source
from emu.boot import Options, System
from emu.errors import EmuError
from emu.program import Program

_LIMIT: Final = 120.0  # seconds
_COMMAND: Final = "import sys; from emu.cli.main import main; sys.exit(main())"
_IDLE: Final = """
import sys
from emu.boot import Options, System
from emu.program import load_program
system = System(load_program(sys.argv[1]), (), Options(memory=int(sys.argv[2]) << 30))
with open("/proc/self/status") as file:
    print(next(line for line in file if line.startswith("VmRSS")).split()[1])
"""


def python(code: str, *arguments: str) -> float:
    """Milliseconds that a Python process running `code` takes, start to end."""
    began = perf_counter_ns()
    _python(code, *arguments)
    return (perf_counter_ns() - began) / 1e6


def environment() -> dict[str, str]:
    """That of a Python process that finds this package, also where it is not installed."""
    roots = [str(Path(directory).parent) for directory in emu.__path__]
    found = {**os.environ, "PYTHONPATH": os.pathsep.join(roots)}
    found.pop("PYTHONDONTWRITEBYTECODE", None)  # the first start compiles, the measured ones do not
    return found


def _python(code: str, *arguments: str) -> str:
    """Its output. Raises EmuError if it fails."""
    command = [sys.executable, "-c", code, *arguments]
    try:
        done = subprocess.run(command, capture_output=True, check=True, env=environment(), text=True, timeout=_LIMIT)
    except (OSError, subprocess.SubprocessError) as error:
        raise EmuError(f"bench: a Python process failed: {error}") from None
    return done.stdout


def has_command() -> bool:
    """True if there is an `emu` command to start."""
    try:
        return importlib.util.find_spec("emu.cli.main") is not None
    except ModuleNotFoundError:
        return False


def run_hello() -> float:
    """Milliseconds of `emu run hello.asm`, start to end: interpreter, imports, assembling, boot, the run itself."""
    with tempfile.TemporaryDirectory(prefix="emu-bench-") as directory:
        path = Path(directory) / "hello.asm"
        path.write_text(source("hello.asm"), "utf-8")
        return python(_COMMAND, "run", str(path))


def boot(elf: bytes, gib: int) -> float:
    """Milliseconds to boot a machine with `gib` GiB of RAM and load a program."""
    program = Program("hello", "", elf, None)
    began = perf_counter_ns()
    system = System(program, (), Options(memory=gib << 30))
    took = perf_counter_ns() - began
    system.close()
    return took / 1e6


def idle_rss(elf: bytes, gib: int) -> float:
    """MiB resident in a process that has booted such a machine and not run it (proc(5), VmRSS)."""
    with tempfile.TemporaryDirectory(prefix="emu-bench-") as directory:
        path = Path(directory) / "hello"
        path.write_bytes(elf)
        return int(_python(_IDLE, str(path), str(gib))) / 1024
