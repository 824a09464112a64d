"""Rows S2-S10 of the fork specification: regions that processes share while all else is forked.

The system call on the CPU is in tests/programs/test_sfork_programs.py, the library in test_sfork_library.py there.
"""

from itertools import product

import pytest
from mm_helpers import PAGE, RW, errno_of, refusal
from odf_helpers import CPU_WRITE, FORKS, IN_TABLE, READ, WRITE, Family, Page, Table, where
from sfork_helpers import (
    ANON,
    AT,
    BOTH,
    CHILD,
    PARENT,
    POPULATE,
    how_by_each_fork,
    lazy_and_populated,
    members,
    region,
    sforked,
)

from mini_kernel.mm import mmap, protect, remap, sfork
from mini_kernel.mm.vma import VM_SFORK
from mini_kernel.uapi import mman
from mini_kernel.uapi.errno import EACCES, EINVAL
from mini_kernel.uapi.signal import SEGV_ACCERR, SIGSEGV

# -- the call ----------------------------------------------------------------------------------------


def test_S2_bad_arguments_map_nothing() -> None:
    """Length 0, no writer, unknown flags: EINVAL and the address space as it was."""
    f = Family(4)
    before = f.state()
    for length, flags in ((0, BOTH), (PAGE, 0), (PAGE, POPULATE), (PAGE, 8 | CHILD), (PAGE, 0x8000_0000 | CHILD)):
        assert errno_of(sfork.map_region, f.mms["P"], length, flags) == EINVAL
    assert f.state() == before


@how_by_each_fork
@lazy_and_populated
def test_S3_the_region_is_page_aligned_and_at_one_address_in_both(populate: int, how: str) -> None:
    """Lengths that are no multiple of a page are rounded up; a VMA with VM_SFORK at the same place on both sides."""
    f = Family(4)
    p = f.mms["P"]
    for length, pages in ((1, 1), (PAGE, 1), (PAGE + 1, 2)):
        address = sfork.map_region(p, length, BOTH | populate)
        c = sfork.sfork_mm(p, FORKS[how], address, length, BOTH | populate)
        assert address % PAGE == 0
        for mm in (p, c):
            vma = mm.find(address)
            assert vma is not None
            assert (vma.start, vma.pages, vma.flags & VM_SFORK, vma.flags & 3) == (address, pages, VM_SFORK, 3)
        f.mms[f"C{length}"] = c
        f.check()
    f.all_exit()


@how_by_each_fork
@lazy_and_populated
@pytest.mark.parametrize(("flags", "reader"), [(CHILD, "P"), (PARENT, "C")])
def test_S4_the_side_without_its_flag_reads_and_never_writes(flags: int, reader: str, populate: int, how: str) -> None:
    """SIGSEGV, SEGV_ACCERR on a write; PROT_READ; mprotect(RW) is EACCES on all or part of it, for good."""
    f, _area = sforked(flags | populate, how)
    writer = "PC".replace(reader, "")
    mm = f.mms[reader]
    f.write(writer, AT, value=50)
    assert f.see(reader, AT, AT + 1) == [50, 0]
    for page in (AT, AT + 1, AT + 3):
        assert refusal(mm, where(page), WRITE) == (SIGSEGV, SEGV_ACCERR, "protection")
        assert refusal(mm, where(page), CPU_WRITE) == (SIGSEGV, SEGV_ACCERR, "protection")
    for at, n in ((AT, 4), (AT + 1, 1), (AT + 3, 1)):
        assert errno_of(protect.mprotect, mm, where(at), n * PAGE, RW) == EACCES
        assert errno_of(protect.mprotect, mm, where(at), n * PAGE, mman.PROT_WRITE) == EACCES
    protect.mprotect(mm, where(AT), PAGE, 0)
    protect.mprotect(mm, where(AT), PAGE, mman.PROT_READ)
    assert errno_of(protect.mprotect, mm, where(AT), PAGE, RW) == EACCES
    assert f.see(reader, AT) == [50]
    protect.mprotect(f.mms[writer], where(AT), PAGE, RW)
    f.write(writer, AT, value=51)
    assert f.see(reader, AT) == [51]
    f.check()
    f.all_exit()


@how_by_each_fork
@lazy_and_populated
def test_S5_updates_are_visible_to_the_other_side_at_once(populate: int, how: str) -> None:
    """In turns, page by page, both ways, in one frame each; before and after private breaks in the same 2 MiB."""
    f, _area = sforked(BOTH | populate, how)
    for value, (name, page) in enumerate(product("PC", range(AT, AT + 4)), 60):
        f.write(name, page, value=value)
        assert f.see("P", page) == f.see("C", page) == [value]
        f.write(name, page - AT, value=value)
        f.check()
    assert [page.frame for page in f.pages("P") if page.at >= AT] == [
        page.frame for page in f.pages("C") if page.at >= AT
    ]
    assert f.see("P", 0, 1, 2, 3) == [60, 61, 62, 63]
    assert f.see("C", 0, 1, 2, 3) == [64, 65, 66, 67]
    f.all_exit()


@how_by_each_fork
def test_S6_all_else_is_an_ordinary_private_fork(how: str) -> None:
    """Private pages beside the region, in the same 2 MiB, are copy-on-write between the two."""
    f, _area = sforked(BOTH, how)
    f.write("C", 0, value=50)
    f.write("P", 1, value=60)
    assert (f.see("P", 0, 1, 2), f.see("C", 0, 1, 2)) == ([1, 60, 3], [50, 2, 3])
    f.write("P", AT, value=70)
    assert (f.see("P", 0, 1, 2), f.see("C", 0, 1, 2)) == ([1, 60, 3], [50, 2, 3])
    f.check()
    f.all_exit()


def test_S7_the_flags_of_mmap() -> None:
    """MAP_SFORK needs MAP_ANONYMOUS and neither MAP_SHARED nor MAP_PRIVATE; code and stacks it cannot be."""
    f = Family(0)
    p = f.mms["P"]
    good = (ANON, ANON | mman.MAP_POPULATE, ANON | mman.MAP_NORESERVE)
    bad = (
        mman.MAP_SFORK,
        ANON | mman.MAP_SHARED,
        ANON | mman.MAP_PRIVATE,
        ANON | mman.MAP_SHARED_VALIDATE,
        mman.MAP_SFORK | mman.MAP_PRIVATE,
        ANON | mman.MAP_GROWSDOWN,
    )
    for flags in bad:
        assert errno_of(mmap.mmap, p, 0, PAGE, RW, flags) == EINVAL
    assert errno_of(mmap.mmap, p, 0, PAGE, RW | mman.PROT_EXEC, ANON) == EINVAL
    assert p.vmas == []
    for flags in good:
        assert errno_of(mmap.mmap, p, 0, PAGE, RW, flags) == 0
    f.check()
    f.all_exit()


@lazy_and_populated
def test_S8_regions_never_merge_and_are_never_copied(populate: int) -> None:
    """Neighbours stay two VMAs, a split one stays split; no write to a region ever copies a page or clears a W bit."""
    f = Family(0)
    first, second = region(f, "P", AT, 2, BOTH | populate), region(f, "P", AT + 2, 2, BOTH | populate)
    assert first is not second
    assert members(first, f) == [("P", AT, AT + 2)]
    f.fork("P", "C", "classic")
    f.odf("P", "G")
    protect.mprotect(f.mms["G"], where(AT), PAGE, mman.PROT_READ)
    protect.mprotect(f.mms["C"], where(AT), PAGE, RW)
    assert members(first, f) == [("C", AT, AT + 2), ("G", AT, AT + 1), ("G", AT + 1, AT + 2), ("P", AT, AT + 2)]
    for name, page in product("PCG", range(AT, AT + 4)):
        if (name, page) != ("G", AT):
            f.write(name, page)
    assert [f.mms[name].pt.costs.pages_copied for name in "PCG"] == [0, 0, 0]
    for name in "PC":
        assert [(page.at, page.rights) for page in f.pages(name)] == [(n, "rw") for n in range(AT, AT + 4)]
    assert [page.rights for page in f.pages("G")] == ["r", "rw", "rw", "rw"]
    f.check()
    f.all_exit()


# -- populated and lazy ------------------------------------------------------------------------------


@how_by_each_fork
@pytest.mark.parametrize("flags", [BOTH, CHILD, PARENT])
@pytest.mark.parametrize("pages", [3, IN_TABLE, IN_TABLE + 3])
def test_S9_a_populated_region_takes_no_fault_in_either_process(flags: int, pages: int, how: str) -> None:
    """After the mmap: reads by both, writes by those who may, all allowed by the tables as they are (X1 under ODF)."""
    f, _area = sforked(flags | POPULATE, how, pages)
    for name, right in (("P", PARENT), ("C", CHILD)):
        assert [f.touch(name, page, bool(flags & right)) for page in range(AT, AT + pages)] == [""] * pages
        assert f.spent(name) == {}
    assert f.size("P")[1] == f.size("C")[1] == pages
    f.check()
    f.all_exit()


@how_by_each_fork
@pytest.mark.parametrize("write", [True, False])
@pytest.mark.parametrize("first", ["P", "C"])
def test_S10_the_first_touch_installs_the_page_in_every_area(first: str, write: bool, how: str) -> None:
    """Read or write, by either: one fault, one zeroed frame, mapped in both; nobody faults again on that page."""
    f, area = sforked(BOTH, how)
    other = "PC".replace(first, "")
    assert f.touch(first, AT + 1, write) == "sfork_install"
    used = f.frames.allocated
    for name in (other, first):
        assert f.touch(name, AT + 1, False) == ""
        assert f.touch(name, AT + 1, True) == ""
        assert f.see(name, AT + 1) == [0]
    assert f.frames.allocated == used
    assert list(area.cache.pages) == [1]
    assert [page for page in f.pages("P") if page.at >= AT] == [page for page in f.pages("C") if page.at >= AT]
    assert f.pages("P")[-1][2:] == ("rw", 3), "two entries, and the region itself"
    f.check()
    f.all_exit()


def test_S10_each_area_gets_its_own_rights() -> None:
    """Writer, reader and a PROT_NONE member: "rw", "r" and "-", all on one frame, by one fault of the reader."""
    f, _area = sforked(CHILD)
    f.fork("P", "G", "classic")
    protect.mprotect(f.mms["G"], where(AT), 4 * PAGE, 0)
    assert f.touch("P", AT, False) == "sfork_install"
    assert [f.pages(name)[-1] for name in "CPG"] == [
        Page(AT, "e", "rw", 4), Page(AT, "e", "r", 4), Page(AT, "e", "-", 4),
    ]  # fmt: skip
    assert f.touch("C", AT, True) == ""
    assert refusal(f.mms["G"], where(AT), READ)[0] == SIGSEGV
    f.check()
    f.all_exit()


def test_S10_the_install_allocates_missing_tables_in_the_peer() -> None:
    """The region is in a 2 MiB, and a 1 GiB, where the peer has no table at all yet; all levels are made there."""
    f = Family(4)
    f.write("P", 0)
    far = (1 << 39) // PAGE + 7
    region(f, "P", far, 2)
    f.fork("P", "C", "classic")
    f.settle()
    assert f.touch("P", far) == "sfork_install"
    assert [table.at for table in f.tables("C")] == [0, far // IN_TABLE]
    assert f.tables("C")[1][2:] == (1, True, "C")
    assert f.spent("P") == f.spent("C") == {"tables_allocated": 1}
    assert f.touch("C", far) == ""
    assert (f.size("P"), f.size("C")) == ((1, 1, 2), (1, 1, 2))
    f.check()
    f.all_exit()


@how_by_each_fork
def test_S10_the_install_respects_what_the_peer_has_there_now(how: str) -> None:
    """Unmapped in part, protected in part, or something else mapped over it: only the page's own area gets it."""
    f, _area = sforked(BOTH, how)
    c = f.mms["C"]
    mmap.munmap(c, where(AT + 1), PAGE)
    protect.mprotect(c, where(AT + 2), PAGE, mman.PROT_READ)
    f.map("C", AT + 3, 1)
    f.write("C", AT + 3, value=99)
    for page in range(AT, AT + 4):
        f.touch("P", page)
        f.write("P", page, value=page)
    f.check()
    assert [page.at for page in f.pages("C") if page.at >= AT] == [AT, AT + 2, AT + 3]
    assert f.see("C", AT, AT + 2, AT + 3) == [AT, AT + 2, 99]
    assert f.see("P", *range(AT, AT + 4)) == [AT, AT + 1, AT + 2, AT + 3]
    assert refusal(c, where(AT + 2), WRITE)[0] == SIGSEGV
    f.write("C", AT, value=70)
    assert f.see("P", AT) == [70]
    f.all_exit()


@how_by_each_fork
def test_S10_a_region_that_was_moved_gets_the_page_at_its_new_place(how: str) -> None:
    """mremap of the child's area: the page is the same page of the region, not the same address."""
    f, _area = sforked(BOTH, how)
    remap.mremap(f.mms["C"], where(AT), 4 * PAGE, 4 * PAGE, mman.MREMAP_MAYMOVE | mman.MREMAP_FIXED, where(AT + 600))
    f.touch("P", AT + 2)
    f.write("P", AT + 2, value=70)
    assert f.touch("C", AT + 602) == ""
    assert f.see("C", AT + 602) == [70]
    f.check()
    f.all_exit()


@pytest.mark.parametrize("toucher", ["P", "G"])
def test_S10_the_install_breaks_a_table_that_odf_shares(toucher: str) -> None:
    """P's 2 MiB is shared with C when the region is mapped in it: whoever touches, P gets a table of its own (X1)."""
    f = Family(4)
    f.write("P", *range(4))
    f.odf("P", "C")
    region(f, "P", AT, 4)
    f.odf("P", "G")
    f.settle()
    assert f.tables("P") == f.tables("C") == [Table(0, "T0", 2, False, "P")]
    assert f.tables("G") == [Table(0, "T1", 1, True, "G")]
    f.touch(toucher, AT)
    assert f.tables("C") == [Table(0, "T0", 1, False, "")]
    assert f.tables("P") == [Table(0, "T2", 1, True, "P")]
    assert f.spent("P") == {"tables_allocated": 1, "tables_broken": 1, "ptes_copied": 4}
    assert [f.touch(name, AT) for name in "PG"] == ["", ""]
    assert [page.at for page in f.pages("C")] == [0, 1, 2, 3]
    f.write("G", AT, value=70)
    assert f.see("P", AT) == [70]
    for value, name in enumerate("PCG", 80):
        f.write(name, 0, value=value)
    assert [f.see(name, 0) for name in "PCG"] == [[80], [81], [82]]
    f.check()
    f.all_exit()


def _touched(f: Family, who: list[tuple[str, int]]) -> int:
    """Touch pages in this order; the number of faults."""
    return sum(bool(f.touch(name, page)) for name, page in who)


@how_by_each_fork
@pytest.mark.parametrize("kind", ["lazy", "populated", "shm"])
def test_S10_event_counts_of_two_processes(kind: str, how: str) -> None:
    """16 pages touched by both, one after the other: shm 32 faults, lazy 16, populated none after the mmap."""
    f = Family(0)
    if kind == "shm":
        f.map("P", AT, 16, RW, mman.MAP_SHARED | mman.MAP_ANONYMOUS)
    else:
        region(f, "P", AT, 16, BOTH | (POPULATE if kind == "populated" else 0))
    f.fork("P", "C", how)
    assert _touched(f, list(product("PC", range(AT, AT + 16)))) == {"shm": 32, "lazy": 16, "populated": 0}[kind]
    f.check()
    f.all_exit()


@how_by_each_fork
@pytest.mark.parametrize("kind", ["lazy", "populated", "shm"])
def test_S10_event_counts_of_five_processes(kind: str, how: str) -> None:
    """Eight distinct pages, the same in all five: shm 40 faults; lazy 8, with 32 installs in peers; populated none."""
    f = Family(0)
    if kind == "shm":
        f.map("P", AT, 8, RW, mman.MAP_SHARED | mman.MAP_ANONYMOUS)
    else:
        region(f, "P", AT, 8, BOTH | (POPULATE if kind == "populated" else 0))
    for n in range(4):
        f.fork("P", f"C{n}", how)
    names = list(f.mms)
    order = [(names[(n + page) % 5], page) for page in range(AT, AT + 8) for n in range(5)]
    assert _touched(f, order) == {"shm": 40, "lazy": 8, "populated": 0}[kind]
    assert [mm.rss_file for mm in f.mms.values()] == [8] * 5, "every page is mapped in every process"
    f.check()
    f.all_exit()
