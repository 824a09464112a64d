"""The page cache against a bytearray, and its frames against the allocator."""

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from mm_helpers import errno_of, new_frames

from mini_kernel.errors import SysError
from mini_kernel.mm.frame import K_CACHE, FrameAllocator
from mini_kernel.mm.pagecache import PageCache
from mini_kernel.uapi.errno import EIO, ENOMEM

PAGE = 4096
SPAN = 6 * PAGE


class Source:
    """Recognisable content; counts how often it is asked, and can fail."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.content = bytes((i * 7 + i // PAGE + 1) & 0xFF for i in range(size))
        self.reads: list[tuple[int, int]] = []
        self.broken = False

    def read_page(self, index: int, out: memoryview) -> None:
        if self.broken:
            raise SysError(EIO)
        self.reads.append((index, len(out) // PAGE))
        part = self.content[index * PAGE : index * PAGE + len(out)]
        out[: len(part)] = part


class Unmapper:
    """A mapping that records what it is told to let go of."""

    def __init__(self) -> None:
        self.told: list[tuple[int, int, bool]] = []
        self.prepared: list[tuple[int, int]] = []

    def prepare_unmap(self, first: int, last: int) -> None:
        self.prepared.append((first, last))

    def unmap_pages(self, first: int, last: int, copies: bool = True) -> None:
        assert self.prepared[-1] == (first, last)
        self.told.append((first, last, copies))


def check(cache: PageCache, frames: FrameAllocator, idle: int) -> None:
    """Recount: one reference per page, each marked, nothing else in use."""
    assert frames.in_use == idle + len(cache.pages)
    assert len(set(cache.pages.values())) == len(cache.pages)
    for index, pfn in cache.pages.items():
        assert frames.counts[pfn] == 1
        assert frames.kinds[pfn] & K_CACHE
        assert index < cache.page_count()


class CacheMachine(RuleBasedStateMachine):
    """Any sequence of operations leaves the cache with the content a bytearray has."""

    def __init__(self) -> None:
        super().__init__()
        self.frames = new_frames(1)
        self.idle = self.frames.in_use
        source = Source(2 * PAGE + 100)
        self.cache = PageCache(self.frames, source)
        self.model = bytearray(source.content)

    @rule(offset=st.integers(0, SPAN), n=st.integers(0, 2 * PAGE + 5), fill=st.integers(1, 255))
    def write(self, offset: int, n: int, fill: int) -> None:
        data = bytes([fill]) * n
        assert self.cache.write(offset, data) == n
        if n:
            self.model.extend(bytes(max(0, offset - len(self.model))))
            self.model[offset : offset + n] = data

    @rule(offset=st.integers(0, SPAN + PAGE), n=st.integers(0, SPAN))
    def read(self, offset: int, n: int) -> None:
        assert self.cache.read(offset, n) == self.model[offset : offset + n]

    @rule(size=st.integers(0, SPAN))
    def truncate(self, size: int) -> None:
        self.cache.truncate(size)
        self.model = self.model[:size] + bytes(max(0, size - len(self.model)))

    @rule(start=st.integers(0, SPAN), n=st.integers(1, 3 * PAGE))
    def punch(self, start: int, n: int) -> None:
        self.cache.punch(start, start + n)
        end = min(start + n, len(self.model))
        self.model[start:end] = bytes(max(0, end - start))

    @precondition(lambda self: self.cache.page_count() > 0)
    @rule(data=st.data(), fill=st.integers(1, 255))
    def store_through_a_mapping(self, data: Any, fill: int) -> None:
        """A mapped page is written whole, behind the end of the file, too."""
        index = data.draw(st.integers(0, self.cache.page_count() - 1))
        pfn = self.cache.get_page(index)
        self.frames.ram.pages[pfn] = fill
        end = min(len(self.model), (index + 1) * PAGE)
        self.model[index * PAGE : end] = bytes([fill]) * (end - index * PAGE)

    @rule(offset=st.integers(0, SPAN))
    def holes_read_as_zero(self, offset: int) -> None:
        """Between SEEK_DATA and SEEK_HOLE lies everything that is not zero."""
        data = self.cache.next_data(offset)
        end = len(self.model) if data is None else data
        assert not any(self.model[offset:end])
        if offset < len(self.model):
            hole = self.cache.next_hole(offset)
            assert offset <= hole <= len(self.model)
            assert hole == len(self.model) or hole // PAGE not in self.cache.pages

    @invariant()
    def same_size_and_references(self) -> None:
        assert self.cache.size == len(self.model)
        check(self.cache, self.frames, self.idle)

    def teardown(self) -> None:
        assert self.cache.read(0, SPAN * 2) == self.model
        self.cache.drop()
        assert self.frames.in_use == self.idle


TestCacheMachine = CacheMachine.TestCase
TestCacheMachine.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)


def test_reading_a_hole_takes_no_memory() -> None:
    """A sparse file reads as zero without a page of its own."""
    frames = new_frames()
    idle = frames.in_use
    cache = PageCache(frames)
    cache.truncate(1 << 40)
    assert cache.read((1 << 40) - 10, 100) == bytes(10)
    assert cache.read(0, 3 * PAGE) == bytes(3 * PAGE)
    assert frames.in_use == idle


def test_the_source_is_read_once_and_only_where_needed() -> None:
    """A page comes from the source on first touch; a page overwritten whole never does."""
    source = Source(8 * PAGE)
    cache = PageCache(new_frames(), source)
    assert source.reads == []
    cache.write(3 * PAGE, bytes(PAGE))
    assert source.reads == []
    assert cache.read(PAGE, 10) == source.content[PAGE : PAGE + 10]
    assert cache.read(PAGE + 20, 10) == source.content[PAGE + 20 : PAGE + 30]
    assert sum(n for _index, n in source.reads) == 1
    cache.read(0, 8 * PAGE)
    pages = [index + i for index, n in source.reads for i in range(n)]
    assert sorted(pages) == [0, 1, 2, 4, 5, 6, 7]


def test_what_was_cut_off_does_not_come_back_from_the_source() -> None:
    """Shrinking and growing again leaves zeros, also inside the page that was cut."""
    source = Source(3 * PAGE)
    cache = PageCache(new_frames(), source)
    cache.truncate(PAGE + 50)
    cache.truncate(3 * PAGE)
    assert cache.read(0, 3 * PAGE) == source.content[: PAGE + 50] + bytes(2 * PAGE - 50)


@pytest.mark.parametrize("grow", ["write", "truncate", "append"])
def test_what_a_mapping_wrote_behind_the_end_never_shows(grow: str) -> None:
    """Whichever way the file grows over it, the tail of the last page reads as zero."""
    frames = new_frames()
    cache = PageCache(frames)
    cache.write(0, b"x" * 10)
    frames.ram.pages[cache.get_page(0)] = 0xEE
    if grow == "write":
        cache.write(100, b"y" * 10)
        assert cache.read(0, 200) == b"\xee" * 10 + bytes(90) + b"y" * 10
    elif grow == "truncate":
        cache.truncate(PAGE * 2)
        assert cache.read(0, 2 * PAGE) == b"\xee" * 10 + bytes(2 * PAGE - 10)
    else:
        cache.write(10, b"y" * 10)
        cache.write(30, b"z")
        assert cache.read(0, 50) == b"\xee" * 10 + b"y" * 10 + bytes(10) + b"z"


def test_a_page_is_shared_by_read_write_and_mapping() -> None:
    """What get_page names is what write changes and read sees."""
    frames = new_frames()
    cache = PageCache(frames)
    cache.write(0, b"one")
    pfn = cache.get_page(0)
    frames.ram.data[pfn * PAGE : pfn * PAGE + 3] = b"two"
    assert cache.read(0, 3) == b"two"
    assert cache.peek(1) is None


def test_mappings_hear_of_pages_before_they_go() -> None:
    """Truncation tells every mapping which pages vanish, while they still exist."""
    cache = PageCache(new_frames())
    cache.write(0, bytes(5 * PAGE))
    mapping = Unmapper()
    cache.mappings.append(mapping)
    cache.truncate(PAGE + 1)
    assert mapping.told == [(2, 5, True)]
    cache.truncate(10 * PAGE)
    assert mapping.told == [(2, 5, True)]
    cache.punch(10, 2 * PAGE + 10)
    assert mapping.told == [(2, 5, True), (1, 2, False)]


def test_every_refused_frame_leaves_a_partial_count_or_enomem() -> None:
    """With memory for n pages a write of four stores n of them, and fails only if n is 0."""
    for n in range(5):
        frames = new_frames()
        cache = PageCache(frames)
        frames.refuse_after = n
        if n == 0:
            assert errno_of(cache.write, 0, bytes(4 * PAGE)) == ENOMEM
        else:
            assert cache.write(100, b"x" * 4 * PAGE) == min(4 * PAGE, n * PAGE - 100)
            assert cache.size == min(4 * PAGE, n * PAGE - 100) + 100
        frames.refuse_after = -1


def test_a_source_that_fails_leaves_no_page_behind() -> None:
    """EIO reaches the caller, the frames go back, and a later try works."""
    frames = new_frames()
    idle = frames.in_use
    source = Source(2 * PAGE)
    cache = PageCache(frames, source)
    source.broken = True
    assert errno_of(cache.get_page, 0) == EIO
    assert errno_of(cache.read, 0, 2 * PAGE) == EIO
    assert frames.in_use == idle
    source.broken = False
    assert cache.read(0, 5) == source.content[:5]


@pytest.mark.parametrize("offset", [0, 1, PAGE - 1, PAGE, 3 * PAGE + 7])
def test_read_into_stops_at_the_end(offset: int) -> None:
    """The count is what lies between the offset and the end; the rest of the buffer is untouched."""
    cache = PageCache(new_frames())
    cache.write(0, b"a" * (PAGE + 10))
    out = bytearray(b"-" * 3 * PAGE)
    n = cache.read_into(offset, memoryview(out))
    assert n == max(0, PAGE + 10 - offset)
    assert out == b"a" * n + b"-" * (3 * PAGE - n)
