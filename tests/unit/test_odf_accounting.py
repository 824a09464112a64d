"""Rows F80-F95 of the fork specification: what is counted, and the kernel's own accesses, pins and views."""

import pytest
from fakes import FakeRam
from mm_helpers import PAGE, PRIVATE, RW, SHARED
from odf_helpers import BASE, FORKS, IN_TABLE, READ, Family, Page, Table, couple, where

from mini_kernel.errors import SysError
from mini_kernel.fs.proc.pagemap import read_entries
from mini_kernel.fs.proc.usage import usage_of
from mini_kernel.mm import advise, pin, uaccess
from mini_kernel.uapi import mman
from mini_kernel.uapi.errno import EFAULT, ENOMEM

# -- sizes -------------------------------------------------------------------------------------------


def test_F80_the_owner_counts_the_table_and_its_pages() -> None:
    """P counts four pages and T, C nothing; after C's break both count; after P's break first, C takes over later."""
    f = couple(4)
    assert (f.size("P"), f.size("C")) == ((4, 0, 1), (0, 0, 0))
    f.write("C", 0)
    assert (f.size("P"), f.size("C")) == ((4, 0, 1), (4, 0, 1))
    f = couple(4)
    f.write("P", 0)
    assert (f.size("P"), f.size("C")) == ((4, 0, 1), (0, 0, 0))
    f.write("C", 0)
    assert (f.size("P"), f.size("C")) == ((4, 0, 1), (4, 0, 1))


def test_F80_pages_that_come_and_go_in_shared_tables_are_counted_by_the_owner() -> None:
    """Lazily faulted, dropped, and file pages: sizes equal a recount after each step, and never leave [0, mapped]."""
    f = couple(4)
    f.map("P", 10, 3, RW, PRIVATE, f.file(3))
    f.map("C", 10, 3, RW, PRIVATE, f.file(3))
    for name, page in (("C", 10), ("P", 11), ("C", 12), ("P", 10)):
        f.see(name, page)
        f.check()
        f.write(name, page)
        f.check()
    assert (f.size("P"), f.size("C")) == ((6, 0, 1), (6, 0, 1))
    advise.madvise(f.mms["P"], BASE, 2 * PAGE, mman.MADV_DONTNEED)
    assert f.size("P") == (4, 0, 1)
    f.check()
    f.all_exit()


@pytest.mark.parametrize("how", FORKS)
def test_F80_reference_shape_at_1_gib(how: str) -> None:
    """1 GiB, all present: a classic child counts 1048576 kB and 2056 kB of tables, an ODF child 0 and 8 kB."""
    gib = (1 << 30) // PAGE
    f = Family(0, mib=3 << 10)
    assert isinstance(f.frames.ram, FakeRam)
    f.map("P", 0, gib, RW, PRIVATE | mman.MAP_POPULATE)
    f.settle()
    frames = f.frames.in_use
    c = FORKS[how](f.mms["P"])
    f.mms["C"] = c
    sizes = [(mm.rss * 4, (mm.pt.tables - 1) * 4) for mm in (f.mms["P"], c)]
    classic = (1048576, 2056)
    assert sizes == [classic, classic if how == "classic" else (0, 8)]
    assert f.frames.in_use - frames == (515 if how == "classic" else 3)
    assert f.spent("P") == (
        {"tables_allocated": 512, "ptes_copied": gib} if how == "classic" else {"tables_shared": 512}
    )
    f.write("C", 5, value=7)
    assert (c.rss, c.pt.tables) == ((gib, 515) if how == "classic" else (512, 4))
    f.check()
    f.exit("P")
    f.check()
    f.all_exit()


def test_F81_a_table_without_owner_is_shown_as_unowned_and_not_lost() -> None:
    """P breaks its own T: the pages C still maps count for nobody until C writes; then all of them count for C."""
    f = couple(4)
    f.write("P", 0)
    assert f.tables("C") == [Table(0, "T0", 1, False, "")]
    assert f.size("C") == (0, 0, 0)
    assert usage_of(f.mms["C"], BASE, where(4)).rss == 4 * PAGE, "smaps shows what is mapped"
    f.check()
    f.odf("C", "G")
    f.exit("C")
    assert f.tables("G") == [Table(0, "T0", 1, False, "")]
    f.check()
    f.write("G", 3)
    assert f.tables("G") == [Table(0, "T0", 1, True, "G")]
    assert f.size("G") == (4, 0, 1)
    f.check()
    f.all_exit()


def test_F81_an_unowned_table_that_nobody_writes_is_freed_all_the_same() -> None:
    """P breaks and exits, C only reads and exits: nothing is left."""
    f = couple(4)
    f.write("P", 0)
    f.exit("P")
    assert f.see("C", 0) == [1]
    f.all_exit()


def test_F82_sizes_stay_between_nothing_and_what_is_mapped() -> None:
    """Over a long random life of five processes, with all kinds of calls; `check` recounts after each."""
    import random

    rng = random.Random(5)
    f = Family(8, mib=32)
    f.map("P", IN_TABLE, 8)
    f.map("P", 20, 4, RW, SHARED)
    born = 0
    for _ in range(600):
        name = rng.choice(list(f.mms))
        mm = f.mms[name]
        page = rng.choice((0, 1, 5, IN_TABLE, IN_TABLE + 3, 20))
        what = rng.randrange(7)
        if what == 0 and len(f.mms) < 5:
            born += 1
            f.fork(name, f"C{born}", rng.choice(list(FORKS)))
        elif what == 1 and len(f.mms) > 1:
            f.exit(name)
        elif what == 2:
            advise.madvise(mm, where(page), PAGE, mman.MADV_DONTNEED)
        elif what == 3:
            f.map(name, page, 2, RW, rng.choice((PRIVATE, SHARED)))
        elif what == 4:
            f.see(name, page)
        else:
            f.write(name, page, value=rng.randrange(1, 256))
        f.check()
    assert born > 20
    f.all_exit()


def test_F83_table_break_and_page_copy_are_one_fault() -> None:
    """One call of the fault handler does both, names the whole `table_break`, and leaves nothing for a second."""
    f = couple(4)
    assert f.fault("C", 2) == "table_break"
    assert f.spent("C") == {"tables_allocated": 1, "tables_broken": 1, "ptes_copied": 4, "pages_copied": 1}
    steps = f.mms["C"].pt.walk(where(2))
    assert all(step.entry & 2 for step in steps), "the CPU can write now"


# -- the kernel, pins, looking -----------------------------------------------------------------------


def test_F90_a_kernel_write_breaks_the_table() -> None:
    """copy_to_user below a shared T: C gets its own, P's bytes stay; and the other way round (R7)."""
    f = couple(4)
    uaccess.write(f.mms["C"], where(1), b"from read(2)")
    assert f.tables("C") == [Table(0, "T1", 1, True, "C")]
    assert uaccess.read(f.mms["P"], where(1), 12) == b"\2" + bytes(11)
    uaccess.write_u32(f.mms["P"], where(2), 0x01020304)  # wait4's status
    assert uaccess.read_u32(f.mms["C"], where(2)) == 3
    f.check()
    f.all_exit()


def test_F90_kernel_writes_look_at_all_four_levels() -> None:
    """The PTE in T has W, the PMD entry has not: the kernel must not write through it (R7)."""
    f = couple(4)
    assert f.entry("C", 1) & 2
    before = f.frames.ram.tables.copy()
    f.frames.refuse_after = 0
    with pytest.raises(SysError) as refused:
        uaccess.write(f.mms["C"], where(1), b"x")
    assert refused.value.errno in (EFAULT, ENOMEM)
    assert (f.frames.ram.tables == before).all(), "not a byte of memory has changed"
    f.frames.refuse_after = -1


def test_F91_a_kernel_read_leaves_the_table_shared() -> None:
    """copy_from_user of all four pages: the whole state as it was, no A bit, no cost."""
    f = couple(4)
    before = f.state()
    assert [data[0] for data in uaccess.chunks(f.mms["C"], BASE, 4 * PAGE, False)] == [1, 2, 3, 4]
    uaccess.read_u64(f.mms["C"], where(3))
    assert f.state() == before
    assert f.spent("C") == {}


@pytest.mark.parametrize("how", FORKS)
def test_F92_a_pinned_page_and_its_pinner_see_the_same_frame(how: str) -> None:
    """P pinned a page, forks, and both write: the frame is still P's, through munmap of the child's and its exit."""
    f = Family(4)
    f.write("P", *range(4))
    (pfn,) = pin.pin_pages(f.mms["P"], where(1), PAGE)
    f.fork("P", "C", how)
    f.write("C", 1, value=60)
    f.write("P", 1, value=70)
    assert f.frames.ram.data[pfn << 12] == 70
    f.frames.ram.data[pfn << 12] = 80
    assert (f.see("P", 1), f.see("C", 1)) == ([80], [60])
    f.odf("C", "G")
    f.exit("C")
    f.write("P", 1, value=90)
    assert (f.frames.ram.data[pfn << 12], f.see("G", 1)) == (90, [60])
    f.exit("P")
    f.check()
    assert f.frames.ram.data[pfn << 12] == 90, "the pinner has it still"
    f.frames.unpin(pfn)
    f.all_exit()


@pytest.mark.parametrize("how", FORKS)
def test_F92_a_page_pinned_before_two_forks_stays_with_the_one_who_pinned(how: str) -> None:
    """A second fork copies the page again; a fork by the child shares the child's copy like any page."""
    f = Family(2)
    f.write("P", 0, 1)
    (pfn,) = pin.pin_pages(f.mms["P"], where(0), 1)
    f.fork("P", "C", how)
    f.fork("P", "D", how)
    f.fork("C", "G", how)
    for value, name in enumerate("PCDG", 60):
        f.write(name, 0, value=value)
    assert [f.see(name, 0, 1) for name in "PCDG"] == [[60, 2], [61, 2], [62, 2], [63, 2]]
    assert f.entry("P", 0) >> 12 & 0xFFFFF == pfn
    f.check()
    f.frames.unpin(pfn)
    f.all_exit()


@pytest.mark.parametrize("name", ["P", "C"])
def test_F93_pinning_in_a_shared_table_breaks_it_first(name: str) -> None:
    """The pinner's page is its own then, in a table of its own; the sharer keeps T and the old frame."""
    f = couple(4)
    other = "PC".replace(name, "")
    before = [page.frame for page in f.pages(other)]
    (pfn,) = pin.pin_pages(f.mms[name], where(2), 8)
    assert f.tables(name) == [Table(0, "T1", 1, True, name)]
    assert f.tables(other)[0].name == "T0"
    assert [page.frame for page in f.pages(other)] == before
    assert f.entry(name, 2) >> 12 & 0xFFFFF == pfn
    assert f.entry(other, 2) >> 12 & 0xFFFFF != pfn
    f.check()
    f.write(other, 2, value=70)
    assert f.frames.ram.data[pfn << 12] == 3
    f.frames.unpin(pfn)
    f.check()
    f.all_exit()


def test_F93_pinning_shared_memory_breaks_the_table_and_copies_nothing() -> None:
    """The pinned frame is everybody's; the next on-demand fork shares the table, as nothing private is pinned."""
    f = Family(0)
    f.map("P", 0, 2, RW, SHARED)
    f.write("P", 0)
    f.odf("P", "C")
    (pfn,) = pin.pin_pages(f.mms["C"], BASE, 1)
    assert f.tables("C") == [Table(0, "T1", 1, True, "C")]
    assert f.pages("C") == [Page(0, "a", "rw", 4)], "two tables, the page cache, the pin"
    f.frames.ram.data[pfn << 12] = 90
    assert f.see("P", 0) == f.see("C", 0) == [90]
    f.settle()
    f.odf("C", "G")
    assert f.spent("C") == {"tables_shared": 1}
    assert f.see("G", 0) == [90]
    f.check()
    f.frames.unpin(pfn)
    f.all_exit()


def test_F93_pinning_without_memory_pins_nothing() -> None:
    """For every n: ENOMEM, no pin, contents as they were."""
    n = 0
    while True:
        f = couple(4)
        f.frames.refuse_after = n
        try:
            pins = pin.pin_pages(f.mms["C"], BASE, 3 * PAGE)
        except SysError as error:
            assert error.errno == ENOMEM
            f.frames.refuse_after = -1
            assert f.frames.pins == {}
            assert f.see("P", 0, 1, 2, 3) == f.see("C", 0, 1, 2, 3) == [1, 2, 3, 4]
            f.check()
            f.all_exit()
            n += 1
        else:
            assert len(pins) == 3
            break
    assert n == 4, "a table and three pages"


def test_F95_looking_never_modifies_a_table() -> None:
    """smaps, pagemap, mincore, walks and a debugger's reads, of shared, unowned and reusable tables."""
    f = couple(4)
    f.map("P", IN_TABLE, 2)
    f.fault("P", IN_TABLE, READ)
    f.odf("P", "G")
    f.write("P", 0)
    f.odf("C", "H")
    f.exit("H")
    before = f.state()
    for mm in f.mms.values():
        usage_of(mm, BASE, where(2 * IN_TABLE))
        read_entries(mm, BASE // PAGE, 2 * IN_TABLE)
        advise.mincore(mm, BASE, 4 * PAGE)
        uaccess.probe(mm, BASE, 5 * PAGE)
        mm.pt.read(BASE, where(2 * IN_TABLE))
        mm.pt.walk(BASE)
        mm.pt.tree()
        list(mm.pt.tables_in(0, 1 << 47))
    assert f.state() == before
    assert f.frames.refuse_after == -1


def test_F95_smaps_and_pagemap_tell_what_is_shared() -> None:
    """Pages below a shared T are shared, of both processes; after the break the copied one is private."""
    f = couple(4)
    assert usage_of(f.mms["C"], BASE, where(4)).shared_dirty == 4 * PAGE
    f.write("C", 0)
    usage = usage_of(f.mms["C"], BASE, where(4))
    assert (usage.shared_dirty, usage.private_dirty) == (3 * PAGE, PAGE)
    exclusive = read_entries(f.mms["C"], BASE // PAGE, 4) >> 56 & 1
    assert exclusive.tolist() == [1, 0, 0, 0]
