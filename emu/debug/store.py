"""Snapshots of a whole system that share what has not changed.

A frame that is as it was in the snapshot before is the same object in both, so each snapshot costs the frames changed
since, the kernel's objects (pickled, some ten to a hundred kilobytes) and a dictionary of frame numbers.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from emu.boot import System
from emu.debug.events import Time
from emu.debug.tap import Entry
from emu.machine import DebugMachine
from emu.tape import Spot, Tape
from mini_kernel.snapshot import Image
from mini_kernel.x86 import PAGE_SIZE

MAX_BYTES: Final = 512 << 20
MAX_SNAPSHOTS: Final = 200
_PER_PAGE: Final = 100  # bytes of a dictionary's entry
_BATCH: Final = 2048  # frames compared at once


@dataclass(eq=False)
class Snapshot:
    """A moment that can be gone back to.

    number   in the order taken
    root     the first of a history: the system was just booted, or changed by hand
    size     bytes that this snapshot alone needs
    """

    number: int
    time: Time
    root: bool
    objects: bytes
    cpu: bytes
    slice_left: int
    last_end: int
    jumps: int
    preempts: bool
    last_entry: Entry
    spots: tuple[Spot, ...]
    pages: dict[int, bytes]
    size: int = 0


class Store:
    """Takes snapshots of one system and puts it back to them."""

    def __init__(self, system: System, machine: DebugMachine, tapes: tuple[Tape, ...]) -> None:
        self._system = system
        self._machine = machine
        self._tapes = tapes
        self._taken = 0

    def take(self, time: Time, root: bool, preempts: bool, last_entry: Entry, before: Snapshot | None) -> Snapshot:
        """The system now, sharing pages with the snapshot `before`."""
        kernel, machine = self._system.kernel, self._machine
        image = kernel.snapshot(contents=False)
        pages, new = self._pages(image.pfns.tolist(), before.pages if before else {})
        spots = tuple(tape.spot() for tape in self._tapes)
        size = new * PAGE_SIZE + len(image.objects) + _PER_PAGE * len(pages)
        clock = image.slice_left, machine.last_end, machine.jumps
        self._taken += 1
        return Snapshot(
            self._taken, time, root, image.objects, image.cpu, *clock, preempts, last_entry, spots, pages, size
        )

    def _pages(self, pfns: list[int], before: dict[int, bytes]) -> tuple[dict[int, bytes], int]:
        """The content of these frames, and how many of them are not as `before`."""
        ram = self._system.kernel.ram
        pages: dict[int, bytes] = {}
        new = 0
        known = [pfn for pfn in pfns if pfn in before]
        for start in range(0, len(known), _BATCH):
            batch = known[start : start + _BATCH]
            old = np.frombuffer(b"".join([before[pfn] for pfn in batch]), np.uint64).reshape(len(batch), 512)
            same = (ram.tables[np.array(batch)] == old).all(axis=1).tolist()
            for pfn, equal in zip(batch, same, strict=True):
                if equal:
                    pages[pfn] = before[pfn]
        for pfn in pfns:
            if pfn not in pages:
                pages[pfn] = ram.pages[pfn].tobytes()
                new += 1
        return pages, new

    def restore(self, snapshot: Snapshot) -> None:
        """Put the system back."""
        pfns = np.fromiter(snapshot.pages, np.int64, len(snapshot.pages))
        contents = np.frombuffer(b"".join(snapshot.pages.values()), np.uint64).reshape(-1, 512)
        image = Image(snapshot.objects, snapshot.cpu, snapshot.slice_left, pfns, contents)
        machine = self._machine
        machine.set_jumps(snapshot.jumps)
        machine.set_instructions(snapshot.time.instructions)  # which the end of a slice may be counted in
        self._system.kernel.restore(image)
        machine.last_end = snapshot.last_end
        for tape, spot in zip(self._tapes, snapshot.spots, strict=True):
            tape.rewind(spot)


class Shelf:
    """The snapshots of a history, in order of time, thinned out towards the past when there are too many."""

    def __init__(self) -> None:
        self.all: list[Snapshot] = []
        self.size = 0

    @property
    def last(self) -> Snapshot | None:
        """The latest."""
        return self.all[-1] if self.all else None

    def add(self, snapshot: Snapshot) -> None:
        """One more, later than all others (or as late, and changed by hand since)."""
        self.all.append(snapshot)
        self.size += snapshot.size
        while len(self.all) > MAX_SNAPSHOTS or (self.size > MAX_BYTES and len(self.all) > 2):
            if not self._drop_one():
                break

    def _drop_one(self) -> bool:
        """Drop the one that is missed least: the shortest gap left behind, seen from the present."""
        now = self.all[-1].time.instructions

        def gap(i: int) -> float:
            before, after = self.all[i - 1].time.instructions, self.all[i + 1].time.instructions
            return (after - before) / (now - self.all[i].time.instructions + 1)

        choice = [i for i in range(1, len(self.all) - 1) if not self.all[i].root]
        if not choice:
            return False
        i = min(choice, key=gap)
        gone, heir = self.all.pop(i), self.all[i]
        self.size -= gone.size + heir.size
        below = self.all[i - 1].pages
        own = sum(1 for pfn, page in heir.pages.items() if below.get(pfn) is not page)
        heir.size = own * PAGE_SIZE + len(heir.objects) + _PER_PAGE * len(heir.pages)
        self.size += heir.size
        return True

    def cut(self, time: Time) -> None:
        """Forget those after `time`."""
        while self.all and self.all[-1].time > time:
            self.size -= self.all.pop().size

    def latest(self, keep: Callable[[Time], bool]) -> Snapshot | None:
        """The latest one whose time passes."""
        return next((s for s in reversed(self.all) if keep(s.time)), None)

    def next_root(self, number: int) -> Snapshot | None:
        """The first one changed by hand that was taken after number `number`."""
        return next((s for s in self.all if s.root and s.number > number), None)
