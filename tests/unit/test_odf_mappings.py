"""Rows F50-F55 and F59-F67 of the fork specification: calls that add and remove pages, on tables that others share.

The sharer must never see anything of it. Every test states whole tables and pages, and ends with all invariants.
"""

from collections.abc import Callable, Iterator

import pytest
from mm_helpers import PAGE, PRIVATE, RW, SHARED
from odf_helpers import BASE, IN_TABLE, READ, WRITE, Family, Page, Table, other, untouched, where

from mini_kernel.mm import advise, fault, mmap, protect
from mini_kernel.uapi import mman

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


# -- munmap ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["P", "C"])
def test_F50_munmap_of_all_lets_go_of_the_table(f: Family, name: str) -> None:
    """T.ref - 1 and the PMD entry cleared; no copy, no frame freed but upper tables; the other keeps T and its data."""
    before, flushes = f.pages(other(name)), f.flushes()
    data = f.frames.in_use
    mmap.munmap(f.mms[name], BASE, 6 * PAGE)
    assert f.tables(name) == []
    assert f.frames.in_use == data - 2, "the PUD and the PMD table"
    assert f.tables(other(name)) == [Table(0, "T0", 1, False, "P" if name == "C" else "")]
    assert f.pages(other(name)) == before
    assert f.size(name) == (0, 0, 0)
    assert f.spent(name) == {}
    assert f.flushes() > flushes
    f.check()
    untouched(f, other(name))
    assert f.size(other(name)) == (6, 0, 1)


def test_F50_the_range_may_be_larger_than_one_table() -> None:
    """Three shared tables and a hole, cut through the middle of the first and the last: two breaks, one let go."""
    f = Family(4 * IN_TABLE)
    f.write("P", 0, 300, IN_TABLE, 3 * IN_TABLE, 3 * IN_TABLE + 300)
    f.odf("P", "C")
    f.settle()
    mmap.munmap(f.mms["C"], where(100), (3 * IN_TABLE + 100) * PAGE)
    assert f.tables("P") == [
        Table(0, "T0", 1, False, "P"), Table(1, "T1", 1, False, "P"), Table(3, "T2", 1, False, "P"),
    ]  # fmt: skip
    assert f.tables("C") == [Table(0, "T3", 1, True, "C"), Table(3, "T4", 1, True, "C")]
    assert [page.at for page in f.pages("C")] == [0, 3 * IN_TABLE + 300]
    assert f.spent("C") == {"tables_allocated": 2, "tables_broken": 2, "ptes_copied": 4}
    assert f.see("P", 0, 300, IN_TABLE, 3 * IN_TABLE, 3 * IN_TABLE + 300) == [1, 45, 1, 1, 45]
    f.check()
    f.all_exit()


@pytest.mark.parametrize("first", ["P", "C"])
def test_F51_the_last_munmap_frees_every_frame_once(f: Family, first: str) -> None:
    """After both have unmapped, six data frames and all tables are free, in whichever order."""
    used = f.frames.in_use
    for name in (first, other(first)):
        mmap.munmap(f.mms[name], BASE, 6 * PAGE)
        f.check()
    assert f.frames.in_use == used - 6 - 1 - 4, "data, T, two upper tables each"
    assert f.frames.in_use == 1 + 2, "the zero page and two PGDs"


@pytest.mark.parametrize("name", ["P", "C"])
@pytest.mark.parametrize("cut", [(0, 2), (2, 2), (4, 2), (5, 400)])
def test_F52_munmap_of_a_part_breaks_and_keeps_the_rest(f: Family, name: str, cut: tuple[int, int]) -> None:
    """The caller loses these pages only, in its own copy; T is the other's alone, with all six pages."""
    at, n = cut
    mmap.munmap(f.mms[name], where(at), n * PAGE)
    kept = [page for page in range(6) if not at <= page < at + n]
    assert f.tables(name) == [Table(0, "T1", 1, True, name)]
    assert f.tables(other(name)) == [Table(0, "T0", 1, False, "P" if name == "C" else "")]
    assert f.pages(name) == [Page(page, "abcdef"[page], "r", 2) for page in kept]
    assert f.pages(other(name)) == [Page(page, "abcdef"[page], "r", 1 + (page in kept)) for page in range(6)]
    assert f.see(name, *kept) == [page + 1 for page in kept]
    assert f.spent(name) == {"tables_allocated": 1, "tables_broken": 1, "ptes_copied": 6}
    f.check()
    untouched(f, other(name))


@pytest.mark.parametrize("name", ["P", "C"])
def test_F53_a_small_area_goes_and_its_neighbour_in_the_same_table_stays(f: Family, name: str) -> None:
    """Two areas in one T: munmap of one takes nothing from the other, here or there."""
    protect.mprotect(f.mms["P"], where(3), 3 * PAGE, R)
    protect.mprotect(f.mms["C"], where(3), 3 * PAGE, R)
    f.odf("P", "G")
    f.odf("C", "H")
    mmap.munmap(f.mms[name], where(0), 3 * PAGE)
    assert f.see(name, 3, 4, 5) == [4, 5, 6]
    assert [page.at for page in f.pages(name)] == [3, 4, 5]
    for sharer in (other(name), "G", "H"):
        assert f.see(sharer, *range(6)) == [1, 2, 3, 4, 5, 6]
    f.check()


def test_F53b_a_range_that_holds_all_there_is_in_the_table_needs_no_break() -> None:
    """An area with nothing present beside it: letting go of T is enough, and the neighbour has no table then."""
    f = Family(6)
    f.write("P", 0, 1)
    f.odf("P", "C")
    f.settle()
    mmap.munmap(f.mms["C"], BASE, 3 * PAGE)
    assert f.tables("C") == []
    assert f.tables("P") == [Table(0, "T0", 1, False, "P")]
    assert f.spent("C") == {}
    assert f.see("C", 3, 4) == [0, 0]
    assert f.see("P", 0, 1) == [1, 2]
    f.check()
    f.all_exit()


def test_F53c_a_range_that_holds_nothing_leaves_the_table_shared() -> None:
    """munmap of pages that were never touched, beside some that were: T stays shared, as nothing in it changes."""
    f = Family(6)
    f.write("P", 0, 1)
    f.odf("P", "C")
    f.settle()
    mmap.munmap(f.mms["C"], where(3), 3 * PAGE)
    advise.madvise(f.mms["P"], where(3), 3 * PAGE, mman.MADV_DONTNEED)
    assert f.tables("P") == f.tables("C") == [Table(0, "T0", 2, False, "P")]
    assert f.spent("C") == f.spent("P") == {}
    f.check()
    f.all_exit()


# -- madvise -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["P", "C"])
@pytest.mark.parametrize("advice", [mman.MADV_DONTNEED, mman.MADV_DONTNEED_LOCKED])
def test_F54_dontneed_of_one_page_drops_that_page_here(name: str, advice: int) -> None:
    """Of 512 pages one reads zero here, the other 511 keep their data, and the sharer sees nothing of it."""
    f = Family(IN_TABLE)
    f.write("P", *range(IN_TABLE))
    f.odf("P", "C")
    f.settle()
    advise.madvise(f.mms[name], where(7), PAGE, advice)
    assert f.spent(name) == {"tables_allocated": 1, "tables_broken": 1, "ptes_copied": 512}
    assert f.tables(other(name)) == [Table(0, "T0", 1, False, "P" if name == "C" else "")]
    assert f.see(name, *range(IN_TABLE)) == [0 if n == 7 else n + 1 & 0xFF for n in range(IN_TABLE)]
    assert f.see(other(name), *range(IN_TABLE)) == [n + 1 & 0xFF for n in range(IN_TABLE)]
    assert f.size(name) == (511, 0, 1)
    f.check()
    f.all_exit()


@pytest.mark.parametrize("name", ["P", "C"])
def test_F54_dontneed_of_a_whole_table_lets_go_of_it(f: Family, name: str) -> None:
    """The range covers T: zeros here, T.ref - 1, everything there."""
    advise.madvise(f.mms[name], BASE, 6 * PAGE, mman.MADV_DONTNEED)
    assert f.tables(name) == []
    assert f.spent(name) == {}
    assert f.see(name, *range(6)) == [0] * 6
    untouched(f, other(name))


def test_F55_madv_free_breaks_before_it_takes_bits_away(f: Family) -> None:
    """A, D and W go from C's copy of the entries; P's entries lose W to the break alone."""
    advise.madvise(f.mms["C"], BASE, 2 * PAGE, mman.MADV_FREE)
    assert f.tables("C") == [Table(0, "T1", 1, True, "C")]
    assert [f.dirty("C", n) for n in range(3)] == [False, False, True]
    assert [f.dirty("P", n) for n in range(3)] == [True, True, True]
    assert f.see("C", 0, 1) == [1, 2]
    untouched(f, "P")


def test_F55_a_hole_punched_into_shared_memory_breaks_in_every_process() -> None:
    """MADV_REMOVE takes the page from all who map it, each in a table of its own; their private pages stay."""
    f = Family(2)
    f.map("P", 2, 3, RW, SHARED)
    f.write("P", *range(5))
    f.odf("P", "C")
    f.odf("C", "G")
    advise.madvise(f.mms["C"], where(3), PAGE, mman.MADV_REMOVE)
    for name in "PCG":
        assert [page.at for page in f.pages(name)] == [0, 1, 2, 4]
        assert f.see(name, *range(5)) == [1, 2, 3, 0, 5]
    f.write("G", 3, value=60)
    assert [f.see(name, 3) for name in "PCG"] == [[60]] * 3
    f.check()
    f.all_exit()


def test_F55_a_file_cut_short_leaves_shared_tables_too() -> None:
    """ftruncate unmaps the pages behind the end from P, C and G, private copies as well, and SIGBUS follows."""
    f = Family(1)
    file = f.file(4)
    f.map("P", 1, 4, RW, PRIVATE, file)
    f.write("P", 0, 3, value=50)
    f.see("P", 1, 2, 4)
    f.odf("P", "C")
    f.odf("P", "G")
    file.cache.truncate(2 * PAGE)
    for name in "PCG":
        assert [page.at for page in f.pages(name)] == [0, 1, 2]
        assert f.see(name, 0, 1, 2) == [50, 1, 2]
        with pytest.raises(fault.BadAccess):
            f.fault(name, 3, READ)
    f.check()
    f.all_exit()


@pytest.mark.parametrize("advice", ["POPULATE_READ", "POPULATE_WRITE"])
def test_F55_populate_breaks_only_where_it_adds(f: Family, advice: str) -> None:
    """Reading what is present leaves T shared; making pages writable breaks it and copies."""
    advise.madvise(f.mms["C"], BASE, 6 * PAGE, getattr(mman, f"MADV_{advice}"))
    if advice == "POPULATE_READ":
        assert f.tables("C") == [Table(0, "T0", 2, False, "P")]
    else:
        assert f.pages("C") == [Page(n, "ghijkl"[n], "rw", 1) for n in range(6)]
    untouched(f, "P")


# -- new mappings ------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [READ, WRITE])
@pytest.mark.parametrize("name", ["P", "C"])
def test_F59_a_new_mapping_in_a_hole_is_invisible_to_the_sharer(f: Family, name: str, error: int) -> None:
    """Private, shared and file memory mapped into the 2 MiB of a shared T, and touched: no page shows up there."""
    f.map(name, 10, 2)
    f.map(name, 20, 2, RW, SHARED)
    f.map(name, 30, 2, R, PRIVATE, f.file(2))
    assert f.tables(name)[0].ref == 2, "mapping alone changes no table"
    f.fault(name, 10, error)
    f.fault(name, 20, error)
    f.fault(name, 30, READ)
    assert [page.at for page in f.pages(name)] == [*range(6), 10, 20, 30]
    assert f.pages(other(name)) == [Page(n, "abcdef"[n], "r", 2) for n in range(6)]
    f.map(other(name), 10, 2)
    assert f.see(other(name), 10, 11) == [0, 0]
    f.check()
    untouched(f, other(name))


@pytest.mark.parametrize("name", ["P", "C"])
def test_F60_map_fixed_over_shared_pages_is_munmap_and_mmap(f: Family, name: str) -> None:
    """The pages below are new zeros here and the old data there; neighbours keep theirs."""
    f.map(name, 1, 2)
    assert f.tables(name) == [Table(0, "T1", 1, True, name)]
    assert f.see(name, *range(6)) == [1, 0, 0, 4, 5, 6]
    f.write(name, 1, value=70)
    f.map(name, 0, 6, RW, SHARED)
    assert f.see(name, *range(6)) == [0] * 6
    untouched(f, other(name))


def test_F61_areas_that_merge_keep_contents_and_counts(f: Family) -> None:
    """Neighbours mapped on both sides become one area; T, contents and the next on-demand fork are right."""
    f.map("P", 6, 4)
    f.map("C", 6, 2)
    assert len(f.mms["P"].vmas) == len(f.mms["C"].vmas) == 1
    assert f.tables("P") == [Table(0, "T0", 2, False, "P")]
    f.write("P", 6, 9)
    f.write("C", 7)
    f.settle()
    f.odf("P", "G")
    assert f.spent("P") == {"tables_shared": 1}
    assert f.see("G", *range(10)) == [1, 2, 3, 4, 5, 6, 7, 0, 0, 10]
    assert f.see("C", *range(8)) == [1, 2, 3, 4, 5, 6, 0, 8]
    assert len(f.mms["G"].vmas) == 1
    untouched(f, "C")


def test_F62_brk_up_and_down_in_shared_tables() -> None:
    """Each side moves its own break over a shared T: what is cut reads zero after growing, and stays there."""
    f = Family(0)
    p = f.mms["P"]
    p.start_brk = p.brk = BASE
    assert mmap.brk(p, where(6)) == where(6)
    f.write("P", *range(6))
    c = f.odf("P", "C")
    assert mmap.brk(c, where(3)) == where(3)
    assert f.see("P", *range(6)) == [1, 2, 3, 4, 5, 6]
    assert mmap.brk(c, where(8)) == where(8)
    assert f.see("C", *range(8)) == [1, 2, 3, 0, 0, 0, 0, 0]
    assert mmap.brk(p, where(9)) == where(9)
    f.write("P", 8)
    assert f.see("C", 7) == [0]
    f.odf("P", "G")
    assert mmap.brk(f.mms["G"], BASE) == BASE
    assert f.tables("G") == []
    assert f.see("P", *range(9)) == [1, 2, 3, 4, 5, 6, 0, 0, 9]
    assert (f.mms["P"].brk, f.mms["C"].brk, f.mms["G"].brk) == (where(9), where(8), BASE)
    f.check()
    f.all_exit()


@pytest.mark.parametrize("name", ["P", "C"])
def test_F63_a_stack_that_grows_into_a_shared_table(name: str) -> None:
    """The page below appears here only; the next fork shares all of it; the other's stack grows on its own."""
    f = Family(0)
    f.map("P", 100, 2, RW, PRIVATE | mman.MAP_GROWSDOWN)
    f.write("P", 100, 101)
    f.odf("P", "C")
    assert f.fault(name, 97, WRITE) == "table_break"
    assert [page.at for page in f.pages(name)] == [97, 100, 101]
    assert [page.at for page in f.pages(other(name))] == [100, 101]
    assert f.mms[other(name)].vmas[0].start == where(100)
    f.check()
    f.settle()
    f.odf(name, "G")
    assert f.spent(name) == {"tables_shared": 1}
    f.write("G", 96)
    f.write(other(name), 99, value=70)
    assert f.see("G", 96, 97, 100) == [97, 0, 101]
    assert f.see(other(name), 99, 100) == [70, 101]
    f.check()
    f.all_exit()


def test_F64_map_populate_prefaults_writable_pages_and_such_tables_are_shared() -> None:
    """Present, writable and dirty after mmap: no fault is left. On-demand fork shares these tables like any."""
    f = Family(0)
    f.map("P", 0, 2 * IN_TABLE, RW, PRIVATE | mman.MAP_POPULATE)
    assert {page.rights for page in f.pages("P")} == {"rw"}
    assert f.size("P") == (2 * IN_TABLE, 0, 2)
    f.settle()
    c = f.odf("P", "C")
    assert f.spent("P") == {"tables_shared": 2}
    assert f.tables("P") == f.tables("C") == [Table(n, f"T{n}", 2, False, "P") for n in range(2)]
    f.write("C", 5, value=70)
    assert f.see("P", 5) == [0]
    f.map("C", 3 * IN_TABLE, 4)
    assert f.pages("C")[-1].at < 3 * IN_TABLE, "without MAP_POPULATE nothing is populated"
    mmap.mmap(c, where(1), 2 * PAGE, RW, PRIVATE | mman.MAP_FIXED | mman.MAP_POPULATE)
    assert [page.rights for page in f.pages("C")[:4]] == ["r", "rw", "rw", "r"]
    f.check()
    f.all_exit()


def test_F64_populating_read_only_and_shared_memory_reads_it() -> None:
    """MAP_POPULATE writes to private writable pages only: PROT_READ gets the zero page, shared memory its own."""
    f = Family(0)
    f.map("P", 0, 3, R, PRIVATE | mman.MAP_POPULATE)
    f.map("P", 3, 3, RW, SHARED | mman.MAP_POPULATE)
    assert [page.frame for page in f.pages("P")] == ["zero"] * 3 + ["a", "b", "c"]
    f.check()


# -- shared memory -----------------------------------------------------------------------------------


def _shared_kinds() -> dict[str, Callable[[Family], None]]:
    return {
        "anonymous": lambda f: f.map("P", 0, 4, RW, SHARED),
        "file": lambda f: f.map("P", 0, 4, RW, mman.MAP_SHARED, f.file(4)),
    }


@pytest.mark.parametrize("kind", _shared_kinds())
def test_F66_shared_memory_in_a_shared_table_is_never_copied(kind: str) -> None:
    """Beside private pages in one T: after breaks by C, P and G each sees each other's writes at once, in one frame."""
    f = Family(0)
    _shared_kinds()[kind](f)
    f.map("P", 10, 2)
    f.write("P", 0, 10)
    f.odf("P", "C")
    f.odf("C", "G")
    for value, name in enumerate("CPG", 60):
        f.write(name, 10, value=value)
        f.write(name, 0, value=value)
        f.write(name, 1 + value - 60, value=value)
        f.check()
        assert [f.see(n, 0) for n in "PCG"] == [[value]] * 3
    assert [f.see(n, 1, 2, 3) for n in "PCG"] == [[60, 61, 62]] * 3
    assert [f.see(n, 10) for n in "PCG"] == [[61], [60], [62]]
    frames = [[page.frame for page in f.pages(n) if page.at < 4] for n in "PCG"]
    assert frames[0] == frames[1] == frames[2]
    assert {page.rights for n in "PCG" for page in f.pages(n) if page.at < 4} == {"rw"}
    f.all_exit()


def test_F66_dirty_bits_of_shared_memory_survive_the_break() -> None:
    """D set in T is set in T' and stays in T; a page only read is not dirty in either."""
    f = Family(0)
    f.map("P", 0, 4, RW, mman.MAP_SHARED, f.file(4))
    f.map("P", 10, 1)
    f.write("P", 0, 10)
    f.see("P", 1)
    f.odf("P", "C")
    f.write("C", 10, value=70)
    assert [(f.dirty(n, 0), f.dirty(n, 1)) for n in "PC"] == [(True, False)] * 2
    f.check()
    f.all_exit()


def test_F66_a_write_to_shared_memory_below_a_shared_table_breaks_it_and_copies_no_page() -> None:
    """PMD.W=0 stops the CPU although the PTE is writable: one table break, no page copied, the frame the same."""
    f = Family(0)
    f.map("P", 0, 2, RW, SHARED)
    f.write("P", 0)
    f.odf("P", "C")
    f.settle()
    assert f.fault("C", 0) == "table_break"
    assert f.spent("C") == {"tables_allocated": 1, "tables_broken": 1, "ptes_copied": 1}
    assert f.pages("C") == f.pages("P") == [Page(0, "a", "rw", 3)]
    assert (f.size("P"), f.size("C")) == ((0, 1, 1), (0, 1, 1))
    f.check()
    f.all_exit()


def test_F67_segments_attached_and_detached_around_a_fork() -> None:
    """One segment mapped twice, before and after the fork; detached in any order, the others keep their view."""
    f = Family(0)
    file = f.file(2)
    f.map("P", 0, 2, RW, mman.MAP_SHARED, file)
    f.map("P", 4, 2)
    f.write("P", 0, 4, value=50)
    f.odf("P", "C")
    f.map("C", 8, 2, RW, mman.MAP_SHARED, file)
    f.write("C", 8, value=60)
    assert (f.see("P", 0), f.see("C", 0)) == ([60], [60])
    mmap.munmap(f.mms["C"], BASE, 2 * PAGE)
    assert [page.at for page in f.pages("C")] == [4, 8]
    assert f.see("P", 0, 4) == [60, 50]
    f.write("P", 0, value=70)
    assert f.see("C", 8) == [70]
    f.odf("C", "G")
    mmap.munmap(f.mms["P"], BASE, 2 * PAGE)
    mmap.munmap(f.mms["C"], where(8), 2 * PAGE)
    assert f.see("G", 8, 4) == [70, 50]
    assert file.users == 1
    f.check()
    f.all_exit()
