"""Coverage of one run, process by process and program by program, in a directory."""

import re
from pathlib import Path
from typing import Final

from emu.boot import System
from emu.coverage.collect import Collector, Counts
from emu.coverage.drcov import to_drcov
from emu.coverage.lcov import to_lcov
from emu.coverage.lines import Covered, covered, merged, summary
from mini_kernel.elf import ElfError
from mini_kernel.task import Task

_UNSAFE: Final = re.compile(r"[^A-Za-z0-9._=-]+")


class ProcessCoverage:
    """Counts what every process of a traced system runs. One that executes another program has a file for each."""

    def __init__(self, system: System) -> None:
        self._symbols = system.symbols
        self._counts: dict[tuple[bytes, int], Counts] = {}  # by path in the guest and process
        Collector(system, self._of)

    def _of(self, task: Task) -> Counts:
        key = task.exe_path, task.tgid
        counts = self._counts.get(key)
        if counts is None:
            counts = self._counts[key] = Counts()
        return counts

    def write(self, directory: Path) -> list[str]:
        """Write `PROGRAM.PID.drcov` for each, and lcov.info where line tables are known. A table for the terminal.

        Raises OSError.
        """
        totals: dict[bytes, Counts] = {}
        for (exe_path, tgid), counts in self._counts.items():
            totals.setdefault(exe_path, Counts()).add(counts)
            program = self._symbols.program(exe_path)
            if program is None:
                continue  # it is gone, and nobody could look at its code
            name = exe_path.decode(errors="backslashreplace")
            try:
                data = to_drcov(program.path or name, program.data, counts)
            except ElfError:
                continue  # another file has its name now
            (directory / f"{file_name(name.rpartition('/')[2])}.{tgid}.drcov").write_bytes(data)
        every: list[Covered] = []
        for exe_path, total in totals.items():
            program = self._symbols.program(exe_path)
            every += covered(program, total) if program is not None else []
        files = merged(every)
        if not files:
            return []
        (directory / "lcov.info").write_text(to_lcov(files))
        return summary(files)


def file_name(text: str) -> str:
    """A name for a file of the host's, from one that anybody may have chosen."""
    return _UNSAFE.sub("_", text).strip("_") or "program"
