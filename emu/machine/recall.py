"""Going back to the same content of RAM again and again, at the cost of what was written to since.

The second time that RAM is to have some large content, that is put into a file in memory (memfd_create(2)), and the
file is mapped over the RAM, privately: RAM has the content, and a page that is written to is copied by the host. Going
back is then one madvise(2), MADV_DONTNEED, which drops the copies. (Small content, or content asked for once, as a
debugger does that walks through time, is copied: mapping the file takes several copies' time.)

What it costs: RAM that a file lies under has small host pages. Where the host cannot do it, content is always copied.
"""

import ctypes
import functools
import itertools
import mmap
import os
import weakref
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from mini_kernel.x86 import PAGE_SHIFT

if TYPE_CHECKING:
    from emu.machine.ram import Ram

WORTH_FRAMES: Final = 1024  # 4 MiB: copying less takes less than a millisecond
_RESERVED: Final = 1  # frames that are the machine's own and in no content
_MAP_FIXED: Final = 0x10
_MAP_NORESERVE: Final = 0x4000
_PROTECTION: Final = 3  # PROT_READ | PROT_WRITE
_FAILED: Final = ctypes.c_void_p(-1).value


class Recall:
    """What lies under one RAM.

    Invariant: while `_under` is alive, RAM without the pages written to has its content, and zeros elsewhere.
    """

    def __init__(self, ram: "Ram") -> None:
        self._ram = weakref.ref(ram)
        self._last: weakref.ref[Any] | None = None  # asked for last
        self._under: weakref.ref[Any] | None = None
        self._mapped = False  # a file was mapped over some of the RAM

    def recall(self, key: object, pfns: NDArray[np.int64], contents: NDArray[np.uint64]) -> bool:
        """See hw.PhysicalMemory."""
        ram = self._ram()
        assert ram is not None
        if self._under is not None and self._under() is key:
            ram.revert()
            self._last = self._under
            return True
        if len(pfns) >= WORTH_FRAMES:
            again = self._last is not None and self._last() is key
            self._last = weakref.ref(key)
            if again and self._map(ram, pfns, contents):
                self._under = self._last
                return True
        ram.tables[pfns] = contents
        return False

    def _map(self, ram: "Ram", pfns: NDArray[np.int64], contents: NDArray[np.uint64]) -> bool:
        """Put the content into a file and map that over the RAM. False where the host cannot."""
        if not hasattr(os, "memfd_create"):
            return False
        fd = os.memfd_create("cr3lab-ram")
        try:
            os.ftruncate(fd, ram.size)
            os.pwrite(fd, ram.data[: _RESERVED << PAGE_SHIFT], 0)
            for start, rows in runs(pfns, contents):
                _write(fd, rows, start << PAGE_SHIFT)
            done = _map_over(ram.address, ram.size, mmap.MAP_PRIVATE, fd)
        except OSError:  # no memory for it
            return False
        finally:
            os.close(fd)
        self._mapped = self._mapped or done
        return done

    def forget(self, start: int, length: int) -> None:
        """These bytes of RAM must read as zero when their pages are dropped: nothing may lie under them."""
        ram = self._ram()
        if self._mapped and ram is not None:
            self._under = None
            if not _map_over(ram.address + start, length, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1):
                raise OSError("RAM cannot be mapped again")


def runs(pfns: NDArray[np.int64], contents: NDArray[np.uint64]) -> Iterator[tuple[int, memoryview]]:
    """Neighbouring frames together: the first one's number and the bytes of all. Precondition: `pfns` is sorted."""
    cuts = [0, *(np.flatnonzero(np.diff(pfns) != 1) + 1).tolist(), len(pfns)]
    for first, end in itertools.pairwise(cuts):
        if first < end:
            yield int(pfns[first]), np.ascontiguousarray(contents[first:end]).data.cast("B")


def _write(fd: int, data: memoryview, at: int) -> None:
    while data:
        done = os.pwrite(fd, data, at)
        data, at = data[done:], at + done


def _map_over(address: int, length: int, flags: int, fd: int) -> bool:
    """mmap(2) at a fixed address, from offset 0."""
    where = _mmap()(address, length, _PROTECTION, flags | _MAP_FIXED | _MAP_NORESERVE, fd, 0)
    return where != _FAILED


@functools.cache
def _mmap() -> Any:
    function = ctypes.CDLL(None, use_errno=True).mmap
    function.restype = ctypes.c_void_p
    function.argtypes = [
        ctypes.c_void_p,
        ctypes.c_size_t,
        ctypes.c_int,
        ctypes.c_int,
        ctypes.c_int,
        ctypes.c_long,
    ]
    return function
