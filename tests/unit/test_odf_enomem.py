"""Memory runs out at the n-th frame, for every n, below PTE tables that others share (R4, F24, F40, S18).

Where one table must be broken, a refusal leaves the whole state as it was. Where several must, those broken before the
failure stay broken, which no process can tell by any access.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from enomem_lab import Case, at_every_frame, fault_call
from mm_helpers import EDGE, PAGE, PRIVATE, RW, SHARED, FakeFile, check_all, new_frames, new_mm

from mini_kernel.errors import SysError
from mini_kernel.mm import advise, fault, fork, mmap, odf, pin, protect, remap, sfork, teardown, uaccess
from mini_kernel.mm.mm import Mm
from mini_kernel.uapi import mman
from mini_kernel.uapi.errno import EFAULT, ENOMEM
from mini_kernel.x86 import PMD_SIZE

FIXED, R = mman.MAP_FIXED, mman.PROT_READ
WRITE, READ = 6, 4
BOTH, LAZY = mman.CHILD_WRITE | mman.PARENT_WRITE, mman.MAP_SFORK | mman.MAP_ANONYMOUS
MOVE = mman.MREMAP_MAYMOVE | mman.MREMAP_FIXED
#: The third of three neighbouring tables' worth of addresses; EDGE is the last page of the first, astride 1 GiB.
THIRD = EDGE + PAGE + PMD_SIZE


def family(prot: int = RW, flags: int = PRIVATE, mib: int = 8, file: FakeFile | None = None) -> tuple[Mm, Mm]:
    """P and C share three tables: one page in the first, 512 in the second (two of them present), two in the third."""
    p = new_mm(new_frames(mib))
    mmap.mmap(p, EDGE, PMD_SIZE + 3 * PAGE, RW, flags | FIXED, file)
    for n in (0, 1, 2, 513, 514):
        uaccess.write(p, EDGE + n * PAGE, bytes([n & 0xFF or 7]))
    if prot != RW:
        protect.mprotect(p, EDGE, PMD_SIZE + 3 * PAGE, prot)
    return p, odf.odfork_mm(p)


def case_of(call: Callable[[Mm], Any], who: int = 1, **what: Any) -> Case:
    """An operation of one of the two."""
    mms = family()
    return Case(lambda: call(mms[who]), list(mms), **what)


def on_demand_fork() -> Case:
    p, c = family()
    mmap.mmap(p, 0x20_0000_0000, 2 * PAGE, RW, SHARED | FIXED)
    uaccess.write(p, 0x20_0000_0000, b"x")
    mms = [p, c]
    return Case(lambda: mms.append(odf.odfork_mm(p)), mms)


def on_demand_fork_with_pins_and_holes() -> Case:
    p, c = family()
    pin.pin_pages(p, EDGE, 2 * PAGE)
    advise.madvise(p, THIRD, PAGE, mman.MADV_DONTFORK)
    mms = [p, c]
    return Case(lambda: mms.append(odf.odfork_mm(p)), mms)


def classic_fork_of_shared_tables() -> Case:
    mms = list(family())
    return Case(lambda: mms.append(fork.fork_mm(mms[1])), mms)


def classic_fork_with_pins() -> Case:
    p, c = family()
    pin.pin_pages(p, EDGE, 2 * PAGE)
    mms = [p, c]
    return Case(lambda: mms.append(fork.fork_mm(p)), mms)


def write_fault_of_zero_page() -> Case:
    p = new_mm(new_frames(4))
    mmap.mmap(p, EDGE, 3 * PAGE, RW, PRIVATE | FIXED)
    fault.handle(p, EDGE, READ)
    c = odf.odfork_mm(p)
    return Case(fault_call(c, EDGE, WRITE | 1), [p, c], claims=True)


def file_fault() -> Case:
    p = new_mm(new_frames(8))
    file = FakeFile(p.frames, 1024)
    mmap.mmap(p, EDGE, 600 * PAGE, RW, mman.MAP_PRIVATE | FIXED, file)
    uaccess.write(p, EDGE + PAGE, b"x")
    c = odf.odfork_mm(p)
    return Case(fault_call(c, EDGE + 5 * PAGE, READ), [p, c], [file])


def file_write_fault() -> Case:
    case = file_fault()
    case.call = fault_call(case.mms[1], EDGE + 6 * PAGE, WRITE)
    return case


def shared_memory_write() -> Case:
    p, c = family(flags=SHARED)
    return Case(fault_call(p, EDGE, WRITE | 1), [p, c])


def stack_growth() -> Case:
    """The area is longer afterwards even if the page could not be had."""
    p = new_mm(new_frames(4))
    mmap.mmap(p, EDGE - 3 * PAGE, 3 * PAGE, RW, PRIVATE | FIXED | mman.MAP_GROWSDOWN)
    uaccess.write(p, EDGE - PAGE, b"x")
    c = odf.odfork_mm(p)
    return Case(fault_call(c, EDGE - 5 * PAGE, WRITE), [p, c], partial=True)


def kernel_write() -> Case:
    return case_of(lambda mm: uaccess.write(mm, EDGE, b"x"), errno=EFAULT, claims=True)


def truncate() -> Case:
    p, c = new_mm(new_frames(8)), None
    file = FakeFile(p.frames, 4)
    mmap.mmap(p, EDGE, 4 * PAGE, RW, mman.MAP_SHARED | FIXED, file)
    mmap.mmap(p, EDGE + 4 * PAGE, PAGE, RW, PRIVATE | FIXED)
    for n in range(5):
        uaccess.write(p, EDGE + n * PAGE, b"x")
    c = odf.odfork_mm(p)
    return Case(lambda: file.cache.truncate(3 * PAGE), [p, c, odf.odfork_mm(c)], [file], claims=True)


def mprotect_to_code_of_shared_memory() -> Case:
    p, c = family(flags=SHARED)
    return Case(lambda: protect.mprotect(c, EDGE, PAGE, R | mman.PROT_EXEC), [p, c], claims=True)


def mremap_onto_shared_pages() -> Case:
    """MREMAP_FIXED unmaps its target first, and that stays so, as in Linux."""
    return case_of(lambda mm: remap.mremap(mm, EDGE, PAGE, PAGE, MOVE, EDGE + 513 * PAGE), partial=True)


def brk_down() -> Case:
    p = new_mm(new_frames(4))
    p.start_brk = p.brk = EDGE
    mmap.brk(p, EDGE + 5 * PAGE)
    for n in range(5):
        uaccess.write(p, EDGE + n * PAGE, b"x")
    c = odf.odfork_mm(p)

    def call() -> None:
        if mmap.brk(c, EDGE + 2 * PAGE) != EDGE + 2 * PAGE:
            raise SysError(ENOMEM)

    return Case(call, [p, c])


def brk_up_locked() -> Case:
    p = new_mm(new_frames(4))
    p.start_brk = p.brk = EDGE
    mmap.brk(p, EDGE + 3 * PAGE)
    uaccess.write(p, EDGE + PAGE, b"x")
    c = odf.odfork_mm(p)
    advise.mlockall(c, mman.MCL_FUTURE)
    return Case(lambda: mmap.brk(c, EDGE + 5 * PAGE), [p, c], silent=True)


# -- sfork -------------------------------------------------------------------------------------------


def region_populated() -> Case:
    p, c = family()
    flags = LAZY | FIXED | mman.MAP_POPULATE
    return Case(partial(mmap.mmap, p, THIRD + PMD_SIZE - 3 * PAGE, 6 * PAGE, RW, flags), [p, c], claims=True)


def _with_region(how: Callable[[Mm], Mm], flags: int = BOTH, length: int = 3 * PAGE) -> Case:
    """sfork as the system call does it, once the region is there."""
    p, other = family()
    region = sfork.map_region(p, length, flags)
    mms = [p, other]
    call = lambda: mms.append(sfork.sfork_mm(p, how, region, length, flags))  # noqa: E731
    return Case(call, mms, claims=True)


def sfork_lazy() -> Case:
    return _with_region(odf.odfork_mm)


def sfork_populated() -> Case:
    return _with_region(odf.odfork_mm, BOTH | mman.SFORK_POPULATE)


def sfork_populated_one_writer() -> Case:
    return _with_region(odf.odfork_mm, mman.CHILD_WRITE | mman.SFORK_POPULATE, PMD_SIZE + PAGE)


def sfork_classic_populated() -> Case:
    return _with_region(fork.fork_mm, mman.PARENT_WRITE | mman.SFORK_POPULATE)


def sfork_lazy_install() -> Case:
    """The toucher's own needs only: a peer that cannot be served is passed over, and faults itself later."""
    p, c = family()
    mmap.mmap(p, THIRD + 20 * PAGE, 4 * PAGE, RW, LAZY | FIXED)
    g = fork.fork_mm(p)
    return Case(fault_call(p, THIRD + 20 * PAGE, WRITE), [p, c, g], partial=True)


def sfork_kept_across_exec() -> Case:
    p, c = family()
    region = sfork.map_region(p, 600 * PAGE, BOTH | mman.SFORK_POPULATE)
    advise.madvise(p, region, 600 * PAGE, mman.MADV_KEEPONEXEC)

    def call() -> None:
        new = new_mm(p.frames)
        try:
            sfork.carry_over(p, new)
        finally:
            teardown.destroy(new)

    return Case(call, [p, c])


CASES: list[Callable[[], Case]] = [
    on_demand_fork,
    on_demand_fork_with_pins_and_holes,
    classic_fork_of_shared_tables,
    classic_fork_with_pins,
    write_fault_of_zero_page,
    file_fault,
    file_write_fault,
    shared_memory_write,
    stack_growth,
    kernel_write,
    truncate,
    mprotect_to_code_of_shared_memory,
    mremap_onto_shared_pages,
    brk_down,
    brk_up_locked,
    region_populated,
    sfork_lazy,
    sfork_populated,
    sfork_populated_one_writer,
    sfork_classic_populated,
    sfork_lazy_install,
    sfork_kept_across_exec,
]


@pytest.mark.parametrize("build", CASES, ids=lambda build: build.__name__)
def test_F24_F40_running_out_of_memory_at_any_frame_changes_nothing(build: Callable[[], Case]) -> None:
    """A refusal at the n-th frame leaves everything as it was, leaks nothing, and the operation can be repeated."""
    at_every_frame(build)


Call = Callable[[Mm], Any]
#: One table to break: nothing at all may have changed. The second value is the number of frames needed.
ONE_TABLE: dict[str, tuple[Call, int]] = {
    "munmap": (lambda mm: mmap.munmap(mm, EDGE + PAGE, PAGE), 1),
    "munmap of the end": (lambda mm: mmap.munmap(mm, EDGE + 514 * PAGE, 9 * PAGE), 1),
    "map over": (lambda mm: mmap.mmap(mm, EDGE + PAGE, PAGE, RW, PRIVATE | FIXED), 1),
    "mprotect to read": (lambda mm: protect.mprotect(mm, EDGE + PAGE, PAGE, R), 1),
    "mprotect to none": (lambda mm: protect.mprotect(mm, EDGE, PAGE, 0), 1),
    "dontneed": (lambda mm: advise.madvise(mm, EDGE + PAGE, PAGE, mman.MADV_DONTNEED), 1),
    "free": (lambda mm: advise.madvise(mm, EDGE + PAGE, 2 * PAGE, mman.MADV_FREE), 1),
    "mremap to less": (lambda mm: remap.mremap(mm, EDGE, PMD_SIZE + 3 * PAGE, PMD_SIZE + 2 * PAGE, 0), 1),
}
#: Several tables: those broken before the failure may stay broken.
MANY_TABLES: dict[str, tuple[Call, int]] = {
    "munmap of all but two pages": (lambda mm: mmap.munmap(mm, EDGE + 2 * PAGE, 512 * PAGE), 2),
    "mprotect of all": (lambda mm: protect.mprotect(mm, EDGE, PMD_SIZE + 3 * PAGE, R), 3),
    "free of all": (lambda mm: advise.madvise(mm, EDGE, PMD_SIZE + 3 * PAGE, mman.MADV_FREE), 3),
    "dontneed of two parts": (lambda mm: advise.madvise(mm, EDGE + 2 * PAGE, 512 * PAGE, mman.MADV_DONTNEED), 2),
    "mremap away": (lambda mm: remap.mremap(mm, EDGE, PAGE, PAGE, MOVE, EDGE + 900 * PAGE), 2),
    "mremap of two pages to new tables": (
        lambda mm: remap.mremap(mm, EDGE, 2 * PAGE, 2 * PAGE, MOVE, 0x20_0000_0000 - PAGE), 6,
    ),
    "mremap to more": (
        lambda mm: remap.mremap(mm, EDGE, 2 * PAGE, 3 * PAGE, mman.MREMAP_MAYMOVE), 5,
    ),
    "map over all edges": (lambda mm: mmap.mmap(mm, EDGE + 2 * PAGE, 512 * PAGE, RW, PRIVATE | FIXED), 2),
    "soft-dirty": (lambda mm: mm.clear_soft_dirty(), 3),
    "pin": (lambda mm: pin.pin_pages(mm, EDGE, 3 * PAGE), 5),
}  # fmt: skip


@pytest.mark.parametrize("who", [0, 1], ids=["P", "C"])
@pytest.mark.parametrize("name", ONE_TABLE)
def test_F40_a_call_that_cannot_break_one_table_changes_nothing(name: str, who: int) -> None:
    """munmap, mprotect, madvise, mremap by either side: the whole state, entries and counts included, is as before."""
    call, least = ONE_TABLE[name]
    at_every_frame(lambda: case_of(call, who), least)


@pytest.mark.parametrize("who", [0, 1], ids=["P", "C"])
@pytest.mark.parametrize("name", MANY_TABLES)
def test_F40_a_call_that_cannot_break_all_its_tables_has_no_effect(name: str, who: int) -> None:
    """Areas, frames, contents and rights of both processes are as before, and the call can be repeated."""
    call, least = MANY_TABLES[name]
    at_every_frame(lambda: case_of(call, who, claims=True), least)


def test_F34_operations_on_tables_nobody_shares_any_more_need_no_frames() -> None:
    """C is gone: munmap, mprotect, madvise, mremap, writes and brk take T back without memory."""
    p, c = family()
    teardown.destroy(c)
    p.frames.refuse_after = 0
    uaccess.write(p, EDGE, b"x")
    protect.mprotect(p, EDGE + PAGE, PAGE, R)
    advise.madvise(p, EDGE + PAGE, PAGE, mman.MADV_DONTNEED)
    remap.mremap(p, EDGE + 513 * PAGE, 2 * PAGE, 2 * PAGE, MOVE, EDGE + 700 * PAGE)
    assert uaccess.read(p, EDGE + 701 * PAGE, 1) == b"\2"
    mmap.munmap(p, EDGE, PAGE)
    check_all(p)


def test_F40_whole_tables_can_be_let_go_of_without_memory() -> None:
    """munmap and MADV_DONTNEED of all that a shared table holds break nothing: with no frame left they succeed."""
    p, c = family()
    p.frames.refuse_after = 0
    advise.madvise(c, EDGE + PAGE, 512 * PAGE, mman.MADV_DONTNEED)
    mmap.munmap(c, EDGE, PMD_SIZE + 3 * PAGE)
    mmap.mmap(p, EDGE, PMD_SIZE + 3 * PAGE, RW, PRIVATE | FIXED)
    check_all(p, c)
    for mm in (p, c):
        teardown.destroy(mm)
    assert p.frames.used().tolist() == [p.frames.zero_page]


def test_S10_a_peer_without_memory_for_a_table_is_passed_over() -> None:
    """The toucher gets its page, whoever else can be served too; the others fault later, on the same frame."""
    p, c = family()
    mmap.mmap(p, THIRD + 20 * PAGE, 4 * PAGE, RW, LAZY | FIXED)
    g = fork.fork_mm(p)
    h = odf.odfork_mm(g)
    p.frames.refuse_after = 2  # the page, and P's own copy of its table; G and H share one
    assert fault.handle(p, THIRD + 20 * PAGE, WRITE) == "table_break"
    p.frames.refuse_after = -1
    check_all(p, c, g, h)
    uaccess.write(p, THIRD + 20 * PAGE, b"S")
    for mm in (g, h):
        assert uaccess.read(mm, THIRD + 20 * PAGE, 1) == b"S"
    check_all(p, c, g, h)
