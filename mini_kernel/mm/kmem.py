"""What the kernel's own objects take of RAM (Linux: slabs, kernel stacks, pages of pipes).

Objects here live in the host's memory, and nothing but this account keeps a guest from filling that. Whoever makes an
object that a program can have many of says how large it is; beyond an allowance, frames are taken out of use for it. So
guest memory and kernel objects together stay within the machine's RAM, and the host within that and a constant.

Invariant: `paid` is the allowance and PAGE_SIZE for each frame in `pfns`.
"""

from typing import Any, Final, Protocol

from mini_kernel.errors import SysError
from mini_kernel.x86 import PAGE_SHIFT, PAGE_SIZE

#: Bytes that are not charged to RAM: what usual programs need. Part of what the host has to have besides RAM.
ALLOWANCE: Final = 8 << 20
_STEP: Final = 16  # frames that are taken and given back at once

# Sizes in bytes: what an object and all that belongs to it take on the host, measured and rounded up.
TASK: Final = 8 << 10  # a thread: its registers, its queues
PROCESS: Final = 24 << 10  # what a process has besides: its ledger, its tables of descriptors and actions
AREA: Final = 512
DESCRIPTOR: Final = 512  # with the open file
WATCH: Final = 512  # an entry of an epoll instance
INODE: Final = 2 << 10  # with its name and, for a file, an empty page cache


class Frames(Protocol):
    """What is needed of the frame allocator."""

    ram: Any

    def alloc_kernel(self, n: int) -> list[int]:
        """Frames that nobody looks into. All or SysError(ENOMEM)."""
        ...

    def put(self, pfn: int) -> None:
        """Give one back."""
        ...


class KernelMemory:
    """The account of one kernel."""

    def __init__(self, frames: Frames) -> None:
        self.frames = frames
        self.used = 0  # bytes
        self.paid = ALLOWANCE  # bytes
        self.pfns: list[int] = []

    def take(self, size: int) -> None:
        """An object of `size` bytes comes to be. Raises SysError(ENOMEM) with nothing changed."""
        used = self.used + size
        if used > self.paid:
            self._pay(used)
        self.used = used

    def ensure(self, size: int) -> None:
        """Make sure that objects of `size` bytes can be had in the next steps. Raises SysError(ENOMEM)."""
        if self.used + size > self.paid:
            self._pay(self.used + size)

    def owe(self, size: int) -> None:
        """`take` by who cannot fail any more; whoever takes next pays for both."""
        self.used += size

    def give(self, size: int) -> None:
        """One is gone."""
        self.used -= size
        if self.pfns and self.paid - self.used > 2 * _STEP << PAGE_SHIFT:
            self._refund()

    def _pay(self, used: int) -> None:
        missing = (used - self.paid + PAGE_SIZE - 1) >> PAGE_SHIFT
        try:
            pfns = self.frames.alloc_kernel(missing + _STEP)
        except SysError:
            pfns = self.frames.alloc_kernel(missing)
        for pfn in pfns:
            self.frames.ram.discard(pfn, pfn + 1)  # the host's memory is needed for the objects
        self.pfns += pfns
        self.paid += len(pfns) << PAGE_SHIFT

    def _refund(self) -> None:
        keep = max(0, (self.used - ALLOWANCE + PAGE_SIZE - 1) >> PAGE_SHIFT)
        for pfn in self.pfns[keep:]:
            self.frames.put(pfn)
        del self.pfns[keep:]
        self.paid = ALLOWANCE + (keep << PAGE_SHIFT)
