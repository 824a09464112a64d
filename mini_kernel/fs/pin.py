"""The descriptor that pin(2002) returns: the frames behind a piece of user memory, for as long as it is open.

It plays the device: pread and pwrite on it move data straight to and from the frames, past all page tables.
"""

from mini_kernel.errors import SysError
from mini_kernel.fs.file import SeekableFile, Views
from mini_kernel.fs.inode import Inode
from mini_kernel.mm.frame import FrameAllocator
from mini_kernel.uapi.errno import EINVAL, ENOSPC
from mini_kernel.uapi.fcntl import O_RDWR, SEEK_CUR, SEEK_END, SEEK_SET
from mini_kernel.x86 import PAGE_SHIFT, PAGE_SIZE


class PinFile(SeekableFile):
    """`length` bytes that begin at byte `first` of the first of these frames; holds one pin of each."""

    __slots__ = ("first", "frames", "length", "pfns")

    def __init__(self, inode: Inode, frames: FrameAllocator, pfns: list[int], first: int, length: int) -> None:
        super().__init__(inode, O_RDWR, b"anon_inode:[pin]")
        self.frames = frames
        self.pfns = pfns
        self.first = first
        self.length = length

    def release(self) -> None:
        for pfn in self.pfns:
            self.frames.unpin(pfn)
        self.pfns = []

    def readable_at(self, n: int, offset: int) -> int:
        return max(0, min(n, self.length - offset))

    def may_write(self, n: int) -> int:
        if self.pos >= self.length:
            raise SysError(ENOSPC)
        return min(n, self.length - self.pos)

    def read_at(self, views: Views, offset: int) -> int:
        return self._move(views, offset, write=False)

    def write_at(self, views: Views, offset: int) -> int:
        if offset >= self.length:
            raise SysError(ENOSPC)
        return self._move(views, offset, write=True)

    def _move(self, views: Views, offset: int, write: bool) -> int:
        """Copy between `views` and the frames, page by page, up to the end of what is pinned; the number of bytes."""
        data, start = self.frames.ram.data, offset
        for view in views:
            done, n = 0, min(len(view), self.length - offset)
            while done < n:
                index, within = divmod(self.first + offset, PAGE_SIZE)
                step = min(n - done, PAGE_SIZE - within)
                at = (self.pfns[index] << PAGE_SHIFT) + within
                if write:
                    data[at : at + step] = view[done : done + step]
                    self.frames.wrote(self.pfns[index])
                else:
                    view[done : done + step] = data[at : at + step]
                done += step
                offset += step
        return offset - start

    def seek(self, offset: int, whence: int) -> int:
        base = {SEEK_SET: 0, SEEK_CUR: self.pos, SEEK_END: self.length}.get(whence)
        if base is None or base + offset < 0:
            raise SysError(EINVAL)
        self.pos = base + offset
        return self.pos
