"""Rows F10-F24 of the fork specification: what a fork shares, what it copies, and what it leaves alone.

Every test states whole tables and pages of all processes, and ends with all invariants; see odf_helpers for the names.
"""

import numpy as np
import pytest
from mm_helpers import PAGE, PRIVATE, RW, SHARED
from odf_helpers import BASE, CPU_WRITE, FORKS, IN_TABLE, READ, WRITE, Family, Page, Table, where

from mini_kernel.errors import SysError
from mini_kernel.mm import advise, fault, pin, protect
from mini_kernel.mm.odf import odfork_mm
from mini_kernel.uapi import mman
from mini_kernel.uapi.signal import SEGV_MAPERR, SIGSEGV

NONE, R, RX = 0, mman.PROT_READ, mman.PROT_READ | mman.PROT_EXEC


def couple(*pages: int, size: int = 4) -> Family:
    """P wrote `pages` and forked C on demand; costs are counted from here."""
    f = Family(size)
    f.write("P", *pages)
    f.odf("P", "C")
    f.settle()
    return f


@pytest.mark.parametrize("forker", ["P", "C"])
def test_F10_classic_fork_copies_from_shared_tables(forker: str) -> None:
    """The child's table is its own, both sides are write-protected page by page, and T stays shared by the others."""
    f = couple(0, 1)
    f.fork(forker, "G", "classic")
    for name in "PC":
        assert f.tables(name) == [Table(0, "T0", 2, False, "P")]
        assert f.pages(name) == [Page(0, "a", "r", 2), Page(1, "b", "r", 2)]
    assert f.tables("G") == [Table(0, "T1", 1, True, "G")]
    assert f.pages("G") == [Page(0, "a", "r", 2), Page(1, "b", "r", 2)]
    assert (f.size("P"), f.size("C"), f.size("G")) == ((2, 0, 1), (0, 0, 0), (2, 0, 1))
    assert f.spent(forker) == {"tables_allocated": 1, "ptes_copied": 2}
    assert f.spent("G") == {}
    f.check()
    for value, name in enumerate("PCG", 50):
        f.write(name, 0, value=value)
        f.check()
    assert [f.see(name, 0, 1) for name in "PCG"] == [[50, 2], [51, 2], [52, 2]]
    f.all_exit()


def test_F10_classic_fork_of_a_process_whose_table_nobody_shares_any_more() -> None:
    """A table that was shared, with W=0 in the PMD and W=1 in its PTEs, is copied all the same."""
    f = couple(0)
    f.exit("P")
    f.fork("C", "G", "classic")
    assert f.tables("C") == [Table(0, "T0", 1, False, "")]
    assert f.tables("G") == [Table(0, "T1", 1, True, "G")]
    assert f.pages("C") == f.pages("G") == [Page(0, "a", "r", 2)]
    f.write("C", 0, value=70)
    assert f.tables("C") == [Table(0, "T0", 1, True, "C")]
    assert (f.see("C", 0), f.see("G", 0)) == ([70], [1])
    f.all_exit()


@pytest.mark.parametrize("how", FORKS)
def test_F11_a_child_has_the_same_memory_and_areas(how: str) -> None:
    """Contents, areas, break and limits are the parent's, by either fork; what either writes then is its own."""
    f = Family(4)
    p = f.mms["P"]
    f.map("P", 600, 2, RW, SHARED)
    f.map("P", 700, 3, R, PRIVATE, f.file(3))
    p.start_brk, p.brk = where(900), where(900)
    p.limits.stack = 12345 * PAGE
    f.write("P", 0, 3, 600, 601)
    c = f.fork("P", "C", how)
    assert [vma.key() for vma in c.vmas] == [vma.key() for vma in p.vmas]
    assert (c.start_brk, c.brk, c.limits.stack) == (p.start_brk, p.brk, 12345 * PAGE)
    assert f.see("C", 0, 1, 2, 3, 600, 601, 700, 702) == [1, 0, 0, 4, 89, 90, 1, 3]
    f.write("C", 0, 1, 600, value=99)
    f.write("P", 3, 2, 601, value=77)
    assert f.see("C", 0, 1, 2, 3, 600, 601) == [99, 99, 0, 4, 99, 77]
    assert f.see("P", 0, 1, 2, 3, 600, 601) == [1, 0, 77, 77, 99, 77]
    f.check()
    f.all_exit()


def test_F12_only_the_upper_levels_are_copied() -> None:
    """Over two PUD tables, three PMD tables and five PTE tables: six new frames, and not one frame count is touched."""
    f = Family(0)
    far = (1 << 39) // PAGE
    for page in (0, IN_TABLE, 5 * IN_TABLE, IN_TABLE * 512, far):
        f.map("P", page, 2)
        f.write("P", page, page + 1)
    data = [pfn for pfn in f.frames.used().tolist() if not f.frames.kinds[pfn]]
    before = {pfn: f.frames.counts[pfn] for pfn in data}
    f.settle()
    used = f.frames.in_use
    f.odf("P", "C")
    assert f.frames.in_use - used == 1 + 2 + 3, "PGD, PUD and PMD tables"
    assert {pfn: f.frames.counts[pfn] for pfn in data} == before
    assert f.spent("P") == {"tables_shared": 5}
    assert f.tables("C") == [t._replace(ref=2, writable=False, owner="P") for t in f.tables("C")]
    assert f.tables("C") == f.tables("P")
    assert [len(links.child) for links in f.mms["C"].pt.tree()] == [2, 3, 5]
    for level in range(3):
        theirs, ours = f.mms["C"].pt.tree()[level].child, f.mms["P"].pt.tree()[level].child
        assert bool(np.isin(theirs, ours).any()) == (level == 2)
    f.check()
    f.all_exit()


def test_F12_no_pte_is_read() -> None:
    """A fork while the PTE tables hold noise gives the same child as any other: the work is that of PMD entries."""
    f = Family(3 * IN_TABLE)
    f.write("P", 0, IN_TABLE, 2 * IN_TABLE)
    tables = [f.table("P", n * IN_TABLE) for n in range(3)]
    contents = f.frames.ram.tables[tables].copy()
    f.frames.ram.tables[tables] = 0xDEAD_BEEF_DEAD_BEEF
    f.mms["C"] = odfork_mm(f.mms["P"])
    assert (f.frames.ram.tables[tables] == 0xDEAD_BEEF_DEAD_BEEF).all()
    f.frames.ram.tables[tables] = contents
    assert f.tables("C") == [Table(n, f"T{n}", 2, False, "P") for n in range(3)]
    f.check()


def test_F13_the_table_is_the_same_and_its_entries_are_unchanged() -> None:
    """T.ref 2, W=0 in both PMD entries, and the 512 words of T as they were, their W bits too."""
    f = Family(4)
    f.write("P", 0, 2)
    f.fault("P", 1, READ)
    table = f.table("P")
    before = f.frames.ram.tables[table].copy()
    f.odf("P", "C")
    assert (f.frames.ram.tables[table] == before).all()
    expected = [Table(0, "T0", 2, False, "P")]
    assert f.tables("P") == f.tables("C") == expected
    assert f.table("P") == f.table("C") == table
    assert f.pages("P") == f.pages("C") == [Page(0, "a", "rw", 1), Page(1, "zero", "r", 1), Page(2, "b", "rw", 1)]
    assert f.size("P") == (2, 0, 1)
    assert f.size("C") == (0, 0, 0)
    f.check()


def test_F14_fork_flushes_the_translations_of_the_parent() -> None:
    """The parent wrote through W=1 entries; after fork its very next write faults and breaks T."""
    f = Family(1)
    f.write("P", 0)
    before = f.flushes()
    f.odf("P", "C")
    assert f.flushes() > before
    assert f.fault("P", 0) == "table_break"


def test_F15_a_table_that_several_areas_overlap_is_shared_once() -> None:
    """Five areas of other rights in one 2 MiB: T.ref 2, one table shared, one PMD entry in the child."""
    f = Family(10)
    f.write("P", *range(10))
    for page, prot in ((1, R), (3, NONE), (5, RX), (7, R | mman.PROT_WRITE | mman.PROT_EXEC)):
        protect.mprotect(f.mms["P"], where(page), PAGE, prot)
    assert len(f.mms["P"].vmas) == 9
    f.settle()
    f.odf("P", "C")
    assert f.spent("P") == {"tables_shared": 1}
    assert f.tables("P") == f.tables("C") == [Table(0, "T0", 2, False, "P")]
    f.check()
    f.all_exit()


@pytest.mark.parametrize("second", ["P", "C"])
def test_F16_a_second_fork_without_writes_shares_the_same_table_again(second: str) -> None:
    """T.ref 3, no new PTE table, whoever forks; a third makes it 4, and each exit takes one off."""
    f = couple(0, 3)
    f.odf(second, "G")
    for name in "PCG":
        assert f.tables(name) == [Table(0, "T0", 3, False, "P")]
        assert f.pages(name) == [Page(0, "a", "rw", 1), Page(3, "b", "rw", 1)]
    assert f.spent(second) == {"tables_shared": 1}
    f.check()
    f.odf("G", "H")
    assert f.tables("H") == [Table(0, "T0", 4, False, "P")]
    for left, name in ((3, "C"), (2, "P"), (1, "G")):
        f.exit(name)
        assert f.tables("H")[0].ref == left
        f.check()
    f.all_exit()


def test_F17_a_broken_table_is_shared_again_and_owned_again() -> None:
    """P's copy, forked again, is shared and owned by P; T, which P left unowned, gets an owner at the next write."""
    f = couple(0, 1)
    f.write("P", 0, value=50)
    assert f.tables("C") == [Table(0, "T0", 1, False, "")]
    assert f.tables("P") == [Table(0, "T1", 1, True, "P")]
    f.odf("C", "G")
    assert f.tables("C") == f.tables("G") == [Table(0, "T0", 2, False, "")], "unowned: nobody counts it"
    f.write("G", 1, value=60)
    assert f.tables("G") == [Table(0, "T2", 1, True, "G")]
    f.write("C", 1, value=70)
    assert f.tables("C") == [Table(0, "T0", 1, True, "C")]
    assert [f.size(n) for n in "PCG"] == [(2, 0, 1)] * 3
    f.check()
    f.odf("P", "H")
    f.odf("C", "I")
    assert f.tables("P") == f.tables("H") == [Table(0, "T1", 2, False, "P")]
    assert f.tables("C") == f.tables("I") == [Table(0, "T0", 2, False, "C")]
    assert [f.see(n, 0, 1) for n in "PHCIG"] == [[50, 2], [50, 2], [1, 70], [1, 70], [1, 60]]
    f.all_exit()


def test_F18_chained_forks_keep_pages_copy_on_write() -> None:
    """C breaks T for one page and forks: the other page is still COW in the grandchild, though its VMA is writable."""
    f = couple(0, 1)
    f.write("C", 1, value=50)
    f.odf("C", "G")
    assert f.tables("G") == [Table(0, "T1", 2, False, "C")]
    assert f.pages("G") == [Page(0, "a", "r", 2), Page(1, "c", "rw", 1)]
    f.write("G", 0, value=60)
    assert f.pages("G") == [Page(0, "d", "rw", 1), Page(1, "c", "r", 2)]
    assert f.pages("C") == [Page(0, "a", "r", 2), Page(1, "c", "r", 2)]
    f.write("C", 0, value=70)
    assert [f.see(n, 0, 1) for n in "PCG"] == [[1, 2], [70, 50], [60, 50]]
    f.write("P", 0, 1, value=80)
    assert [f.see(n, 0, 1) for n in "PCG"] == [[80, 80], [70, 50], [60, 50]]
    f.check()
    f.all_exit()


@pytest.mark.parametrize("how", FORKS)
def test_F18_a_chain_of_eight_generations_stays_apart(how: str) -> None:
    """Each writes its own page and the common one, and forks before or after: all see what they should."""
    f = Family(10)
    f.write("P", *range(10))
    line = ["P"]
    for n in range(1, 9):
        f.fork(line[-1], f"C{n}", how)
        line.append(f"C{n}")
        f.write(line[-1] if n % 2 else line[-2], n, value=100 + n)
        f.write(line[-1], 0, value=200 + n)
        f.check()
    model: dict[str, list[int]] = {"P": [n + 1 for n in range(10)]}
    for n in range(1, 9):
        model[f"C{n}"] = list(model[line[n - 1]])
        model[f"C{n}" if n % 2 else line[n - 1]][n] = 100 + n
        model[f"C{n}"][0] = 200 + n
    assert {name: f.see(name, *range(10)) for name in line} == model
    f.all_exit()


@pytest.mark.parametrize("prot", [R, NONE, RX, R | mman.PROT_WRITE | mman.PROT_EXEC])
def test_F19_private_ranges_of_all_rights_are_shared(prot: int) -> None:
    """Read-only, PROT_NONE and executable: no table allocated, W=0 in both PMD entries (R2)."""
    f = Family(4)
    f.write("P", 0, 3)
    protect.mprotect(f.mms["P"], BASE, 4 * PAGE, prot)
    f.settle()
    used = f.frames.in_use
    f.odf("P", "C")
    assert f.frames.in_use - used == 3, "PGD, PUD table, PMD table"
    assert f.tables("P") == f.tables("C") == [Table(0, "T0", 2, False, "P")]
    assert f.spent("P") == {"tables_shared": 1}
    f.check()
    protect.mprotect(f.mms["C"], BASE, 4 * PAGE, RW)
    f.write("C", 0, value=50)
    protect.mprotect(f.mms["P"], BASE, 4 * PAGE, RW)
    assert (f.see("P", 0, 3), f.see("C", 0, 3)) == ([1, 4], [50, 4])
    f.all_exit()


def test_F20_a_table_with_a_pinned_page_is_copied_at_once() -> None:
    """The child gets a copy of the pinned page, P keeps frame and W; the neighbours in the table are COW."""
    f = Family(IN_TABLE + 2)
    f.write("P", 0, 1, IN_TABLE)
    (pfn,) = pin.pin_pages(f.mms["P"], where(1), 1)
    f.settle()
    f.odf("P", "C")
    assert f.tables("P") == [Table(0, "T0", 1, True, "P"), Table(1, "T1", 2, False, "P")]
    assert f.tables("C") == [Table(0, "T2", 1, True, "C"), Table(1, "T1", 2, False, "P")]
    assert f.pages("P") == [Page(0, "a", "r", 2), Page(1, "b", "rw", 2), Page(IN_TABLE, "c", "rw", 1)]
    assert f.pages("C") == [Page(0, "a", "r", 2), Page(1, "d", "rw", 1), Page(IN_TABLE, "c", "rw", 1)]
    assert f.spent("P") == {"tables_shared": 1, "tables_allocated": 1, "ptes_copied": 2, "pages_copied": 1}
    assert (f.size("P"), f.size("C")) == ((3, 0, 2), (2, 0, 1))
    f.check()
    f.frames.ram.data[pfn << 12] = 99  # the device
    f.write("P", 1, value=98)
    assert f.frames.ram.data[pfn << 12] == 98
    f.write("C", 1, value=97)
    assert (f.see("P", 0, 1), f.see("C", 0, 1)) == ([1, 98], [1, 97])
    f.frames.unpin(pfn)
    f.check()
    f.settle()
    f.odf("P", "G")
    assert f.spent("P") == {"tables_shared": 2}, "nothing is pinned any more"
    f.check()
    f.all_exit()


@pytest.mark.parametrize("how", FORKS)
def test_F21_dontfork_and_wipeonfork_neighbours(how: str) -> None:
    """In one 2 MiB with both, T is copied without those PTEs: SIGSEGV there, zeros here, the rest COW; P keeps all."""
    f = Family(8)
    f.write("P", *range(8))
    advise.madvise(f.mms["P"], where(2), PAGE, mman.MADV_DONTFORK)
    advise.madvise(f.mms["P"], where(4), 2 * PAGE, mman.MADV_WIPEONFORK)
    f.pages("P")
    f.fork("P", "C", how)
    assert f.tables("P") == [Table(0, "T0", 1, True, "P")]
    assert f.tables("C") == [Table(0, "T1", 1, True, "C")]
    own = (2, 4, 5)
    assert f.pages("P") == [Page(n, "abcdefgh"[n], "rw" if n in own else "r", 1 + (n not in own)) for n in range(8)]
    assert f.pages("C") == [Page(n, "abcdefgh"[n], "r", 2) for n in range(8) if n not in own]
    assert f.size("C") == (5, 0, 1)
    f.check()
    with pytest.raises(fault.BadAccess) as refused:
        f.fault("C", 2, READ)
    assert (refused.value.signal, refused.value.code) == (SIGSEGV, SEGV_MAPERR)
    assert f.see("C", 0, 1, 3, 4, 5, 6, 7) == [1, 2, 4, 0, 0, 7, 8]
    f.write("C", 4, value=50)
    assert f.see("P", *range(8)) == [1, 2, 3, 4, 5, 6, 7, 8]
    f.check()
    f.all_exit()


def test_F21_tables_that_only_such_areas_use_are_left_out_and_others_shared() -> None:
    """Of four tables the one wholly DONTFORK has no counterpart, the one it reaches into is copied, two are shared."""
    f = Family(4 * IN_TABLE)
    f.write("P", 0, IN_TABLE, 2 * IN_TABLE, 2 * IN_TABLE + 9, 3 * IN_TABLE)
    advise.madvise(f.mms["P"], where(IN_TABLE), (IN_TABLE + 1) * PAGE, mman.MADV_DONTFORK)
    f.settle()
    f.odf("P", "C")
    assert f.tables("P") == [
        Table(0, "T0", 2, False, "P"), Table(1, "T1", 1, True, "P"), Table(2, "T2", 1, True, "P"),
        Table(3, "T3", 2, False, "P"),
    ]  # fmt: skip
    assert f.tables("C") == [
        Table(0, "T0", 2, False, "P"), Table(2, "T4", 1, True, "C"), Table(3, "T3", 2, False, "P"),
    ]  # fmt: skip
    assert f.spent("P") == {"tables_shared": 2, "tables_allocated": 1, "ptes_copied": 1}
    assert [page.at for page in f.pages("C")] == [0, 2 * IN_TABLE + 9, 3 * IN_TABLE]
    f.check()
    f.all_exit()


@pytest.mark.parametrize("how", FORKS)
def test_F22_what_a_fork_need_not_copy_keeps_its_contents(how: str) -> None:
    """Shared memory and file pages, private or shared, touched by P or not, read the same in C, whichever fork."""
    f = Family(0)
    private, shared = f.file(4), f.file(4)
    f.map("P", 0, 4, R, PRIVATE, private)
    f.map("P", 4, 4, RW, PRIVATE, private)
    f.map("P", 8, 4, RW, mman.MAP_SHARED, shared)
    f.map("P", 12, 4, RW, SHARED)
    f.see("P", 0)
    f.write("P", 5, value=60)
    f.write("P", 9, value=70)
    f.write("P", 13, value=80)
    f.fork("P", "C", how)
    assert f.see("C", *range(16)) == [1, 2, 3, 4, 1, 60, 3, 4, 1, 70, 3, 4, 0, 80, 0, 0]
    assert f.see("P", *range(16)) == f.see("C", *range(16))
    f.write("P", 14, value=90)
    assert f.see("C", 14) == [90]
    f.check()
    f.exit("P")
    f.check()
    assert f.see("C", 0, 5, 9, 13) == [1, 60, 70, 80]
    f.all_exit()


@pytest.mark.parametrize("first", ["P", "C"])
def test_F23_an_empty_pmd_entry_shares_nothing(first: str) -> None:
    """Three tables' worth with an empty middle: later each side allocates its own there, without a break."""
    f = Family(3 * IN_TABLE)
    f.write("P", 0, 2 * IN_TABLE)
    f.odf("P", "C")
    f.settle()
    second = "PC".replace(first, "")
    assert [table.at for table in f.tables("P")] == [table.at for table in f.tables("C")] == [0, 2]
    assert f.fault(first, IN_TABLE, WRITE) == "demand_zero"
    assert [table.at for table in f.tables(second)] == [0, 2]
    assert f.fault(second, IN_TABLE, READ) == "zero_page"
    assert f.tables(first)[1] == Table(1, "T2", 1, True, first)
    assert f.tables(second)[1] == Table(1, "T3", 1, True, second)
    assert f.spent(first) == f.spent(second) == {"tables_allocated": 1}
    f.check()
    f.all_exit()


def test_F23_a_process_with_nothing_at_all() -> None:
    """An address space without areas forks into another: one PGD."""
    f = Family(0)
    used = f.frames.in_use
    f.odf("P", "C")
    assert f.frames.in_use == used + 1
    assert f.tables("C") == []
    f.check()
    f.all_exit()


def _with_everything() -> Family:
    """P shares one table with another, has one pinned page, one DONTFORK neighbour, shared memory and a far mapping."""
    f = Family(3 * IN_TABLE, mib=8)
    f.map("P", 4 * IN_TABLE, 2, RW, SHARED)
    f.map("P", (1 << 39) // PAGE, 1)
    f.write("P", 0, 4 * IN_TABLE, (1 << 39) // PAGE)
    f.odf("P", "S")
    f.write("P", IN_TABLE, IN_TABLE + 1, 2 * IN_TABLE, 2 * IN_TABLE + 1)
    pin.pin_pages(f.mms["P"], where(IN_TABLE), 2 * PAGE)
    advise.madvise(f.mms["P"], where(2 * IN_TABLE), PAGE, mman.MADV_DONTFORK)
    return f


def test_F24_a_fork_that_runs_out_of_memory_leaves_everything_as_it_was() -> None:
    """For every n: -ENOMEM at the n-th frame, every count, entry, owner and W bit as before, nothing leaked."""
    n = 0
    while True:
        f = _with_everything()
        before = f.state()
        f.frames.refuse_after = n
        try:
            f.mms["C"] = odfork_mm(f.mms["P"])
        except SysError:
            f.frames.refuse_after = -1
            assert f.state() == before
            f.check()
            f.odf("P", "C")
        else:
            break
        finally:
            f.frames.refuse_after = -1
        f.check()
        n += 1
    assert n == 1 + 2 + 2 + 2 + 2, "PGD, pinned pages, PUD tables, PMD tables, copies"
    for pfn in list(f.frames.pins):
        f.frames.unpin(pfn)
    f.all_exit()


def test_F24_flushes_and_costs_of_a_refused_fork() -> None:
    """What failed has shared nothing, and P writes on through W=1 entries."""
    f = Family(2)
    f.write("P", 0)
    f.settle()
    f.frames.refuse_after = 2
    with pytest.raises(SysError):
        odfork_mm(f.mms["P"])
    f.frames.refuse_after = -1
    assert f.tables("P") == [Table(0, "T0", 1, True, "P")]
    assert f.spent("P") == {}


def test_F25_a_shared_address_space_is_one_tree() -> None:
    """vfork and threads use the Mm itself: one more user, no table work, and no write faults for it."""
    f = couple(0)
    p = f.mms["P"]
    p.users += 1  # what clone(CLONE_VM) does
    assert f.tables("P") == [Table(0, "T0", 2, False, "P")]
    assert f.fault("P", 0, CPU_WRITE) == "table_break"
    assert f.spent("P") == {"tables_allocated": 1, "tables_broken": 1, "ptes_copied": 1, "pages_copied": 1}
