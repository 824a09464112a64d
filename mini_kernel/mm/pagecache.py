"""The content of a file or a shared memory object, page by page in guest RAM (Linux address_space, tmpfs).

Pages exist once somebody touches them. Before that a page is what the `source` says (a file of the host, say) up
to `source_end`, and zero behind it. read(2) and write(2) copy to and from the same frames that mmap(2) maps, so
each sees what the other changes at once.

Invariant: the cache holds exactly one reference to each frame in `pages`, and each such frame is marked K_CACHE.
Invariant: whatever lies behind `size` in the last page, it is zero before the file grows over it.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Final, Protocol

from mini_kernel.errors import SysError
from mini_kernel.mm.frame import K_CACHE, FrameAllocator
from mini_kernel.uapi.errno import ENOSPC
from mini_kernel.x86 import PAGE_SHIFT, PAGE_SIZE

_OFFSET: Final = PAGE_SIZE - 1
_READ_AHEAD: Final = 256  # pages brought in from the source at once, at most


class PageSource(Protocol):
    """Where the content of untouched pages comes from."""

    size: int  # bytes

    def read_page(self, index: int, out: memoryview) -> None:
        """Fill `out`, zeroed, one or more whole pages, with the content from page `index` on. Raises SysError(EIO)."""
        ...


class Mapping(Protocol):
    """A range of user memory that shows this content: a VMA."""

    def prepare_unmap(self, first: int, last: int) -> None:
        """Pages [first, last) are to be unmapped: get what that needs. Raises SysError(ENOMEM) with nothing changed."""
        ...

    def unmap_pages(self, first: int, last: int, copies: bool = True) -> None:
        """Pages [first, last) are about to go: take them out of the page tables, private copies too if `copies`."""
        ...


class Quota:
    """The pages that the files of a file system may have in all (tmpfs(5) size)."""

    __slots__ = ("limit", "used")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0

    def require(self) -> None:
        """Raises SysError(ENOSPC) if no page is left."""
        if self.used >= self.limit:
            raise SysError(ENOSPC)


class PageCache:
    """The pages of one inode."""

    def __init__(self, frames: FrameAllocator, source: PageSource | None = None, quota: Quota | None = None) -> None:
        """Precondition: what has a source has no quota."""
        self.frames = frames
        self.quota = quota
        self.source = source
        self.source_end = source.size if source else 0  # bytes that still come from the source
        self.size = self.source_end
        self.pages: dict[int, int] = {}  # index -> pfn
        self.mappings: list[Any] = []  # of Mapping; kept by mm

    def page_count(self) -> int:
        """Pages up to the end of the file, the last one counted whole. Faults behind it are SIGBUS."""
        return (self.size + _OFFSET) >> PAGE_SHIFT

    # -- pages --------------------------------------------------------------------------------------

    def peek(self, index: int) -> int | None:
        """The frame of a page that is in memory, or None."""
        return self.pages.get(index)

    def held(self) -> Iterable[int]:
        """The frames it holds a reference to."""
        return self.pages.values()

    def get_page(self, index: int) -> int:
        """The frame of page `index`, brought in if need be; no reference is taken for the caller.

        The caller checks `index < page_count()`. Raises SysError(ENOMEM), or EIO if the source cannot be read.
        """
        pfn = self.pages.get(index)
        if pfn is None:
            if index << PAGE_SHIFT < self.source_end:
                self._load(index, index + 1)
                return self.pages[index]
            if self.quota is not None:
                self.quota.require()
            pfn = self.frames.alloc()
            self._insert(index, pfn)
        return pfn

    def _insert(self, index: int, pfn: int) -> None:
        self.frames.kinds[pfn] |= K_CACHE
        self.pages[index] = pfn
        if self.quota is not None:
            self.quota.used += 1

    def _load(self, first: int, last: int) -> None:
        """Bring pages [first, last), all missing, in from the source; one read for each run of frames."""
        frames = self.frames
        pfns: list[int] = frames.alloc_many(last - first).tolist()
        try:
            done = 0
            while done < len(pfns):
                run = _run_length(pfns, done)
                self._read_source(first + done, pfns[done], run)
                done += run
        except SysError:
            for pfn in pfns:
                frames.put(pfn)
            raise
        for index, pfn in enumerate(pfns, first):
            frames.wrote(pfn)
            self._insert(index, pfn)

    def _read_source(self, index: int, pfn: int, n: int) -> None:
        """Read `n` pages from the source into the frames from `pfn` on; zero what lies behind `source_end`."""
        assert self.source is not None
        start = pfn << PAGE_SHIFT
        out = self.frames.ram.data[start : start + (n << PAGE_SHIFT)]
        self.source.read_page(index, out)
        valid = self.source_end - (index << PAGE_SHIFT)
        if valid < len(out):
            out[valid:] = bytes(len(out) - valid)

    def _load_range(self, first: int, last: int) -> None:
        """Bring in what is missing of pages [first, last) as far as the source reaches."""
        last = min(last, (self.source_end + _OFFSET) >> PAGE_SHIFT)
        while first < last:
            if first in self.pages:
                first += 1
                continue
            end = first + 1
            while end < last and end not in self.pages and end - first < _READ_AHEAD:
                end += 1
            self._load(first, end)
            first = end

    # -- content ------------------------------------------------------------------------------------

    def _runs(self, offset: int, n: int) -> Iterator[tuple[int, int]]:
        """(physical address, length) of the pieces of [offset, offset + n) in order; address -1 is a hole."""
        if self.source is not None:
            self._load_range(offset >> PAGE_SHIFT, (offset + n + _OFFSET) >> PAGE_SHIFT)
        pages, end = self.pages, offset + n
        while offset < end:
            index = offset >> PAGE_SHIFT
            pfn = pages.get(index, -1)
            start, stop = offset, (index + 1) << PAGE_SHIFT
            following = pfn
            while stop < end:
                index += 1
                following += pfn >= 0
                if pages.get(index, -1) != following:
                    break
                stop += PAGE_SIZE
            offset = min(stop, end)
            yield (-1 if pfn < 0 else (pfn << PAGE_SHIFT) + (start & _OFFSET)), offset - start

    def read_into(self, offset: int, out: memoryview) -> int:
        """Copy content from `offset` on into `out`; the number of bytes, short at the end of the file.

        Raises SysError(ENOMEM) or (EIO) if a page cannot be brought in.
        """
        n = min(len(out), self.size - offset)
        if n <= 0:
            return 0
        data = self.frames.ram.data
        within = offset & _OFFSET
        pfn = self.pages.get(offset >> PAGE_SHIFT)
        if pfn is not None and within + n <= PAGE_SIZE:
            start = (pfn << PAGE_SHIFT) + within
            out[:n] = data[start : start + n]
            return n
        done = 0
        for address, length in self._runs(offset, n):
            out[done : done + length] = data[address : address + length] if address >= 0 else bytes(length)
            done += length
        return n

    def read(self, offset: int, n: int) -> bytes:
        """Up to `n` bytes from `offset` on, short at the end of the file. Raises as read_into."""
        out = bytearray(max(0, min(n, self.size - offset)))
        self.read_into(offset, memoryview(out))
        return bytes(out)

    def write(self, offset: int, data: bytes | memoryview) -> int:
        """Put `data` at `offset`, growing the file; the number of bytes written.

        Less than all of `data` if memory runs out behind the first byte; SysError ENOMEM or ENOSPC if before it.
        """
        n = len(data)
        if offset > self.size:
            self._zero_tail()
        done = 0
        while done < n:
            within = offset & _OFFSET
            step = min(PAGE_SIZE - within, n - done)
            try:
                pfn = self._page_to_write(offset >> PAGE_SHIFT, step)
            except SysError:
                if not done:
                    raise
                break
            start = (pfn << PAGE_SHIFT) + within
            self.frames.ram.data[start : start + step] = data if step == n else data[done : done + step]
            self.frames.wrote(pfn)
            done += step
            offset += step
        if n and offset > self.size:
            self.size = offset
        return done

    def follow_source(self, source: PageSource) -> None:
        """From now on all content that is not in memory comes from `source`, which has as much as there is."""
        self.source = source
        self.source_end = self.size

    def stored(self, offset: int, data: memoryview) -> int:
        """The source has been given `data` at `offset`: pages in memory follow, and the file grows. Its length."""
        if offset > self.size:
            self._zero_tail()
        end, done = offset + len(data), 0
        while done < len(data):
            at = offset + done
            step = min(PAGE_SIZE - (at & _OFFSET), len(data) - done)
            pfn = self.pages.get(at >> PAGE_SHIFT)
            if pfn is not None:
                start = (pfn << PAGE_SHIFT) + (at & _OFFSET)
                self.frames.ram.data[start : start + step] = data[done : done + step]
                self.frames.wrote(pfn)
            done += step
        self.size = max(self.size, end)
        self.source_end = self.size
        return len(data)

    def _page_to_write(self, index: int, step: int) -> int:
        pfn = self.pages.get(index)
        if pfn is not None:
            return pfn
        if step < PAGE_SIZE:
            return self.get_page(index)
        if self.quota is not None:
            self.quota.require()
        pfn = self.frames.alloc(False)  # overwritten whole: neither zeroed nor read
        self._insert(index, pfn)
        return pfn

    # -- size ---------------------------------------------------------------------------------------

    def _zero_tail(self) -> None:
        """Zero what lies behind the end in the last page: a mapping may have written there."""
        within = self.size & _OFFSET
        pfn = self.pages.get(self.size >> PAGE_SHIFT)
        if within and pfn is not None:
            start = pfn << PAGE_SHIFT
            self.frames.ram.data[start + within : start + PAGE_SIZE] = bytes(PAGE_SIZE - within)
            self.frames.wrote(pfn)

    def truncate(self, size: int) -> None:
        """Make the file `size` bytes long: ftruncate(2). Pages behind the end leave all mappings and are freed.

        Raises SysError(ENOMEM) with nothing changed.
        """
        if size >= self.size:
            self._zero_tail()
            self.size = size
            return
        first = (size + _OFFSET) >> PAGE_SHIFT
        self._drop_pages(first, max(self.page_count(), max(self.pages, default=-1) + 1))
        self.size = size
        self.source_end = min(self.source_end, size)
        self._zero_tail()

    def _drop_pages(self, first: int, last: int, copies: bool = True) -> None:
        if first >= last:
            return
        for mapping in self.mappings:
            mapping.prepare_unmap(first, last)
        for mapping in self.mappings:
            mapping.unmap_pages(first, last, copies)
        if last - first < len(self.pages):
            gone = [index for index in range(first, last) if index in self.pages]
        else:
            gone = [index for index in self.pages if first <= index < last]
        for index in gone:
            self.frames.put(self.pages.pop(index))
        if self.quota is not None:
            self.quota.used -= len(gone)

    def punch(self, start: int, end: int) -> None:
        """Make bytes [start, end) read as zero and free the pages wholly inside (FALLOC_FL_PUNCH_HOLE, MADV_REMOVE).

        What a source would fill again is overwritten with zeros instead.
        """
        end = min(end, self.size)
        first = (start + _OFFSET) >> PAGE_SHIFT
        last = self.page_count() if end == self.size else end >> PAGE_SHIFT
        if start < self.source_end or first >= last:
            self._zero(start, end)
            return
        self._zero(start, first << PAGE_SHIFT)
        self._drop_pages(first, last, copies=False)
        self._zero(last << PAGE_SHIFT, end)

    def _zero(self, start: int, end: int) -> None:
        if start < end:
            self.write(start, bytes(end - start))

    def next_data(self, offset: int) -> int | None:
        """The first offset >= `offset` that is not in a hole (SEEK_DATA), or None if all the rest is one."""
        if offset < self.source_end:
            return offset
        index = offset >> PAGE_SHIFT
        found = index if index in self.pages else min((i for i in self.pages if i > index), default=None)
        if found is None or found << PAGE_SHIFT >= self.size:
            return None
        return max(offset, found << PAGE_SHIFT)

    def next_hole(self, offset: int) -> int:
        """The first offset >= `offset` in a hole (SEEK_HOLE); the end of the file counts as one."""
        offset = max(offset, min(self.source_end, self.size))
        index = offset >> PAGE_SHIFT
        if index not in self.pages:
            return min(offset, self.size)
        while index in self.pages:
            index += 1
        return min(index << PAGE_SHIFT, self.size)

    def drop(self) -> None:
        """Give every page back: the inode is gone. Nothing maps it any more."""
        for pfn in self.pages.values():
            self.frames.put(pfn)
        if self.quota is not None:
            self.quota.used -= len(self.pages)
        self.pages.clear()
        self.size = self.source_end = 0


def _run_length(pfns: list[int], start: int) -> int:
    """How many frames from position `start` on are consecutive."""
    end = start + 1
    while end < len(pfns) and pfns[end] == pfns[end - 1] + 1:
        end += 1
    return end - start
