"""Out of memory: whom to kill so that the others can go on (Linux mm/oom_kill.c).

Asked by whoever needs a frame for user memory and finds none: a page fault, or the kernel's own access for a system
call. Nobody is killed for having asked. The victim is the process whose end frees most; its memory is free at
once, and the access is tried again. Allocations that a system call can do without (fork, mmap) are just refused.
"""

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from mini_kernel import process as life
from mini_kernel.mm.frame import K_CACHE, K_TABLE
from mini_kernel.task import Process, SigInfo, Task, send_to_process
from mini_kernel.uapi.misc import OOM_SCORE_ADJ_MIN
from mini_kernel.uapi.signal import SI_KERNEL, SIGKILL

if TYPE_CHECKING:
    from mini_kernel.kernel import Kernel
    from mini_kernel.mm.mm import Mm

MAX_RECORDS: Final = 64  # reports that are kept
MAX_ROWS: Final = 32  # processes in a report


class OomRow(NamedTuple):
    """A process in the table of a report. Sizes in pages."""

    tgid: int
    name: str
    total: int
    anon: int
    file: int
    tables: int
    adjustment: int
    badness: int | None  # None: must not be killed


class OomRecord(NamedTuple):
    """Who asked for memory, what there was, who was killed. Counts of frames."""

    asker: tuple[int, str, int]  # tid, name, oom_score_adj
    total: int
    free: int
    tables: int
    cached: int
    rows: tuple[OomRow, ...]  # the worst first
    more: int  # processes that are not in `rows`
    victim: OomRow | None  # None: nobody may be killed
    freed: int  # frames that came free at once


class OomKiller:
    """The choice and its execution. Snapshots hold it like any other object."""

    def __init__(self, k: "Kernel") -> None:
        self.k = k
        self.records: list[OomRecord] = []
        self.kills = 0
        self._busy = False  # an exit that needs memory itself must not kill again

    def make_room(self) -> bool:
        """Kill a process; True if the current task should try again, False if it is the one that has to go."""
        k = self.k
        asker = k.sched.current
        if self._busy or asker is None:
            return False
        self._busy = True
        try:
            rows, victim = self._choose()
            free = k.frames.available()
            spared = self._kill(victim or asker.process, asker)
            self._report(asker, rows, victim, free)
        finally:
            self._busy = False
        return spared

    def badness(self, process: Process) -> int | None:
        """What killing a process would bring, in pages (Linux oom_badness): resident ones, tables, and its adjustment.

        None if it must not be killed, or has no memory of its own.
        """
        mm = memory_of(process)
        if mm is None or process.oom_score_adj == OOM_SCORE_ADJ_MIN or any(t.vfork_done for t in process.tasks):
            return None
        return mm.rss + mm.pt.tables + process.oom_score_adj * self.k.frames.total // 1000

    def _choose(self) -> tuple[list[OomRow], Process | None]:
        """All processes that have memory, the worst first, and the worst of them; among equals the youngest."""
        found: list[tuple[OomRow, Process]] = []
        for process in reversed(self.k.processes.values()):
            mm = memory_of(process)
            if mm is not None:
                sizes = mm.total_pages(), mm.rss_anon, mm.rss_file, mm.pt.tables
                row = OomRow(process.tgid, process.name, *sizes, process.oom_score_adj, self.badness(process))
                found.append((row, process))
        found.sort(key=lambda pair: (pair[0].badness is None, -(pair[0].badness or 0)))
        killable = bool(found) and found[0][0].badness is not None
        return [row for row, _process in found], found[0][1] if killable else None

    def _kill(self, victim: Process, asker: Task) -> bool:
        """End the victim and whoever shares its memory; False if the asker is among them: it ends by itself."""
        mm = memory_of(victim)
        spared = True
        for process in [p for p in self.k.processes.values() if p is victim or (mm and memory_of(p) is mm)]:
            if process is asker.process:
                send_to_process(process, SigInfo(SIGKILL, SI_KERNEL))
                asker.attention = True
                spared = False
            else:
                process.ledger.signals[SIGKILL] += 1
                life.exit_group(self.k, process, SIGKILL)
        return spared

    def _report(self, asker: Task, rows: list[OomRow], victim: Process | None, free: int) -> None:
        self.kills += 1
        if len(self.records) >= MAX_RECORDS:
            return
        frames = self.k.frames
        kinds = frames.kind[frames.used()]
        record = OomRecord(
            asker=(asker.tid, asker.name, asker.process.oom_score_adj),
            total=frames.total,
            free=free,
            tables=int(np.count_nonzero(kinds & K_TABLE)),
            cached=int(np.count_nonzero(kinds & K_CACHE)),
            rows=tuple(rows[:MAX_ROWS]),
            more=max(0, len(rows) - MAX_ROWS),
            victim=rows[0] if victim is not None else None,
            freed=frames.available() - free,
        )
        self.records.append(record)


def memory_of(process: Process) -> "Mm | None":
    """The address space of a process, None if it is dead."""
    return next((t.user_mm for t in process.tasks if t.user_mm is not None), None)
