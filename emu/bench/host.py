"""The same work natively: `programs/host.c`, compiled where there is a compiler."""

import contextlib
import mmap
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from emu.bench.guest import source
from emu.errors import EmuError

_LIMIT: Final = 300.0  # seconds
_PAGE: Final = 4096
_HUGE: Final = 2 << 20


def compiler() -> str | None:
    """Path of a C compiler."""
    return shutil.which("gcc") or shutil.which("cc")


def available_memory() -> int:
    """Bytes that can be used without swapping, 0 if the host does not say (proc(5), MemAvailable)."""
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            rows = dict(line.split(":", 1) for line in file)
        return int(rows["MemAvailable"].split()[0]) << 10
    except (OSError, KeyError, ValueError):
        return 0


def find_memory(size: int) -> None:
    """Write to `size` bytes (at most half of what is free) of huge pages and give them back.

    Where a hypervisor backs memory only when it is first used, a page never used before costs milliseconds. What is
    measured next shall find pages that were.
    """
    size = min(size, available_memory() // 2) & -_HUGE
    if size:
        with mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
            if hasattr(mmap, "MADV_HUGEPAGE"):
                with contextlib.suppress(OSError):  # a host without them
                    memory.madvise(mmap.MADV_HUGEPAGE)
            memory[::_PAGE] = bytes(size // _PAGE)


class Host:
    """The compiled program. A context manager: it lives in a temporary directory.

    `missing` says why there is none, else it is empty.
    """

    def __init__(self) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="emu-bench-")
        self._program = Path(self._directory.name) / "host"
        self.missing = self._compile()

    def _compile(self) -> str:
        cc = compiler()
        if cc is None:
            return "no C compiler"
        text = Path(self._directory.name) / "host.c"
        text.write_text(source("host.c"), "utf-8")
        done = subprocess.run([cc, "-O2", "-o", self._program, text], capture_output=True, check=False)
        return f"{os.path.basename(cc)} does not compile host.c" if done.returncode else ""

    def run(self, *arguments: str | int) -> list[int]:
        """The nanoseconds the program printed. Raises EmuError if it fails."""
        command = [str(self._program), *map(str, arguments)]
        try:
            done = subprocess.run(command, capture_output=True, check=True, text=True, timeout=_LIMIT)
        except (OSError, subprocess.SubprocessError) as error:
            raise EmuError(f"bench: host {' '.join(command[1:])}: {error}") from None
        return [int(line) for line in done.stdout.split()]

    def close(self) -> None:
        """Remove the program."""
        self._directory.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()
