"""Page tables to look at: trees, what differs between two, who maps a frame, who shares what.

A Picture is a copy: it can be compared with one of another process, or of another moment.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from emu.debug.events import Walk
from mini_kernel.kernel import Kernel
from mini_kernel.mm.mm import Mm
from mini_kernel.mm.walk import LEVEL_NAMES, MAPPED, Step
from mini_kernel.mm.zone import GROUP
from mini_kernel.x86 import PAGE_SHIFT, PTE_ADDR, PTE_P, PTE_PS, PTE_W, PTRS_PER_TABLE

SHIFTS: Final = (39, 30, 21, 12)
_STICKY: Final = np.uint64(~PTE_ADDR & 0xFFFF_FFFF_FFFF_FFFF)


class Table(NamedTuple):
    """One paging structure: its level (0 PGD .. 3 PTE), frame, the first address it serves, its 512 entries."""

    level: int
    pfn: int
    base: int
    entries: NDArray[np.uint64]
    references: int  # entries (or CR3s) that point at it
    owner: int  # PGD of the address space that counts it, 0 for nobody; of upper tables meaningless
    writable: bool  # the entry that points at it has W


@dataclass(frozen=True)
class Picture:
    """All tables of an address space at a moment, top down, by address."""

    pgd: int
    tables: tuple[Table, ...]

    def by_place(self) -> dict[tuple[int, int], Table]:
        """By (level, base)."""
        return {(t.level, t.base): t for t in self.tables}


class Run(NamedTuple):
    """Consecutive entries of a table with the same bits, that map consecutive frames or (`step` 0) one and the same."""

    first: int  # column of the first entry
    length: int
    entry: int  # of the first
    step: int  # frames from one to the next


class Difference(NamedTuple):
    """An entry that two pictures disagree about; 0 where one has no table there."""

    level: int
    address: int
    column: int
    old: int
    new: int
    old_table: int
    new_table: int


class Mapping(NamedTuple):
    """A way from an address space to a frame."""

    tgid: int
    address: int
    level: int  # of the entry: 3 a page, 2 a huge page
    table: int
    entry: int
    shared_table: bool


class FrameInfo(NamedTuple):
    """A frame and everything that leads to it.

    role       "free", "page", "table", "zero page" or "reserved"
    parents    for a table: (tgid, slot) of the entries that point at it; slot -1 for a CR3
    cache      name of the file whose page cache owns it, "" for none
    """

    pfn: int
    role: str
    references: int
    pins: int
    mappings: tuple[Mapping, ...]
    parents: tuple[tuple[int, int], ...]
    cache: str
    file_page: int  # its number in that file


class Sharing(NamedTuple):
    """What one process shares with others."""

    tgid: int
    tables: int  # PTE tables it reaches
    shared_tables: int  # of these, reached by others too
    unowned: int  # of these, counted by nobody
    pages: int  # mapped pages
    shared_pages: int  # whose frame somebody else maps too, or whose table is shared
    with_tgids: tuple[int, ...]


def spaces(kernel: Kernel) -> dict[int, Mm]:
    """Every address space by the process that has it; of those that share one (vfork), the first."""
    found: dict[int, Mm] = {}
    seen: set[int] = set()
    for task in sorted(kernel.tasks.values(), key=lambda t: t.tid):
        if task.user_mm is not None and id(task.user_mm) not in seen:
            seen.add(id(task.user_mm))
            found[task.tgid] = task.user_mm
    return found


def walk(mm: Mm, address: int) -> Walk:
    """The entries the CPU reads for an address, top down to the first that ends the walk."""
    return tuple(mm.pt.walk(address))


def picture(mm: Mm) -> Picture:
    """A copy of all tables."""
    return Picture(mm.pt.pgd, tuple(_tables(mm, 0, mm.pt.pgd, 0, True)))


def _tables(mm: Mm, level: int, pfn: int, base: int, writable: bool) -> Iterator[Table]:
    frames = mm.frames
    entries = frames.ram.tables[pfn].copy()
    yield Table(level, pfn, base, entries, frames.counts[pfn], frames.owners[pfn], writable)
    if level == 3:
        return
    for index in np.flatnonzero(entries).tolist():
        entry = int(entries[index])
        if entry & (PTE_P | PTE_PS) == PTE_P:
            child = (entry & PTE_ADDR) >> PAGE_SHIFT
            yield from _tables(mm, level + 1, child, base + (index << SHIFTS[level]), bool(entry & PTE_W))


def runs(table: Table) -> list[Run]:
    """The entries of a table that are not empty, in runs."""
    found: list[Run] = []
    pages = GROUP if table.level == 2 else 1
    for index in np.flatnonzero(table.entries).tolist():
        entry = int(table.entries[index])
        if table.level >= 2 and found and _continues(found[-1], index, entry, pages):
            last = found[-1]
            step = ((entry & PTE_ADDR) - (last.entry & PTE_ADDR)) >> PAGE_SHIFT if last.length == 1 else last.step
            found[-1] = last._replace(length=last.length + 1, step=step)
        else:
            found.append(Run(index, 1, entry, 0))
    return found


def _continues(run: Run, index: int, entry: int, pages: int) -> bool:
    if index != run.first + run.length or (entry ^ run.entry) & ~PTE_ADDR:
        return False
    if pages > 1 and not entry & PTE_PS:
        return False
    ahead = ((entry & PTE_ADDR) - (run.entry & PTE_ADDR)) >> PAGE_SHIFT
    return ahead in (0, pages) if run.length == 1 else ahead == run.step * run.length


def differences(old: Picture, new: Picture, bits_only: bool = False) -> list[Difference]:
    """Where two pictures disagree, by address, the upper levels first. With `bits_only` the frames do not matter."""
    ours, theirs = old.by_place(), new.by_place()
    empty = np.zeros(PTRS_PER_TABLE, np.uint64)
    found: list[Difference] = []
    for level, base in sorted(ours.keys() | theirs.keys()):
        a, b = ours.get((level, base)), theirs.get((level, base))
        x, y = (t.entries if t is not None else empty for t in (a, b))
        mask = _STICKY if bits_only else np.uint64(0xFFFF_FFFF_FFFF_FFFF)
        for index in np.flatnonzero((x & mask) != (y & mask)).tolist():
            address = base + (index << SHIFTS[level])
            tables = a.pfn if a else 0, b.pfn if b else 0
            found.append(Difference(level, address, index, int(x[index]), int(y[index]), *tables))
    return found


def who_maps(kernel: Kernel, pfn: int) -> FrameInfo:
    """Everything that leads to a frame: every address space, page cache and pin. Costs a look at all tables."""
    frames = kernel.frames
    mappings: list[Mapping] = []
    parents: list[tuple[int, int]] = []
    for tgid, mm in spaces(kernel).items():
        if mm.pt.pgd == pfn:
            parents.append((tgid, -1))
        for table in picture(mm).tables:
            _look(mm, tgid, table, pfn, mappings, parents)
    name, index = _cache_of(kernel, pfn)
    return FrameInfo(
        pfn, _role(kernel, pfn, bool(parents)), frames.references(pfn), frames.pins.get(pfn, 0), tuple(mappings),
        tuple(parents), name, index,
    )  # fmt: skip


def pages_of(mm: Mm, pfn: int) -> list[int]:
    """The addresses of the pages that an address space has mapped to a frame. Costs a look at its tables."""
    mappings: list[Mapping] = []
    for table in picture(mm).tables:
        _look(mm, 0, table, pfn, mappings, [])
    return [mapping.address for mapping in mappings]


def _look(mm: Mm, tgid: int, table: Table, pfn: int, mappings: list[Mapping], parents: list[tuple[int, int]]) -> None:
    pfns = (table.entries & np.uint64(PTE_ADDR)) >> np.uint64(PAGE_SHIFT)
    leaf = (table.entries & np.uint64(MAPPED)) != 0 if table.level == 3 else (table.entries & np.uint64(PTE_PS)) != 0
    size = 1 if table.level == 3 else GROUP
    hit = leaf & (pfns <= np.uint64(pfn)) & (pfns + np.uint64(size) > np.uint64(pfn)) & (table.entries != 0)
    for i in np.flatnonzero(hit).tolist():
        entry = int(table.entries[i])
        address = table.base + (i << SHIFTS[table.level]) + ((pfn - int(pfns[i])) << PAGE_SHIFT)
        mappings.append(Mapping(tgid, address, table.level, table.pfn, entry, table.references > 1))
    if table.level < 3:
        for i in np.flatnonzero(~leaf & (pfns == np.uint64(pfn)) & (table.entries != 0)).tolist():
            parents.append((tgid, table.pfn << 9 | i))


def _role(kernel: Kernel, pfn: int, is_table: bool) -> str:
    frames = kernel.frames
    if pfn == frames.zero_page:
        return "zero page"
    if pfn < frames.reserved:
        return "reserved"
    if is_table:
        return "table"
    return "page" if frames.counts[pfn] else "free"


def _cache_of(kernel: Kernel, pfn: int) -> tuple[str, int]:
    """(file, page index) of the page cache that holds a frame."""
    for cache in kernel.caches():
        for index, held in cache.pages.items():
            if held == pfn:
                return cache_name(kernel, cache), index
    return "", 0


def cache_name(kernel: Kernel, cache: object) -> str:
    """The name of a file by its page cache, as some mapping knows it; "a file" if none does."""
    for mm in spaces(kernel).values():
        for vma in mm.vmas:
            if vma.file is not None and vma.file.cache is cache:
                return vma.file.name
    return "a file"


def sharing(kernel: Kernel) -> list[Sharing]:
    """A summary for every process."""
    frames = kernel.frames
    pictures = {tgid: picture(mm) for tgid, mm in spaces(kernel).items()}
    users: dict[int, set[int]] = {}
    pages: dict[int, NDArray[np.int64]] = {}
    for tgid, tree in pictures.items():
        for table in tree.tables:
            if table.level == 3:
                users.setdefault(table.pfn, set()).add(tgid)
        pages[tgid] = _frames_of(tree, frames.zero_page)
    found: list[Sharing] = []
    for tgid, tree in pictures.items():
        ptes = [t for t in tree.tables if t.level == 3]
        shared = [t for t in ptes if t.references > 1]
        others = {user for t in shared for user in users[t.pfn]} - {tgid}
        mine = pages[tgid]
        common = np.zeros(len(mine), np.bool_)
        for other, theirs in pages.items():
            if other != tgid:
                both = np.isin(mine, theirs)
                common |= both
                if both.any():
                    others.add(other)
        unowned = sum(1 for t in shared if not t.owner)
        found.append(
            Sharing(tgid, len(ptes), len(shared), unowned, len(mine), int(common.sum()), tuple(sorted(others)))
        )
    return found


def _frames_of(tree: Picture, zero_page: int) -> NDArray[np.int64]:
    """The frames a tree maps, huge pages by their first."""
    parts = [np.empty(0, np.int64)]
    for table in tree.tables:
        entries = table.entries
        bit = np.uint64(MAPPED if table.level == 3 else PTE_PS)
        leaves = entries[(entries & bit) != 0] if table.level >= 2 else entries[:0]
        parts.append(((leaves & np.uint64(PTE_ADDR)) >> np.uint64(PAGE_SHIFT)).astype(np.int64))
    pfns = np.concatenate(parts)
    return pfns[pfns != zero_page]


def step_name(step: Step) -> str:
    """PGD, PUD, PMD or PTE."""
    return LEVEL_NAMES[step.level]
