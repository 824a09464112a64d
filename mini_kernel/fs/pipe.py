"""Pipes and FIFOs: pipe(7), fifo(7)."""

from typing import TYPE_CHECKING, Final

from mini_kernel.errors import SysError
from mini_kernel.fs.file import READABLE, WRITABLE, File, User, Views
from mini_kernel.fs.inode import Inode, SuperBlock
from mini_kernel.mm import uaccess
from mini_kernel.mm.kmem import KernelMemory
from mini_kernel.uapi.errno import EAGAIN, EBUSY, EINVAL, ENXIO, EPERM, EPIPE
from mini_kernel.uapi.fcntl import O_NONBLOCK, PIPE_BUF, S_IFIFO
from mini_kernel.uapi.ioctls import FIONREAD
from mini_kernel.uapi.misc import PIPEFS_MAGIC
from mini_kernel.uapi.poll import POLLERR, POLLHUP
from mini_kernel.wait import Block, WaitQueue
from mini_kernel.x86 import PAGE_SIZE

if TYPE_CHECKING:
    from mini_kernel.fs.path import Caller

CAPACITY: Final = 65536
MAX_CAPACITY: Final = 1 << 20  # /proc/sys/fs/pipe-max-size


class Pipe:
    """Bytes on their way, and who is at each end.

    A FIFO that waits in open(2) for its other end counts in `opening`: an end that opened meanwhile sees it.
    """

    __slots__ = (
        "buffer",
        "capacity",
        "open_queue",
        "opened",
        "opening",
        "read_queue",
        "readers",
        "room",
        "write_queue",
        "writers",
    )

    def __init__(self) -> None:
        self.buffer = bytearray()
        self.capacity = CAPACITY
        self.room = PAGE_SIZE  # bytes that kernel memory is there for
        self.readers = 0
        self.writers = 0
        self.read_queue = WaitQueue()  # waits for bytes or the end of file
        self.write_queue = WaitQueue()  # waits for room or the last reader's leaving
        self.open_queue = WaitQueue()
        self.opened = [0, 0]  # how often the read and the write end were ever opened
        self.opening: tuple[set[int], set[int]] = (set(), set())  # tasks (tid) waiting to open read and write end

    def make_room(self, size: int, memory: KernelMemory) -> None:
        """Have kernel memory for `size` bytes, and keep it until the pipe is empty and closed. SysError(ENOMEM)."""
        more = (size - self.room + PAGE_SIZE - 1) & -PAGE_SIZE
        memory.take(more)
        self.room += more

    def drop(self, memory: KernelMemory) -> None:
        """Nobody has it open: what is in it is gone."""
        self.buffer.clear()
        memory.give(self.room - PAGE_SIZE)
        self.room = PAGE_SIZE

    def resize(self, size: int) -> int:
        """F_SETPIPE_SZ: the new capacity, a power of two of pages. Raises SysError EINVAL, EPERM, EBUSY."""
        if not 0 < size < 1 << 31:
            raise SysError(EINVAL)
        capacity = max(PAGE_SIZE, 1 << (size - 1).bit_length())
        if capacity > MAX_CAPACITY:
            raise SysError(EPERM)
        if len(self.buffer) > capacity:
            raise SysError(EBUSY)
        self.capacity = capacity
        self.write_queue.wake()
        return capacity


class PipeFile(File):
    """One end of a pipe, or both (a FIFO opened O_RDWR)."""

    __slots__ = ("pipe",)

    inode: "Fifo"
    can_poll = True

    def __init__(self, inode: "Fifo", flags: int, path: bytes) -> None:
        super().__init__(inode, flags, path)
        self.pipe = pipe = inode.pipe
        pipe.readers += self.can_read
        pipe.writers += self.can_write
        pipe.opened[0] += self.can_read
        pipe.opened[1] += self.can_write

    def release(self) -> None:
        pipe = self.pipe
        pipe.readers -= self.can_read
        pipe.writers -= self.can_write
        if self.can_write and not pipe.writers:
            pipe.read_queue.wake()
        if self.can_read and not pipe.readers:
            pipe.write_queue.wake()
        if not pipe.readers and not pipe.writers and not pipe.opening[0]:
            pipe.drop(self.inode.sb.frames.kmem)

    def may_read(self, n: int) -> int:
        pipe = self.pipe
        have = len(pipe.buffer)
        if have:
            return n if n < have else have
        if not pipe.writers and not pipe.opening[1]:
            return 0
        if self.flags & O_NONBLOCK:
            raise SysError(EAGAIN)
        raise Block(pipe.read_queue)

    def read_into(self, views: Views) -> int:
        pipe = self.pipe
        buffer, done = pipe.buffer, 0
        for view in views:
            end = done + len(view)
            view[:] = buffer[done:end]
            done = end
        del buffer[:done]
        if pipe.write_queue.waiters:
            pipe.write_queue.wake(WRITABLE)
        return done

    def may_write(self, n: int) -> int:
        """All of up to PIPE_BUF bytes or nothing; of more, as many as there is room for."""
        pipe = self.pipe
        if not pipe.readers and not pipe.opening[0]:
            raise SysError(EPIPE)
        free = pipe.capacity - len(pipe.buffer)
        if n <= free:
            return n
        if free and n > PIPE_BUF:
            return free
        if self.flags & O_NONBLOCK:
            raise SysError(EAGAIN)
        raise Block(pipe.write_queue)

    def write_from(self, views: Views) -> int:
        pipe = self.pipe
        buffer = pipe.buffer
        before = len(buffer)
        after = before + sum(map(len, views))
        if after > pipe.room:
            pipe.make_room(after, self.inode.sb.frames.kmem)
        for view in views:
            buffer += view
        if pipe.read_queue.waiters:
            pipe.read_queue.wake(READABLE)
        return after - before

    def poll(self) -> int:
        pipe, bits = self.pipe, 0
        if self.can_read:
            bits |= READABLE if pipe.buffer else 0
            bits |= POLLHUP if not pipe.writers and pipe.opened[1] else 0
        if self.can_write:
            bits |= WRITABLE if pipe.capacity - len(pipe.buffer) >= PIPE_BUF else 0
            bits |= POLLERR if not pipe.readers else 0
        return bits

    def queues(self) -> tuple[WaitQueue, ...]:
        return (self.pipe.read_queue, self.pipe.write_queue)

    def ioctl(self, user: User, request: int, argument: int) -> int:
        if request != FIONREAD:
            return super().ioctl(user, request, argument)
        uaccess.write_u32(user.mm, argument, len(self.pipe.buffer))
        return 0


class Fifo(Inode):
    """A FIFO, or the nameless one behind pipe(2)."""

    kind = S_IFIFO

    def __init__(self, sb: SuperBlock, mode: int, uid: int = 0, gid: int = 0) -> None:
        super().__init__(sb, mode, uid, gid)
        self.pipe = Pipe()

    def open_data(self, flags: int, path: bytes, caller: "Caller") -> File:
        """Wait until both ends are open (fifo(7)), unless O_RDWR or O_NONBLOCK.

        Raises Block, or SysError(ENXIO) to write without waiting where nobody reads.
        """
        mode = (flags + 1) & 3
        if mode in (1, 2):
            self._meet(mode - 1, flags, caller)
        file = PipeFile(self, flags, path)
        self.pipe.open_queue.wake()
        return file

    def _meet(self, end: int, flags: int, caller: "Caller") -> None:
        """Return when end `end` (0 read, 1 write) may be opened: the other is, was since we wait, or waits too."""
        pipe, other = self.pipe, 1 - end
        present = (pipe.readers, pipe.writers)[other] or pipe.opening[other]
        came = caller.restart.get("fifo", pipe.opened[other]) != pipe.opened[other]
        if present or came or (flags & O_NONBLOCK and end == 0):
            pipe.opening[end].discard(caller.tid)
            return
        if flags & O_NONBLOCK:
            raise SysError(ENXIO)
        caller.restart.setdefault("fifo", pipe.opened[other])
        pipe.opening[end].add(caller.tid)
        raise Block(pipe.open_queue)


class AnonymousPipe(Fifo):
    """The inode of pipe(2)."""

    magic = PIPEFS_MAGIC

    def open_data(self, flags: int, path: bytes, caller: "Caller") -> File:
        """Open it again by its name in /proc/PID/fd: at once, as it was open before."""
        return PipeFile(self, flags, path)

    def ends(self, flags: int) -> tuple[PipeFile, PipeFile]:
        """The (read, write) ends as new open files; `flags` may have O_NONBLOCK."""
        name = b"pipe:[%d]" % self.ino
        return PipeFile(self, flags, name), PipeFile(self, flags | 1, name)
