"""epoll(7): files to watch, and which of them are ready (Linux fs/eventpoll.c).

Each entry sits on its file's wait queues for as long as it exists. A wake-up there puts it on the ready list, so that
epoll_wait(2) looks at what has happened and not at every entry.

Invariant: an entry that is ready, and has been reported less often than its flags say, is on the ready list. The
list may also hold entries that are not ready any more; they are dropped when looked at.
"""

from typing import TYPE_CHECKING, Final

from mini_kernel.errors import SysError
from mini_kernel.fs.event import AnonymousFile
from mini_kernel.fs.file import READABLE, File
from mini_kernel.fs.inode import Inode
from mini_kernel.mm.kmem import WATCH
from mini_kernel.uapi.errno import EEXIST, EINVAL, ELOOP, ENOENT
from mini_kernel.uapi.fcntl import O_RDWR
from mini_kernel.uapi.poll import (
    EPOLLERR,
    EPOLLET,
    EPOLLEXCLUSIVE,
    EPOLLHUP,
    EPOLLIN,
    EPOLLONESHOT,
    EPOLLOUT,
    EPOLLWAKEUP,
)
from mini_kernel.wait import WaitQueue

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_NESTS: Final = 4  # epoll instances below one another (Linux EP_MAX_NESTS)
_FLAGS: Final = EPOLLET | EPOLLONESHOT | EPOLLEXCLUSIVE | EPOLLWAKEUP  # not events
_WITH_EXCLUSIVE: Final = EPOLLIN | EPOLLOUT | EPOLLERR | EPOLLHUP | EPOLLWAKEUP | EPOLLET | EPOLLEXCLUSIVE
_ALWAYS: Final = EPOLLERR | EPOLLHUP

Key = tuple[int, File]  # a descriptor and what it referred to when it was added


class Watch:
    """An entry: what to look for in a file, and the word to return with it."""

    __slots__ = ("data", "epoll", "events", "exclusive", "fd", "file")

    def __init__(self, epoll: "EpollFile", fd: int, file: File, events: int, data: int) -> None:
        self.epoll = epoll
        self.fd = fd
        self.file = file
        self.events = events | _ALWAYS
        self.data = data
        self.exclusive = bool(events & EPOLLEXCLUSIVE)

    def now(self) -> int:
        """The events asked for that hold now."""
        return self.file.poll() & self.events & ~_FLAGS if self.events & ~_FLAGS else 0

    def wake(self, key: int = 0) -> bool:
        """Something happened to the file. True if somebody is woken and nobody else needs to be (EPOLLEXCLUSIVE)."""
        events = self.events & ~_FLAGS
        if not events or (key and not key & events):
            return False
        waited = bool(self.epoll.queue.waiters)
        self.epoll.make_ready(self)
        return self.exclusive and waited

    def file_closed(self) -> None:
        """file.Watcher."""
        self.epoll.forget(self)


class EpollFile(AnonymousFile):
    """An epoll instance. Entries do not keep their files open."""

    __slots__ = ("queue", "ready", "watches")

    def __init__(self, inode: Inode) -> None:
        super().__init__(inode, O_RDWR, b"anon_inode:[eventpoll]")
        self.watches: dict[Key, Watch] = {}
        self.ready: dict[Watch, None] = {}  # in the order they became so
        self.queue = WaitQueue()

    def release(self) -> None:
        for watch in list(self.watches.values()):
            self.forget(watch)

    # -- entries ------------------------------------------------------------------------------------

    def add(self, fd: int, file: File, events: int, data: int) -> None:
        """EPOLL_CTL_ADD. Raises SysError: EEXIST, EINVAL and ELOOP for instances that watch each other."""
        self._check_exclusive(file, events)
        if isinstance(file, EpollFile):
            self._check_nesting(file)
        if (fd, file) in self.watches:
            raise SysError(EEXIST)
        self.inode.sb.frames.kmem.take(WATCH)
        watch = self.watches[fd, file] = Watch(self, fd, file, events, data)
        file.watchers = [*(file.watchers or ()), watch]
        for queue in file.queues():
            queue.add(watch)
        if watch.now():
            self.make_ready(watch)

    def modify(self, fd: int, file: File, events: int, data: int) -> None:
        """EPOLL_CTL_MOD. Raises SysError: ENOENT, EINVAL where either side is exclusive."""
        if events & EPOLLEXCLUSIVE:
            raise SysError(EINVAL)
        watch = self._find(fd, file)
        if watch.exclusive:
            raise SysError(EINVAL)
        watch.events, watch.data = events | _ALWAYS, data
        if watch.now():
            self.make_ready(watch)

    def remove(self, fd: int, file: File) -> None:
        """EPOLL_CTL_DEL. Raises SysError(ENOENT)."""
        self.forget(self._find(fd, file))

    def _find(self, fd: int, file: File) -> Watch:
        watch = self.watches.get((fd, file))
        if watch is None:
            raise SysError(ENOENT)
        return watch

    def forget(self, watch: Watch) -> None:
        """Drop an entry."""
        del self.watches[watch.fd, watch.file]
        self.inode.sb.frames.kmem.give(WATCH)
        self.ready.pop(watch, None)
        watch.file.watchers = [w for w in watch.file.watchers or () if w is not watch] or None
        for queue in watch.file.queues():
            queue.discard(watch)

    def _check_exclusive(self, file: File, events: int) -> None:
        if events & EPOLLEXCLUSIVE and (isinstance(file, EpollFile) or events & ~_WITH_EXCLUSIVE):
            raise SysError(EINVAL)

    def _check_nesting(self, below: "EpollFile") -> None:
        """SysError(ELOOP) if watching `below` closes a circle or makes a chain too long (Linux ep_loop_check)."""
        if below.depth_below(self) + 1 + self.height() > MAX_NESTS:
            raise SysError(ELOOP)

    def depth_below(self, top: "EpollFile", level: int = 0) -> int:
        """How many instances are below this one, in a row; beyond the limit if `top` is among them."""
        if self is top or level > MAX_NESTS:
            return MAX_NESTS + 1
        nested = (w.file for w in self.watches.values() if isinstance(w.file, EpollFile))
        return max((epoll.depth_below(top, level + 1) + 1 for epoll in nested), default=0)

    def height(self) -> int:
        """How many instances are above this one, in a row."""
        above: Sequence[Watch] = [w for w in self.watchers or () if isinstance(w, Watch)]
        return max((watch.epoll.height() + 1 for watch in above), default=0)

    # -- readiness ----------------------------------------------------------------------------------

    def make_ready(self, watch: Watch) -> None:
        """Put an entry on the ready list and wake who waits for it."""
        self.ready.setdefault(watch)
        self.queue.wake(READABLE)

    def harvest(self, limit: int) -> list[tuple[Watch, int]]:
        """Up to `limit` ready entries with their events; drops what is not ready any more. Changes nothing else."""
        found: list[tuple[Watch, int]] = []
        for watch in list(self.ready):
            bits = watch.now()
            if not bits:
                del self.ready[watch]
                continue
            found.append((watch, bits))
            if len(found) == limit:
                break
        return found

    def reported(self, found: list[tuple[Watch, int]]) -> None:
        """What `harvest` gave has been told: level-triggered entries are asked again, one-shot ones no more."""
        for watch, _bits in found:
            del self.ready[watch]
            if watch.events & EPOLLONESHOT:
                watch.events &= _FLAGS
            elif not watch.events & EPOLLET:
                self.ready[watch] = None

    def poll(self) -> int:
        return READABLE if self.harvest(1) else 0

    def queues(self) -> tuple[WaitQueue, ...]:
        return (self.queue,)
