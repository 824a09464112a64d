"""Physical frames: who holds them, which are free, and what a new owner may find in them.

A frame is named by its number (pfn). Two numpy arrays describe all of them: `count` (references) and `kind`
(the K_* bits). What a reference means depends on the kind:

- data frame: one per PTE that maps it, plus one for the page cache that owns it, plus one per pin;
- table frame: one per upper-level entry (or CR3) that points at it.

Of the entries only those in distinct tables count: a PTE table that several address spaces share maps its frames once.
A table that maps pages has an `owner`, the address space that counts them as resident and the table as its own: the
pfn of that one's PGD, or 0 when the owner has gone its own way and nobody has taken the table over yet.

A *group* is 512 frames that one PMD leaf can map, naturally aligned, and is named by its first frame. `compound` counts
the leaves in distinct PMD tables that map it as a whole; all of them together are one reference of each of its frames.

Invariant: a frame is in use exactly if its count is above 0, and otherwise free exactly once.
Invariant: a frame handed out by `alloc` reads as zero and runs no code of its former owner (R9).
The zero page is mapped without being counted, as in Linux (pte_special).

Free frames come from three places per zone: frames that were used before (`free`, last in first out, dirty, so
zeroed when handed out), groups that were freed as a whole (`groups`, dirty too) and the frontier, behind which no frame
was ever used (zero, and free of cost on the host).
"""

from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from mini_kernel.errors import KernelBug, SysError
from mini_kernel.hw import Cpu, PhysicalMemory
from mini_kernel.mm.events import MemoryListener
from mini_kernel.mm.kmem import KernelMemory
from mini_kernel.mm.zone import GROUP, GROUP_SHIFT, Pfns, Zone, as_run, distinct, lazy_zeros, rounded, spans
from mini_kernel.uapi.errno import ENOMEM
from mini_kernel.x86 import PAGE_SHIFT

K_TABLE: Final = 1  # a paging structure
K_CODE: Final = 2  # was mapped executable since it was allocated: translated code may exist
K_CACHE: Final = 4  # owned by a page cache (file or shared memory)
K_EXCLUSIVE: Final = 8  # a PTE table that has held a pinned page: fork copies it instead of sharing it

K_KERNEL: Final = 16  # stands for kernel objects; holds nothing

#: Paging structures live below 4 GiB: the engine cuts CR3 to 32 bits (and so do 32-bit boot CPUs).
TABLE_ZONE_END: Final = (4 << 30) >> PAGE_SHIFT
#: What is known of each frame, or of 2 to some power of them, one array each.
_ARRAYS: Final = (
    ("count", np.int32, 0),
    ("kind", np.uint8, 0),
    ("owner", np.int32, 0),
    ("compound", np.int32, GROUP_SHIFT),
)


class Reclaimer(Protocol):
    """Who is asked when user memory cannot be had (the OOM killer)."""

    def make_room(self) -> bool:
        """Free memory at others' cost; False if nobody but the one who asks is left to pay."""
        ...


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
        self.refusals = -1  # how many are refused then; -1 all
        self.reclaimer: Reclaimer | None = None
        self.poison = False  # fill freed frames, to find those who still read them
        self.listener: MemoryListener | None = None
        self.pins: dict[int, int] = {}  # pfn -> how often it is pinned; each pin is a reference as well
        self._set_arrays(*(lazy_zeros(rounded(self.total, shift), dtype) for _name, dtype, shift in _ARRAYS))
        self.zero_page = self.alloc()
        self.kmem = KernelMemory(self)

    def _set_arrays(
        self, count: NDArray[np.int32], kind: NDArray[np.uint8], owner: NDArray[np.int32], compound: NDArray[np.int32]
    ) -> None:
        self.count = count
        self.kind = kind
        self.owner = owner  # of tables that map pages; meaningless for other frames
        self.compound = compound  # by group
        # The same, for single frames: five times faster than numpy's indexing.
        self.counts: memoryview[int] = count.data
        self.kinds: memoryview[int] = kind.data
        self.owners: memoryview[int] = owner.data
        self.compounds: memoryview[int] = compound.data

    # -- allocation ---------------------------------------------------------------------------------

    def _refuse(self, n: int) -> bool:
        """Fault injection: count down by `n`, refuse once the countdown is spent."""
        if self.refuse_after >= n:
            self.refuse_after -= n
            return False
        self.refuse_after = 0
        if self.refusals > 0:
            self.refusals -= 1
            if not self.refusals:
                self.refuse_after = self.refusals = -1
        return True

    def _alloc(self, zones: tuple[Zone, ...], zero: bool) -> int:
        if self.refuse_after >= 0 and self._refuse(1):
            raise SysError(ENOMEM)
        for zone in zones:
            if zone.free:
                pfn, dirty = zone.free.pop(), True
            else:
                pfn, dirty = zone.pop()
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

    def alloc_table(self, zero: bool = True) -> int:
        """A frame below 4 GiB with count 1 for a paging structure, zeroed unless the caller overwrites it whole.

        Raises SysError(ENOMEM).
        """
        pfn = self._alloc((self.low,), zero)
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

    def alloc_kernel(self, n: int) -> list[int]:
        """Frames that the kernel's objects are charged for (see kmem.py). All or SysError(ENOMEM)."""
        pfns = self._alloc_many(n, (self.high, self.low), False)
        self.kind[pfns] = K_KERNEL
        return pfns.tolist()

    def alloc_tables(self, n: int, zero: bool = True) -> Pfns:
        """`n` table frames, each with count 1. All or SysError(ENOMEM)."""
        if n == 1:
            return np.array([self.alloc_table(zero)])
        pfns = self._alloc_many(n, (self.low,), zero)
        self.kind[pfns] = K_TABLE
        return pfns

    def available(self) -> int:
        """Data frames that can still be allocated."""
        return self.low.available() + self.high.available()

    # -- references ---------------------------------------------------------------------------------

    def references(self, pfn: int) -> int:
        """How many entries map a frame, tables shared or not, and who else holds it: leaves are counted one by one."""
        return self.counts[pfn] + max(0, self.compounds[pfn >> GROUP_SHIFT] - 1)

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
        run = as_run(pfns)
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
        run = as_run(pfns)
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
            self._release_many(freed if run is not None else distinct(freed))

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
        self.low.store(pfns[pfns < self.low.end])
        self.high.store(pfns[pfns >= self.low.end])

    # -- groups -------------------------------------------------------------------------------------

    def group_limit(self) -> int:
        """Groups there could be at most, were all memory free."""
        return self.low.group_limit() + self.high.group_limit()

    def alloc_group(self, zero: bool = True, leaves: int = 1) -> int:
        """`alloc_groups` of one."""
        return int(self.alloc_groups(1, zero, leaves)[0])

    def alloc_groups(self, n: int, zero: bool = True, leaves: int = 1) -> Pfns:
        """`n` groups whose frames have count 1; the first frame of each.

        The reference stands for `leaves` leaves that the caller makes, or if that is 0 is the caller's own.
        All or SysError(ENOMEM). For fault injection a group is one frame.
        """
        if self.refuse_after >= 0 and self._refuse(n):
            raise SysError(ENOMEM)
        zones = (self.high, self.low)
        if sum(zone.groups_available() for zone in zones) < n:
            for zone in zones:
                zone.collect(self.count)
            if sum(zone.groups_available() for zone in zones) < n:
                raise SysError(ENOMEM)
        pieces: list[Pfns] = []
        for zone in zones:
            dirty, fresh = zone.take_groups(n - sum(map(len, pieces)))
            self._recycle_groups(dirty, zero)
            pieces += [dirty, fresh]
        firsts = np.concatenate(pieces)
        for frames in spans(firsts):
            self.count[frames] = 1
        self.compound[firsts >> GROUP_SHIFT] = leaves
        self.allocated += n << GROUP_SHIFT
        self.in_use += n << GROUP_SHIFT
        self.peak = max(self.peak, self.in_use)
        return firsts

    def _recycle_groups(self, firsts: Pfns, zero: bool) -> None:
        for frames in spans(firsts):
            if self.cpu is not None and bool((self.kind[frames] & K_CODE).any()):
                self.cpu.flush_code()
            self.kind[frames] = 0
            if zero:
                self.ram.tables[frames] = 0

    def get_groups(self, firsts: Pfns) -> None:
        """One more leaf for each of these groups. None may occur twice, but those of a page cache may."""
        groups = firsts >> GROUP_SHIFT
        unmapped = firsts[self.compound[groups] == 0]
        if len(unmapped):
            for frames in spans(distinct(unmapped)):
                self.count[frames] += 1
        if bool((self.kind[firsts] & K_CACHE).any()):
            np.add.at(self.compound, groups, 1)
        else:
            self.compound[groups] += 1

    def put_groups(self, firsts: Pfns) -> None:
        """One leaf less (same rule as get_groups); with the last one each frame loses the reference."""
        groups = firsts >> GROUP_SHIFT
        if bool((self.kind[firsts] & K_CACHE).any()):
            np.subtract.at(self.compound, groups, 1)
        else:
            self.compound[groups] -= 1
        left = self.compound[groups]
        if int(left.min(initial=0)) < 0:
            raise KernelBug(f"the group of frame {int(firsts[left.argmin()]):#x} has fewer than no leaves")
        gone = firsts[left == 0]
        if len(gone):
            self.drop_groups(distinct(gone))

    def drop_groups(self, firsts: Pfns) -> None:
        """Each frame of these distinct, ascending groups loses a reference; what has none left is free."""
        for frames in spans(firsts):
            self.count[frames] -= 1
            left = self.count[frames].reshape(-1, GROUP)
            if int(left.min()) < 0:
                raise KernelBug(f"a frame of the groups from {frames.start:#x} on put below zero")
            mixed = left.any(axis=1)
            first = np.arange(frames.start, frames.stop, GROUP, dtype=np.int64)
            if not mixed.all():
                self._release_groups(first[~mixed])
            if mixed.any():
                rows, columns = np.nonzero(left[mixed] == 0)
                self._release_many(first[mixed][rows] + columns)

    def _release_groups(self, firsts: Pfns) -> None:
        """Free groups none of whose frames has a reference left."""
        self.in_use -= len(firsts) << GROUP_SHIFT
        for frames in spans(firsts):
            self.kind[frames] &= K_CODE
            if self.poison:
                self.ram.pages[frames] = 0x5A
        firsts = firsts[::-1]
        self.low.groups += firsts[firsts < self.low.end].tolist()
        self.high.groups += firsts[firsts >= self.low.end].tolist()

    def split_leaf(self, first: int) -> None:
        """A leaf gives way to 512 entries of one PTE table: counts as they are then (Linux __split_huge_pmd)."""
        left = self.compounds[first >> GROUP_SHIFT] - 1
        self.compounds[first >> GROUP_SHIFT] = left
        if left:
            self.count[first : first + GROUP] += 1

    def is_alone(self, first: int) -> bool:
        """True if one leaf is all that maps this group, in whole or in part, and pins are all that hold it besides."""
        count = self.count[first : first + GROUP]
        if self.compounds[first >> GROUP_SHIFT] != 1:
            return False
        if self.pins and int(count.max()) > 1:
            count = count - np.array([self.pins.get(pfn, 0) for pfn in range(first, first + GROUP)], np.int32)
        return int(count.max()) == 1

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

    def is_pinned(self, pfns: Pfns, huge: bool = False) -> NDArray[np.bool_]:
        """Which of these frames are pinned; or which of these groups in part, if they are `huge`."""
        pinned = np.fromiter(self.pins, np.int64, len(self.pins))
        return np.isin(pfns, pinned & -GROUP if huge else pinned)

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
        for name in ("counts", "kinds", "owners", "compounds"):
            del state[name]
        state["listener"] = None
        for name, _dtype, shift in _ARRAYS:
            array = state.pop(name)
            low, high = rounded(self.low.frontier, shift), rounded(self.high.frontier, shift)
            state[name + "_used"] = (array[:low].copy(), array[self.low.end >> shift : high].copy())
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        arrays: list[NDArray[Any]] = []
        for name, dtype, shift in _ARRAYS:
            low, high = state.pop(name + "_used")
            array = lazy_zeros(rounded(state["total"], shift), dtype)
            array[: len(low)] = low
            start = state["low"].end >> shift
            array[start : start + len(high)] = high
            arrays.append(array)
        self.__dict__.update(state)
        self._set_arrays(*arrays)
