"""Rows F56-F58 and F65 of the fork specification: rights, moves and locks, on tables that others share.

The sharer must never see anything of it. Every test states whole tables and pages, and ends with all invariants.
"""

from collections.abc import Iterator
from itertools import product

import pytest
from mm_helpers import PAGE, RW, mapping_of
from odf_helpers import BASE, IN_TABLE, READ, Family, Page, Table, other, untouched, where

from mini_kernel.mm import advise, fault, mmap, protect, remap
from mini_kernel.mm.mm import Mm
from mini_kernel.uapi import mman
from mini_kernel.uapi.signal import SIGSEGV
from mini_kernel.x86 import PMD_SIZE

R, RX, RWX = mman.PROT_READ, mman.PROT_READ | mman.PROT_EXEC, RW | mman.PROT_EXEC
FIXED_MOVE = mman.MREMAP_MAYMOVE | mman.MREMAP_FIXED


@pytest.fixture
def f() -> Iterator[Family]:
    """P wrote pages 0-5 of six, and shares T with C; all exit in the end, and nothing is left."""
    family = Family(6)
    family.write("P", *range(6))
    family.odf("P", "C")
    family.settle()
    yield family
    family.check()
    family.all_exit()


# -- mprotect ----------------------------------------------------------------------------------------

PROTECTIONS = {"none": 0, "r": R, "rw": RW, "rx": RX, "rwx": RWX}


@pytest.mark.parametrize(("before", "after"), list(product(PROTECTIONS, PROTECTIONS)))
def test_F56_mprotect_never_alters_the_sharer(before: str, after: str) -> None:
    """From every right to every other, in P or C, on part of T or all: the sharer's entries, rights and data stay."""
    for name in "PC":
        for n in (2, 4):
            f = Family(4)
            f.write("P", *range(4))
            protect.mprotect(f.mms["P"], BASE, 4 * PAGE, PROTECTIONS[before])
            f.odf("P", "C")
            sharer = f.mms[other(name)]
            frames = {va: (pfn, rights.replace("w", "")) for va, (pfn, rights) in mapping_of(sharer).items()}
            bits = [vma.key() for vma in sharer.vmas]
            protect.mprotect(f.mms[name], BASE, n * PAGE, PROTECTIONS[after])
            assert {va: (pfn, r.replace("w", "")) for va, (pfn, r) in mapping_of(sharer).items()} == frames
            assert [vma.key() for vma in sharer.vmas] == bits
            f.check()
            protect.mprotect(sharer, BASE, 4 * PAGE, RW)
            protect.mprotect(f.mms[name], BASE, 4 * PAGE, RW)
            f.write(name, 0, value=70)
            assert f.see(other(name), *range(4)) == [1, 2, 3, 4]
            f.write(other(name), 1, value=80)
            assert f.see(name, *range(4)) == [70, 2, 3, 4]
            f.check()
            f.all_exit()


def test_F56_mprotect_changes_the_callers_own_copy(f: Family) -> None:
    """C takes write rights away from two pages: T' is C's, with those; T is P's with the W bits the break left."""
    protect.mprotect(f.mms["C"], where(1), 2 * PAGE, 0)
    assert f.tables("P") == [Table(0, "T0", 1, False, "P")]
    assert f.tables("C") == [Table(0, "T1", 1, True, "C")]
    assert f.pages("C") == [Page(n, "abcdef"[n], "-" if n in (1, 2) else "r", 2) for n in range(6)]
    assert f.pages("P") == [Page(n, "abcdef"[n], "r", 2) for n in range(6)]
    assert f.spent("C") == {"tables_allocated": 1, "tables_broken": 1, "ptes_copied": 6}
    with pytest.raises(fault.BadAccess) as refused:
        f.fault("C", 1, READ)
    assert refused.value.signal == SIGSEGV
    untouched(f, "P")


def _toggle(mm: Mm, i: int) -> None:
    protect.mprotect(mm, where(i % 5), (1 + i % 2) * PAGE, (R, RW, 0, RX)[i % 4])


@pytest.mark.parametrize("name", ["P", "C"])
def test_F57_a_thousand_toggles_change_no_count(f: Family, name: str) -> None:
    """Splits and merges by 1000 mprotect calls: one break at the first, and then tables, frames, areas as they were."""
    _toggle(f.mms[name], 0)
    tables = [f.tables(n) for n in "PC"]
    for i in range(1, 1000):
        _toggle(f.mms[name], i)
    protect.mprotect(f.mms[name], BASE, 6 * PAGE, RW)
    assert [f.tables(n) for n in "PC"] == tables
    assert f.pages("P") == f.pages("C") == [Page(n, "abcdef"[n], "r", 2) for n in range(6)]
    assert len(f.mms[name].vmas) == 1
    assert f.spent(name) == {"tables_allocated": 1, "tables_broken": 1, "ptes_copied": 6}
    assert f.size(name) == (6, 0, 1)
    untouched(f, other(name))


def test_F57_splits_of_areas_alone_leave_the_table_shared(f: Family) -> None:
    """madvise flags and locks split and merge areas 1000 times, and change no PTE: T.ref is 2 as ever."""
    for i in range(1000):
        advice = mman.MADV_DONTFORK if i % 2 else mman.MADV_DOFORK
        advise.madvise(f.mms["C"], where(i % 5), PAGE, advice)
    advise.madvise(f.mms["C"], BASE, 6 * PAGE, mman.MADV_DOFORK)
    assert len(f.mms["C"].vmas) == 1
    assert f.tables("P") == f.tables("C") == [Table(0, "T0", 2, False, "P")]
    assert f.pages("C") == [Page(n, "abcdef"[n], "rw", 1) for n in range(6)]
    assert f.spent("C") == {}


def test_F57_many_areas_in_one_table_that_two_processes_share() -> None:
    """256 areas of one page each, in both, unmapped one by one in turns: each count falls to 0 exactly once."""
    f = Family(IN_TABLE)
    f.write("P", *range(IN_TABLE))
    for n in range(0, IN_TABLE, 2):
        protect.mprotect(f.mms["P"], where(n), PAGE, R)
    f.odf("P", "C")
    assert len(f.mms["C"].vmas) == IN_TABLE
    for n in range(IN_TABLE):
        mmap.munmap(f.mms["PC"[n % 2]], where(n), PAGE)
    f.check()
    assert f.see("P", *range(1, IN_TABLE, 2)) == [n + 1 & 0xFF for n in range(1, IN_TABLE, 2)]
    assert f.see("C", *range(0, IN_TABLE, 2)) == [n + 1 & 0xFF for n in range(0, IN_TABLE, 2)]
    assert f.size("P") == f.size("C") == (IN_TABLE // 2, 0, 1)
    f.all_exit()


# -- mremap ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["P", "C"])
@pytest.mark.parametrize("to", [IN_TABLE, IN_TABLE + 17, 512 * IN_TABLE], ids=["aligned", "unaligned", "next 1 GiB"])
def test_F58_mremap_moves_the_callers_pages_only(f: Family, name: str, to: int) -> None:
    """A whole 2 MiB or a few pages, to an aligned place or not: the frames appear there here, and stay there there."""
    remap.mremap(f.mms[name], BASE, 6 * PAGE, 6 * PAGE, FIXED_MOVE, where(to))
    assert f.pages(name) == [Page(to + n, "abcdef"[n], "r", 2) for n in range(6)]
    assert f.pages(other(name)) == [Page(n, "abcdef"[n], "r", 2) for n in range(6)]
    assert f.see(name, *range(to, to + 6)) == [1, 2, 3, 4, 5, 6]
    f.write(name, to, value=90)
    with pytest.raises(fault.BadAccess):
        f.fault(name, 0, READ)
    untouched(f, other(name))


@pytest.mark.parametrize("aligned", [True, False])
def test_F58_mremap_of_whole_tables(aligned: bool) -> None:
    """Two full shared tables move by 4 MiB, or by 4 MiB and a page: 1024 pages here, 1024 there, all as written."""
    f = Family(2 * IN_TABLE)
    pages = range(0, 2 * IN_TABLE, 37)
    f.write("P", *pages)
    f.odf("P", "C")
    by = 2 * IN_TABLE + (not aligned)
    remap.mremap(f.mms["C"], BASE, 2 * PMD_SIZE, 2 * PMD_SIZE, FIXED_MOVE, where(by))
    f.check()
    assert f.see("C", *(n + by for n in pages)) == f.see("P", *pages) == [n + 1 & 0xFF for n in pages]
    f.write("C", by, value=90)
    f.write("P", 37, value=91)
    assert f.see("P", 0) == [1]
    assert f.see("C", by + 37) == [38]
    assert f.size("P") == f.size("C") == (len(pages), 0, 2)
    f.check()
    f.all_exit()


@pytest.mark.parametrize("name", ["P", "C"])
def test_F58_mremap_shrinks_grows_and_keeps(f: Family, name: str) -> None:
    """In place, to less and to more, and with MREMAP_DONTUNMAP: the sharer keeps six pages throughout."""
    mm = f.mms[name]
    assert remap.mremap(mm, BASE, 6 * PAGE, 4 * PAGE, 0) == BASE
    assert [page.at for page in f.pages(name)] == [0, 1, 2, 3]
    assert remap.mremap(mm, BASE, 4 * PAGE, 8 * PAGE, 0) == BASE
    assert f.see(name, *range(8)) == [1, 2, 3, 4, 0, 0, 0, 0]
    new = remap.mremap(mm, BASE, 2 * PAGE, 2 * PAGE, mman.MREMAP_MAYMOVE | mman.MREMAP_DONTUNMAP)
    at = (new - BASE) // PAGE
    assert f.see(name, 0, 1, at, at + 1) == [0, 0, 1, 2]
    f.check()
    untouched(f, other(name))


def test_F58_mremap_onto_a_shared_table(f: Family) -> None:
    """The target lies in a T that others share: what was there goes here, and stays there."""
    f.map("C", 2 * IN_TABLE, 3)
    f.write("C", 2 * IN_TABLE, 2 * IN_TABLE + 2, value=99)
    remap.mremap(f.mms["C"], where(2 * IN_TABLE), 3 * PAGE, 3 * PAGE, FIXED_MOVE, where(2))
    assert f.see("C", *range(6)) == [1, 2, 99, 0, 99, 6]
    untouched(f, "P")


# -- locks -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["P", "C"])
def test_F65_locking_and_unlocking_over_and_over(f: Family, name: str) -> None:
    """mlock makes the pages its own once; 1000 mlock and munlock later no count, table or area has changed."""
    mm = f.mms[name]
    advise.mlock(mm, BASE, 6 * PAGE)
    assert f.pages(name) == [Page(n, "ghijkl"[n], "rw", 1) for n in range(6)]
    tables, pages = f.tables(name), f.pages(name)
    f.settle()
    for i in range(500):
        advise.munlock(mm, where(i % 5), PAGE)
        advise.mlock(mm, where(i % 5), (1 + i % 2) * PAGE)
    advise.munlockall(mm)
    assert (f.tables(name), f.pages(name), len(mm.vmas)) == (tables, pages, 1)
    assert f.spent(name) == {}
    untouched(f, other(name))


def test_F65_locks_on_fault_and_mlockall_leave_shared_tables_right(f: Family) -> None:
    """MLOCK_ONFAULT changes no PTE; mlockall(MCL_CURRENT) does what mlock does; a child is not locked."""
    advise.mlock(f.mms["C"], BASE, 6 * PAGE, True)
    assert f.tables("C") == [Table(0, "T0", 2, False, "P")]
    advise.mlockall(f.mms["C"], mman.MCL_CURRENT)
    assert f.size("C") == (6, 0, 1)
    f.odf("C", "G")
    assert f.mms["G"].locked_pages() == 0
    assert f.tables("G")[0].ref == 2
    untouched(f, "P")
