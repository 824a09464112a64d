"""Pages of 2 MiB: groups of frames, leaves in PMD tables, their sharing by fork, and what splits them (F26)."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from huge_helpers import HUGE, PAGES, HugeFrames, counts_of, leaf_at, new_huge_mm, region, see, store
from mm_helpers import PAGE, PRIVATE, RW, SHARED, check_all, errno_of, state_of

from mini_kernel.errors import KernelBug, SysError
from mini_kernel.mm import advise, fault, mmap, protect, remap, teardown, uaccess
from mini_kernel.mm.fork import fork_mm
from mini_kernel.mm.frame import K_CODE
from mini_kernel.mm.mm import Mm
from mini_kernel.mm.odf import odfork_mm
from mini_kernel.mm.pin import pin_pages
from mini_kernel.uapi import mman
from mini_kernel.uapi.errno import EAGAIN, EINVAL, ENOMEM
from mini_kernel.uapi.signal import SIGBUS, SIGKILL, SIGSEGV
from mini_kernel.x86 import PTE_A, PTE_D, PTE_W

AT = 5 << 30  # a boundary of 1 GiB
FORKS = pytest.mark.parametrize("fork", [fork_mm, odfork_mm], ids=["classic", "odf"])
BOTH = pytest.mark.parametrize("flags", [PRIVATE | mman.MAP_HUGETLB, PRIVATE], ids=["hugetlb", "thp"])
HUGETLB, HUGE_SHARED = PRIVATE | mman.MAP_HUGETLB, SHARED | mman.MAP_HUGETLB
WRITE, READ = 6, 4
Fork = Callable[[Mm], Mm]


# -- first touch -------------------------------------------------------------------------------------


@BOTH
def test_a_write_gives_one_leaf_and_512_pages_of_rss(flags: int) -> None:
    """One fault maps 2 MiB: zeroed, dirty, in no PTE table."""
    mm = new_huge_mm()
    region(mm, AT, 2, flags)
    assert fault.handle(mm, AT + 5 * PAGE, WRITE) == "huge_zero"
    leaf = leaf_at(mm, AT)
    assert leaf & (PTE_W | PTE_A | PTE_D) == PTE_W | PTE_A | PTE_D
    assert (mm.rss_anon, mm.rss_file, mm.pt.tables) == (PAGES, 0, 3)
    assert not leaf_at(mm, AT + HUGE)
    check_all(mm)


def test_a_read_of_hugetlb_gives_a_page_that_the_first_write_makes_writable() -> None:
    """There is no huge page of zeros; the write finds the page to be nobody else's (Linux hugetlb_wp)."""
    mm = new_huge_mm()
    region(mm, AT, 1, HUGETLB)
    assert fault.handle(mm, AT, READ) == "huge_zero"
    assert not leaf_at(mm, AT) & PTE_W
    assert fault.handle(mm, AT, WRITE | 1) == "cow_reuse"
    check_all(mm)


def test_a_read_of_thp_gives_the_small_page_of_zeros() -> None:
    """Only writes bring transparent huge pages; a PTE table that is there keeps them away."""
    mm = new_huge_mm()
    region(mm, AT, 1, PRIVATE)
    assert fault.handle(mm, AT, READ) == "zero_page"
    assert fault.handle(mm, AT + PAGE, WRITE) == "demand_zero"
    check_all(mm)


@pytest.mark.parametrize(("thp", "advice", "huge"), [
    ("never", 0, False), ("never", mman.MADV_HUGEPAGE, False), ("madvise", 0, False),
    ("madvise", mman.MADV_HUGEPAGE, True), ("always", 0, True), ("always", mman.MADV_NOHUGEPAGE, False),
])  # fmt: skip
def test_the_policy_and_the_advice_decide(thp: str, advice: int, huge: bool) -> None:
    """never, madvise, always; MADV_HUGEPAGE and MADV_NOHUGEPAGE."""
    mm = new_huge_mm(thp=thp)
    region(mm, AT, 2, PRIVATE)
    if advice:
        advise.madvise(mm, AT, 2 * HUGE, advice)
    assert fault.handle(mm, AT, WRITE) == ("huge_zero" if huge else "demand_zero")
    check_all(mm)


def test_an_area_that_does_not_cover_2_mib_gets_small_pages() -> None:
    """A huge page never reaches out of its area."""
    mm = new_huge_mm()
    mmap.mmap(mm, AT + PAGE, 2 * HUGE, RW, PRIVATE | mman.MAP_FIXED)
    assert fault.handle(mm, AT + PAGE, WRITE) == "demand_zero"
    assert fault.handle(mm, AT + HUGE, WRITE) == "huge_zero"
    assert fault.handle(mm, AT + 2 * HUGE, WRITE) == "demand_zero"
    check_all(mm)


def test_without_a_group_thp_takes_small_pages_and_hugetlb_dies_by_sigbus() -> None:
    """A transparent huge page is a favour; MAP_HUGETLB has nothing to fall back on (F40 for huge pages)."""
    mm = new_huge_mm(mib=6)
    region(mm, AT, 1, PRIVATE)
    region(mm, AT + HUGE, 1, HUGETLB | mman.MAP_NORESERVE)
    held = mm.frames.alloc_groups(mm.frames.group_limit())
    before = state_of(mm)
    with pytest.raises(fault.BadAccess) as bad:
        fault.handle(mm, AT + HUGE, WRITE)
    assert (bad.value.signal, bad.value.fault_class) == (SIGBUS, "bus")
    assert state_of(mm) == before
    assert fault.handle(mm, AT, WRITE) == "demand_zero"
    mm.frames.put_groups(held)
    assert fault.handle(mm, AT + HUGE, WRITE) == "huge_zero"
    check_all(mm)


def test_a_page_for_code_is_marked() -> None:
    """All 512 frames of an executable area are known to hold code (R9)."""
    mm = new_huge_mm()
    region(mm, AT, 1, PRIVATE, prot=7)
    fault.handle(mm, AT, WRITE)
    first = counts_of(mm, AT).first
    assert (mm.frames.kind[first : first + PAGES] & K_CODE).all()


# -- fork --------------------------------------------------------------------------------------------


@BOTH
def test_F26a_classic_fork_shares_a_huge_page_by_one_entry_and_one_count(flags: int) -> None:
    """W=0 in both leaves, the group counted twice, no count of a frame touched, no page copied."""
    mm = new_huge_mm()
    region(mm, AT, 2, flags)
    store(mm, AT, 1)
    child = fork_mm(mm)
    assert leaf_at(mm, AT) == leaf_at(child, AT)
    assert not leaf_at(mm, AT) & PTE_W
    assert counts_of(mm, AT) == counts_of(child, AT)
    assert (counts_of(mm, AT).leaves, counts_of(mm, AT).frames) == (2, {1})
    assert child.rss_anon == PAGES
    check_all(mm, child)


def test_F26b_a_write_to_a_shared_hugetlb_page_copies_2_mib() -> None:
    """The writer gets a page of its own; the other reuses what is left to it."""
    mm = new_huge_mm()
    region(mm, AT, 1, HUGETLB)
    store(mm, AT + 7 * PAGE, 7)
    child = fork_mm(mm)
    assert fault.handle(child, AT, WRITE | 1) == "huge_copy"
    assert see(child, AT + 7 * PAGE) == 7
    assert counts_of(mm, AT).leaves == counts_of(child, AT).leaves == 1
    assert fault.handle(mm, AT, WRITE | 1) == "cow_reuse"
    check_all(mm, child)


def test_F26c_a_write_to_a_shared_thp_splits_it_and_copies_4_kib() -> None:
    """The writer's 2 MiB become 512 PTEs, one of them of a new frame; the other keeps its leaf."""
    mm = new_huge_mm()
    region(mm, AT, 1, PRIVATE)
    store(mm, AT + 7 * PAGE, 7)
    child = fork_mm(mm)
    assert fault.handle(child, AT + 9 * PAGE, WRITE | 1) == "huge_split"
    assert not leaf_at(child, AT)
    assert child.pt.costs.huge_split == child.pt.costs.pages_copied == 1
    assert see(child, AT + 7 * PAGE) == 7
    assert counts_of(mm, AT).leaves == 1
    assert sorted(counts_of(mm, AT).frames) == [1, 2]
    assert fault.handle(mm, AT, WRITE | 1) == "huge_split", "the child still has PTEs of it"
    check_all(mm, child)


def test_F26d_the_last_user_of_a_thp_reuses_it_whole() -> None:
    """When nobody else maps any part of it, a write needs no split."""
    mm = new_huge_mm()
    region(mm, AT, 1, PRIVATE)
    store(mm, AT, 1)
    child = fork_mm(mm)
    store(child, AT, 2)
    teardown.destroy(child)
    assert fault.handle(mm, AT, WRITE | 1) == "cow_reuse"
    assert leaf_at(mm, AT) & PTE_W
    check_all(mm)


@FORKS
def test_F26e_shared_huge_pages_stay_shared(fork: Fork) -> None:
    """MAP_SHARED|MAP_HUGETLB: both see every write, nothing is ever copied, whoever writes first."""
    mm = new_huge_mm()
    region(mm, AT, 2, HUGE_SHARED)
    store(mm, AT, 1)
    child = fork(mm)
    store(child, AT + PAGE, 2)
    store(mm, AT, 3)
    store(child, AT + HUGE, 4)
    assert [see(mm, AT + PAGE), see(child, AT), see(mm, AT + HUGE)] == [2, 3, 4]
    assert mm.pt.costs.huge_copied == child.pt.costs.huge_copied == 0
    check_all(mm, child)


@pytest.mark.parametrize("flags", [HUGETLB, HUGE_SHARED, PRIVATE])
@FORKS
def test_F26f_dontfork_and_wipeonfork(fork: Fork, flags: int) -> None:
    """A huge page that is not to be inherited is not; its neighbours are (F21, F22)."""
    mm = new_huge_mm()
    region(mm, AT, 3, flags)
    for i in range(3):
        store(mm, AT + i * HUGE, i + 1)
    advise.madvise(mm, AT, HUGE, mman.MADV_DONTFORK)
    wipe = errno_of(advise.madvise, mm, AT + HUGE, HUGE, mman.MADV_WIPEONFORK)
    assert wipe == (0 if flags == PRIVATE else EINVAL)
    child = fork(mm)
    check_all(mm, child)
    with pytest.raises(fault.BadAccess) as bad:
        fault.handle(child, AT, READ)
    assert bad.value.signal == SIGSEGV
    assert see(child, AT + HUGE) == (2 if wipe else 0)
    assert see(child, AT + 2 * HUGE) == 3
    assert [see(mm, AT + i * HUGE) for i in range(3)] == [1, 2, 3]
    check_all(mm, child)


@BOTH
@FORKS
def test_F26g_a_pinned_huge_page_stays_the_pinners_and_the_child_gets_a_copy(fork: Fork, flags: int) -> None:
    """As for small pages (F20, F92): the frame that was pinned is still the parent's after fork."""
    mm = new_huge_mm()
    region(mm, AT, 2, flags)
    store(mm, AT + PAGE, 1)
    store(mm, AT + HUGE, 2)
    (pfn,) = pin_pages(mm, AT + PAGE, 10)
    assert leaf_at(mm, AT), "pinning splits nothing"
    child = fork(mm)
    check_all(mm, child)
    store(mm, AT + PAGE, 5)
    assert mm.frames.ram.data[pfn << 12] == 5
    assert [see(child, AT + PAGE), see(child, AT + HUGE)] == [1, 2]
    mm.frames.unpin(pfn)
    grandchild = fork(mm)
    check_all(mm, child, grandchild)


# -- sharing PMD tables ------------------------------------------------------------------------------


@BOTH
def test_F26h_odfork_shares_the_pmd_table(flags: int) -> None:
    """One level up from F13: T.ref == 2, W=0 in both PUD entries, the leaves untouched, no new PMD table."""
    mm = new_huge_mm()
    region(mm, AT, 3, flags)
    for i in range(3):
        store(mm, AT + i * HUGE, i + 1)
    before, leaf = mm.pt.tables, leaf_at(mm, AT)
    child = odfork_mm(mm)
    table = mm.pt.pmd_slot(AT) >> 9
    assert child.pt.pmd_slot(AT) >> 9 == table
    assert mm.frames.counts[table] == 2
    assert mm.frames.ram.words[mm.pt.pud_slot(AT)] == mm.frames.ram.words[child.pt.pud_slot(AT)]
    assert not mm.frames.ram.words[mm.pt.pud_slot(AT)] & PTE_W
    assert leaf_at(mm, AT) == leaf
    assert counts_of(mm, AT).leaves == 1
    assert (mm.pt.tables, child.pt.tables, mm.rss, child.rss) == (before, 2, 3 * PAGES, 0)
    assert mm.pt.costs.tables_shared == 1
    check_all(mm, child)


def test_F26i_a_pmd_table_with_small_pages_below_is_copied() -> None:
    """Then its PTE tables are shared, and its leaves by COW."""
    mm = new_huge_mm()
    region(mm, AT, 2, HUGETLB)
    mmap.mmap(mm, AT + 2 * HUGE, PAGE, RW, PRIVATE | mman.MAP_FIXED)
    for i in range(3):
        store(mm, AT + i * HUGE, i + 1)
    child = odfork_mm(mm)
    assert child.pt.pmd_slot(AT) >> 9 != mm.pt.pmd_slot(AT) >> 9
    assert child.pt.slot(AT + 2 * HUGE) == mm.pt.slot(AT + 2 * HUGE)
    assert counts_of(mm, AT).leaves == 2
    assert (child.rss_anon, mm.rss_anon) == (2 * PAGES, 2 * PAGES + 1)
    check_all(mm, child)
    store(child, AT, 9)
    store(child, AT + 2 * HUGE, 9)
    assert [see(mm, AT), see(mm, AT + 2 * HUGE)] == [1, 3]
    check_all(mm, child)


def test_F26j_a_write_breaks_the_pmd_table_and_copies_the_page_in_one_fault() -> None:
    """F32 one level up: every group in it counted once more, private leaves W=0 in both tables."""
    mm = new_huge_mm()
    region(mm, AT, 3, HUGETLB)
    for i in range(3):
        store(mm, AT + i * HUGE, i + 1)
    child = odfork_mm(mm)
    assert fault.handle(child, AT, WRITE | 1) == "table_break"
    assert child.pt.pmd_slot(AT) >> 9 != mm.pt.pmd_slot(AT) >> 9
    assert [counts_of(mm, AT + i * HUGE).leaves for i in range(3)] == [1, 2, 2]
    assert not leaf_at(mm, AT + HUGE) & PTE_W
    assert not leaf_at(child, AT + HUGE) & PTE_W
    assert child.rss_anon == mm.rss_anon == 3 * PAGES
    check_all(mm, child)
    assert fault.handle(mm, AT, WRITE | 1) == "table_reuse"
    check_all(mm, child)


def test_F26k_the_last_user_takes_the_pmd_table_back_without_a_copy() -> None:
    """F34, F70: after the child's exit the parent's next write is a table_reuse, its page as writable as before."""
    mm = new_huge_mm()
    region(mm, AT, 1, HUGETLB)
    store(mm, AT, 1)
    child = odfork_mm(mm)
    teardown.destroy(child)
    check_all(mm)
    assert fault.handle(mm, AT, WRITE | 1) == "table_reuse"
    assert mm.pt.costs.huge_copied == 0
    check_all(mm)


def test_F26l_a_child_that_outlives_its_parent_owns_what_it_takes_back() -> None:
    """F71, F81: without an owner until the child writes."""
    mm = new_huge_mm()
    region(mm, AT, 2, HUGETLB)
    store(mm, AT, 1)
    child = odfork_mm(mm)
    teardown.destroy(mm)
    assert child.rss == 0
    check_all(child)
    store(child, AT, 2)
    assert child.rss_anon == PAGES
    check_all(child)


def test_F26m_chained_forks_count_pud_entries() -> None:
    """F16: T.ref == 3 without a new table, and a page that is COW stays COW (F18)."""
    mm = new_huge_mm()
    region(mm, AT, 1, HUGETLB)
    store(mm, AT, 1)
    child = odfork_mm(mm)
    grandchild = odfork_mm(child)
    assert mm.frames.counts[mm.pt.pmd_slot(AT) >> 9] == 3
    check_all(mm, child, grandchild)
    store(grandchild, AT, 3)
    store(child, AT, 2)
    assert [see(m, AT) for m in (mm, child, grandchild)] == [1, 2, 3]
    check_all(mm, child, grandchild)


def test_F26n_classic_fork_copies_from_a_shared_pmd_table() -> None:
    """F10: the table stays shared between those who share it."""
    mm = new_huge_mm()
    region(mm, AT, 1, HUGETLB)
    store(mm, AT, 1)
    child = odfork_mm(mm)
    other = fork_mm(mm)
    assert mm.frames.counts[mm.pt.pmd_slot(AT) >> 9] == 2
    assert counts_of(mm, AT).leaves == 2
    check_all(mm, child, other)
    for n, m in enumerate((mm, child, other)):
        store(m, AT, n + 10)
    assert [see(m, AT) for m in (mm, child, other)] == [10, 11, 12]
    check_all(mm, child, other)


def _munmap_part(mm: Mm) -> None:
    mmap.munmap(mm, AT + HUGE, HUGE)


OPERATIONS: list[Callable[[Mm], Any]] = [
    _munmap_part,
    lambda mm: protect.mprotect(mm, AT + HUGE, HUGE, mman.PROT_READ),
    lambda mm: advise.madvise(mm, AT + HUGE, HUGE, mman.MADV_DONTNEED),
    lambda mm: remap.mremap(mm, AT + HUGE, HUGE, HUGE, 3, AT + (2 << 30)),
    lambda mm: mmap.mmap(mm, AT + HUGE, HUGE, RW, HUGETLB | mman.MAP_FIXED),
    lambda mm: mmap.mmap(mm, AT + HUGE, HUGE, RW, PRIVATE | mman.MAP_FIXED),
    lambda mm: mmap.munmap(mm, AT, 3 * HUGE),
    lambda mm: advise.madvise(mm, AT, 3 * HUGE, mman.MADV_DONTNEED),
    lambda mm: advise.madvise(mm, AT + HUGE, HUGE, mman.MADV_DONTFORK),
    lambda mm: uaccess.write(mm, AT + 2 * HUGE - 2, b"abcd"),
    lambda mm: mm.clear_soft_dirty(),
]


@pytest.mark.parametrize("operation", OPERATIONS)
@BOTH
def test_F26o_no_operation_reaches_through_a_shared_pmd_table(operation: Callable[[Mm], Any], flags: int) -> None:
    """F50 to F60: the sharer keeps its pages, its rights and its counts, and forks go on being right."""
    mm = new_huge_mm()
    region(mm, AT, 3, flags)
    for i in range(3):
        store(mm, AT + i * HUGE, i + 1)
    child = odfork_mm(mm)
    operation(mm)
    check_all(mm, child)
    assert [see(child, AT + i * HUGE) for i in range(3)] == [1, 2, 3]
    for i in range(3):
        store(child, AT + i * HUGE, i + 11)
    assert [see(child, AT + i * HUGE) for i in range(3)] == [11, 12, 13]
    other = odfork_mm(mm)
    check_all(mm, child, other)


def test_letting_go_of_a_whole_pmd_table_copies_nothing() -> None:
    """F50: munmap of all of it by one sharer is one count less."""
    mm = new_huge_mm()
    region(mm, AT, 2, HUGETLB)
    store(mm, AT, 1)
    child = odfork_mm(mm)
    mmap.munmap(child, AT, 2 * HUGE)
    assert child.pt.costs.tables_broken == 0
    assert mm.frames.counts[mm.pt.pmd_slot(AT) >> 9] == 1
    check_all(mm, child)


# -- splitting ---------------------------------------------------------------------------------------


SPLITTERS: list[Callable[[Mm], Any]] = [
    lambda mm: mmap.munmap(mm, AT + PAGE, PAGE),
    lambda mm: protect.mprotect(mm, AT + 3 * PAGE, 2 * PAGE, mman.PROT_READ),
    lambda mm: advise.madvise(mm, AT + 511 * PAGE, PAGE, mman.MADV_DONTNEED),
    lambda mm: advise.madvise(mm, AT + 8 * PAGE, 8 * PAGE, mman.MADV_FREE),
    lambda mm: advise.madvise(mm, AT + 8 * PAGE, 8 * PAGE, mman.MADV_DONTFORK),
    lambda mm: advise.mlock(mm, AT + 4 * PAGE, PAGE),
    lambda mm: remap.mremap(mm, AT + 4 * PAGE, PAGE, PAGE, 3, AT + (1 << 30)),
    lambda mm: remap.mremap(mm, AT, HUGE, HUGE, 3, AT + (1 << 30) + PAGE),
    lambda mm: mmap.mmap(mm, AT + 4 * PAGE, PAGE, RW, SHARED | mman.MAP_FIXED),
]


@pytest.mark.parametrize("operation", SPLITTERS)
@pytest.mark.parametrize("forked", [False, True])
def test_an_operation_on_a_part_splits_the_leaf(operation: Callable[[Mm], Any], forked: bool) -> None:
    """512 PTEs with the leaf's rights, contents as they were, nobody's counts off (Linux __split_huge_pmd)."""
    mm = new_huge_mm()
    region(mm, AT, 1, PRIVATE)
    for i in (0, 100, 300):
        store(mm, AT + i * PAGE, i + 1 & 255)
    mms = [mm, fork_mm(mm)] if forked else [mm]
    operation(mm)
    assert not leaf_at(mm, AT)
    assert mm.pt.costs.huge_split == 1
    check_all(*mms)
    where = AT if mm.find(AT + 100 * PAGE) else AT + (1 << 30) + PAGE
    assert [see(mm, where + i * PAGE) for i in (100, 300)] == [101, 45]
    for m in mms[1:]:
        assert [see(m, AT + i * PAGE) for i in (0, 100, 300)] == [1, 101, 45]
    check_all(*mms)


@pytest.mark.parametrize("operation", SPLITTERS)
def test_running_out_of_memory_in_a_split_changes_nothing(operation: Callable[[Mm], Any]) -> None:
    """ENOMEM (madvise: EAGAIN) for every n, and the operation can be repeated."""
    n = 0
    while True:
        mm = new_huge_mm()
        region(mm, AT, 1, PRIVATE)
        store(mm, AT, 1)
        bytes_before = see(mm, AT)
        mm.frames.refuse_after = n
        errno = errno_of(operation, mm)
        mm.frames.refuse_after = -1
        check_all(mm)
        if not errno:
            break
        assert errno in (ENOMEM, EAGAIN)
        assert see(mm, AT) == bytes_before
        assert not errno_of(operation, mm)
        check_all(mm)
        teardown.destroy(mm)
        assert mm.frames.used().tolist() == [mm.frames.zero_page]
        n += 1
    assert n


def test_a_move_that_is_aligned_moves_the_leaf() -> None:
    """Linux move_huge_pmd: nothing is split, nothing copied."""
    mm = new_huge_mm()
    region(mm, AT, 2, PRIVATE)
    store(mm, AT, 1)
    store(mm, AT + HUGE, 2)
    leaf = leaf_at(mm, AT)
    new = AT + (3 << 30)
    assert remap.mremap(mm, AT, 2 * HUGE, 2 * HUGE, 3, new) == new
    assert leaf_at(mm, new) == leaf
    assert [see(mm, new), see(mm, new + HUGE)] == [1, 2]
    assert mm.pt.costs.huge_split == 0
    check_all(mm)


def test_a_move_takes_leaves_and_small_pages_along() -> None:
    """No PTE table is made where a leaf is to come."""
    mm = new_huge_mm()
    mmap.mmap(mm, AT - PAGE, HUGE + 2 * PAGE, RW, PRIVATE | mman.MAP_FIXED)
    for address in (AT - PAGE, AT + PAGE, AT + HUGE):
        store(mm, address, 1 + (address >> 12 & 7))
    before = mm.pt.tables
    new = AT + (3 << 30)
    remap.mremap(mm, AT - PAGE, HUGE + 2 * PAGE, HUGE + 2 * PAGE, 3, new - PAGE)
    assert leaf_at(mm, new)
    assert [see(mm, new + offset) for offset in (-PAGE, PAGE, HUGE)] == [8, 2, 1]
    assert mm.pt.tables == before
    check_all(mm)


def test_a_table_that_fork_left_empty_is_not_in_the_way() -> None:
    """Where a child does not inherit, its tables are empty: MAP_HUGETLB and moved leaves take their place."""
    mm = new_huge_mm(thp="never")
    region(mm, AT, 2, PRIVATE)
    for base in (AT, AT + HUGE):
        store(mm, base, 1)
    advise.madvise(mm, AT, 2 * HUGE, mman.MADV_DONTFORK)
    child = fork_mm(mm)
    child.thp = "always"
    region(child, AT, 1, HUGETLB)
    store(child, AT, 2)
    region(child, AT + 4 * HUGE, 1, PRIVATE)
    store(child, AT + 4 * HUGE, 3)
    remap.mremap(child, AT + 4 * HUGE, HUGE, HUGE, 3, AT + HUGE)
    assert leaf_at(child, AT) and leaf_at(child, AT + HUGE)
    assert [see(child, AT), see(child, AT + HUGE), see(mm, AT)] == [2, 3, 1]
    check_all(mm, child)


def test_a_split_keeps_a_and_d_and_rights() -> None:
    """The PTEs are the leaf's bits with the frames in a row."""
    mm = new_huge_mm()
    region(mm, AT, 1, PRIVATE)
    store(mm, AT, 1)
    leaf = leaf_at(mm, AT)
    before = mm.pt.read(AT, AT + HUGE)
    mm.pt.make_slot(AT)
    row = mm.frames.ram.tables[mm.pt.slot(AT) >> 9]
    assert (row == before).all()
    assert int(row[0]) == leaf & ~0x80
    check_all(mm)


def test_collapse_makes_one_of_512() -> None:
    """MADV_COLLAPSE works whatever the policy; what was never touched reads as zero, and the small frames are free."""
    mm = new_huge_mm(thp="never")
    region(mm, AT, 2, PRIVATE)
    for i in (0, 5, 511):
        store(mm, AT + i * PAGE, i + 1 & 255)
    child = odfork_mm(mm)
    advise.madvise(mm, AT, HUGE, mman.MADV_COLLAPSE)
    assert leaf_at(mm, AT) & PTE_W
    assert [see(mm, AT + i * PAGE) for i in (0, 5, 511, 7)] == [1, 6, 0, 0]
    assert (mm.rss_anon, child.rss_anon) == (PAGES, 0)
    check_all(mm, child)
    assert errno_of(advise.madvise, mm, AT, 2 * HUGE, mman.MADV_COLLAPSE) == EINVAL, "nothing is there"
    store(child, AT, 9)
    assert see(mm, AT) == 1
    check_all(mm, child)


def test_collapse_refuses_pinned_pages_and_other_memory() -> None:
    """EAGAIN while a page is pinned; EINVAL for shared memory, MAP_HUGETLB and after MADV_NOHUGEPAGE."""
    mm = new_huge_mm(thp="never")
    region(mm, AT, 1, PRIVATE)
    store(mm, AT, 1)
    (pfn,) = pin_pages(mm, AT, 1)
    assert errno_of(advise.madvise, mm, AT, HUGE, mman.MADV_COLLAPSE) == EAGAIN
    mm.frames.unpin(pfn)
    advise.madvise(mm, AT, HUGE, mman.MADV_NOHUGEPAGE)
    assert errno_of(advise.madvise, mm, AT, HUGE, mman.MADV_COLLAPSE) == EINVAL
    for flags in (SHARED, HUGETLB):
        region(mm, AT + 4 * HUGE, 1, flags)
        store(mm, AT + 4 * HUGE, 1)
        assert errno_of(advise.madvise, mm, AT + 4 * HUGE, HUGE, mman.MADV_COLLAPSE) == EINVAL
    mm.frames.refuse_after = 0
    advise.madvise(mm, AT, HUGE, mman.MADV_HUGEPAGE)
    assert errno_of(advise.madvise, mm, AT, HUGE, mman.MADV_COLLAPSE) == ENOMEM
    check_all(mm)


# -- MAP_HUGETLB -------------------------------------------------------------------------------------


def test_hugetlb_lengths_are_rounded_and_addresses_aligned() -> None:
    """mmap(2): the length up, a hint up, a fixed address must fit; the gap found is aligned."""
    mm = new_huge_mm()
    assert mmap.mmap(mm, AT + PAGE, PAGE, RW, HUGETLB) == AT + HUGE
    assert [(v.start, v.end) for v in mm.vmas] == [(AT + HUGE, AT + 2 * HUGE)]
    assert mmap.mmap(mm, 0, 3 * PAGE, RW, HUGETLB) % HUGE == 0
    assert errno_of(mmap.mmap, mm, AT + PAGE, HUGE, RW, HUGETLB | mman.MAP_FIXED) == EINVAL
    assert mm.find(AT + HUGE) is not None
    assert mm.vmas[0].name == "/anon_hugepage (deleted)"
    check_all(mm)


@pytest.mark.parametrize(("size", "errno"), [
    (0, 0), (mman.MAP_HUGE_2MB, 0), (mman.MAP_HUGE_1GB, ENOMEM), (mman.MAP_HUGE_16MB, EINVAL),
    (mman.MAP_HUGE_64KB, EINVAL),
])  # fmt: skip
def test_hugetlb_page_sizes(size: int, errno: int) -> None:
    """2 MiB is the size there is; pages of 1 GiB exist, but none is in the pool; others do not."""
    assert errno_of(mmap.mmap, new_huge_mm(), 0, HUGE, RW, HUGETLB | size) == errno


def test_hugetlb_wants_anonymous_memory_that_could_be_had() -> None:
    """A file without MAP_ANONYMOUS, a stack, no length, and more than all memory are refused."""
    mm = new_huge_mm()
    much = (mm.frames.group_limit() + 1) * HUGE
    assert errno_of(mmap.mmap, mm, 0, HUGE, RW, mman.MAP_PRIVATE | mman.MAP_HUGETLB) == EINVAL
    assert errno_of(mmap.mmap, mm, 0, HUGE, RW, HUGETLB | mman.MAP_GROWSDOWN) == EINVAL
    assert errno_of(mmap.mmap, mm, 0, 0, RW, HUGETLB) == EINVAL
    assert errno_of(mmap.mmap, mm, 0, much, RW, HUGETLB) == ENOMEM
    assert not errno_of(mmap.mmap, mm, 0, much, RW, HUGETLB | mman.MAP_NORESERVE)


def test_hugetlb_is_never_split() -> None:
    """EINVAL from whatever would cut a huge page, with nothing changed; MADV_DONTNEED rounds its length down."""
    mm = new_huge_mm()
    region(mm, AT, 2, HUGETLB)
    store(mm, AT, 1)
    store(mm, AT + HUGE, 2)
    before = state_of(mm)
    calls: list[tuple[Callable[..., Any], tuple[int, ...]]] = [
        (mmap.munmap, (AT, PAGE)),
        (mmap.munmap, (AT + PAGE, HUGE)),
        (protect.mprotect, (AT, PAGE, 1)),
        (protect.mprotect, (AT + PAGE, HUGE, 1)),
        (mmap.mmap, (AT + PAGE, PAGE, RW, PRIVATE | mman.MAP_FIXED)),
        (remap.mremap, (AT, PAGE, PAGE, 3, AT + 8 * HUGE + PAGE)),
        (remap.mremap, (AT + PAGE, HUGE, HUGE, 3, AT + 8 * HUGE)),
        (remap.mremap, (AT, HUGE, 2 * HUGE, 1)),
        (remap.mremap, (AT, HUGE, HUGE, 5)),
        (advise.madvise, (AT, PAGE, mman.MADV_DONTFORK)),
        (advise.madvise, (AT + PAGE, HUGE, mman.MADV_DONTNEED)),
        (advise.madvise, (AT, HUGE, mman.MADV_FREE)),
        (advise.madvise, (AT, HUGE, mman.MADV_COLD)),
    ]
    for call, arguments in calls:
        assert errno_of(call, mm, *arguments) == EINVAL, (call, arguments)
        assert state_of(mm) == before
    advise.madvise(mm, AT, 2 * HUGE - PAGE, mman.MADV_DONTNEED)
    assert [see(mm, AT), see(mm, AT + HUGE)] == [0, 2]
    check_all(mm)


def test_hugetlb_areas_do_not_merge_and_are_not_locked() -> None:
    """As in Linux (VM_SPECIAL): split by mprotect they stay two; mlock succeeds and fills, and locks nothing."""
    mm = new_huge_mm()
    region(mm, AT, 2, HUGETLB)
    protect.mprotect(mm, AT, HUGE, mman.PROT_READ)
    protect.mprotect(mm, AT, HUGE, RW)
    assert len(mm.vmas) == 2
    advise.mlock(mm, AT, HUGE)
    assert leaf_at(mm, AT)
    assert mm.locked_pages() == 0
    check_all(mm)


@pytest.mark.parametrize("flags", [HUGETLB, HUGE_SHARED, PRIVATE])
def test_populate_fills_whole_ranges(flags: int) -> None:
    """MAP_POPULATE: no fault afterwards, edges of transparent areas in small pages."""
    mm = new_huge_mm()
    start = AT if flags & mman.MAP_HUGETLB else AT - 3 * PAGE
    mmap.mmap(mm, start, 3 * HUGE, RW, flags | mman.MAP_FIXED | mman.MAP_POPULATE)
    assert mm.rss == 3 * PAGES
    huge = 3 if flags & mman.MAP_HUGETLB else 2
    assert mm.pt.costs.huge_allocated == huge
    assert advise.mincore(mm, start, 3 * HUGE) == b"\1" * 3 * PAGES
    check_all(mm)


def test_a_hole_punched_into_shared_huge_pages() -> None:
    """MADV_REMOVE: whole huge pages go from every mapping, parts of others read as zero."""
    mm = new_huge_mm()
    region(mm, AT, 3, HUGE_SHARED)
    for i in range(3):
        store(mm, AT + i * HUGE, i + 1)
    store(mm, AT + 2 * HUGE + PAGE, 9)
    child = odfork_mm(mm)
    used = mm.frames.in_use
    advise.madvise(child, AT + HUGE, HUGE + PAGE, mman.MADV_REMOVE)
    assert [see(m, AT + i * HUGE) for m in (mm, child) for i in range(3)] == [1, 0, 0] * 2
    assert see(mm, AT + 2 * HUGE + PAGE) == 9
    assert mm.frames.in_use - used < PAGES, "the frames of the first went, one page and a table came"
    check_all(mm, child)


@pytest.mark.parametrize("flags", [HUGETLB, PRIVATE])
def test_mprotect_none_and_back_keeps_the_page(flags: int) -> None:
    """PROT_NONE is a leaf without P; the page comes back with the rights, writable after a fault."""
    mm = new_huge_mm()
    region(mm, AT, 1, flags)
    store(mm, AT, 7)
    protect.mprotect(mm, AT, HUGE, 0)
    check_all(mm)
    with pytest.raises(SysError):
        uaccess.read(mm, AT, 1)
    child = odfork_mm(mm)
    protect.mprotect(mm, AT, HUGE, RW)
    assert see(mm, AT) == 7
    store(mm, AT, 8)
    protect.mprotect(child, AT, HUGE, RW)
    assert see(child, AT) == 7
    check_all(mm, child)


# -- what others look at -----------------------------------------------------------------------------


def test_the_kernel_reads_and_writes_across_huge_and_small_pages() -> None:
    """uaccess translates leaves, and a kernel write breaks what is shared (R7, F90, F91)."""
    mm = new_huge_mm()
    mmap.mmap(mm, AT - PAGE, 2 * HUGE + 2 * PAGE, RW, PRIVATE | mman.MAP_FIXED)
    data = bytes(range(256)) * ((2 * HUGE + 2 * PAGE) // 256)
    uaccess.write(mm, AT - PAGE, data)
    assert uaccess.read(mm, AT - PAGE, len(data)) == data
    assert mm.pt.costs.huge_allocated == 2
    child = odfork_mm(mm)
    uaccess.write(child, AT + HUGE - 1, b"!!")
    assert uaccess.read(mm, AT - PAGE, len(data)) == data
    assert uaccess.probe(child, AT + HUGE - 1, 2) == b"!!"
    check_all(mm, child)


def test_soft_dirty_is_kept_in_leaves() -> None:
    """clear_refs clears it and write-protects; the next write sets it, for the 2 MiB."""
    mm = new_huge_mm()
    region(mm, AT, 1, HUGETLB)
    store(mm, AT, 1)
    assert leaf_at(mm, AT) & 1 << 11
    mm.clear_soft_dirty()
    assert not leaf_at(mm, AT) & (1 << 11 | PTE_W)
    store(mm, AT, 2)
    assert leaf_at(mm, AT) & 1 << 11
    check_all(mm)


def test_soft_dirty_of_shared_pages_that_come_after_clear_refs() -> None:
    """A page that is only read so far is not writable, so that its first write is noted."""
    mm = new_huge_mm()
    region(mm, AT, 2, HUGE_SHARED)
    mm.clear_soft_dirty()
    fault.handle(mm, AT, READ)
    assert not leaf_at(mm, AT) & (1 << 11 | PTE_W)
    assert fault.handle(mm, AT, WRITE | 1) == "shared_write"
    assert leaf_at(mm, AT) & 1 << 11
    check_all(mm)


def test_a_huge_page_of_zeros_is_no_empty_table() -> None:
    """Looking for tables to free takes nothing away from it."""
    mm = new_huge_mm()
    region(mm, AT, 1, HUGETLB)
    fault.handle(mm, AT, WRITE)
    assert mm.pt.detach_empty(AT) == []
    check_all(mm)


# -- memory runs out ---------------------------------------------------------------------------------


def _prepared(kind: str) -> tuple[list[Mm], Callable[[], Any]]:
    mm = new_huge_mm()
    region(mm, AT - HUGE, 2, HUGETLB)
    store(mm, AT - HUGE, 1)
    store(mm, AT, 2)
    mms = [mm]
    if kind == "first":
        region(mm, AT + (1 << 40), 1, HUGETLB)
        return mms, lambda: fault.handle(mm, AT + (1 << 40), WRITE)
    if kind == "thp":
        region(mm, AT + (1 << 40), 1, PRIVATE)
        return mms, lambda: fault.handle(mm, AT + (1 << 40), WRITE)
    if kind == "shared":
        region(mm, AT + (1 << 40), 1, HUGE_SHARED)
        return mms, lambda: fault.handle(mm, AT + (1 << 40), WRITE)
    if kind in ("classic", "odf"):
        pin_pages(mm, AT, 1)
        return mms, lambda: mms.append((fork_mm if kind == "classic" else odfork_mm)(mm))
    if kind == "move":
        return mms, lambda: remap.mremap(mm, AT - HUGE, 2 * HUGE, 2 * HUGE, 3, (1 << 41) - HUGE)
    mms.append(odfork_mm(mm))
    if kind == "break":
        return mms, lambda: fault.handle(mms[1], AT, WRITE | 1)
    return mms, lambda: mmap.munmap(mm, AT - HUGE, HUGE)


@pytest.mark.parametrize("kind", ["first", "thp", "shared", "classic", "odf", "move", "break"])
def test_running_out_of_memory_at_any_allocation_changes_nothing(kind: str) -> None:
    """A refusal at the n-th allocation leaves every count and byte as it was, and a second try succeeds."""
    n = 0
    while True:
        mms, call = _prepared(kind)
        frames = mms[0].frames
        before = _contents(kind, *mms)
        frames.refuse_after = n
        refused = False
        try:
            call()
        except SysError as error:
            refused = True
            assert error.errno == ENOMEM
        except fault.BadAccess as bad:
            refused = True
            assert bad.signal in (SIGBUS, SIGKILL)
        frames.refuse_after = -1
        check_all(*mms)
        if not refused:
            break
        assert _contents(kind, *mms) == before
        call()
        check_all(*mms)
        n += 1
    assert n


def _contents(kind: str, *mms: Mm) -> Any:
    """What programs see, and what is counted: but a table that was broken before the refusal stays broken.

    A page of shared memory may stay in its cache.
    """
    frames = [(m.pt.read(AT - HUGE, AT + HUGE) & np.uint64(0xF_FFFF_FFFF_F000)).tolist() for m in mms]
    return frames if kind == "break" else (frames, [(m.rss, m.pt.tables) for m in mms])


def test_exits_in_every_order_leave_nothing() -> None:
    """F72, I10: three generations, mixed breaks and splits; each order of exits frees every frame once."""
    from itertools import permutations

    for order in permutations(range(4)):
        mm = new_huge_mm()
        region(mm, AT, 2, HUGETLB)
        region(mm, AT + (1 << 30), 2, PRIVATE)
        region(mm, AT + (2 << 30), 1, HUGE_SHARED)
        for base in (AT, AT + HUGE, AT + (1 << 30), AT + (2 << 30)):
            store(mm, base, 1)
        mms = [mm, odfork_mm(mm)]
        store(mms[1], AT, 2)
        mms.append(odfork_mm(mms[1]))
        store(mms[2], AT + (1 << 30), 3)
        mms.append(fork_mm(mms[0]))
        store(mms[3], AT + HUGE, 4)
        check_all(*mms)
        for i in order:
            teardown.destroy(mms[i])
            left = [m for k, m in enumerate(mms) if k not in order[: order.index(i) + 1]]
            if left:
                check_all(*left)
        assert mm.frames.used().tolist() == [mm.frames.zero_page]


# -- groups of frames --------------------------------------------------------------------------------


def test_groups_are_aligned_and_zero_and_used_again() -> None:
    """A group freed as a whole is the next to be handed out: zero again, and running no old code (R9)."""
    frames = HugeFrames(8).frames
    a, b = frames.alloc_groups(2).tolist()
    assert not a & 511 and not b & 511
    frames.ram.tables[a : a + PAGES] = 7
    frames.kind[a + 3] |= K_CODE
    frames.put_groups(np.array([a]))
    assert frames.in_use == 1 + PAGES
    again = frames.alloc_group()
    assert again == a
    assert not frames.ram.tables[a : a + PAGES].any()
    assert frames.cpu is not None
    assert frames.cpu.code_flushes == 1  # pyright: ignore[reportAttributeAccessIssue]
    assert not frames.kind[a + 3]


def test_single_frames_take_a_free_group_apart_and_a_group_is_collected_from_them() -> None:
    """Nothing is lost to either side: memory is all of one kind."""
    frames = HugeFrames(8).frames
    groups = frames.alloc_groups(3)
    assert errno_of(frames.alloc_group) == ENOMEM
    frames.put_groups(groups)
    total = frames.available()
    held = [frames.alloc() for _ in range(total)]
    assert len(set(held)) == total
    assert errno_of(frames.alloc_group) == ENOMEM
    np.random.default_rng(1).shuffle(held)
    for pfn in held[:300]:
        frames.put(pfn)
    frames.put_many(np.array(held[300:]))
    found = frames.alloc_groups(3)
    assert sorted(found.tolist()) == sorted(groups.tolist())
    assert len(frames.alloc_many(frames.available())) == total - 3 * PAGES


def test_a_group_that_is_free_already_is_not_found_again() -> None:
    """Collecting groups from single frames, with others free as a whole, hands each out once."""
    frames = HugeFrames(8).frames
    whole, _kept = frames.alloc_groups(2).tolist()
    single = frames.alloc_group(leaves=0)
    frames.put_groups(np.array([whole]))
    for pfn in range(single, single + PAGES):
        frames.put(pfn)
    assert sorted(frames.alloc_groups(2).tolist()) == sorted([whole, single])
    assert errno_of(frames.alloc_group) == ENOMEM


def test_a_group_goes_in_parts_when_some_of_its_frames_are_still_used() -> None:
    """The last leaf frees the frames that nothing else holds, and only them."""
    frames = HugeFrames(8).frames
    first = frames.alloc_group()
    frames.get(first + 5)
    frames.put_groups(np.array([first]))
    assert frames.counts[first + 5] == 1
    assert frames.in_use == 2
    with pytest.raises(KernelBug):
        frames.put_groups(np.array([first]))
