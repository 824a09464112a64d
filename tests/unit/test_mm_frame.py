"""The frame allocator: who may have a frame, what is found in it, and what becomes of it."""

import pickle
import random
from typing import Any

import numpy as np
import pytest
from fakes import FakeCpu, FakeRam

from mini_kernel.errors import KernelBug, SysError
from mini_kernel.mm import frame as frame_module
from mini_kernel.mm.frame import K_CACHE, K_CODE, K_TABLE, FrameAllocator
from mini_kernel.mm.kmem import KernelMemory
from mini_kernel.uapi.errno import ENOMEM


def allocator(pages: int = 64, reserved: int = 1) -> FrameAllocator:
    return FrameAllocator(FakeRam(pages << 12), FakeCpu(), reserved)


def flushes(frames: FrameAllocator) -> int:
    assert isinstance(frames.cpu, FakeCpu)
    return frames.cpu.code_flushes


def take_all(frames: FrameAllocator) -> list[int]:
    return [frames.alloc() for _ in range(frames.available())]


@pytest.fixture
def two_zones(monkeypatch: pytest.MonkeyPatch) -> FrameAllocator:
    """64 frames, paging structures in the first 24 only."""
    monkeypatch.setattr(frame_module, "TABLE_ZONE_END", 24)
    return allocator()


def test_all_but_the_reserved_frames_and_the_zero_page_can_be_had() -> None:
    """Every frame comes once, none of the reserved ones, and then memory is out."""
    frames = allocator(64, reserved=5)
    got = take_all(frames)
    assert sorted([*got, frames.zero_page]) == list(range(5, 64))
    with pytest.raises(SysError) as caught:
        frames.alloc()
    assert caught.value.errno == ENOMEM
    assert frames.in_use == frames.peak == 59
    assert frames.used().tolist() == list(range(5, 64))


def test_data_comes_from_above_the_table_zone_while_it_lasts(two_zones: FrameAllocator) -> None:
    """Data frames leave the low zone to paging structures until the high zone is used up."""
    frames = two_zones
    high = [frames.alloc() for _ in range(64 - 24 - 1)]
    assert all(pfn >= 24 for pfn in [*high, frames.zero_page])
    assert frames.alloc() < 24


def test_tables_lie_in_the_low_zone_or_nowhere(two_zones: FrameAllocator) -> None:
    """A paging structure is never placed above the zone, even if there is room."""
    frames = two_zones
    tables = [*frames.alloc_tables(20).tolist(), frames.alloc_table(), frames.alloc_table(), frames.alloc_table()]
    assert sorted(tables) == list(range(1, 24))
    assert all(frames.kind[pfn] == K_TABLE for pfn in tables)
    for call in (frames.alloc_table, lambda: frames.alloc_tables(1)):
        with pytest.raises(SysError):
            call()
    assert frames.available() == 64 - 24 - 1


def test_frames_go_back_to_their_zone(two_zones: FrameAllocator) -> None:
    """Freed data frames of the low zone serve tables again, one by one and in bulk."""
    frames = two_zones
    got = take_all(frames)
    low = [pfn for pfn in got if pfn < 24]
    frames.put_many(np.array(sorted(got)))
    assert sorted(frames.alloc_table() for _ in low) == sorted(low)
    check_free(frames)


def check_free(frames: FrameAllocator) -> None:
    """Free store and use are disjoint and complete (I6)."""
    free = [pfn for zone in (frames.low, frames.high) for pfn in zone.free]
    free += [pfn for zone in (frames.low, frames.high) for chunk in zone.chunks for pfn in chunk.tolist()]
    behind = [*range(frames.low.frontier, frames.low.end), *range(frames.high.frontier, frames.high.end)]
    everything = sorted([*free, *behind, *frames.used().tolist()])
    assert everything == list(range(frames.reserved, frames.total))


@pytest.mark.parametrize("bulk", [False, True])
def test_a_new_owner_finds_zeros(bulk: bool) -> None:
    """Nothing of the former owner is left, one by one and in bulk, from both parts of the free store."""
    frames = FrameAllocator(FakeRam(2000 << 12), FakeCpu(), 1)
    frames.poison = True
    got = frames.alloc_many(1500)
    frames.ram.pages[got] = 0xEE
    frames.put_many(got)
    assert (frames.ram.pages[got] == 0x5A).all()
    again = frames.alloc_many(1600) if bulk else np.array([frames.alloc() for _ in range(1600)])
    assert len(set(again.tolist())) == 1600
    assert not frames.ram.pages[again].any()
    check_free(frames)


def test_a_caller_that_overwrites_the_frame_may_do_without_zeroing() -> None:
    """zero=False hands the frame out as it is."""
    frames = allocator()
    pfn = frames.alloc()
    frames.ram.pages[pfn] = 7
    frames.put(pfn)
    assert frames.alloc(zero=False) == pfn
    assert (frames.ram.pages[pfn] == 7).all()


@pytest.mark.parametrize("how", ["alloc", "alloc_many", "alloc_table", "alloc_tables"])
def test_code_of_the_former_owner_is_flushed_before_reuse(how: str) -> None:
    """A frame that held code asks for one flush when it changes hands, and its kind starts anew."""
    frames = allocator()
    pfn = frames.alloc()
    frames.kinds[pfn] |= K_CODE
    frames.put(pfn)
    assert flushes(frames) == 0
    call = getattr(frames, how)
    new = call(1)[0] if how.endswith(("many", "tables")) else call()
    assert new == pfn
    assert flushes(frames) == 1
    assert frames.kind[pfn] == (K_TABLE if "table" in how else 0)


def test_code_in_bulk_freed_frames_is_flushed_too() -> None:
    """put_many keeps the code mark of the frames it frees."""
    frames = allocator()
    got = frames.alloc_many(8)
    frames.kind[got[3]] |= K_CODE
    frames.put_many(got)
    frames.alloc_many(8)
    assert flushes(frames) == 1


def test_a_frame_that_never_held_code_needs_no_flush() -> None:
    """Flushing translated code is expensive, so data frames change hands without."""
    frames = allocator()
    pfn = frames.alloc()
    frames.put(pfn)
    frames.alloc()
    frames.wrote(pfn)
    assert flushes(frames) == 0


def test_a_kernel_write_into_code_asks_for_a_flush() -> None:
    """`wrote` looks at the code mark."""
    frames = allocator()
    pfn = frames.alloc()
    frames.kinds[pfn] |= K_CODE
    frames.wrote(pfn)
    assert flushes(frames) == 1


def test_the_last_reference_frees() -> None:
    """Counts go up and down one by one, and below zero is a kernel bug."""
    frames = allocator()
    pfn = frames.alloc()
    frames.get(pfn)
    frames.put(pfn)
    assert frames.used().tolist() == [frames.zero_page, pfn]
    frames.put(pfn)
    assert frames.used().tolist() == [frames.zero_page]
    with pytest.raises(KernelBug):
        frames.put(pfn)


@pytest.mark.parametrize("scattered", [False, True])
def test_many_references_at_once_count_like_single_ones(scattered: bool) -> None:
    """get_many and put_many agree with loops of get and put, for runs of frames and for scattered ones."""
    frames = allocator()
    pfns = frames.alloc_many(12)
    pfns = pfns[[7, 2, 9, 4]] if scattered else pfns[2:9]
    frames.get_many(pfns)
    assert all(frames.counts[pfn] == 2 for pfn in pfns.tolist())
    frames.put_many(pfns)
    frames.put_many(pfns)
    assert not frames.count[pfns].any()
    assert frames.in_use == 1 + 12 - len(pfns)
    with pytest.raises(KernelBug):
        frames.put_many(pfns)


def test_a_page_cache_frame_may_occur_many_times() -> None:
    """A file page mapped twice is counted twice, and freed once when both references are the last two."""
    frames = allocator()
    a, b, c = (frames.alloc() for _ in range(3))
    frames.kinds[b] |= K_CACHE
    twice = np.array([c, b, a, b])
    frames.get_many(twice)
    assert [frames.counts[pfn] for pfn in (a, b, c)] == [2, 3, 2]
    frames.put_many(twice)
    frames.get(b)
    frames.put_many(np.array([b, a, b]))
    assert frames.used().tolist() == [frames.zero_page, c]
    assert frames.in_use == 2
    check_free(frames)


@pytest.mark.parametrize("n", range(6))
def test_refusal_comes_exactly_after_the_given_number_of_frames(n: int) -> None:
    """refuse_after = n: n frames are had one by one, then every request fails until it is switched off."""
    frames = allocator()
    frames.refuse_after = n
    for _ in range(n):
        frames.alloc()
    for call in (frames.alloc, frames.alloc_table, lambda: frames.alloc_many(1), lambda: frames.alloc_tables(1)):
        with pytest.raises(SysError):
            call()
    frames.refuse_after = -1
    frames.alloc()
    assert frames.in_use == n + 2


@pytest.mark.parametrize("how", ["alloc_many", "alloc_tables"])
def test_bulk_requests_get_all_or_nothing(how: str) -> None:
    """A request that is refused or too big takes nothing."""
    frames = allocator()
    frames.refuse_after = 7
    with pytest.raises(SysError):
        getattr(frames, how)(8)
    frames.refuse_after = -1
    with pytest.raises(SysError):
        getattr(frames, how)(64)
    assert frames.in_use == 1
    assert len(getattr(frames, how)(62)) == 62
    assert len(getattr(frames, how)(0)) == 0


def test_a_random_history_keeps_the_books() -> None:
    """Thousands of random requests, single and in bulk: distinct zeroed frames, exact counts, nothing lost."""
    rng = random.Random(5)
    frames = FrameAllocator(FakeRam(4096 << 12), FakeCpu(), 3)
    held: list[int] = []
    for step in range(1200):
        n = rng.choice([1, 1, 1, 5, 40, 700])
        if rng.random() < 0.5 and n <= frames.available():
            new: list[int] = [frames.alloc()] if n == 1 else frames.alloc_many(n).tolist()
            assert not frames.ram.tables[new].any()
            frames.ram.tables[new, 17] = step + 1
            held += new
        elif len(held) >= n:
            rng.shuffle(held)
            frames.put_many(np.array(held[:n])) if n > 1 else frames.put(held[0])
            del held[:n]
        assert frames.in_use == len(held) + 1
        assert len(set(held)) == len(held)
    check_free(frames)
    assert sorted(held) == frames.used().tolist()[1:]


def test_an_allocator_survives_pickling() -> None:
    """A copy from a pickle has the same counts, kinds and free frames in the same order, and is independent."""
    frames = FrameAllocator(FakeRam(2048 << 12), FakeCpu(), 2)
    got = frames.alloc_many(1000)
    table = frames.alloc_table()
    frames.kinds[int(got[5])] |= K_CODE | K_CACHE
    frames.get(int(got[6]))
    frames.put_many(got[100:800])
    frames.put(int(got[3]))
    copy = _through_pickle(frames)
    assert copy.used().tolist() == frames.used().tolist()
    assert (copy.count == frames.count).all()
    assert (copy.kind == frames.kind).all()
    assert copy.kinds[table] == K_TABLE
    assert [copy.alloc() for _ in range(1500)] == [frames.alloc() for _ in range(1500)]
    copy.put(table)
    assert frames.counts[table] == 1
    assert copy.count[table] == 0, "scalar and array views are the same memory"
    check_free(copy)


def _through_pickle(frames: FrameAllocator) -> FrameAllocator:
    """As the snapshot code does it: the handles are swapped out."""
    ram, cpu = frames.ram, frames.cpu
    swapped = {**frames.__getstate__(), "ram": None, "cpu": None, "kmem": None}
    state: dict[str, Any] = pickle.loads(pickle.dumps(swapped))
    copy: FrameAllocator = FrameAllocator.__new__(FrameAllocator)
    copy.__setstate__({**state, "ram": ram, "cpu": cpu})
    copy.kmem = KernelMemory(copy)
    return copy
