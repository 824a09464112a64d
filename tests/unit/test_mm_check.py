"""The invariants I1-I10: each can be broken by hand in one place, and `check` names the rule.

A checker that never complains proves nothing. The family is in order before the corruption, and after it is undone.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from mm_helpers import PAGE, PRIVATE, RW, SHARED, caches_of
from odf_helpers import IN_TABLE, READ, Family, where

from mini_kernel.errors import KernelBug
from mini_kernel.mm import pin, protect
from mini_kernel.mm.check import check
from mini_kernel.mm.frame import K_CACHE, K_EXCLUSIVE
from mini_kernel.mm.vma import VM_READ, VM_WRITE, Vma
from mini_kernel.x86 import PTE_D, PTE_NX, PTE_P, PTE_W


@pytest.fixture
def f() -> Family:
    """P and C share T0: private 0 and 1, zero page 2, read-only 3, shared memory 4. P broke T1, C has the old one."""
    family = Family(3)
    family.map("P", 3, 1)
    family.map("P", 4, 2, RW, SHARED)
    family.map("P", IN_TABLE, 2)
    family.write("P", 0, 1, 3, 4, IN_TABLE, IN_TABLE + 1)
    family.fault("P", 2, READ)
    protect.mprotect(family.mms["P"], where(3), PAGE, 1)
    family.odf("P", "C")
    family.write("P", IN_TABLE)
    family.check()
    return family


@contextmanager
def broken(f: Family, rule: str) -> Iterator[None]:
    """What is done inside breaks this rule."""
    f.check()
    yield
    with pytest.raises(KernelBug, match=rule):
        f.check()


def flip(f: Family, name: str, page: int, bits: int) -> None:
    """Change bits of a PTE."""
    slot = f.mms[name].pt.slot(where(page))
    f.frames.ram.words[slot] ^= bits


def pmd(f: Family, name: str, page: int) -> int:
    """The slot of a PMD entry."""
    return f.mms[name].pt.pmd_slot(where(page))


def frame(f: Family, name: str, page: int) -> int:
    """The frame of a page."""
    return f.entry(name, page) >> 12 & 0xFFFFFF


@pytest.mark.parametrize("by", [-1, 1])
@pytest.mark.parametrize("page", [0, IN_TABLE])
def test_I1_a_table_count_that_differs_from_the_pmd_entries(f: Family, page: int, by: int) -> None:
    """One too many, one too few, of a shared table and of an own one."""
    with broken(f, "I1"):
        f.frames.counts[f.table("P", page)] += by


def test_I1_a_pmd_entry_that_nobody_counted(f: Family) -> None:
    """The table of one range appears at another as well."""
    f.map("C", 9 * IN_TABLE, IN_TABLE)
    with broken(f, "I1"):
        f.frames.ram.words[pmd(f, "C", 9 * IN_TABLE)] = f.frames.ram.words[pmd(f, "C", IN_TABLE)]
        f.mms["C"].pt.unclaimed += 1


def test_I1_upper_tables_are_counted_too(f: Family) -> None:
    """A PMD table with a second reference."""
    with broken(f, "I1"):
        f.frames.counts[pmd(f, "P", 0) >> 9] += 1


@pytest.mark.parametrize("name", ["P", "C"])
def test_I2_a_write_bit_above_a_shared_table(f: Family, name: str) -> None:
    """PMD.W set in one of two, with every counter adjusted to it."""
    with broken(f, "I2"):
        f.frames.ram.words[pmd(f, name, 0)] |= PTE_W
        f.mms[name].pt.unclaimed -= 1


@pytest.mark.parametrize("by", [-1, 1])
@pytest.mark.parametrize(("page", "what"), [(3, "shared table"), (IN_TABLE + 1, "broken"), (4, "shared memory")])
def test_I3_a_frame_count_that_differs_from_its_entries(f: Family, page: int, what: str, by: int) -> None:
    """One too many, one too few: of a page below a shared table, of a broken one, of the page cache."""
    with broken(f, "I3"):
        f.frames.counts[frame(f, "P", page)] += by


def test_I3_a_shared_table_counts_its_frames_once(f: Family) -> None:
    """Counting per process instead of per table, as a patch of 2021 did, is found."""
    with broken(f, "I3"):
        f.frames.counts[frame(f, "P", 3)] = 2


def test_I3_an_entry_that_points_at_a_free_frame(f: Family) -> None:
    """A frame given back while a PTE still maps it."""
    with broken(f, "I3"):
        f.frames.put(frame(f, "P", IN_TABLE))


def test_I3_a_pin_without_its_reference(f: Family) -> None:
    """Pins are references of their own."""
    with broken(f, "I3"):
        f.frames.pins[frame(f, "P", 4)] = 1


def test_I3_a_cached_page_without_its_mark(f: Family) -> None:
    """What a page cache holds is K_CACHE."""
    file = f.file(1)
    with broken(f, "cache"):
        f.frames.kinds[file.cache.pages[0]] &= ~K_CACHE


@pytest.mark.parametrize("name", ["P", "C"])
def test_I4_a_writable_entry_for_a_frame_with_two_tables(f: Family, name: str) -> None:
    """In P's copy and in the table that C alone still uses, whose PMD entry forbids writing."""
    with broken(f, "I4"):
        flip(f, name, IN_TABLE + 1, PTE_W)


def test_I4_a_writable_private_entry_for_a_file_page(f: Family) -> None:
    """The page cache is an owner as well."""
    f.map("P", 9, 1, RW, PRIVATE, f.file(1))
    f.fault("P", 9, READ)
    with broken(f, "I4"):
        flip(f, "P", 9, PTE_W)


def test_I4_a_pinned_page_in_a_table_that_may_be_shared(f: Family) -> None:
    """Without the EXCLUSIVE mark the next fork would share the table."""
    pin.pin_pages(f.mms["P"], where(IN_TABLE), 1)
    with broken(f, "EXCLUSIVE"):
        f.frames.kinds[f.table("P", IN_TABLE)] &= ~K_EXCLUSIVE


@pytest.mark.parametrize("name", ["P", "C"])
def test_I5_a_page_outside_every_area_of_one_sharer(f: Family, name: str) -> None:
    """The area is gone from one of two who share T: the other's being in order does not help."""
    with broken(f, "I5"):
        mm = f.mms[name]
        vma = mm.find(where(3))
        assert vma is not None
        mm.remove([vma])


def test_I5_a_page_behind_the_end_of_an_area(f: Family) -> None:
    """A PTE one page too far."""
    with broken(f, "I5"):
        f.frames.ram.words[f.mms["P"].pt.slot(where(IN_TABLE + 2))] = f.entry("P", IN_TABLE + 1)
        f.frames.counts[frame(f, "P", IN_TABLE + 1)] += 1


def test_I5_bits_in_an_empty_entry(f: Family) -> None:
    """Neither empty nor mapped."""
    with broken(f, "neither"):
        f.frames.ram.words[f.mms["P"].pt.slot(where(IN_TABLE + 9))] = PTE_D


def test_I6_a_frame_that_is_free_twice(f: Family) -> None:
    """On the list of free frames twice."""
    f.frames.put(f.frames.alloc())
    with broken(f, "I6"):
        f.frames.low.free.append(f.frames.low.free[-1])


def test_I6_a_frame_in_use_on_the_free_list(f: Family) -> None:
    """Handed out next, it would belong to two."""
    with broken(f, "I6"):
        f.frames.low.free.append(frame(f, "P", 0))


def test_I6_a_frame_that_is_neither_free_nor_used(f: Family) -> None:
    """Taken off the list and lost."""
    f.frames.put(f.frames.alloc())
    with broken(f, "I6"):
        f.frames.low.free.pop()


def test_I6_a_frame_that_was_never_handed_out(f: Family) -> None:
    """Behind the frontier."""
    with broken(f, "I6"):
        f.frames.low.free.append(f.frames.low.frontier + 1)


def test_I6_a_wrong_number_of_frames_in_use(f: Family) -> None:
    """The counter that /proc/meminfo shows."""
    with broken(f, "I6"):
        f.frames.in_use += 1


def _unsorted(f: Family) -> None:
    f.mms["P"].vmas.reverse()
    f.mms["P"].starts.reverse()


def _overlapping(f: Family) -> None:
    f.mms["P"].vmas[0].end += PAGE


def _not_aligned(f: Family) -> None:
    f.mms["P"].vmas[0].end -= 1


def _empty(f: Family) -> None:
    f.mms["P"].vmas[0].end = f.mms["P"].vmas[0].start


def _mergeable(f: Family) -> None:
    f.mms["P"].split_at(where(IN_TABLE + 1))


def _index(f: Family) -> None:
    f.mms["P"].starts[0] += PAGE


@pytest.mark.parametrize("corrupt", [_unsorted, _overlapping, _not_aligned, _empty, _mergeable, _index])
def test_I7_a_list_of_areas_out_of_order(f: Family, corrupt: Callable[[Family], None]) -> None:
    """Unsorted, overlapping, not page aligned, empty, two that should be one, an index that differs."""
    with broken(f, "I7"):
        corrupt(f)


@pytest.mark.parametrize("by", [-1, 1])
@pytest.mark.parametrize("name", ["P", "C"])
@pytest.mark.parametrize("counter", ["rss_anon", "rss_file", "tables", "unclaimed"])
def test_I8_a_counter_that_differs_from_a_recount(f: Family, counter: str, name: str, by: int) -> None:
    """Resident pages of both kinds, paging structures, PMD entries that must be claimed."""
    with broken(f, "I8"):
        setattr(f.mms[name].pt, counter, getattr(f.mms[name].pt, counter) + by)


def test_I8_a_table_with_the_wrong_owner(f: Family) -> None:
    """Owned by who does not map it, by C instead of P without C counting it, and claimed by one who does not own it."""
    with broken(f, "I8"):
        f.frames.owner[f.table("P")] = f.frames.zero_page
        f.mms["P"].pt.tables -= 1
        f.mms["P"].pt.rss_anon -= 3
        f.mms["P"].pt.rss_file -= 1
    f.frames.owner[f.table("P")] = f.mms["P"].pt.pgd
    f.mms["P"].pt.tables += 1
    f.mms["P"].pt.rss_anon += 3
    f.mms["P"].pt.rss_file += 1
    with broken(f, "I8"):
        f.frames.owner[f.table("C")] = f.mms["C"].pt.pgd


def test_I8_a_claimed_table_without_an_owner(f: Family) -> None:
    """PMD.W=1 means that somebody took the table over, with all it counts."""
    with broken(f, "I8"):
        f.frames.owner[f.table("P", IN_TABLE)] = 0
        f.mms["P"].pt.tables -= 1
        f.mms["P"].pt.rss_anon -= 2


@pytest.mark.parametrize("name", ["P", "C"])
def test_I9_an_entry_that_grants_more_than_its_area(f: Family, name: str) -> None:
    """Writable below a read-only area, executable below one that is not, present below PROT_NONE."""
    for bits in (PTE_W, PTE_NX):
        with broken(f, "I9"):
            flip(f, name, 3, bits)
        flip(f, name, 3, bits)
    with broken(f, "I9"):
        vma = f.mms[name].find(where(3))
        assert vma is not None
        vma.set_flags(vma.flags & ~(VM_READ | VM_WRITE))


def test_I9_the_zero_page_writable(f: Family) -> None:
    """Everybody's page of zeros, below any area."""
    with broken(f, "I9"):
        flip(f, "P", 2, PTE_W)


def test_I9_upper_entries_with_other_bits(f: Family) -> None:
    """Not user, not accessed, no-execute: upper levels grant all but W below shared tables."""
    for bit in (1 << 2, 1 << 5, PTE_NX):
        with broken(f, "other bits"):
            f.frames.ram.words[pmd(f, "P", 0)] ^= bit
        f.frames.ram.words[pmd(f, "P", 0)] ^= bit


def test_I10_a_frame_that_is_left_after_the_last_exit(f: Family) -> None:
    """A data frame, a PTE table, or an upper table that nobody refers to any more."""
    for name in ("P", "C"):
        f.exit(name)
    check(f.frames, ())
    assert f.frames.used().tolist() == [f.frames.zero_page]
    leaked = f.frames.alloc()
    with pytest.raises(KernelBug, match="I3"):
        check(f.frames, ())
    f.frames.put(leaked)
    leaked = f.frames.alloc_table()
    with pytest.raises(KernelBug, match="I1"):
        check(f.frames, ())
    f.frames.put(leaked)
    check(f.frames, ())


def test_I10_a_process_that_the_checker_was_not_told_of(f: Family) -> None:
    """All address spaces and caches must be given: C's tables are found as references that nobody has."""
    with pytest.raises(KernelBug, match=r"I1|I3"):
        check(f.frames, [f.mms["P"]], caches_of(*f.mms.values()))
    with pytest.raises(KernelBug, match="I3"):
        check(f.frames, f.mms.values(), ())


def test_the_family_is_in_order(f: Family) -> None:
    """What all of these start from passes, and so does what the CPU may change: A and D bits."""
    flip(f, "P", 1, PTE_D)
    flip(f, "C", IN_TABLE, 1 << 5)
    f.check()
    assert isinstance(f.mms["P"].vmas[0], Vma)
    assert f.entry("P", 0) & PTE_P
    assert f.size("P") == (5, 1, 2)
    assert [t.ref for t in f.tables("C")] == [2, 1]
