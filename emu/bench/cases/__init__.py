"""What is measured: for each name a list of measurements, emu first, then the bare engine, then the host.

lab.py     what measurements need, and what they are
basic.py   system calls, faults, switches, instructions, start-up, guest tests
fork.py    fork by policy: its time, the faults after it, and both together
sfork.py   memory shared by processes, four ways
loops.py   what forks in a loop, or while it serves: a fork server, a key-value store
io.py      a byte through a pipe, small and large files
shell.py   a shell's loop of forks and execs
debug.py   the debugger
bars.py    what must be reached, what was reported elsewhere, what each bench is about
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from emu.bench.cases import basic, debug, fork, io, loops, sfork, shell
from emu.bench.cases.bars import ABOUT, BARS, SEEDS
from emu.bench.cases.fork import POLICIES
from emu.bench.cases.lab import HOST_FORK_MIB, Lab, Measurement

__all__ = ["ABOUT", "BARS", "BENCHES", "HOST_FORK_MIB", "POLICIES", "SEEDS", "Lab", "Measurement"]

BENCHES: Final[Mapping[str, Callable[[Lab], Iterator[Measurement]]]] = {
    "syscall": basic.syscall,
    "fault": basic.fault,
    "fork": fork.fork,
    "fork-fault": fork.fork_fault,
    "fork-total": fork.fork_total,
    "sfork": sfork.sfork,
    "snapshot": loops.snapshot,
    "redis-like": loops.redis_like,
    "shell-loop": shell.shell_loop,
    "switch": basic.switch,
    "pipe-byte": io.pipe_byte,
    "file-open": io.file_open,
    "file-read": io.file_read,
    "cpu": basic.cpu,
    "startup": basic.startup,
    "boot": basic.boot,
    "tests": basic.tests,
    "debug": debug.debug,
}
