"""pagemap and clear_refs (Linux Documentation/admin-guide/mm/pagemap.rst, fs/proc/task_mmu.c)."""

from typing import TYPE_CHECKING, Final

import numpy as np

from mini_kernel.errors import SysError
from mini_kernel.fs.file import File, SeekableFile, Views
from mini_kernel.fs.proc.node import SubjectFile, copy_out, place
from mini_kernel.fs.proc.usage import sharers
from mini_kernel.mm.frame import K_CACHE, FrameAllocator
from mini_kernel.mm.mm import Mm
from mini_kernel.mm.walk import Entries, frames_of, mapped, small_entries
from mini_kernel.uapi.errno import EINVAL, ESRCH
from mini_kernel.x86 import PAGE_SHIFT, PMD_SIZE, PTE_SOFT_DIRTY, TASK_SIZE

if TYPE_CHECKING:
    from mini_kernel.fs.path import Caller

ENTRY: Final = 8  # bytes for each page
PM_PRESENT: Final = 1 << 63
PM_FILE: Final = 1 << 61  # of a file or of shared memory
PM_EXCLUSIVE: Final = 1 << 56  # nobody else maps it
PM_SOFT_DIRTY: Final = 1 << 55
_CHUNK: Final = 1 << 17  # pages translated at once: 1 MiB of entries
_LENGTH: Final = (TASK_SIZE >> PAGE_SHIFT) * ENTRY


class Pagemap(SubjectFile):
    """/proc/PID/pagemap. It stays with the address space it was opened for, across execve(2) as well."""

    def open_data(self, flags: int, path: bytes, caller: "Caller") -> File:
        return OpenPagemap(self, flags, path, self.require_subject().mm, caller.fs.uid == 0)


class OpenPagemap(SeekableFile):
    """The entries of an address space, made as they are read; those who are not root see no frame numbers."""

    __slots__ = ("mm", "numbers")

    def __init__(self, inode: Pagemap, flags: int, path: bytes, mm: Mm | None, numbers: bool) -> None:
        super().__init__(inode, flags, path)
        self.mm = mm
        self.numbers = numbers

    def readable_at(self, n: int, offset: int) -> int:
        if offset % ENTRY or n % ENTRY:
            raise SysError(EINVAL)
        if self.mm is None or not self.mm.users:
            return 0
        return max(0, min(n, _LENGTH - offset))

    def read_at(self, views: Views, offset: int) -> int:
        mm = self.mm
        assert mm is not None
        left = list(views)
        wanted = sum(map(len, views)) // ENTRY  # whole entries: bad memory may have cut the last one off
        done = 0
        while done < wanted:
            pages = min(_CHUNK, wanted - done)
            entries = read_entries(mm, offset // ENTRY + done, pages, self.numbers)
            left = _fill(entries.view(np.uint8).data, left)
            done += pages
        return done * ENTRY

    def write_at(self, views: Views, offset: int) -> int:
        raise SysError(EINVAL)

    def seek(self, offset: int, whence: int) -> int:
        return place(self, offset, whence)


def _fill(data: memoryview, views: list[memoryview]) -> list[memoryview]:
    """Copy all of `data` into the first of `views`; what is left of them."""
    copied = copy_out(data, views)
    for i, view in enumerate(views):
        if copied < len(view):
            return [view[copied:], *views[i + 1 :]]
        copied -= len(view)
    return []


def read_entries(mm: Mm, first: int, pages: int, numbers: bool = True) -> Entries:
    """The pagemap entries of pages [first, first + pages). Looks at tables only."""
    start, end = first << PAGE_SHIFT, (first + pages) << PAGE_SHIFT
    out = np.zeros(pages, np.uint64)
    for r in mm.pt.tables_in(start, end):
        row = mm.frames.ram.tables[r.table, r.first : r.last]
        at = ((r.base - start) >> PAGE_SHIFT) + r.first
        out[at : at + len(row)] = _translate(mm.frames, row, mm.frames.counts[r.table], numbers)
    for base, leaf in mm.pt.leaves_over(start, end):
        lo, hi = max(start, base), min(end, base + PMD_SIZE)
        row = small_entries(leaf)[(lo - base) >> PAGE_SHIFT : (hi - base) >> PAGE_SHIFT]
        shared = mm.frames.counts[mm.pt.pmd_slot(base) >> 9]
        out[(lo - start) >> PAGE_SHIFT : (hi - start) >> PAGE_SHIFT] = _translate(mm.frames, row, shared, numbers)
    for vma in mm.overlapping(start, end):
        if not vma.soft_clean:
            part = slice(max(0, (vma.start - start) >> PAGE_SHIFT), (min(end, vma.end) - start) >> PAGE_SHIFT)
            out[part] |= np.uint64(PM_SOFT_DIRTY)
    return out


def _translate(frames: FrameAllocator, entries: Entries, table_count: int, numbers: bool) -> Entries:
    """Linux pte_to_pagemap_entry. The zero page is present, and nobody's."""
    out = np.zeros(len(entries), np.uint64)
    where = np.flatnonzero(mapped(entries))
    pfns = frames_of(entries[where])
    found = np.full(len(where), PM_PRESENT, np.uint64)
    if numbers:
        found |= pfns.astype(np.uint64)
    found[(entries[where] & np.uint64(PTE_SOFT_DIRTY)) != 0] |= np.uint64(PM_SOFT_DIRTY)
    found[(frames.kind[pfns] & K_CACHE) != 0] |= np.uint64(PM_FILE)
    alone = sharers(frames, pfns, np.full(len(pfns), table_count)) == 1
    found[alone & (pfns != frames.zero_page)] |= np.uint64(PM_EXCLUSIVE)
    out[where] = found
    return out


class ClearRefs(SubjectFile):
    """/proc/PID/clear_refs: 4 makes every page clean in the sense of soft-dirty.

    1 to 3 (forget which pages were used) and 5 (forget the peak) are taken and change nothing: use is not watched to
    choose pages to give up, and no peak is kept.
    """

    def store(self, data: bytes) -> None:
        text = data.strip()
        if not text.isdigit() or len(text) > 10 or not 1 <= int(text) <= 5:
            raise SysError(EINVAL)
        mm = self.require_subject().mm
        if mm is None:
            raise SysError(ESRCH)
        if int(text) == 4:
            mm.clear_soft_dirty()
