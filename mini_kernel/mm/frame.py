"""Physical frames: who holds them, which are free, and what a new owner may find in them.

A frame is named by its number (pfn). Two numpy arrays describe all of them: `count` (references) and `kind`
(the K_* bits). What a reference means depends on the kind:

- data frame: one per PTE that maps it, plus one for the page cache that owns it, plus one per pin;
- table frame: one per upper-level entry (or CR3) that points at it.

Of the entries only those in distinct tables count: a PTE table that several address spaces share maps its frames once.
A PTE table has an `owner`, the address space that counts its pages as resident and the table as its own: the pfn of
that one's PGD, or 0 when the owner has gone its own way and nobody has taken the table over yet.

Invariant: a frame is in use exactly if its count is above 0, and otherwise free exactly once.
Invariant: a frame handed out by `alloc` reads as zero and runs no code of its former owner (R9).
The zero page is mapped without being counted, as in Linux (pte_special).

Free frames come from two places per zone: frames that were used before (`free`, last in first out, dirty, so
zeroed when handed out) and the frontier, behind which no frame was ever used (zero, and free of cost on the host).
"""

from mmap import MAP_ANONYMOUS, MAP_PRIVATE, mmap
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mini_kernel.errors import KernelBug, SysError
from mini_kernel.hw import Cpu, PhysicalMemory
from mini_kernel.uapi.errno import ENOMEM
from mini_kernel.x86 import PAGE_SHIFT

K_TABLE: Final = 1  # a paging structure
K_CODE: Final = 2  # was mapped executable since it was allocated: translated code may exist
K_CACHE: Final = 4  # owned by a page cache (file or shared memory)
K_EXCLUSIVE: Final = 8  # a PTE table that has held a pinned page: fork copies it instead of sharing it

#: Paging structures live below 4 GiB: the engine cuts CR3 to 32 bits (and so do 32-bit boot CPUs).
TABLE_ZONE_END: Final = (4 << 30) >> PAGE_SHIFT
_CHUNK: Final = 512  # frames moved from the bulk store to the scalar list at once

#: What is known of each frame, one array each.
_ARRAYS: Final = (("count", np.int32), ("kind", np.uint8), ("owner", np.int32))

Pfns = NDArray[np.int64]


class Zone:
    """A contiguous range of frames with its own free store."""

    def __init__(self, start: int, end: int) -> None:
        self.frontier = start
        self.end = end
        self.free: list[int] = []
        self.chunks: list[Pfns] = []

    def available(self) -> int:
        """Frames that can still be handed out."""
        return self.end - self.frontier + len(self.free) + sum(len(c) for c in self.chunks)

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
        dirty = len(pieces)
        fresh = min(n, self.end - self.frontier)
        if fresh:
            pieces.append(np.arange(self.frontier, self.frontier + fresh, dtype=np.int64))
            self.frontier += fresh
        return pieces, dirty


class FrameAllocator:
    """All frames of the machine behind the first `reserved` ones."""

    def __init__(self, ram: PhysicalMemory, cpu: Cpu | None = None, reserved: int = 1) -> None:
        """`cpu` is asked to drop translated code when a frame that held code changes hands.

        Precondition: `reserved` is at least 1. Frame 0 is nobody's, as 0 stands for "no frame" and "no table".
        """
        self.ram = ram
        self.cpu = cpu
        self.total = ram.size >> PAGE_SHIFT
        self.reserved = reserved
        low_end = min(self.total, TABLE_ZONE_END)
        self.low = Zone(reserved, low_end)
        self.high = Zone(low_end, self.total)
        self.in_use = 0
        self.peak = 0
        self.allocated = 0  # ever
        self.refuse_after = -1  # fault injection: refuse the allocation when this reaches 0; -1 never
        self.poison = False  # fill freed frames, to find those who still read them
        self.pins: dict[int, int] = {}  # pfn -> how often it is pinned; each pin is a reference as well
        self._set_arrays(*(lazy_zeros(self.total, dtype) for _name, dtype in _ARRAYS))
        self.zero_page = self.alloc()

    def _set_arrays(self, count: NDArray[np.int32], kind: NDArray[np.uint8], owner: NDArray[np.int32]) -> None:
        self.count = count
        self.kind = kind
        self.owner = owner  # of PTE tables; meaningless for other frames
        # The same, for single frames: five times faster than numpy's indexing.
        self.counts: memoryview[int] = count.data
        self.kinds: memoryview[int] = kind.data

    # -- allocation ---------------------------------------------------------------------------------

    def _refuse(self, n: int) -> bool:
        """Fault injection: count down by `n`, refuse once the countdown is spent."""
        if self.refuse_after >= n:
            self.refuse_after -= n
            return False
        self.refuse_after = 0
        return True

    def _pop(self, zone: Zone) -> tuple[int, bool]:
        """One frame of `zone` and whether it was used before; pfn 0 if the zone is empty."""
        if not zone.free and zone.chunks:
            chunk = zone.chunks.pop()
            if len(chunk) > _CHUNK:
                zone.chunks.append(chunk[:-_CHUNK])
                chunk = chunk[-_CHUNK:]
            zone.free = chunk.tolist()
        if zone.free:
            return zone.free.pop(), True
        if zone.frontier < zone.end:
            zone.frontier += 1
            return zone.frontier - 1, False
        return 0, False

    def _alloc(self, zones: tuple[Zone, ...], zero: bool) -> int:
        if self.refuse_after >= 0 and self._refuse(1):
            raise SysError(ENOMEM)
        for zone in zones:
            if zone.free:
                pfn, dirty = zone.free.pop(), True
            else:
                pfn, dirty = self._pop(zone)
                if not pfn:
                    continue
            break
        else:
            raise SysError(ENOMEM)
        if dirty:
            if self.kinds[pfn]:
                self._forget_code(pfn)
            if zero:
                self.ram.pages[pfn] = 0
        self.counts[pfn] = 1
        self.allocated += 1
        self.in_use = used = self.in_use + 1
        if used > self.peak:
            self.peak = used
        return pfn

    def _forget_code(self, pfn: int) -> None:
        if self.kinds[pfn] & K_CODE and self.cpu is not None:
            self.cpu.flush_code()
        self.kinds[pfn] = 0

    def alloc(self, zero: bool = True) -> int:
        """A data frame with count 1, zeroed unless the caller overwrites it whole. Raises SysError(ENOMEM)."""
        return self._alloc((self.high, self.low), zero)

    def alloc_table(self) -> int:
        """A zeroed frame below 4 GiB with count 1 for a paging structure. Raises SysError(ENOMEM)."""
        pfn = self._alloc((self.low,), True)
        self.kinds[pfn] = K_TABLE
        return pfn

    def _alloc_many(self, n: int, zones: tuple[Zone, ...], zero: bool) -> Pfns:
        """`n` frames or SysError(ENOMEM) with nothing taken."""
        if self.refuse_after >= 0 and self._refuse(n):
            raise SysError(ENOMEM)
        if sum(zone.available() for zone in zones) < n:
            raise SysError(ENOMEM)
        pieces: list[Pfns] = []
        left = n
        for zone in zones:
            taken, dirty = zone.take(left)
            for pfns in taken[:dirty]:
                self._recycle(pfns, zero)
            pieces += taken
            left -= sum(len(p) for p in taken)
        pfns = pieces[0] if len(pieces) == 1 else np.concatenate([np.empty(0, np.int64), *pieces])
        self.count[pfns] = 1
        self.allocated += n
        self.in_use += n
        self.peak = max(self.peak, self.in_use)
        return pfns

    def _recycle(self, pfns: Pfns, zero: bool) -> None:
        if self.cpu is not None and bool((self.kind[pfns] & K_CODE).any()):
            self.cpu.flush_code()
        self.kind[pfns] = 0
        if zero:
            self.ram.tables[pfns] = 0

    def alloc_many(self, n: int, zero: bool = True) -> Pfns:
        """`n` data frames, each with count 1. All or SysError(ENOMEM)."""
        return self._alloc_many(n, (self.high, self.low), zero)

    def alloc_tables(self, n: int, zero: bool = True) -> Pfns:
        """`n` table frames, each with count 1. All or SysError(ENOMEM)."""
        pfns = self._alloc_many(n, (self.low,), zero)
        self.kind[pfns] = K_TABLE
        return pfns

    def available(self) -> int:
        """Data frames that can still be allocated."""
        return self.low.available() + self.high.available()

    # -- references ---------------------------------------------------------------------------------

    def get(self, pfn: int) -> None:
        """Take one more reference."""
        self.counts[pfn] += 1

    def put(self, pfn: int) -> None:
        """Drop one reference; the frame is free when it was the last."""
        left = self.counts[pfn] - 1
        if left < 0:
            raise KernelBug(f"frame {pfn:#x} put below zero")
        self.counts[pfn] = left
        if not left:
            self._release(pfn)

    def _release(self, pfn: int) -> None:
        self.in_use -= 1
        self.kinds[pfn] &= K_CODE
        if self.poison:
            self.ram.pages[pfn] = 0x5A
        (self.low if pfn < self.low.end else self.high).free.append(pfn)

    def get_many(self, pfns: Pfns) -> None:
        """Take one more reference of each. No frame may occur twice, but those of a page cache may."""
        run = _as_run(pfns)
        if run is not None:
            self.count[run] += 1
            return
        cached = (self.kind[pfns] & K_CACHE) != 0
        if cached.any():
            np.add.at(self.count, pfns[cached], 1)
            pfns = pfns[~cached]
        self.count[pfns] += 1

    def put_many(self, pfns: Pfns) -> None:
        """Drop one reference of each (same rule as get_many) and free those that reach 0."""
        run = _as_run(pfns)
        if run is not None:
            self.count[run] -= 1
            left = self.count[run]
        else:
            self._drop(pfns)
            left = self.count[pfns]
        lowest = int(left.min(initial=0))
        if lowest < 0:
            raise KernelBug(f"frame {int(pfns[left.argmin()]):#x} put below zero")
        freed = pfns[left == 0]
        if len(freed):
            self._release_many(freed if run is not None else _distinct(freed))

    def _drop(self, pfns: Pfns) -> None:
        """Take one off the counts; off a page cache's frame as often as it occurs (which is slow, and rare)."""
        cached = (self.kind[pfns] & K_CACHE) != 0
        if cached.any():
            np.subtract.at(self.count, pfns[cached], 1)
            pfns = pfns[~cached]
        self.count[pfns] -= 1

    def _release_many(self, pfns: Pfns) -> None:
        """Free frames whose count has reached 0. They are handed out again in ascending order."""
        self.in_use -= len(pfns)
        self.kind[pfns] &= K_CODE
        if self.poison:
            self.ram.pages[pfns] = 0x5A
        pfns = pfns[::-1]
        for zone, part in ((self.low, pfns[pfns < self.low.end]), (self.high, pfns[pfns >= self.low.end])):
            if len(part) > _CHUNK:
                zone.chunks.append(part.copy())
            else:
                zone.free += part.tolist()

    # -- pins ---------------------------------------------------------------------------------------

    def pin(self, pfn: int) -> None:
        """Keep a frame where it is and its owner's, as for a device that reads and writes it (Linux FOLL_PIN)."""
        self.get(pfn)
        self.pins[pfn] = self.pins.get(pfn, 0) + 1

    def unpin(self, pfn: int) -> None:
        """Undo one `pin`."""
        left = self.pins[pfn] - 1
        if left:
            self.pins[pfn] = left
        else:
            del self.pins[pfn]
        self.put(pfn)

    def is_pinned(self, pfns: Pfns) -> NDArray[np.bool_]:
        """Which of these are pinned."""
        return np.isin(pfns, np.fromiter(self.pins, np.int64, len(self.pins)))

    # -- translated code ----------------------------------------------------------------------------

    def wrote(self, pfn: int) -> None:
        """The kernel wrote into this frame: code translated from it is stale. Call after every such write."""
        if self.kinds[pfn] & K_CODE and self.cpu is not None:
            self.cpu.flush_code()

    # -- snapshots ----------------------------------------------------------------------------------

    def used(self) -> Pfns:
        """The frames in use, ascending."""
        parts = [
            np.flatnonzero(self.count[start:end]).astype(np.int64) + start
            for start, end in ((self.reserved, self.low.frontier), (self.low.end, self.high.frontier))
        ]
        return np.concatenate(parts)

    def __getstate__(self) -> dict[str, Any]:
        """Everything but the views; the arrays are cut to what was ever used."""
        state = dict(self.__dict__)
        for name in ("counts", "kinds"):
            del state[name]
        ends = (self.low.frontier, self.high.frontier)
        for name, _dtype in _ARRAYS:
            array = state.pop(name)
            state[name + "_used"] = (array[: ends[0]].copy(), array[self.low.end : ends[1]].copy())
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        arrays: list[NDArray[Any]] = []
        for name, dtype in _ARRAYS:
            low, high = state.pop(name + "_used")
            array = lazy_zeros(state["total"], dtype)
            array[: len(low)] = low
            array[state["low"].end : state["low"].end + len(high)] = high
            arrays.append(array)
        self.__dict__.update(state)
        self._set_arrays(*arrays)


def lazy_zeros(n: int, dtype: Any) -> NDArray[Any]:
    """An array of zeros that costs nothing until touched (np.zeros clears up to 32 MiB by hand after some frees)."""
    if not n:
        return np.zeros(0, dtype)
    return np.frombuffer(mmap(-1, n * np.dtype(dtype).itemsize, MAP_PRIVATE | MAP_ANONYMOUS), dtype)


def _as_run(pfns: Pfns) -> slice | None:
    """The frames as a slice, if they are consecutive and ascending (then they are distinct, too)."""
    n = len(pfns)
    if n and pfns[-1] - pfns[0] == n - 1 and (n < 2 or bool((pfns[1:] - pfns[:-1] == 1).all())):
        return slice(int(pfns[0]), int(pfns[0]) + n)
    return None


def _distinct(pfns: Pfns) -> Pfns:
    """The frames in ascending order, each once. (The first np.unique of a process costs 8 ms: it imports numpy.ma.)"""
    pfns = np.sort(pfns)
    first = np.ones(len(pfns), np.bool_)
    first[1:] = pfns[1:] != pfns[:-1]
    return pfns[first]
