"""Memory runs out at the n-th frame, for every n: nothing is leaked, nothing half done, and a second try succeeds."""

from collections.abc import Callable
from typing import Any

import pytest
from enomem_lab import Case, at_every_frame, fault_call
from mm_helpers import EDGE, PAGE, PRIVATE, RW, SHARED, FakeFile, check_all, new_frames, new_mm, state_of

from mini_kernel.errors import SysError
from mini_kernel.mm import advise, fault, fork, mmap, protect, remap, uaccess
from mini_kernel.mm.mm import Mm
from mini_kernel.uapi import mman
from mini_kernel.uapi.errno import EAGAIN, EFAULT, ENOMEM

FIXED = mman.MAP_FIXED
WRITE, READ = 6, 4


def _space(pages: int = 3, prot: int = RW, flags: int = PRIVATE, write: bool = True) -> Mm:
    """A mapping astride a 1 GiB boundary, so that tables at three levels are needed twice; written to."""
    mm = new_mm(new_frames(4))
    mmap.mmap(mm, EDGE, pages * PAGE, prot, flags | FIXED)
    if write:
        for i in range(pages):
            uaccess.write(mm, EDGE + i * PAGE, bytes([i + 1]))
    return mm


def _file(mm: Mm, at: int, flags: int) -> FakeFile:
    file = FakeFile(mm.frames, 4)
    mmap.mmap(mm, at, 4 * PAGE, RW, flags | FIXED, file, 0)
    return file


def demand_zero() -> Case:
    mm = _space(write=False)
    return Case(fault_call(mm, EDGE, WRITE), [mm])


def zero_page() -> Case:
    mm = _space(write=False)
    return Case(fault_call(mm, EDGE, READ), [mm])


def zero_page_write() -> Case:
    mm = _space(write=False)
    fault.handle(mm, EDGE, READ)
    return Case(fault_call(mm, EDGE, WRITE), [mm])


def cow_copy() -> Case:
    mm = _space()
    child = fork.fork_mm(mm)
    return Case(fault_call(child, EDGE, WRITE), [mm, child])


def file_read() -> Case:
    mm = new_mm(new_frames(4))
    file = _file(mm, EDGE, mman.MAP_PRIVATE)
    return Case(fault_call(mm, EDGE, READ), [mm], [file])


def file_private_write() -> Case:
    mm = new_mm(new_frames(4))
    file = _file(mm, EDGE, mman.MAP_PRIVATE)
    return Case(fault_call(mm, EDGE, WRITE), [mm], [file])


def file_shared_write() -> Case:
    mm = new_mm(new_frames(4))
    file = _file(mm, EDGE, mman.MAP_SHARED)
    return Case(fault_call(mm, EDGE, WRITE), [mm], [file])


def file_copy_of_mapped_page() -> Case:
    mm = new_mm(new_frames(4))
    file = _file(mm, EDGE, mman.MAP_PRIVATE)
    fault.handle(mm, EDGE, READ)
    return Case(fault_call(mm, EDGE, WRITE), [mm], [file])


def shared_memory_fault() -> Case:
    mm = _space(flags=SHARED, write=False)
    return Case(fault_call(mm, EDGE + PAGE, WRITE), [mm])


def stack_growth() -> Case:
    """The area is longer afterwards even if the page could not be had; Linux does not take that back either."""
    mm = _space(flags=PRIVATE | mman.MAP_GROWSDOWN)
    return Case(fault_call(mm, EDGE - 2 * PAGE, WRITE), [mm], partial=True)


def fork_several_areas() -> Case:
    mm = _space()
    file = _file(mm, EDGE + (4 << 20), mman.MAP_SHARED)
    mmap.mmap(mm, EDGE + (8 << 20), 2 * PAGE, RW, SHARED | FIXED)
    mmap.mmap(mm, 0x20_0000_0000, 2 * PAGE, RW, PRIVATE | FIXED)
    for address in (EDGE + (4 << 20), EDGE + (8 << 20), 0x20_0000_0000):
        uaccess.write(mm, address, b"x")
    mms = [mm]
    return Case(lambda: mms.append(fork.fork_mm(mm)), mms, [file])


def mmap_populate() -> Case:
    mm = new_mm(new_frames(4))
    call = lambda: mmap.mmap(mm, EDGE, 3 * PAGE, RW, PRIVATE | FIXED | mman.MAP_POPULATE)  # noqa: E731
    return Case(call, [mm], silent=True)


def mmap_populate_shared() -> Case:
    mm = new_mm(new_frames(4))
    call = lambda: mmap.mmap(mm, EDGE, 3 * PAGE, RW, SHARED | FIXED | mman.MAP_POPULATE)  # noqa: E731
    return Case(call, [mm], silent=True)


def populate_anonymous() -> Case:
    mm = _space(5, write=False)
    return Case(lambda: fault.populate(mm, EDGE, EDGE + 5 * PAGE, True), [mm])


def madvise_populate_read() -> Case:
    mm = _space(4, write=False)
    return Case(lambda: advise.madvise(mm, EDGE, 4 * PAGE, mman.MADV_POPULATE_READ), [mm], partial=True)


def madvise_populate_write() -> Case:
    mm = _space(4)
    child = fork.fork_mm(mm)
    call = lambda: advise.madvise(child, EDGE, 4 * PAGE, mman.MADV_POPULATE_WRITE)  # noqa: E731
    return Case(call, [mm, child], partial=True)


def mlock() -> Case:
    mm = _space(4, write=False)
    return Case(lambda: advise.mlock(mm, EDGE, 4 * PAGE), [mm], errno=EAGAIN, partial=True)


def mremap_move() -> Case:
    mm = _space()
    call = lambda: remap.mremap(mm, EDGE, 3 * PAGE, 3 * PAGE, 3, 0x20_0000_0000 - PAGE)  # noqa: E731
    return Case(call, [mm])


def mremap_grow_and_move() -> Case:
    mm = _space()
    mmap.mmap(mm, EDGE + 3 * PAGE, PAGE, RW, SHARED | FIXED)
    return Case(lambda: remap.mremap(mm, EDGE, 3 * PAGE, 4 * PAGE, mman.MREMAP_MAYMOVE), [mm])


def mremap_dont_unmap() -> Case:
    mm = _space()
    return Case(lambda: remap.mremap(mm, EDGE, 3 * PAGE, 3 * PAGE, 5), [mm])


def kernel_write_across_pages() -> Case:
    """Bytes before the page that fails are written, as by copy_to_user."""
    mm = _space()
    child = fork.fork_mm(mm)
    return Case(lambda: uaccess.write(child, EDGE + PAGE - 1, bytes(PAGE + 2)), [mm, child], errno=EFAULT, partial=True)


def locked_brk() -> Case:
    mm = new_mm(new_frames(4))
    mm.start_brk = mm.brk = EDGE
    advise.mlockall(mm, mman.MCL_FUTURE)

    def call() -> None:
        assert mmap.brk(mm, EDGE + 3 * PAGE) == EDGE + 3 * PAGE

    return Case(call, [mm], silent=True)


CASES = [
    demand_zero,
    zero_page,
    zero_page_write,
    cow_copy,
    file_read,
    file_private_write,
    file_shared_write,
    file_copy_of_mapped_page,
    shared_memory_fault,
    stack_growth,
    fork_several_areas,
    mmap_populate,
    mmap_populate_shared,
    populate_anonymous,
    madvise_populate_read,
    madvise_populate_write,
    mlock,
    mremap_move,
    mremap_grow_and_move,
    mremap_dont_unmap,
    kernel_write_across_pages,
    locked_brk,
]


@pytest.mark.parametrize("build", CASES, ids=lambda build: build.__name__)
def test_running_out_of_memory_at_any_frame_changes_nothing(build: Callable[[], Case]) -> None:
    """A refusal at the n-th frame leaves the whole state as it was, leaks nothing, and the operation can be repeated.

    Where Linux keeps what was done before the failure, the invariants hold instead.
    """
    at_every_frame(build)


def test_operations_that_need_no_frames_succeed_without_any() -> None:
    """munmap, mprotect, MADV_DONTNEED, growing in place, mmap and brk work when memory is exhausted."""
    mm = _space(6)
    mm.start_brk = mm.brk = 0x1000_0000
    mm.frames.refuse_after = 0
    protect.mprotect(mm, EDGE + PAGE, PAGE, mman.PROT_READ)
    protect.mprotect(mm, EDGE + PAGE, PAGE, RW)
    advise.madvise(mm, EDGE, PAGE, mman.MADV_DONTNEED)
    mmap.munmap(mm, EDGE + PAGE, PAGE)
    assert remap.mremap(mm, EDGE + 2 * PAGE, 4 * PAGE, 6 * PAGE, 0) == EDGE + 2 * PAGE
    mmap.mmap(mm, 0, PAGE, RW, PRIVATE)
    assert mmap.brk(mm, 0x1000_2000) == 0x1000_2000
    check_all(mm)


def test_a_full_list_of_areas_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """At vm.max_map_count whatever would split an area fails with ENOMEM (madvise: EAGAIN) and leaves it whole."""
    import mini_kernel.mm.mm

    mm = _space(4)
    monkeypatch.setattr(mini_kernel.mm.mm, "MAX_MAP_COUNT", 1)
    before = state_of(mm)
    middle = EDGE + PAGE
    calls: list[tuple[int, Callable[[], Any]]] = [
        (ENOMEM, lambda: mmap.munmap(mm, middle, PAGE)),
        (ENOMEM, lambda: protect.mprotect(mm, middle, PAGE, 0)),
        (ENOMEM, lambda: advise.mlock(mm, middle, PAGE)),
        (EAGAIN, lambda: advise.madvise(mm, middle, PAGE, mman.MADV_DONTFORK)),
        (ENOMEM, lambda: mmap.mmap(mm, 0, PAGE, RW, PRIVATE)),
    ]
    for errno, call in calls:
        if call is calls[-1][1]:  # a new area may be one too many, as in Linux
            monkeypatch.setattr(mini_kernel.mm.mm, "MAX_MAP_COUNT", 0)
        with pytest.raises(SysError) as caught:
            call()
        assert caught.value.errno == errno
        assert state_of(mm) == before
