"""Rows S11-S18 and X1 of the fork specification: the life of a region, and regions under on-demand fork."""

from collections.abc import Callable
from itertools import permutations, product
from typing import Any

import pytest
from mm_helpers import PAGE, RW, errno_of, refusal
from odf_helpers import BASE, FORKS, IN_TABLE, WRITE, Family, where
from sfork_helpers import (
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

from mini_kernel.errors import SysError
from mini_kernel.mm import advise, mmap, pin, protect, sfork
from mini_kernel.mm.mm import Mm
from mini_kernel.uapi import mman
from mini_kernel.uapi.errno import EACCES, EINVAL
from mini_kernel.uapi.signal import SEGV_ACCERR, SIGSEGV

# -- the structure behind it -------------------------------------------------------------------------


@how_by_each_fork
def test_S11_count_and_list_of_areas_follow_every_call(how: str) -> None:
    """mmap, fork, split, unmap of a part, exit: `users` is the number of VMAs on the list; the last one frees all."""
    f, area = sforked(BOTH | POPULATE, how)
    steps: list[tuple[Callable[[], Any], list[tuple[str, int, int]]]] = [
        (lambda: None, [("C", AT, AT + 4), ("P", AT, AT + 4)]),
        (lambda: f.fork("C", "G", how), [("C", AT, AT + 4), ("G", AT, AT + 4), ("P", AT, AT + 4)]),
        (
            lambda: protect.mprotect(f.mms["G"], where(AT + 1), PAGE, 1),
            [
                ("C", AT, AT + 4), ("G", AT, AT + 1), ("G", AT + 1, AT + 2), ("G", AT + 2, AT + 4), ("P", AT, AT + 4),
            ],
        ),
        (
            lambda: mmap.munmap(f.mms["G"], where(AT), 3 * PAGE),
            [("C", AT, AT + 4), ("G", AT + 3, AT + 4), ("P", AT, AT + 4)],
        ),
        (lambda: f.exit("P"), [("C", AT, AT + 4), ("G", AT + 3, AT + 4)]),
        (lambda: mmap.munmap(f.mms["C"], where(AT), 4 * PAGE), [("G", AT + 3, AT + 4)]),
    ]  # fmt: skip
    for step, expected in steps:
        step()
        assert members(area, f) == expected
        assert area.users == len(expected)
        assert len(area.cache.pages) == 4
        f.check()
    f.exit("G")
    assert (area.users, area.cache.pages, area.cache.mappings) == (0, {}, [])
    f.check()
    f.all_exit()


@pytest.mark.parametrize("kinds", list(product(FORKS, FORKS)), ids="-".join)
@lazy_and_populated
def test_S12_children_by_plain_fork_join_with_their_parents_rights(populate: int, kinds: tuple[str, str]) -> None:
    """The reader's child reads, the writer's child writes; neither can get more; all four see one region."""
    f, area = sforked(CHILD | populate, kinds[0])
    f.fork("P", "R", kinds[1])
    f.fork("C", "W", kinds[1])
    assert area.users == 4
    f.write("W", AT, value=50)
    f.write("C", AT + 1, value=51)
    assert [f.see(name, AT, AT + 1) for name in "PCRW"] == [[50, 51]] * 4
    for name in "PR":
        assert refusal(f.mms[name], where(AT), WRITE) == (SIGSEGV, SEGV_ACCERR, "protection")
        assert errno_of(protect.mprotect, f.mms[name], where(AT), PAGE, RW) == EACCES
    f.check()
    f.all_exit()


@how_by_each_fork
def test_S13_two_regions_are_independent(how: str) -> None:
    """Of other directions, side by side in one 2 MiB: contents, rights, counts; one goes, the other stays."""
    f, first = sforked(CHILD, how)
    second = region(f, "P", AT + 4, 4)
    f.mms["G"] = sfork.sfork_mm(f.mms["P"], FORKS[how], where(AT + 4), 4 * PAGE, PARENT)
    f.write("C", AT, value=50)
    f.write("P", AT + 4, value=60)
    assert (f.see("P", AT, AT + 4), f.see("G", AT, AT + 4)) == ([50, 60], [50, 60])
    assert f.mms["C"].find(where(AT + 4)) is None
    for name, page in (("P", AT), ("G", AT), ("G", AT + 4)):
        assert refusal(f.mms[name], where(page), WRITE)[0] == SIGSEGV
    assert (first.users, second.users) == (3, 2)
    f.check()
    mmap.munmap(f.mms["P"], where(AT + 4), 4 * PAGE)
    assert f.see("G", AT + 4, AT) == [60, 50]
    f.exit("G")
    assert (first.users, second.users, second.cache.pages) == (2, 0, {})
    f.check()
    f.all_exit()


@how_by_each_fork
@lazy_and_populated
@pytest.mark.parametrize("name", ["P", "C"])
def test_S14_munmap_in_one_process_leaves_the_others(name: str, populate: int, how: str) -> None:
    """The pages stay where they are mapped, and a page first touched afterwards does not come back to who left."""
    f, area = sforked(BOTH | populate, how)
    other = "PC".replace(name, "")
    f.write(name, AT, value=50)
    mmap.munmap(f.mms[name], where(AT), 4 * PAGE)
    assert f.see(other, AT) == [50]
    f.write(other, AT + 1, value=60)
    assert [page.at for page in f.pages(name)] == [0, 1, 2, 3]
    assert members(area, f) == [(other, AT, AT + 4)]
    f.map(name, AT, 4)
    assert f.see(name, AT, AT + 1) == [0, 0]
    f.check()
    f.all_exit()


@lazy_and_populated
def test_S14_exec_drops_the_region_by_default(populate: int) -> None:
    """A new address space gets nothing carried over; the old one's end takes it off the list."""
    f, area = sforked(BOTH | populate)
    new = Mm(f.frames, f.mms["C"].cpu)
    sfork.carry_over(f.mms["C"], new)
    assert new.vmas == []
    f.exit("C")
    f.mms["X"] = new
    assert members(area, f) == [("P", AT, AT + 4)]
    f.check()
    f.all_exit()


@lazy_and_populated
@pytest.mark.parametrize("flags", [BOTH, PARENT])
def test_S17_a_region_is_kept_across_exec_on_request(flags: int, populate: int) -> None:
    """MADV_KEEPONEXEC: the same address, rights and pages in the new program; MADV_DROPONEXEC takes it back."""
    f, area = sforked(flags | populate)
    f.write("P", AT, value=50)
    c = f.mms["C"]
    advise.madvise(c, where(AT), 4 * PAGE, mman.MADV_KEEPONEXEC)
    new = f.mms["X"] = Mm(f.frames, c.cpu)
    sfork.carry_over(c, new)
    f.exit("C")
    assert members(area, f) == [("P", AT, AT + 4), ("X", AT, AT + 4)]
    f.check()
    assert f.see("X", AT) == [50]
    assert f.touch("X", AT, False) == "", "what was there is there without a fault"
    f.write("P", AT + 1, value=60)
    assert f.see("X", AT + 1) == [60]
    if flags == PARENT:
        assert refusal(new, where(AT), WRITE)[0] == SIGSEGV
        assert errno_of(protect.mprotect, new, where(AT), PAGE, RW) == EACCES
    advise.madvise(new, where(AT), 4 * PAGE, mman.MADV_DROPONEXEC)
    last = Mm(f.frames, new.cpu)
    sfork.carry_over(new, last)
    assert last.vmas == []
    f.mms["Y"] = last
    f.check()
    f.all_exit()


def test_S17_only_a_region_can_be_kept() -> None:
    """MADV_KEEPONEXEC on private memory is EINVAL, and of a part of a region keeps that part."""
    f, area = sforked(BOTH | POPULATE)
    assert errno_of(advise.madvise, f.mms["P"], BASE, PAGE, mman.MADV_KEEPONEXEC) == EINVAL
    advise.madvise(f.mms["P"], where(AT + 1), 2 * PAGE, mman.MADV_KEEPONEXEC)
    new = f.mms["X"] = Mm(f.frames, f.mms["P"].cpu)
    f.write("P", AT + 2, value=70)
    sfork.carry_over(f.mms["P"], new)
    assert ("X", AT + 1, AT + 3) in members(area, f)
    assert f.see("X", AT + 2) == [70]
    f.check()
    f.all_exit()


@how_by_each_fork
def test_S18_a_fork_that_fails_leaves_the_parent_as_it_was(how: str) -> None:
    """At every n-th frame: no child, and the region is still P's alone, to be unmapped by the caller."""
    n = 0
    while True:
        f = Family(4)
        f.write("P", *range(4))
        before = f.state()
        flags = BOTH | POPULATE
        address = sfork.map_region(f.mms["P"], 3 * PAGE, flags)
        f.frames.refuse_after = n
        try:
            f.mms["C"] = sfork.sfork_mm(f.mms["P"], FORKS[how], address, 3 * PAGE, flags)
        except SysError:
            f.frames.refuse_after = -1
            mmap.munmap(f.mms["P"], address, 3 * PAGE)
            after = f.state()
            assert after["vmas"] == before["vmas"]
            assert after["rss"] == before["rss"]
            assert after["free"] == before["free"]
            f.check()
        else:
            f.frames.refuse_after = -1
            break
        n += 1
    assert n >= 4
    f.check()
    f.all_exit()


# -- both together -----------------------------------------------------------------------------------


@lazy_and_populated
def test_X1_on_demand_fork_of_a_process_with_a_region(populate: int) -> None:
    """T holds private and region pages, so it is copied at once: no region page ever faults again, all else is COW."""
    f, area = sforked(BOTH | populate, "odf")
    f.map("P", 4 * IN_TABLE, 2)
    f.write("P", AT, 4 * IN_TABLE, value=50)
    f.settle()
    f.odf("P", "G")
    f.odf("C", "H")
    assert area.users == 4
    assert [table.ref for table in f.tables("G")] == [1, 2], "tables without a region are shared"
    assert [table.ref for table in f.tables("H")] == [1]
    assert [f.touch(name, AT) for name in "PCGH"] == [""] * 4
    for value, name in enumerate("GHPC", 60):
        f.write(name, 0, value=value)
        f.write(name, AT + 1, value=value)
        f.check()
        assert [f.see(n, AT, AT + 1) for n in "PCGH"] == [[50, value]] * 4
    assert [f.see(n, 0, 1) for n in "GHPC"] == [[60, 2], [61, 2], [62, 2], [63, 2]]
    f.all_exit()


@pytest.mark.parametrize("order", list(permutations("PCG")), ids="".join)
@lazy_and_populated
def test_X1_every_exit_order_of_a_region_under_on_demand_fork(populate: int, order: tuple[str, ...]) -> None:
    """P sforks C, C forks G on demand, each writes: who is left sees the region, and the last one frees it once."""
    for kinds in product(FORKS, FORKS):
        f, area = sforked(BOTH | populate, kinds[0])
        f.frames.poison = True
        f.fork("C", "G", kinds[1])
        f.write("G", AT, 1)
        f.write("P", AT + 1, 2)
        for gone in order:
            f.exit(gone)
            f.check()
            assert area.users == len(f.mms)
            for name in f.mms:
                assert f.see(name, AT, AT + 1, 0) == [AT + 1, AT + 2, 1]
        f.expect_nothing()


def test_X1_populated_promises_no_faults_though_the_rest_is_shared_on_demand() -> None:
    """Under ODF the region's own 2 MiB is claimed on both sides at once; tables elsewhere stay shared."""
    f = Family(4)
    f.map("P", 4 * IN_TABLE, 4)
    f.write("P", 0, 4 * IN_TABLE)
    region(f, "P", AT, 4, BOTH | POPULATE)
    f.mms["C"] = sfork.sfork_mm(f.mms["P"], FORKS["odf"], where(AT), 4 * PAGE, BOTH | POPULATE)
    assert [table.ref for table in f.tables("P")] == [table.ref for table in f.tables("C")] == [1, 2]
    assert all(f.touch(name, page) == "" for name, page in product("PC", range(AT, AT + 4)))
    f.check()
    f.all_exit()


def test_X1_a_pinned_region_page_stays_everybodys() -> None:
    """Pins and sfork: the pinned frame is the region's, so forks of all kinds go on sharing it."""
    f, _area = sforked(BOTH, "odf")
    (pfn,) = pin.pin_pages(f.mms["C"], where(AT), 1)
    f.odf("C", "G")
    f.frames.ram.data[pfn << 12] = 77
    assert [f.see(name, AT) for name in "PCG"] == [[77]] * 3
    f.check()
    f.frames.unpin(pfn)
    f.all_exit()
