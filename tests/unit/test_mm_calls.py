"""Stacks, heaps, gaps, advice, limits, arguments and kernel access: what each call does and what it refuses."""

from typing import Any

from mm_helpers import (
    EDGE,
    PAGE,
    PRIVATE,
    RW,
    SHARED,
    FakeFile,
    Frames,
    areas,
    at,
    check_all,
    errno_of,
    file_space,
    flushes,
    mapping_of,
    new_mm,
    refusal,
    space,
)

from mini_kernel.mm import advise, fault, fork, mmap, protect, remap, uaccess
from mini_kernel.mm.mm import STACK_GUARD_GAP, Mm
from mini_kernel.uapi import mman
from mini_kernel.uapi.errno import EAGAIN, EEXIST, EFAULT, EINVAL, ENAMETOOLONG, ENOMEM, EPERM
from mini_kernel.uapi.signal import SEGV_MAPERR, SIGSEGV
from mini_kernel.x86 import PMD_SIZE, TASK_SIZE

READ, WRITE, FETCH = 4, 6, 20
FIXED = mman.MAP_FIXED


def stack(below: int | None = None, prot: int = RW) -> Mm:
    """A stack of two pages at EDGE; something `below` pages under it."""
    mm = new_mm()
    mmap.mmap(mm, EDGE, 2 * PAGE, RW, PRIVATE | FIXED | mman.MAP_GROWSDOWN)
    if below is not None:
        mmap.mmap(mm, at(-below - 1), PAGE, prot, PRIVATE | FIXED)
    return mm


def test_a_stack_grows_to_the_page_that_is_touched() -> None:
    """Any distance within the limit in one fault, only the touched page gets a frame."""
    mm = stack()
    assert fault.handle(mm, at(-300) + 5, WRITE) == "demand_zero"
    assert [(v.start, v.end) for v in mm.vmas] == [(at(-300), at(2))]
    Frames().check_mappings(mm, (-300, "a", "rw"))
    check_all(mm)


def test_a_stack_stops_at_its_guard_gap() -> None:
    """256 pages stay free between a stack and an accessible neighbour; PROT_NONE and other stacks may be closer."""
    gap = STACK_GUARD_GAP // PAGE
    mm = stack(below=gap + 2)
    fault.handle(mm, at(-2), WRITE)
    assert refusal(mm, at(-3), WRITE) == (SIGSEGV, SEGV_MAPERR, "unmapped")
    assert mm.vmas[1].start == at(-2)
    near = stack(below=5, prot=0)
    fault.handle(near, at(-5), WRITE)
    assert near.vmas[1].start == near.vmas[0].end == at(-5)
    check_all(near)


def test_two_stacks_that_meet_become_one() -> None:
    """The merge invariant holds for growth, too."""
    mm = stack()
    mmap.mmap(mm, at(-4), PAGE, RW, PRIVATE | FIXED | mman.MAP_GROWSDOWN)
    fault.handle(mm, at(-3), WRITE)
    assert [(v.start, v.end) for v in mm.vmas] == [(at(-4), at(2))]
    check_all(mm)


def test_a_stack_stops_at_its_limits() -> None:
    """RLIMIT_STACK counts from the top, RLIMIT_AS everything, and mmap_min_addr is the floor of all."""
    mm = stack()
    mm.limits.stack = 5 * PAGE
    fault.handle(mm, at(-3), WRITE)
    refusal(mm, at(-4), WRITE)
    mm.limits.stack, mm.limits.address_space = 8 << 20, 6 * PAGE
    fault.handle(mm, at(-4), WRITE)
    refusal(mm, at(-5), WRITE)
    mm.limits.address_space, mm.limits.locked = 1 << 40, 7 * PAGE
    advise.mlock(mm, at(-4), 6 * PAGE)
    fault.handle(mm, at(-5), WRITE)
    refusal(mm, at(-6), WRITE)
    low = new_mm()
    mmap.mmap(low, 0x10000, PAGE, RW, PRIVATE | FIXED | mman.MAP_GROWSDOWN)
    refusal(low, 0xF000, WRITE)


def test_new_mappings_keep_out_of_the_gap_below_a_stack() -> None:
    """A hint inside the gap is not taken; MAP_FIXED is."""
    mm = stack()
    assert mmap.mmap(mm, at(-2), PAGE, RW, PRIVATE) != at(-2)
    below = EDGE - STACK_GUARD_GAP - PAGE
    assert mmap.mmap(mm, below, PAGE, RW, PRIVATE) == below
    assert mmap.mmap(mm, at(-2), PAGE, RW, PRIVATE | FIXED) == at(-2)


def test_dontneed_gives_zeros_and_free_gives_nothing_up() -> None:
    """MADV_DONTNEED drops frames at once, of the named page only; MADV_FREE keeps them until memory is short."""
    mm, frames = space(), Frames()
    for n in range(3):
        uaccess.write(mm, at(n), b"x")
    frames.check_mappings(mm, *((n, "abc"[n], "rw") for n in range(3)))
    before = flushes(mm)
    advise.madvise(mm, at(1), PAGE, mman.MADV_DONTNEED)
    advise.madvise(mm, at(2), PAGE, mman.MADV_FREE)
    assert flushes(mm) >= before + 2
    frames.check_mappings(mm, (0, "a", "rw"), (2, "c", "r"))
    assert uaccess.read(mm, at(1), PAGE) == bytes(PAGE)
    assert uaccess.read(mm, at(2), 1) == b"x"
    check_all(mm)


def test_a_hole_in_a_file_spares_private_copies_and_a_shorter_file_does_not() -> None:
    """MADV_REMOVE takes the file's own frames from every mapping, after a flush; ftruncate takes the copies too."""
    mm, file = file_space(mman.MAP_PRIVATE, 3)
    other = new_mm(mm.frames)
    mmap.mmap(other, EDGE, 3 * PAGE, RW, mman.MAP_SHARED | FIXED, file)
    frames = Frames()
    uaccess.write(mm, at(0), b"copy")
    fault.handle(mm, at(1), READ)
    uaccess.write(other, at(0), b"file")
    uaccess.write(other, at(1), b"file")
    frames.check_mappings(mm, (0, "a", "rw"), (1, "b", "r"))
    frames.check_mappings(other, (0, "c", "rw"), (1, "b", "rw"))
    before = flushes(mm)
    advise.madvise(other, at(0), 2 * PAGE, mman.MADV_REMOVE)
    assert flushes(mm) >= before + 2, "one for each address space"
    frames.check_mappings(mm, (0, "a", "rw"))
    frames.check_mappings(other)
    assert uaccess.read(other, at(0), 4) == uaccess.read(mm, at(1), 4) == bytes(4)
    assert (mm.rss_anon, mm.rss_file) == (1, 1)
    file.cache.truncate(0)
    frames.check_mappings(mm)
    check_all(mm, other, files=(file,))


def test_locked_memory_that_becomes_writable_is_filled_at_once() -> None:
    """mprotect populates private locked areas (Linux mprotect_fixup); those locked on fault wait."""
    for on_fault in (False, True):
        mm = space(prot=1)
        advise.mlock(mm, at(0), 4 * PAGE, on_fault)
        protect.mprotect(mm, at(1), 2 * PAGE, RW)
        assert mm.rss == (0 if on_fault else 2)
        check_all(mm)


def test_mincore_tells_what_is_resident() -> None:
    """Mapped pages, the zero page too, pages of the file that are in memory; holes are ENOMEM."""
    mm = space(3)
    file = FakeFile(mm.frames, 2)
    mmap.mmap(mm, at(3), 2 * PAGE, RW, mman.MAP_PRIVATE | FIXED, file)
    fault.handle(mm, at(0), READ)
    fault.handle(mm, at(2), WRITE)
    file.cache.write(PAGE, b"x")
    assert advise.mincore(mm, at(0), 5 * PAGE) == bytes([1, 0, 1, 0, 1])
    assert errno_of(advise.mincore, mm, at(4), 2 * PAGE) == ENOMEM
    assert errno_of(advise.mincore, mm, at(0) + 1, PAGE) == EINVAL


def test_limits_are_enforced() -> None:
    """RLIMIT_AS, RLIMIT_DATA and RLIMIT_MEMLOCK, with the errno of each call."""
    mm = space(4)
    mm.limits.address_space = 6 * PAGE
    assert errno_of(mmap.mmap, mm, 0, 3 * PAGE, RW, PRIVATE) == ENOMEM
    assert errno_of(remap.mremap, mm, at(0), 4 * PAGE, 7 * PAGE, mman.MREMAP_MAYMOVE) == ENOMEM
    assert errno_of(mmap.mmap, mm, at(0), 6 * PAGE, RW, PRIVATE | FIXED) == 0, "what is replaced does not count"
    mm.limits.address_space = 1 << 40
    mm.limits.data = 7 * PAGE
    assert errno_of(mmap.mmap, mm, 0, 2 * PAGE, RW, PRIVATE) == ENOMEM
    a = mmap.mmap(mm, 0, 2 * PAGE, 1, PRIVATE)
    assert errno_of(protect.mprotect, mm, a, 2 * PAGE, RW) == ENOMEM
    mm.limits.locked = 3 * PAGE
    assert errno_of(advise.mlock, mm, at(0), 4 * PAGE) == ENOMEM
    assert errno_of(mmap.mmap, mm, 0, 4 * PAGE, 1, PRIVATE | mman.MAP_LOCKED) == EAGAIN
    mm.limits.locked = 0
    assert errno_of(advise.mlock, mm, at(0), PAGE) == errno_of(advise.mlockall, mm, 1) == EPERM
    check_all(mm)


def test_arguments_are_checked_as_linux_does() -> None:
    """The errno of each malformed call."""
    mm = space(4)
    shared_stack = SHARED | mman.MAP_GROWSDOWN
    cases: list[tuple[int, Any, tuple[Any, ...]]] = [
        (EINVAL, mmap.mmap, (0, 0, RW, PRIVATE)),
        (EINVAL, mmap.mmap, (0, PAGE, RW, mman.MAP_ANONYMOUS)),
        (EINVAL, mmap.mmap, (at(9) + 1, PAGE, RW, PRIVATE | FIXED)),
        (EINVAL, mmap.mmap, (0, PAGE, RW, shared_stack)),
        (ENOMEM, mmap.mmap, (0, TASK_SIZE + PAGE, RW, PRIVATE)),
        (ENOMEM, mmap.mmap, (0, 1 << 40, RW, PRIVATE)),
        (EPERM, mmap.mmap, (PAGE, PAGE, RW, PRIVATE | FIXED)),
        (EEXIST, mmap.mmap, (at(3), 2 * PAGE, RW, PRIVATE | mman.MAP_FIXED_NOREPLACE)),
        (EINVAL, mmap.munmap, (at(0) + 1, PAGE)),
        (EINVAL, mmap.munmap, (at(0), 0)),
        (EINVAL, protect.mprotect, (at(0) + 1, PAGE, RW)),
        (EINVAL, protect.mprotect, (at(0), PAGE, 0x10)),
        (ENOMEM, protect.mprotect, (at(3), 2 * PAGE, RW)),
        (EINVAL, protect.mprotect, (at(0), PAGE, mman.PROT_GROWSDOWN)),
        (EINVAL, remap.mremap, (at(0), PAGE, PAGE, mman.MREMAP_FIXED, at(9))),
        (EFAULT, remap.mremap, (at(9), PAGE, 2 * PAGE, 1)),
        (EFAULT, remap.mremap, (at(0), 5 * PAGE, 6 * PAGE, 1)),
        (EINVAL, advise.madvise, (at(0), PAGE, 999)),
        (EINVAL, advise.madvise, (at(0) + 1, PAGE, 4)),
        (ENOMEM, advise.madvise, (at(3), 2 * PAGE, 4)),
        (EINVAL, advise.msync, (at(0), PAGE, mman.MS_ASYNC | mman.MS_SYNC)),
        (ENOMEM, advise.msync, (at(3), 2 * PAGE, mman.MS_SYNC)),
        (EINVAL, advise.mlockall, (4,)),
        (ENOMEM, advise.munlock, (at(4), PAGE)),
    ]
    for errno, call, args in cases:
        assert errno_of(call, mm, *args) == errno, (call.__name__, args)
    assert areas(mm) == [(0, 4, 3)]


def test_brk_moves_the_heap_and_answers_with_the_end_in_force() -> None:
    """Up, down, refused: the answer is the new end or the old one."""
    mm = new_mm()
    mm.start_brk = mm.brk = EDGE
    assert mmap.brk(mm, 0) == EDGE
    assert mmap.brk(mm, at(2) + 7) == at(2) + 7
    assert areas(mm) == [(0, 3, 3)]
    uaccess.write(mm, at(2), b"x")
    assert mmap.brk(mm, at(1)) == at(1)
    assert (areas(mm), mm.rss) == ([(0, 1, 3)], 0)
    mmap.mmap(mm, at(4), PAGE, 1, PRIVATE | FIXED)
    assert mmap.brk(mm, at(4)) == at(1), "a page stays free between heap and neighbour"
    assert mmap.brk(mm, at(3)) == at(3)
    check_all(mm)


def test_kernel_access_crosses_pages_and_stops_where_user_code_would() -> None:
    """Reads and writes fault pages in, break copies, and end with EFAULT; strings end at their zero byte."""
    mm = space(2)
    assert errno_of(uaccess.write, mm, at(1) + PAGE - 3, b"abcdef") == EFAULT
    assert uaccess.read(mm, at(1) + PAGE - 3, 3) == b"abc", "what came before the fault is written"
    uaccess.write(mm, at(1) - 2, b"word\0")
    assert uaccess.read_cstr(mm, at(1) - 2) == b"word"
    assert errno_of(uaccess.read_cstr, mm, at(1) - 2, 4) == ENAMETOOLONG
    assert errno_of(uaccess.read_cstr, mm, at(1) + PAGE - 3) == EFAULT
    child = fork.fork_mm(mm)
    uaccess.write_u64(child, at(1) - 4, 0x1122334455667788)
    assert uaccess.read_u64(child, at(1) - 4) == 0x1122334455667788
    assert uaccess.read_u32(mm, at(1) - 4) == 0x6F770000
    assert errno_of(uaccess.read, mm, TASK_SIZE - 4, 8) == errno_of(uaccess.write, mm, 1 << 63, b"x") == EFAULT
    protect.mprotect(mm, at(0), PAGE, 1)
    assert errno_of(uaccess.write, mm, at(0), b"x") == EFAULT
    assert uaccess.probe(mm, at(1) - 2, 3 * PAGE)[:5] == b"word\0"
    check_all(mm, child)


def test_populate_maps_everything_at_once() -> None:
    """MAP_POPULATE: all pages present and writable, so no fault is left; MADV_POPULATE_READ maps zeros."""
    mm = new_mm()
    mmap.mmap(mm, at(0), PMD_SIZE, RW, PRIVATE | FIXED | mman.MAP_POPULATE)
    assert mm.rss == 512
    assert {rights for _pfn, rights in mapping_of(mm).values()} == {"rw"}
    mmap.mmap(mm, at(-9), 2 * PAGE, RW, PRIVATE | FIXED)
    advise.madvise(mm, at(-9), 2 * PAGE, mman.MADV_POPULATE_READ)
    assert mapping_of(mm)[at(-8)] == (mm.frames.zero_page, "r")
    check_all(mm)
