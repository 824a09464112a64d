"""Coverage of guest programs: which blocks, lines and branches ran, per test and in all.

collect.py   the observer that counts blocks and edges of one program
lines.py     blocks and edges -> lines, functions and branches, with the program's line table
drcov.py     the format of DynamoRIO's drcov, version 2: blocks, for disassemblers
lcov.py      lcov's tracefile: lines, functions, branches
processes.py one run, process by process, as files
"""

from emu.coverage.collect import Collector, Counts
from emu.coverage.drcov import to_drcov
from emu.coverage.lcov import to_lcov
from emu.coverage.lines import Code, Covered, covered, merged, summary
from emu.coverage.processes import ProcessCoverage, file_name

__all__ = [
    "Code",
    "Collector",
    "Counts",
    "Covered",
    "ProcessCoverage",
    "covered",
    "file_name",
    "merged",
    "summary",
    "to_drcov",
    "to_lcov",
]
