"""Pages of 2 MiB in /proc: smaps, status, pagemap."""

import pytest
from fs_helpers import System
from mm_helpers import PRIVATE, RW, SHARED
from test_proc_memory import area, areas, kilobytes, odf_child, pagemap, text

from mini_kernel.fs.proc.pagemap import PM_EXCLUSIVE, PM_PRESENT
from mini_kernel.mm import uaccess
from mini_kernel.mm.advise import madvise
from mini_kernel.mm.mmap import mmap
from mini_kernel.uapi import mman

HUGE = 2 << 20
AT = 6 << 30


@pytest.fixture
def system() -> System:
    """One process that looks at itself."""
    system = System(64)
    kernel, task = system.kernel, system.task
    kernel.processes[task.tid] = kernel.main = task.process
    kernel.sched.current = task
    return system


def eligible(system: System, address: int) -> int:
    """THPeligible of the area at an address."""
    shown = text(system, "/proc/self/smaps").partition(f"{address:08x}-")[2]
    return int(shown.partition("THPeligible:")[2].split()[0])


def huge_area(system: System, units: int, flags: int) -> None:
    system.task.mm.thp = "always"
    assert mmap(system.task.mm, AT, units * HUGE, RW, flags | mman.MAP_FIXED) == AT
    for i in range(units - 1):  # all but the last
        uaccess.write(system.task.mm, AT + i * HUGE, b"x")


def test_transparent_huge_pages_are_resident_and_shown_as_such(system: System) -> None:
    """AnonHugePages is part of Rss; a page that was split is not in it any more."""
    before = kilobytes(text(system, "/proc/self/status"))["VmRSS"]
    huge_area(system, 3, PRIVATE)
    shown = area(text(system, "/proc/self/smaps"), AT)
    assert (shown["Rss"], shown["AnonHugePages"], shown["Private_Dirty"]) == (4096, 4096, 4096)
    assert (shown["KernelPageSize"], eligible(system, AT)) == (4, 1)
    status = kilobytes(text(system, "/proc/self/status"))
    assert (status["VmRSS"] - before, status["HugetlbPages"]) == (4096, 0)
    madvise(system.task.mm, AT, 4096, mman.MADV_DONTNEED)
    shown = area(text(system, "/proc/self/smaps"), AT)
    assert (shown["Rss"], shown["AnonHugePages"]) == (4092, 2048)


def test_hugetlb_pages_are_counted_apart(system: System) -> None:
    """As in Linux they are in HugetlbPages and Private_Hugetlb, and in no Rss."""
    before = kilobytes(text(system, "/proc/self/status"))["VmRSS"]
    huge_area(system, 3, PRIVATE | mman.MAP_HUGETLB)
    shown = area(text(system, "/proc/self/smaps"), AT)
    assert (shown["Rss"], shown["Private_Hugetlb"], shown["Shared_Hugetlb"]) == (0, 4096, 0)
    assert (shown["KernelPageSize"], shown["MMUPageSize"], eligible(system, AT)) == (2048, 2048, 0)
    status = kilobytes(text(system, "/proc/self/status"))
    assert (status["VmRSS"] - before, status["HugetlbPages"]) == (0, 4096)
    child = odf_child(system)
    for pid in (1, child.tid):
        shown = area(text(system, f"/proc/{pid}/smaps"), AT)
        assert (shown["Private_Hugetlb"], shown["Shared_Hugetlb"]) == (0, 4096)
        assert kilobytes(text(system, f"/proc/{pid}/status"))["HugetlbPages"] == 4096


def test_vmflags_of_huge_areas(system: System) -> None:
    """ht, hg and nh."""
    huge_area(system, 2, SHARED | mman.MAP_HUGETLB)
    mm = system.task.mm
    for i, advice in enumerate((mman.MADV_HUGEPAGE, mman.MADV_NOHUGEPAGE)):
        start = AT + (i + 4) * HUGE
        mmap(mm, start, HUGE, RW, PRIVATE | mman.MAP_FIXED)
        madvise(mm, start, HUGE, advice)
    shown = {int(header.split("-")[0], 16): flags for header, _s, flags in areas(text(system, "/proc/self/smaps"))}
    assert [{"ht", "hg", "nh"} & set(shown[AT + i * HUGE].split()) for i in (0, 4, 5)] == [{"ht"}, {"hg"}, {"nh"}]


def test_pagemap_shows_512_entries_of_a_huge_page(system: System) -> None:
    """Frames in a row, exclusive until a fork of either kind."""
    huge_area(system, 2, PRIVATE)
    entries = pagemap(system, AT, 513)
    first = entries[0] & (1 << 55) - 1
    assert first % 512 == 0
    assert [entry & (1 << 55) - 1 for entry in entries[:512]] == list(range(first, first + 512))
    assert all(entry & PM_PRESENT and entry & PM_EXCLUSIVE for entry in entries[:512])
    assert not entries[512] & PM_PRESENT
    odf_child(system)
    assert not any(entry & PM_EXCLUSIVE for entry in pagemap(system, AT, 512))
