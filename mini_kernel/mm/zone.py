"""Where free frames are kept: single ones, whole groups of 512, and what was never used (see frame.py).

A group is 512 frames that one PMD leaf can map: naturally aligned, named by its first frame.
"""

from collections.abc import Iterator
from mmap import MAP_ANONYMOUS, MAP_PRIVATE, mmap
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mini_kernel.x86 import PAGE_SHIFT, PMD_SHIFT

GROUP_SHIFT: Final = PMD_SHIFT - PAGE_SHIFT
GROUP: Final = 1 << GROUP_SHIFT  # frames
_GROUPS_AT_ONCE: Final = 1024  # 2 MiB of counts
_CHUNK: Final = 512  # frames moved from the bulk store to the scalar list at once

Pfns = NDArray[np.int64]


class Zone:
    """A contiguous range of frames with its own free store."""

    def __init__(self, start: int, end: int) -> None:
        self.start = start
        self.frontier = start
        self.end = end
        self.free: list[int] = []
        self.chunks: list[Pfns] = []
        self.groups: list[int] = []

    def available(self) -> int:
        """Frames that can still be handed out."""
        return self.end - self.frontier + self.loose() + (len(self.groups) << GROUP_SHIFT)

    def loose(self) -> int:
        """Free frames in the store of single ones."""
        return len(self.free) + sum(len(c) for c in self.chunks)

    def pop(self) -> tuple[int, bool]:
        """One frame and whether it was used before; pfn 0 if there is none."""
        if not self.free and self.chunks:
            chunk = self.chunks.pop()
            if len(chunk) > _CHUNK:
                self.chunks.append(chunk[:-_CHUNK])
                chunk = chunk[-_CHUNK:]
            self.free = chunk.tolist()
        if not self.free and self.groups:
            first = self.groups.pop()
            self.free = list(range(first + GROUP - 1, first - 1, -1))
        if self.free:
            return self.free.pop(), True
        if self.frontier < self.end:
            self.frontier += 1
            return self.frontier - 1, False
        return 0, False

    def store(self, pfns: Pfns) -> None:
        """These frames are free; the last one is handed out next."""
        if len(pfns) > _CHUNK:
            self.chunks.append(pfns.copy())
        else:
            self.free += pfns.tolist()

    def take(self, n: int) -> tuple[list[Pfns], int]:
        """Take up to `n` frames; returns them as (used before, which need zeroing; [frontier pieces]) counts.

        The first value lists the pieces, dirty ones first; the second says how many pieces are dirty.
        """
        pieces: list[Pfns] = []
        if self.free and n:
            cut = max(0, len(self.free) - n)
            pieces.append(np.array(self.free[cut:], dtype=np.int64))
            del self.free[cut:]
            n -= len(pieces[-1])
        while self.chunks and n:
            chunk = self.chunks.pop()
            if len(chunk) > n:
                self.chunks.append(chunk[:-n])
                chunk = chunk[-n:]
            pieces.append(chunk)
            n -= len(chunk)
        while self.groups and n:
            first = self.groups.pop()
            last = first + min(n, GROUP)
            pieces.append(np.arange(first, last, dtype=np.int64))
            n -= last - first
            if last < first + GROUP:
                self.chunks.append(np.arange(first + GROUP - 1, last - 1, -1, dtype=np.int64))
        dirty = len(pieces)
        fresh = min(n, self.end - self.frontier)
        if fresh:
            pieces.append(np.arange(self.frontier, self.frontier + fresh, dtype=np.int64))
            self.frontier += fresh
        return pieces, dirty

    def group_limit(self) -> int:
        """Groups there are, free or not."""
        return max(0, self.end - _aligned(self.start) >> GROUP_SHIFT)

    def groups_available(self) -> int:
        """Groups that `take_groups` can have."""
        return len(self.groups) + max(0, self.end - _aligned(self.frontier) >> GROUP_SHIFT)

    def take_groups(self, n: int) -> tuple[Pfns, Pfns]:
        """Take up to `n` groups: those used before, which need zeroing, and those behind the frontier."""
        cut = max(0, len(self.groups) - n)
        dirty = np.array(self.groups[cut:], dtype=np.int64)
        del self.groups[cut:]
        start = _aligned(self.frontier)
        end = start + (max(0, min(n - len(dirty), self.end - start >> GROUP_SHIFT)) << GROUP_SHIFT)
        if start < end:
            self.free += range(start - 1, self.frontier - 1, -1)
            self.frontier = end
        return dirty, np.arange(start, end, GROUP, dtype=np.int64)

    def collect(self, count: NDArray[np.int32]) -> None:
        """Find the groups whose frames are all free, one by one, and take them out of the store of single frames.

        Looks at the count of every frame, and does so only when there is no other way to have a group.
        """
        first, last = _aligned(self.start), self.frontier & -GROUP
        if self.loose() < GROUP or first >= last:
            return
        whole = np.zeros((self.frontier >> GROUP_SHIFT) + 1, np.bool_)
        whole[first >> GROUP_SHIFT : last >> GROUP_SHIFT] = ~count[first:last].reshape(-1, GROUP).any(axis=1)
        whole[np.array(self.groups, dtype=np.int64) >> GROUP_SHIFT] = False
        if whole.any():
            loose = np.concatenate([np.array(self.free, dtype=np.int64), *self.chunks])
            self.free.clear()
            self.chunks = [loose[~whole[loose >> GROUP_SHIFT]]]
            self.groups += (np.flatnonzero(whole) << GROUP_SHIFT)[::-1].tolist()


def rounded(frames: int, shift: int) -> int:
    """Elements of an array with one for every 2 ** shift frames."""
    return (frames + (1 << shift) - 1) >> shift


def _aligned(pfn: int) -> int:
    """The first frame from `pfn` on that may begin a group."""
    return (pfn + GROUP - 1) & -GROUP


def spans(firsts: Pfns) -> Iterator[slice]:
    """The frames of these groups, as slices: neighbouring groups are one, up to a limit."""
    if not len(firsts):
        return
    breaks = np.flatnonzero(firsts[1:] - firsts[:-1] != GROUP) + 1
    for start, end in zip([0, *breaks.tolist()], [*breaks.tolist(), len(firsts)], strict=True):
        for i in range(start, end, _GROUPS_AT_ONCE):
            n = min(_GROUPS_AT_ONCE, end - i)
            yield slice(int(firsts[i]), int(firsts[i]) + (n << GROUP_SHIFT))


def lazy_zeros(n: int, dtype: Any) -> NDArray[Any]:
    """An array of zeros that costs nothing until touched (np.zeros clears up to 32 MiB by hand after some frees)."""
    if not n:
        return np.zeros(0, dtype)
    return np.frombuffer(mmap(-1, n * np.dtype(dtype).itemsize, MAP_PRIVATE | MAP_ANONYMOUS), dtype)


def as_run(pfns: Pfns) -> slice | None:
    """The frames as a slice, if they are consecutive and ascending (then they are distinct, too)."""
    n = len(pfns)
    if n and pfns[-1] - pfns[0] == n - 1 and (n < 2 or bool((pfns[1:] - pfns[:-1] == 1).all())):
        return slice(int(pfns[0]), int(pfns[0]) + n)
    return None


def distinct(pfns: Pfns) -> Pfns:
    """The frames in ascending order, each once. (The first np.unique of a process costs 8 ms: it imports numpy.ma.)"""
    pfns = np.sort(pfns)
    first = np.ones(len(pfns), np.bool_)
    first[1:] = pfns[1:] != pfns[:-1]
    return pfns[first]
