"""Directed cases, each compared with the whole tree: what is mapped where, to which frame, with which rights."""

import pytest
from mm_helpers import (
    PAGE,
    PRIVATE,
    RW,
    SHARED,
    Frames,
    areas,
    at,
    check_all,
    errno_of,
    file_space,
    flushes,
    leaves,
    mapping_of,
    new_mm,
    refusal,
    space,
)

from mini_kernel.errors import KernelBug
from mini_kernel.mm import advise, fault, fork, mmap, protect, remap, teardown, uaccess
from mini_kernel.mm.mm import MMAP_BASE
from mini_kernel.uapi import mman
from mini_kernel.uapi.errno import EFAULT
from mini_kernel.uapi.signal import BUS_ADRERR, SEGV_ACCERR, SEGV_MAPERR, SIGBUS, SIGSEGV
from mini_kernel.x86 import PTE_D, TASK_SIZE

READ, WRITE, FETCH = 4, 6, 20
FIXED = mman.MAP_FIXED


def test_a_read_of_untouched_memory_maps_the_zero_page() -> None:
    """Rung zero_page: no frame is spent, W is clear although the area is writable."""
    mm, frames = space(), Frames()
    used = mm.frames.in_use
    assert fault.handle(mm, at(0), READ) == "zero_page"
    frames.check_mappings(mm, (0, "zero", "r"))
    assert mm.frames.in_use - used == 3, "a table of each lower level, no data frame"
    assert mm.rss == 0


def test_a_write_to_untouched_memory_takes_a_frame() -> None:
    """Rung demand_zero: a zeroed frame, writable and dirty at once."""
    mm, frames = space(), Frames()
    assert fault.handle(mm, at(1), WRITE) == "demand_zero"
    frames.check_mappings(mm, (1, "a", "rw"))
    assert mm.rss_anon == 1
    assert next(leaves(mm))[1] & PTE_D


def test_a_write_to_the_zero_page_copies() -> None:
    """Rung cow_copy from the zero page: a frame of its own and a flush, as the read translation is cached."""
    mm, frames = space(), Frames()
    fault.handle(mm, at(0), READ)
    before = flushes(mm)
    assert fault.handle(mm, at(0), WRITE | 1) == "cow_copy"
    frames.check_mappings(mm, (0, "a", "rw"))
    assert flushes(mm) > before
    assert mm.rss_anon == 1


def test_the_first_writer_after_a_fork_copies_and_the_second_reuses() -> None:
    """Rungs cow_copy and cow_reuse: contents stay apart, the last owner keeps its frame without a copy."""
    mm, frames = space(), Frames()
    uaccess.write(mm, at(0), b"parent")
    child = fork.fork_mm(mm)
    frames.check_mappings(mm, (0, "a", "r"))
    frames.check_mappings(child, (0, "a", "r"))
    before = flushes(mm)
    assert fault.handle(child, at(0), WRITE | 1) == "cow_copy"
    assert flushes(mm) > before
    uaccess.write(child, at(0), b"child!")
    frames.check_mappings(mm, (0, "a", "r"))
    frames.check_mappings(child, (0, "b", "rw"))
    allocated = mm.frames.allocated
    assert fault.handle(mm, at(0), WRITE | 1) == "cow_reuse"
    assert mm.frames.allocated == allocated
    frames.check_mappings(mm, (0, "a", "rw"))
    assert (uaccess.read(mm, at(0), 6), uaccess.read(child, at(0), 6)) == (b"parent", b"child!")
    check_all(mm, child)


def test_fork_flushes_because_the_parent_loses_its_write_bits() -> None:
    """F14: the parent's very next write faults."""
    mm = space()
    uaccess.write(mm, at(0), b"x")
    before = flushes(mm)
    fork.fork_mm(mm)
    assert flushes(mm) > before


def test_private_pages_of_a_file_are_shared_until_written() -> None:
    """Rung file, private: the cache's frame read-only, then a copy; a write first of all copies at once."""
    mm, file = file_space(mman.MAP_PRIVATE)
    frames = Frames()
    file.cache.write(0, b"content")
    assert fault.handle(mm, at(0), READ) == "file"
    frames.check_mappings(mm, (0, "a", "r"))
    assert mm.rss_file == 1
    assert fault.handle(mm, at(0), WRITE | 1) == "cow_copy"
    frames.check_mappings(mm, (0, "b", "rw"))
    assert (mm.rss_file, mm.rss_anon) == (0, 1)
    assert fault.handle(mm, at(1), WRITE) == "file"
    frames.check_mappings(mm, (0, "b", "rw"), (1, "c", "rw"))
    uaccess.write(mm, at(0), b"changed")
    assert file.cache.read(0, 7) == b"content"
    check_all(mm, files=(file,))


def test_shared_pages_of_a_file_are_the_file() -> None:
    """Rung file, shared: the cache's own frame, writable; what one side writes the other reads."""
    mm, file = file_space(mman.MAP_SHARED)
    frames = Frames()
    assert fault.handle(mm, at(2), WRITE) == "file"
    assert fault.handle(mm, at(0), READ) == "file"
    frames.check_mappings(mm, (0, "a", "rw"), (2, "b", "rw"))
    uaccess.write(mm, at(2), b"mapped")
    assert file.cache.read(2 * PAGE, 6) == b"mapped"
    file.cache.write(2 * PAGE, b"called")
    assert uaccess.read(mm, at(2), 6) == b"called"
    assert mm.rss_file == 2
    check_all(mm)


def test_fork_leaves_shared_memory_shared_and_writable() -> None:
    """MAP_SHARED entries keep W, in parent and child, and the frames gain a reference each."""
    mm, frames = space(flags=SHARED), Frames()
    uaccess.write(mm, at(0), b"x")
    child = fork.fork_mm(mm)
    for one in (mm, child):
        frames.check_mappings(one, (0, "a", "rw"))
    uaccess.write(child, at(3), b"y")
    assert uaccess.read(mm, at(3), 1) == b"y"
    check_all(mm, child)


def test_a_shared_page_without_its_write_bit_gets_it_back_by_a_fault() -> None:
    """Rung shared_write, after a trip through PROT_READ."""
    mm, file = file_space(mman.MAP_SHARED)
    fault.handle(mm, at(0), READ)
    slot = mm.pt.slot(at(0))
    mm.frames.ram.words[slot] &= ~2
    assert fault.handle(mm, at(0), WRITE | 1) == "shared_write"
    Frames().check_mappings(mm, (0, "a", "rw"))
    check_all(mm, files=(file,))


def test_a_fault_that_the_tables_do_not_explain_is_a_kernel_bug() -> None:
    """Every right that is taken away is flushed at once, so a translation older than the tables cannot fault."""
    mm = space()
    fault.handle(mm, at(0), WRITE)
    with pytest.raises(KernelBug):
        fault.handle(mm, at(0), WRITE | 1)


def test_accesses_the_area_forbids_are_refused_with_accerr() -> None:
    """F37, F38: SIGSEGV, SEGV_ACCERR for writes, fetches and any access to PROT_NONE; nothing is mapped by it."""
    for prot, error in ((1, WRITE), (RW, FETCH), (0, READ), (0, WRITE), (5, WRITE)):
        mm = space(prot=prot)
        assert refusal(mm, at(0), error) == (SIGSEGV, SEGV_ACCERR, "protection")
        Frames().check_mappings(mm)
    for prot, error in ((2, READ), (4, READ), (4, FETCH)):
        assert fault.handle(space(prot=prot), at(0), error)


def test_accesses_outside_every_area_are_refused_with_maperr() -> None:
    """SIGSEGV, SEGV_MAPERR below, between and above."""
    mm = space()
    for address in (at(-1), at(4), 0, TASK_SIZE - 1):
        assert refusal(mm, address, READ) == (SIGSEGV, SEGV_MAPERR, "unmapped")


def test_accesses_behind_the_end_of_the_file_are_bus_errors() -> None:
    """SIGBUS, BUS_ADRERR from the first page that holds nothing of the file; the last partial page is fine."""
    mm, file = file_space(mman.MAP_PRIVATE)
    file.cache.truncate(PAGE + 1)
    assert fault.handle(mm, at(1), READ) == "file"
    assert refusal(mm, at(2), READ) == (SIGBUS, BUS_ADRERR, "bus")
    assert errno_of(uaccess.read, mm, at(2), 1) == EFAULT


def test_mprotect_splits_and_merges() -> None:
    """A change in the middle makes three areas, undoing it one; pages and frames stay."""
    mm, frames = space(5), Frames()
    for n in range(5):
        uaccess.write(mm, at(n), bytes([n + 1]))
    before = flushes(mm)
    protect.mprotect(mm, at(1), 2 * PAGE, 1)
    assert flushes(mm) > before
    assert areas(mm) == [(0, 1, 3), (1, 3, 1), (3, 5, 3)]
    frames.check_mappings(mm, *((n, "abcde"[n], "r" if n in (1, 2) else "rw") for n in range(5)))
    protect.mprotect(mm, at(1), 2 * PAGE, 3)
    assert areas(mm) == [(0, 5, 3)]
    assert uaccess.read(mm, at(2), 1) == b"\3"
    check_all(mm)


def test_a_split_file_mapping_shows_the_same_pages_and_merges_again() -> None:
    """The offset of the upper part counts from the split; the file has a reference for each area."""
    mm, file = file_space(mman.MAP_PRIVATE)
    for n in range(4):
        file.cache.write(n * PAGE, bytes([n + 1]))
    protect.mprotect(mm, at(1), 2 * PAGE, 0)
    protect.mprotect(mm, at(2), PAGE, 1)
    assert [(v.pgoff, v.flags & 7) for v in mm.vmas] == [(0, 3), (1, 0), (2, 1), (3, 3)]
    assert file.users == len(file.cache.mappings) == 4
    assert [uaccess.read(mm, at(n), 1) for n in (0, 2, 3)] == [b"\1", b"\3", b"\4"]
    protect.mprotect(mm, at(1), 2 * PAGE, 3)
    assert [(v.pgoff, v.pages) for v in mm.vmas] == [(0, 4)]
    assert file.users == len(file.cache.mappings) == 1
    mmap.munmap(mm, at(0), 4 * PAGE)
    assert file.users == len(file.cache.mappings) == 0


def test_prot_none_keeps_the_pages() -> None:
    """A round trip through PROT_NONE loses nothing, in private memory, in shared memory, and across a fork."""
    for flags in (PRIVATE, SHARED):
        mm, frames = space(flags=flags), Frames()
        uaccess.write(mm, at(1), b"kept")
        protect.mprotect(mm, at(0), 4 * PAGE, 0)
        frames.check_mappings(mm, (1, "a", "-"))
        assert mm.rss == 1
        assert errno_of(uaccess.read, mm, at(1), 4) == EFAULT
        child = fork.fork_mm(mm)
        frames.check_mappings(child, (1, "a", "-"))
        protect.mprotect(child, at(0), 4 * PAGE, RW)
        frames.check_mappings(child, (1, "a", "rw" if flags == SHARED else "r"))
        uaccess.write(child, at(1), b"KEPT")
        protect.mprotect(mm, at(0), 4 * PAGE, RW)
        assert uaccess.read(mm, at(1), 4) == (b"KEPT" if flags == SHARED else b"kept")
        check_all(mm, child)


def test_a_thousand_toggles_change_no_count() -> None:
    """F57: tables, areas, frames and resident pages are the same after 1000 mprotect calls."""
    mm = space(6)
    for n in range(6):
        uaccess.write(mm, at(n), b"x")
    before = (mm.pt.tables, len(mm.vmas), mm.frames.in_use, mm.rss, mapping_of(mm).keys())
    for i in range(1000):
        protect.mprotect(mm, at(i % 5), (1 + i % 2) * PAGE, (1, 3, 0, 5)[i % 4])
    protect.mprotect(mm, at(0), 6 * PAGE, RW)
    assert (mm.pt.tables, len(mm.vmas), mm.frames.in_use, mm.rss, mapping_of(mm).keys()) == before
    check_all(mm)


def test_munmap_frees_pages_and_tables() -> None:
    """A hole in the middle keeps the rest; the last page takes the tables with it, over whole tables as well."""
    mm, frames = space(1030), Frames()
    fault.populate(mm, at(0), at(3), True)
    uaccess.write(mm, at(1029), b"x")
    fault.populate(mm, at(1), at(514), True)
    assert mm.pt.tables == 1 + 1 + 2 + 4  # PGD, PUD table; PMD tables on both sides of the 1 GiB boundary; PTE tables
    before = flushes(mm)
    mmap.munmap(mm, at(1), 1028 * PAGE)
    assert flushes(mm) > before
    frames.check_mappings(mm, (0, "a", "rw"), (1029, "b", "rw"))
    assert areas(mm) == [(0, 1, 3), (1029, 1030, 3)]
    check_all(mm)
    mmap.munmap(mm, 0, TASK_SIZE)
    assert (mm.pt.tables, mm.rss, mm.vmas) == (1, 0, [])
    assert mm.frames.in_use == 2


def test_the_highest_gap_is_taken() -> None:
    """mmap without a hint fills from the top, and a freed range of the right size is used again."""
    mm = new_mm()
    a = mmap.mmap(mm, 0, 3 * PAGE, RW, PRIVATE)
    b = mmap.mmap(mm, 0, 2 * PAGE, 1, PRIVATE)
    c = mmap.mmap(mm, 0, PAGE, RW, PRIVATE)
    assert (a, b, c) == (MMAP_BASE - 3 * PAGE, a - 2 * PAGE, b - PAGE)
    mmap.munmap(mm, b, 2 * PAGE)
    assert mmap.mmap(mm, 0, 3 * PAGE, 1, PRIVATE) == c - 3 * PAGE
    assert mmap.mmap(mm, 0, 2 * PAGE, 1, PRIVATE) == b
    assert mmap.mmap(mm, b, PAGE, 1, PRIVATE) == c - 4 * PAGE, "a hint that is taken counts for nothing"
    assert mmap.mmap(mm, 0x1234_5678, PAGE, 1, PRIVATE) == 0x1234_5000, "a free one is rounded down"
    check_all(mm)


def test_mremap_moves_frames_not_bytes() -> None:
    """The same frames appear at the new address, in other tables; the old range and its tables are gone."""
    mm, frames = space(3), Frames()
    uaccess.write(mm, at(0), b"one")
    uaccess.write(mm, at(2), b"three")
    frames.check_mappings(mm, (0, "a", "rw"), (2, "b", "rw"))
    tables, before = mm.pt.tables, flushes(mm)
    new = at(600)
    assert remap.mremap(mm, at(0), 3 * PAGE, 5 * PAGE, 3, new) == new
    assert flushes(mm) > before
    frames.check_mappings(mm, (600, "a", "rw"), (602, "b", "rw"))
    assert areas(mm) == [(600, 605, 3)]
    assert mm.pt.tables < tables, "one side of the 1 GiB boundary is enough now"
    assert remap.mremap(mm, new, 5 * PAGE, 3 * PAGE, 0) == new
    assert remap.mremap(mm, new, 3 * PAGE, 4 * PAGE, 0) == new
    assert areas(mm) == [(600, 604, 3)]
    check_all(mm)


def test_mremap_of_length_zero_shows_shared_memory_twice() -> None:
    """old_length 0 duplicates a shared area; both show the same frames, and each is freed once in the end."""
    mm, frames = space(2, flags=SHARED), Frames()
    uaccess.write(mm, at(0), b"x")
    remap.mremap(mm, at(0), 0, 2 * PAGE, 3, at(4))
    assert fault.handle(mm, at(4), READ) == "file"
    frames.check_mappings(mm, (0, "a", "rw"), (4, "a", "rw"))
    check_all(mm)
    teardown.destroy(mm)
    assert mm.frames.used().tolist() == [mm.frames.zero_page]


def test_areas_kept_from_the_child_do_not_disturb_their_neighbours() -> None:
    """F21: DONTFORK is a hole in the child, WIPEONFORK reads zeros; the parent keeps even the write bits there."""
    mm, frames = space(8), Frames()
    for n in range(8):
        uaccess.write(mm, at(n), bytes([n + 1]))
    advise.madvise(mm, at(2), PAGE, mman.MADV_DONTFORK)
    advise.madvise(mm, at(4), 2 * PAGE, mman.MADV_WIPEONFORK)
    frames.check_mappings(mm, *((n, "abcdefgh"[n], "rw") for n in range(8)))
    child = fork.fork_mm(mm)
    frames.check_mappings(mm, *((n, "abcdefgh"[n], "rw" if n in (2, 4, 5) else "r") for n in range(8)))
    frames.check_mappings(child, *((n, "abcdefgh"[n], "r") for n in (0, 1, 3, 6, 7)))
    assert child.rss == 5
    assert refusal(child, at(2), READ) == (SIGSEGV, SEGV_MAPERR, "unmapped")
    assert uaccess.read(child, at(4), 2 * PAGE) == bytes(2 * PAGE)
    assert uaccess.read(mm, at(4), 1) == b"\5"
    check_all(mm, child)


def test_fork_copies_every_table_and_exit_frees_it() -> None:
    """As many tables in the child as in the parent, all its own; after both exits only the zero page is in use."""
    mm = space(1030)
    fault.populate(mm, at(0), at(1030), True)
    before = mm.frames.in_use
    child = fork.fork_mm(mm)
    assert child.pt.tables == mm.pt.tables == mm.frames.in_use - before
    assert mapping_of(child) == mapping_of(mm)
    check_all(mm, child)
    teardown.destroy(mm)
    check_all(child)
    assert uaccess.read(child, at(1029), 4) == bytes(4)
    teardown.destroy(child)
    assert child.frames.used().tolist() == [child.frames.zero_page]


def test_locks_are_not_inherited() -> None:
    """A child starts unlocked, and areas that differed only in that are one."""
    mm = space(4)
    advise.mlock(mm, at(1), PAGE)
    mm.lock_future = 0x2000
    child = fork.fork_mm(mm)
    assert (len(mm.vmas), mm.locked_pages()) == (3, 1)
    assert (len(child.vmas), child.locked_pages(), child.lock_future) == (1, 0, 0)
    check_all(mm, child)
