"""A few address spaces with huge pages beside a plain model of what their memory should hold.

A few ranges of 2 MiB, each cut into four cells: one page, half, half, one page. Operations begin and end at cells, so
all pages of a cell are alike, but for its first, which is the one that is written. The model knows a cell's rights,
whether it is shared, and one byte; nothing about leaves or tables.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from fakes import FakeCpu, FakeRam
from mm_helpers import PAGE, caches_of, errno_of

from mini_kernel.mm import advise, fault, fork, mmap, odf, protect, remap, teardown, uaccess
from mini_kernel.mm.check import check
from mini_kernel.mm.frame import FrameAllocator
from mini_kernel.mm.mm import Mm
from mini_kernel.mm.pin import pin_pages
from mini_kernel.uapi import mman
from mini_kernel.uapi.errno import EINVAL

UNITS = 5
BASE = (5 << 30) // PAGE - 2 * 512  # two ranges below a boundary of 1 GiB, the others above it
OFFSETS = (0, 1, 256, 511)
CELLS = [BASE + 512 * unit + offset for unit in range(UNITS) for offset in OFFSETS]
END = BASE + 512 * UNITS
BOUNDS = (*CELLS, END)
POLICIES = {"classic": fork.fork_mm, "odf": odf.odfork_mm}
RW = 3


class Cell:
    """The pages from one bound to the next, in one address space. `box` holds the byte; a shared one is shared."""

    __slots__ = ("box", "dont_fork", "huge", "prot", "shared", "wipe")

    def __init__(self, prot: int, shared: bool, huge: bool) -> None:
        self.prot, self.shared, self.huge = prot, shared, huge
        self.dont_fork = self.wipe = False
        self.box = [0]

    def inherited(self) -> "Cell":
        new = Cell(self.prot, self.shared, self.huge)
        new.dont_fork, new.wipe = self.dont_fork, self.wipe
        new.box = self.box if self.shared else [0 if self.wipe else self.box[0]]
        return new


class Space:
    """One address space and its model: cells by their first page."""

    def __init__(self, mm: Mm) -> None:
        self.mm = mm
        self.cells: dict[int, Cell] = {}
        self.pins: list[tuple[int, list[int]]] = []  # pfn, box

    def cut(self, *pages: int) -> bool:
        """True if one of these bounds lies inside a page of MAP_HUGETLB."""
        return any(page % 512 and page in self.cells and self.cells[page].huge for page in pages)

    def inside(self, first: int, last: int) -> Iterator[int]:
        return (page for page in CELLS if first <= page < last)


class ModelCpu(FakeCpu):
    """The worst TLB: at each flush it caches what the tables hold then, and keeps it."""

    world: "World"

    def flush_tlb(self) -> None:
        super().flush_tlb()
        self.world.fill_tlb()


class ModelFrames(FrameAllocator):
    """Notices frames that are freed while the TLB still maps them (R8)."""

    world: "World | None" = None

    def _release(self, pfn: int) -> None:
        self._not_cached([pfn])
        super()._release(pfn)

    def _release_many(self, pfns: Any) -> None:
        self._not_cached(pfns.tolist())
        super()._release_many(pfns)

    def _release_groups(self, firsts: Any) -> None:
        self._not_cached(pfn for first in firsts.tolist() for pfn in range(first, first + 512))
        super()._release_groups(firsts)

    def _not_cached(self, pfns: Iterable[int]) -> None:
        if self.world is not None:
            stale = self.world.cached & set(pfns)
            assert not stale, f"frames {stale} freed before the TLB was flushed"


def translate(mm: Mm, page: int) -> tuple[int, str]:
    """(pfn, rights) of one page by a walk of the test's own, (0, "") if it is not mapped."""
    table, both, either = mm.pt.pgd, -1, 0
    for shift in (27, 18, 9, 0):
        entry = mm.frames.ram.words[table << 9 | page >> shift & 511]
        both, either = both & entry, either | entry
        leaf = shift == 0 or (shift == 9 and entry & 0x80)
        if not leaf and not entry & 1:
            return 0, ""
        table = (entry & 0xF_FFFF_FFFF_F000) >> 12
        if leaf:
            if not entry & 0x101:
                return 0, ""
            pfn = table + (page & 511 if shift else 0)
            return pfn, "r" + "w" * bool(both & 2) + "x" * (not either >> 63) if both & 5 == 5 else "-"
    raise AssertionError


class World:
    """The real memory core and the model, side by side. Every operation is followed by `verify`."""

    def __init__(self, thp: str, mib: int = 192) -> None:
        cpu = ModelCpu()
        cpu.world = self
        self.cached: set[int] = set()
        self.tlb: dict[int, dict[int, tuple[int, str]]] = {}
        self.spaces: list[Space] = []
        self.frames = ModelFrames(FakeRam(mib << 20), cpu, reserved=1)
        self.boot = self.frames.in_use
        mm = Mm(self.frames, cpu)
        mm.thp = thp
        self.spaces.append(Space(mm))
        self.frames.world = self

    def fill_tlb(self) -> None:
        self.tlb = {id(s.mm): {page: translate(s.mm, page) for page in CELLS} for s in self.spaces}
        self._note_cached()

    def _note_cached(self) -> None:
        frames = {pfn for tlb in self.tlb.values() for pfn, rights in tlb.values() if "r" in rights}
        self.cached = frames - {self.frames.zero_page}

    # -- operations -----------------------------------------------------------------------------------

    def map(self, s: Space, first: int, last: int, huge: bool, shared: bool, prot: int, populate: bool) -> None:
        flags = (mman.MAP_SHARED if shared else mman.MAP_PRIVATE) | mman.MAP_ANONYMOUS | mman.MAP_FIXED
        flags |= (mman.MAP_HUGETLB if huge else 0) | (mman.MAP_POPULATE if populate else 0)
        if huge:
            last = first + (last - first + 511) // 512 * 512
        wrong = s.cut(first, last) or (huge and first % 512)
        errno = errno_of(mmap.mmap, s.mm, first * PAGE, (last - first) * PAGE, prot, flags)
        assert errno == (EINVAL if wrong else 0)
        if not wrong:
            for page in s.inside(first, last):
                s.cells[page] = Cell(prot, shared, huge)

    def unmap(self, s: Space, first: int, last: int) -> None:
        wrong = s.cut(first, last)
        assert errno_of(mmap.munmap, s.mm, first * PAGE, (last - first) * PAGE) == (EINVAL if wrong else 0)
        if not wrong:
            for page in s.inside(first, last):
                s.cells.pop(page, None)

    def _one_area(self, s: Space, first: int, last: int) -> bool:
        """True if the range lies in one VMA: then no operation on it is done in part."""
        vma = s.mm.find(first * PAGE)
        return vma is not None and last * PAGE <= vma.end

    def protect(self, s: Space, first: int, last: int, prot: int) -> None:
        if not self._one_area(s, first, last):
            return
        same = all(s.cells[page].prot == prot for page in s.inside(first, last))
        wrong = not same and s.cut(first, last)
        errno = errno_of(protect.mprotect, s.mm, first * PAGE, (last - first) * PAGE, prot)
        assert errno == (EINVAL if wrong else 0)
        for page in s.inside(first, last) if not wrong else ():
            s.cells[page].prot = prot

    def advise(self, s: Space, first: int, last: int, advice: int) -> None:
        if not self._one_area(s, first, last):
            return
        errno = errno_of(advise.madvise, s.mm, first * PAGE, (last - first) * PAGE, advice)
        cell = s.cells[first]
        anonymous = not cell.shared and not cell.huge
        if advice == mman.MADV_COLLAPSE:
            assert errno in (0, EINVAL, 11) if anonymous else errno == EINVAL
        elif advice == mman.MADV_DONTNEED:
            assert errno == (EINVAL if cell.huge and first % 512 else 0)
            last = last // 512 * 512 if cell.huge else last
        elif advice in (mman.MADV_FREE, mman.MADV_WIPEONFORK):
            assert errno == (0 if anonymous else EINVAL)
        elif errno:  # a flag that is set already splits nothing
            assert s.cut(first, last)
        for page in s.inside(first, last) if not errno else ():
            self._advised(s.cells[page], advice)

    def _advised(self, cell: Cell, advice: int) -> None:
        if advice == mman.MADV_DONTNEED and not cell.shared:
            cell.box = [0]
        elif advice in (mman.MADV_DONTFORK, mman.MADV_DOFORK):
            cell.dont_fork = advice == mman.MADV_DONTFORK
        elif advice in (mman.MADV_WIPEONFORK, mman.MADV_KEEPONFORK):
            cell.wipe = advice == mman.MADV_WIPEONFORK

    def move(self, s: Space, first: int, last: int, units: int) -> None:
        """mremap(2) by whole ranges of 2 MiB, so that cells stay cells."""
        new, length = first + 512 * units, last - first
        if not units or not self._one_area(s, first, last) or abs(new - first) < length:
            return
        if not BASE <= new <= END - length:
            return
        huge = s.cells[first].huge
        wrong = (huge and (first % 512 or (new + -(-length // 512) * 512 > END))) or s.cut(new, new + length)
        wrong = wrong or (huge and length % 512)
        if wrong:
            return
        flags = mman.MREMAP_MAYMOVE | mman.MREMAP_FIXED
        assert remap.mremap(s.mm, first * PAGE, length * PAGE, length * PAGE, flags, new * PAGE) == new * PAGE
        moved = {page + 512 * units: s.cells.pop(page) for page in s.inside(first, last)}
        for page in s.inside(new, new + length):
            s.cells.pop(page, None)
        s.cells.update(moved)

    def write(self, s: Space, page: int, value: int, by_kernel: bool) -> None:
        cell = s.cells.get(page)
        allowed = cell is not None and bool(cell.prot & 2)
        try:
            if by_kernel:
                failed = bool(errno_of(uaccess.write, s.mm, page * PAGE, bytes([value])))
            else:
                failed = False
                if "w" not in translate(s.mm, page)[1]:
                    fault.handle(s.mm, page * PAGE, 6)
                pfn, rights = translate(s.mm, page)
                assert "w" in rights
                self.frames.ram.data[pfn * PAGE] = value
        except fault.BadAccess as bad:
            assert bad.fault_class in ("protection", "unmapped")
            failed = True
        assert failed != allowed
        if cell is not None and allowed:
            cell.box[0] = value

    def read(self, s: Space, page: int) -> None:
        cell = s.cells.get(page)
        try:
            if not translate(s.mm, page)[1].startswith("r"):
                fault.handle(s.mm, page * PAGE, 4)
            assert cell is not None and cell.prot
        except fault.BadAccess:
            assert cell is None or not cell.prot

    def clear_soft_dirty(self, s: Space) -> None:
        s.mm.clear_soft_dirty()

    def pin(self, s: Space, page: int) -> None:
        cell = s.cells.get(page)
        if cell is not None and cell.prot & 2 and len(s.pins) < 2:
            (pfn,) = pin_pages(s.mm, page * PAGE, 1)
            s.pins.append((pfn, cell.box))

    def unpin(self, s: Space) -> None:
        if s.pins:
            self.frames.unpin(s.pins.pop()[0])

    def fork(self, s: Space, policy: str) -> None:
        if len(self.spaces) < 4:
            child = Space(POLICIES[policy](s.mm))
            child.cells = {page: cell.inherited() for page, cell in s.cells.items() if not cell.dont_fork}
            self.spaces.append(child)

    def exit(self, s: Space) -> None:
        if len(self.spaces) > 1:
            self._leave(s)

    def _leave(self, s: Space) -> None:
        while s.pins:
            self.unpin(s)
        self.spaces.remove(s)
        self.tlb.pop(id(s.mm), None)  # the CPU has another CR3 by now
        self._note_cached()
        teardown.destroy(s.mm)

    def end(self) -> None:
        """I10."""
        while self.spaces:
            self._leave(self.spaces[0])
            if self.spaces:
                self.verify()
        assert self.frames.in_use == self.boot

    # -- checking -------------------------------------------------------------------------------------

    def verify(self) -> None:
        mms = [s.mm for s in self.spaces]
        check(self.frames, mms, caches_of(*mms))
        for s in self.spaces:
            for page in CELLS:
                self._verify_cell(s, page, translate(s.mm, page))
            for pfn, box in s.pins:
                assert self.frames.ram.data[pfn * PAGE] == box[0], "the pinner sees another frame"
        self.fill_tlb()

    def _verify_cell(self, s: Space, page: int, found: tuple[int, str]) -> None:
        pfn, rights = found
        cell = s.cells.get(page)
        if cell is None:
            assert not rights, f"{page:#x} is mapped"
            return
        before, allowed = self.tlb.get(id(s.mm), {}).get(page, (0, ""))
        if "r" in allowed:
            assert pfn == before and set(allowed) <= set(rights), f"{page:#x} is cached as {before:#x} {allowed}"
        if not rights:
            assert not cell.box[0] or cell.shared, f"{page:#x} is lost"
            return
        granted = "rw" if cell.prot & 2 else "r" if cell.prot else "-"
        assert set(rights) <= set(granted), f"{page:#x} is {rights}"
        assert self.frames.ram.data[pfn * PAGE] == cell.box[0], f"{page:#x} shows other bytes"
        if cell.huge:
            assert page % 512 == 0 or pfn % 512 == page % 512
