"""The twenty bugs of the 2021 patch for copy-on-write page tables: each has a test here that fails on it.

Each docstring says what that patch did. Freed frames are overwritten, so that whoever reads them still is found.
"""

from itertools import permutations

import pytest
from mm_helpers import PAGE, PRIVATE, RW, SHARED, refusal
from odf_helpers import (
    BASE,
    CPU_WRITE,
    FORKS,
    IN_TABLE,
    READ,
    WRITE,
    Family,
    Page,
    Table,
    Watcher,
    couple,
    other,
    spied_family,
    where,
)

from mini_kernel.errors import SysError
from mini_kernel.mm import advise, fault, mmap, protect, remap, uaccess
from mini_kernel.uapi import mman
from mini_kernel.uapi.errno import EFAULT
from mini_kernel.uapi.signal import SEGV_ACCERR, SEGV_MAPERR, SIGSEGV

R = mman.PROT_READ


@pytest.mark.parametrize("end", ["exit", "munmap", "dontneed"])
@pytest.mark.parametrize("prot", [R, 0, R | mman.PROT_EXEC])
def test_B1_read_only_areas_share_write_protected_tables(prot: int, end: str) -> None:
    """The PMD entry of a read-only VMA kept W=1, so C took T for its own: its exit wiped P's data."""
    f = Family(6)
    f.frames.poison = True
    f.write("P", *range(6))
    protect.mprotect(f.mms["P"], BASE, 6 * PAGE, prot)
    f.odf("P", "C")
    assert f.tables("P") == f.tables("C") == [Table(0, "T0", 2, False, "P")]
    if end == "exit":
        f.exit("C")
    elif end == "munmap":
        mmap.munmap(f.mms["C"], BASE, 6 * PAGE)
    else:
        advise.madvise(f.mms["C"], BASE, 6 * PAGE, mman.MADV_DONTNEED)
    f.check()
    protect.mprotect(f.mms["P"], BASE, 6 * PAGE, RW)
    assert f.see("P", *range(6)) == [1, 2, 3, 4, 5, 6]
    f.all_exit()


@pytest.mark.parametrize("writer", ["P", "C"])
def test_B2_rights_given_back_after_the_fork_do_not_expose_the_sharer(writer: str) -> None:
    """mprotect(R), fork, mprotect(RW), write: T was taken for private then, and the write was seen by the other."""
    f = Family(4)
    f.write("P", *range(4))
    protect.mprotect(f.mms["P"], BASE, 4 * PAGE, R)
    f.odf("P", "C")
    protect.mprotect(f.mms[writer], BASE, 4 * PAGE, RW)
    f.write(writer, 0, 3, value=99)
    other = "PC".replace(writer, "")
    assert f.see(other, 0, 1, 2, 3) == [1, 2, 3, 4]
    assert f.see(writer, 0, 1, 2, 3) == [99, 2, 3, 99]
    f.check()
    f.all_exit()


@pytest.mark.parametrize("name", ["P", "C"])
def test_B3_dontneed_of_one_page_drops_one_page(name: str) -> None:
    """MADV_DONTNEED of 4 kB gave up the whole shared table: the other 511 pages read zero afterwards."""
    f = couple(IN_TABLE)
    advise.madvise(f.mms[name], where(9), PAGE, mman.MADV_DONTNEED)
    for who in "PC":
        expected = [0 if who == name and n == 9 else n + 1 & 0xFF for n in range(IN_TABLE)]
        assert f.see(who, *range(IN_TABLE)) == expected
    f.check()
    f.all_exit()


def test_B4_one_area_of_two_in_a_table_goes_and_the_other_stays() -> None:
    """T was counted once per VMA and process, too rarely: munmap of A freed the pages of B in the same 2 MiB."""
    for name, first in (("C", 0), ("C", 3), ("P", 0), ("P", 3)):
        f = couple()
        for who in "PC":
            protect.mprotect(f.mms[who], where(3), 3 * PAGE, R | mman.PROT_EXEC)
        f.odf("P", "G")
        mmap.munmap(f.mms[name], where(first), 3 * PAGE)
        f.check()
        left = [4, 5, 6] if first == 0 else [1, 2, 3]
        assert f.see(name, *range(3 - first, 6 - first)) == left
        for who in "PCG".replace(name, ""):
            assert f.see(who, *range(6)) == [1, 2, 3, 4, 5, 6]
        f.all_exit()


def test_B5_splits_and_merges_change_no_count() -> None:
    """A split VMA was not counted, merged ones stayed counted: T was freed too early, or never."""
    f = couple()
    f.odf("C", "G")
    for i in range(60):
        advise.madvise(f.mms["C"], where(i % 6), PAGE, (mman.MADV_DONTFORK, mman.MADV_DOFORK)[i // 6 % 2])
        assert f.tables("P") == [Table(0, "T0", 3, False, "P")]
    for n in range(0, 6, 2):
        advise.madvise(f.mms["C"], where(n), PAGE, mman.MADV_DONTFORK)
    assert len(f.mms["C"].vmas) == 6
    f.exit("C")
    assert f.tables("P") == [Table(0, "T0", 2, False, "P")]
    f.check()
    f.map("G", 6, 3)
    assert len(f.mms["G"].vmas) == 1
    f.exit("G")
    assert f.tables("P") == [Table(0, "T0", 1, False, "P")]
    assert f.fault("P", 0) == "table_reuse"
    f.all_exit()


@pytest.mark.parametrize("gone", ["P", "C"])
@pytest.mark.parametrize("end", ["exit", "break"])
def test_B6_partial_unmap_of_a_table_that_nobody_shares_any_more(gone: str, end: str) -> None:
    """Such a "dead" table was passed over: its PTEs stayed, pointing at frames that belonged to others soon."""
    f = couple()
    name = "PC".replace(gone, "")
    f.write(gone, 0) if end == "break" else f.exit(gone)
    assert f.tables(name)[0][1:4] == ("T0", 1, False)
    mmap.munmap(f.mms[name], where(1), 2 * PAGE)
    f.check()
    assert [page.at for page in f.pages(name)] == [0, 3, 4, 5]
    assert refusal(f.mms[name], where(1), READ) == (SIGSEGV, SEGV_MAPERR, "unmapped")
    f.map(name, 1, 2)
    assert f.see(name, *range(6)) == [1, 0, 0, 4, 5, 6]
    f.check()
    f.all_exit()


@pytest.mark.parametrize("gone", ["P", "C"])
def test_B6_partial_unmap_that_takes_all_there_is_in_a_dead_table(gone: str) -> None:
    """The same where nothing else is present: part of an area, and with it the whole table, that nobody shares."""
    f = Family(8)
    f.frames.poison = True
    f.write("P", 2, 3)
    f.odf("P", "C")
    name = other(gone)
    f.exit(gone)
    used = f.frames.in_use
    mmap.munmap(f.mms[name], where(1), 4 * PAGE)
    assert f.pages(name) == []
    assert used - f.frames.in_use >= 3, "T and two pages"
    f.check()
    f.map(name, 1, 4)
    assert f.see(name, *range(8)) == [0] * 8
    f.check()
    f.all_exit()


def test_B7_every_switch_of_a_pmd_entry_flushes() -> None:
    """A PMD entry was pointed at the copy without a flush: the CPU went on through the old table."""
    actions = [
        lambda mm: fault.handle(mm, where(0), CPU_WRITE),
        lambda mm: fault.handle(mm, where(7), READ),
        lambda mm: uaccess.write(mm, where(1), b"x"),
        lambda mm: mmap.munmap(mm, where(1), PAGE),
        lambda mm: mmap.munmap(mm, BASE, 6 * PAGE),
        lambda mm: protect.mprotect(mm, where(1), PAGE, R),
        lambda mm: advise.madvise(mm, where(1), PAGE, mman.MADV_DONTNEED),
        lambda mm: advise.madvise(mm, BASE, 6 * PAGE, mman.MADV_DONTNEED),
        lambda mm: advise.madvise(mm, where(1), PAGE, mman.MADV_FREE),
        lambda mm: remap.mremap(mm, BASE, PAGE, PAGE, 3, where(20)),
        lambda mm: mm.pt.claim(BASE, where(1)),
    ]
    for action in actions:
        for name in "PC":
            f = couple()
            f.map(name, 7, 1)
            table, before = f.table(name), f.flushes()
            action(f.mms[name])
            assert f.table(name) != table
            assert f.flushes() > before


def test_B8_the_state_is_looked_at_when_it_is_acted_upon() -> None:
    """T's state was read before the lock was taken: two breaks at once copied it twice and leaked one copy."""
    f = couple()
    used = f.frames.in_use
    slot = f.mms["C"].pt.make_slot(where(0))
    assert f.mms["C"].pt.make_slot(where(0)) == slot
    f.mms["C"].pt.claim(BASE, where(6))
    assert f.frames.in_use == used + 1
    f.mms["P"].pt.make_slot(where(0))
    assert f.frames.in_use == used + 1, "P is the last user of T: no copy"
    assert [f.spent(name).get("tables_broken", 0) for name in "PC"] == [0, 1]
    f.check()
    f.all_exit()


@pytest.mark.parametrize("name", ["P", "C"])
def test_B9_no_memory_for_the_copy_leaves_the_entry(name: str) -> None:
    """A failed allocation was ignored: the PMD entry pointed at nothing, T had lost a reference all the same."""
    f = couple()
    before = f.state()
    f.frames.refuse_after = 0
    for call in (lambda: f.fault(name, 0), lambda: f.write(name, 0), lambda: mmap.munmap(f.mms[name], BASE, PAGE)):
        with pytest.raises((fault.BadAccess, SysError)):
            call()
        assert f.state() == before
    f.frames.refuse_after = -1
    f.write(name, 0, value=99)
    assert f.see("PC".replace(name, ""), *range(6)) == [1, 2, 3, 4, 5, 6]
    f.check()
    f.all_exit()


@pytest.mark.parametrize("name", ["P", "C"])
def test_B10_a_table_is_complete_before_it_is_installed(name: str) -> None:
    """The copy hung in the PMD while it was being filled: another thread saw holes, and put pages into them."""
    f = spied_family(IN_TABLE)
    f.write("P", *range(0, IN_TABLE, 31))
    f.odf("P", "C")
    with Watcher(f, {n: n + 1 & 0xFF for n in range(0, IN_TABLE, 31)}) as watcher:
        f.mms[name].pt.make_slot(where(5))
    assert watcher.stores >= 4
    f.check()


@pytest.mark.parametrize("order", ["PC", "CP"])
def test_B11_breaks_count_resident_pages_once(order: str) -> None:
    """After a break P had twice its pages resident (512 became 1024), and C at its exit less than none (-512)."""
    f = couple(IN_TABLE)
    sizes = {"PC": [(512, 0), (512, 512)], "CP": [(512, 512), (512, 512)]}[order]
    for name, expected in zip(order, sizes, strict=True):
        f.write(name, 0)
        assert (f.mms["P"].rss, f.mms["C"].rss) == expected
        f.check()
    f.exit(order[0])
    assert f.mms[order[1]].rss == 512
    f.check()
    f.exit(order[1])


@pytest.mark.parametrize("order", list(permutations("PCG")), ids="".join)
def test_B12_the_number_of_tables_does_not_drift_with_the_order_of_exits(order: str) -> None:
    """Page-table bytes were added and taken off by different processes: some ended below 0, some never reached it."""
    for writers in ("", "P", "C", "PC", "CG", "GCP"):
        f = couple()
        f.odf("C", "G")
        for name in writers:
            f.write(name, 0)
        for gone in order:
            mm = f.mms[gone]
            f.exit(gone)
            assert (mm.pt.tables, mm.rss) == (0, 0)
            f.check()
            for name in f.mms:
                f.write(name, 1)
                f.check()
                assert (f.size(name), f.mms[name].pt.tables) == ((6, 0, 1), 4)
        f.expect_nothing()


@pytest.mark.parametrize("prot", [0, R, R | mman.PROT_EXEC])
@pytest.mark.parametrize("name", ["P", "C"])
def test_B13_mprotect_does_not_write_through_to_the_sharer(name: str, prot: int) -> None:
    """mprotect changed the PTEs of T itself: the other process lost its rights, or gained some."""
    f = couple()
    other = "PC".replace(name, "")
    protect.mprotect(f.mms[name], where(2), 2 * PAGE, prot)
    assert [page.rights.replace("w", "") for page in f.pages(other)] == ["r"] * 6
    f.write(other, *range(6), value=50)
    assert f.see(other, *range(6)) == [50] * 6
    assert refusal(f.mms[name], where(2), WRITE) == (SIGSEGV, SEGV_ACCERR, "protection")
    protect.mprotect(f.mms[name], where(2), 2 * PAGE, RW)
    assert f.see(name, *range(6)) == [1, 2, 3, 4, 5, 6]
    f.check()
    f.all_exit()


@pytest.mark.parametrize("pages", [2, 6, IN_TABLE])
@pytest.mark.parametrize("to", [IN_TABLE, IN_TABLE + 1])
@pytest.mark.parametrize("name", ["P", "C"])
def test_B14_mremap_does_not_take_the_sharers_pages_along(name: str, to: int, pages: int) -> None:
    """Moving PTEs out of T, or the PMD entry itself, took the pages away from the other process."""
    f = couple(max(6, pages))
    remap.mremap(f.mms[name], BASE, pages * PAGE, pages * PAGE, 3, where(to))
    assert f.see("PC".replace(name, ""), *range(6)) == [1, 2, 3, 4, 5, 6]
    moved = min(pages, 6)
    assert f.see(name, *range(to, to + moved)) == [n + 1 for n in range(moved)]
    f.write(name, to, value=99)
    assert f.see("PC".replace(name, ""), 0) == [1]
    f.check()
    f.all_exit()


@pytest.mark.parametrize("name", ["P", "C"])
def test_B15_a_read_only_mapping_in_a_hole_makes_no_ghost_page(name: str) -> None:
    """A read fault put its page into T: it was there in the other process too, outside every VMA or inside another."""
    other = "PC".replace(name, "")
    for kind in ("private", "file", "shared"):
        f = couple()
        file = f.file(2) if kind == "file" else None
        f.map(name, 9, 2, R, SHARED if kind == "shared" else PRIVATE, file)
        assert f.fault(name, 9, READ) == "table_break"
        assert [page.at for page in f.pages(other)] == [0, 1, 2, 3, 4, 5]
        assert refusal(f.mms[other], where(9), READ) == (SIGSEGV, SEGV_MAPERR, "unmapped")
        f.map(other, 9, 2)
        f.write(other, 9, value=77)
        assert f.see(name, 9) == [1 if kind == "file" else 0]
        f.check()
        f.all_exit()


@pytest.mark.parametrize("again", [False, True])
def test_B16_what_a_child_must_not_have_is_not_in_its_table(again: bool) -> None:
    """T with DONTFORK and WIPEONFORK pages was shared: C found P's secrets there, at once or by mapping the hole."""
    f = couple()
    if again:
        f.exit("C")
    advise.madvise(f.mms["P"], where(1), PAGE, mman.MADV_DONTFORK)
    advise.madvise(f.mms["P"], where(3), PAGE, mman.MADV_WIPEONFORK)
    f.odf("P", "G")
    assert [page.at for page in f.pages("G")] == [0, 2, 4, 5]
    assert refusal(f.mms["G"], where(1), READ) == (SIGSEGV, SEGV_MAPERR, "unmapped")
    f.map("G", 1, 1)
    assert f.see("G", *range(6)) == [1, 0, 3, 0, 5, 6]
    f.write("G", 1, 3, value=77)
    assert f.see("P", *range(6)) == [1, 2, 3, 4, 5, 6]
    f.odf("G", "H")
    assert f.see("H", *range(6)) == [1, 77, 3, 0, 5, 6], "MADV_WIPEONFORK stays in force in the child"
    f.check()
    f.all_exit()


@pytest.mark.parametrize("name", ["P", "C"])
def test_B17_kernel_writes_do_not_bypass_the_table(name: str) -> None:
    """copy_to_user looked at PTE.W alone, which is set in T: read(2) wrote into the page of both."""
    f = couple()
    assert f.entry(name, 0) & 2
    uaccess.write(f.mms[name], where(0), b"\x63")
    uaccess.write_u64(f.mms[name], where(1), 99)
    uaccess.write(f.mms[name], where(3) - 1, b"\x63\x63")
    other = "PC".replace(name, "")
    assert f.see(name, *range(6)) == [99, 99, 3, 99, 5, 6]
    assert f.see(other, *range(6)) == [1, 2, 3, 4, 5, 6]
    assert f.pages(other)[0] == Page(0, "a", "r", 1)
    protect.mprotect(f.mms[name], BASE, PAGE, R)
    with pytest.raises(SysError) as refused:
        uaccess.write(f.mms[name], BASE, b"x")
    assert refused.value.errno == EFAULT
    f.check()
    f.all_exit()


@pytest.mark.parametrize("name", ["P", "C"])
def test_B18_dirty_bits_of_shared_mappings_are_kept(name: str) -> None:
    """Copying T cleared D (or W with it) of MAP_SHARED pages: what was written never reached the file."""
    f = Family(1)
    f.map("P", 1, 3, RW, mman.MAP_SHARED, f.file(3))
    f.write("P", 0, 1)
    f.see("P", 2)
    f.odf("P", "C")
    f.write(name, 0)
    for who in "PC":
        assert [f.dirty(who, n) for n in (1, 2)] == [True, False]
        assert [page.rights for page in f.pages(who)][1:] == ["rw", "rw"]
    f.check()
    f.all_exit()


@pytest.mark.parametrize("how", FORKS)
def test_B19_only_map_populate_populates_and_it_does_so_for_writing(how: str) -> None:
    """Every mmap was populated in the patched kernel, and MAP_POPULATE only read, so that each write faulted again."""
    f = Family(0)
    f.map("P", 0, 8)
    f.map("P", 8, 8, RW, SHARED)
    assert f.pages("P") == []
    assert f.tables("P") == []
    f.map("P", 20, 8, RW, PRIVATE | mman.MAP_POPULATE)
    assert [f.touch("P", page) for page in range(20, 28)] == [""] * 8
    f.fork("P", "C", how)
    f.map("C", 30, 8)
    assert [page.at for page in f.pages("C")] == list(range(20, 28))
    f.map("C", 40, 8, RW, PRIVATE | mman.MAP_POPULATE)
    assert [f.touch("C", page) for page in range(40, 48)] == [""] * 8
    f.check()
    f.all_exit()


def test_B20_reads_copy_nothing_and_the_last_user_copies_nothing() -> None:
    """Any fault below T copied it, reads too; and the last user copied it once more instead of taking it back."""
    f = couple()
    for name in "PC":
        assert [f.touch(name, page, write=False) for page in range(6)] == [""] * 6
    assert f.tables("P") == f.tables("C") == [Table(0, "T0", 2, False, "P")]
    f.write("C", 0)
    assert f.table("C") != f.table("P")
    table, allocated = f.table("P"), f.frames.allocated
    assert f.fault("P", 0) == "table_reuse"
    assert (f.table("P"), f.frames.allocated) == (table, allocated)
    assert f.spent("P") == {"tables_reused": 1}
    f.check()
    f.all_exit()
