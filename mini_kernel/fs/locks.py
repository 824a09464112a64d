"""Advisory locks on an inode: byte ranges of fcntl(2), and the whole-file ones of flock(2) (Linux fs/locks.c).

A range is owned by the descriptor table it was taken through (F_SETLK: that of a process) or by the open file
(F_OFD_SETLK), a flock by the open file. The two kinds do not see each other. Whoever waits is woken by every release
and asks again.
"""

from typing import Final, NamedTuple

from mini_kernel.uapi.fcntl import F_UNLCK, F_WRLCK
from mini_kernel.wait import WaitQueue

OFFSET_MAX: Final = (1 << 63) - 1  # the last byte of a range that reaches to the end, however far that goes


class Range(NamedTuple):
    """Bytes [start, last] locked for reading (F_RDLCK) or writing (F_WRLCK). `pid` asked for it; -1: an open file's."""

    kind: int
    start: int
    last: int
    pid: int


class Holder(NamedTuple):
    """A range that is in somebody's way, and whose it is."""

    owner: object
    range: Range


class Locks:
    """The locks on one inode.

    Invariant: the ranges of one owner are sorted and disjoint, and no two that touch are of the same kind. No owner
    has an empty list.
    """

    def __init__(self) -> None:
        self.ranges: dict[object, list[Range]] = {}  # by owner, in the order of their first lock
        self.whole: dict[object, int] = {}  # open file -> F_RDLCK or F_WRLCK: flock(2)
        self.queue = WaitQueue()

    def is_empty(self) -> bool:
        """True if nobody holds or waits for anything."""
        return not (self.ranges or self.whole or self.queue.waiters)

    # -- ranges -------------------------------------------------------------------------------------

    def conflict(self, owner: object, wanted: Range) -> Holder | None:
        """The first range of another owner that keeps this one from being locked (F_GETLK)."""
        if wanted.kind == F_UNLCK:
            return None
        for other, ranges in self.ranges.items():
            if other is owner:
                continue
            for held in ranges:
                overlaps = held.start <= wanted.last and wanted.start <= held.last
                if overlaps and F_WRLCK in (held.kind, wanted.kind):
                    return Holder(other, held)
        return None

    def set(self, owner: object, wanted: Range) -> None:
        """Make these bytes of the owner's what `wanted` says, F_UNLCK for none. Precondition: no conflict."""
        kept: list[Range] = []
        for held in self.ranges.pop(owner, ()):
            if held.last < wanted.start or wanted.last < held.start:
                kept.append(held)
                continue
            if held.start < wanted.start:
                kept.append(held._replace(last=wanted.start - 1))
            if held.last > wanted.last:
                kept.append(held._replace(start=wanted.last + 1))
        if wanted.kind != F_UNLCK:
            kept.append(wanted)
        merged = _merge(kept)
        if merged:
            self.ranges[owner] = merged
        self.queue.wake()

    # -- whole files --------------------------------------------------------------------------------

    def flock(self, file: object, kind: int) -> bool:
        """Give `file` the whole inode's lock of this kind; False if others are in the way.

        A lock of another kind that it has is given up first, whether or not it gets the new one (flock(2), NOTES).
        """
        if self.whole.get(file) == kind:
            return True
        if self.whole.pop(file, None) is not None:
            self.queue.wake()
        if kind == F_UNLCK:
            return True
        if self.whole and (kind == F_WRLCK or F_WRLCK in self.whole.values()):
            return False
        self.whole[file] = kind
        return True

    # -- the end ------------------------------------------------------------------------------------

    def drop(self, owner: object) -> None:
        """Everything of this owner's: a descriptor table that closed any descriptor of the inode, or an open file."""
        had = self.ranges.pop(owner, None) is not None
        if self.whole.pop(owner, None) is not None or had:
            self.queue.wake()


def _merge(ranges: list[Range]) -> list[Range]:
    """Sorted, those of one kind that touch made one."""
    merged: list[Range] = []
    for item in sorted(ranges, key=lambda held: held.start):
        if merged and merged[-1].kind == item.kind and merged[-1].last + 1 == item.start:
            merged[-1] = merged[-1]._replace(last=item.last)
        else:
            merged.append(item)
    return merged
