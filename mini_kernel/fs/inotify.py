"""inotify(7): the open file that holds watches and queues their events."""

from typing import TYPE_CHECKING, Final

from mini_kernel.errors import SysError
from mini_kernel.fs.event import AnonymousFile
from mini_kernel.fs.file import READABLE, User, Views
from mini_kernel.fs.notify import Event, Watch
from mini_kernel.mm import uaccess
from mini_kernel.uapi.errno import EAGAIN, EEXIST, EINVAL, ENOSPC
from mini_kernel.uapi.fcntl import O_NONBLOCK, O_RDONLY
from mini_kernel.uapi.inotify import IN_MASK_ADD, IN_MASK_CREATE, IN_Q_OVERFLOW
from mini_kernel.uapi.ioctls import FIONREAD
from mini_kernel.wait import Block, WaitQueue

if TYPE_CHECKING:
    from mini_kernel.fs.inode import Inode

MAX_QUEUED: Final = 16384  # /proc/sys/fs/inotify/max_queued_events
MAX_WATCHES: Final = 8192  # of one instance


class InotifyFile(AnonymousFile):
    """An instance: its watches by number, and the events not yet read."""

    __slots__ = ("events", "last_wd", "queue", "watches")

    def __init__(self, inode: "Inode", flags: int) -> None:
        super().__init__(inode, O_RDONLY | (flags & O_NONBLOCK), b"anon_inode:inotify")
        self.events: list[Event] = []
        self.watches: dict[int, Watch] = {}
        self.last_wd = 0
        self.queue = WaitQueue()

    def release(self) -> None:
        for watch in list(self.watches.values()):
            watch.detach()

    def watch(self, inode: "Inode", mask: int) -> int:
        """Watch an inode, or change how; its number. Raises SysError EEXIST, ENOSPC."""
        for watch in inode.watches:
            if watch.instance is self:
                if mask & IN_MASK_CREATE:
                    raise SysError(EEXIST)
                watch.mask = mask | (watch.mask if mask & IN_MASK_ADD else 0)
                return watch.wd
        if len(self.watches) >= MAX_WATCHES:
            raise SysError(ENOSPC)
        self.last_wd += 1
        self.watches[self.last_wd] = watch = Watch(self, self.last_wd, inode, mask)
        inode.watches = (*inode.watches, watch)
        inode.sb.primary.watches += 1
        return self.last_wd

    def unwatch(self, wd: int) -> None:
        """inotify_rm_watch(2). Raises SysError(EINVAL)."""
        watch = self.watches.get(wd)
        if watch is None:
            raise SysError(EINVAL)
        watch.end()

    def queue_event(self, event: Event) -> None:
        """Put an event at the end, unless it repeats the last one; too many are replaced by one that says so."""
        if self.events and self.events[-1] == event:
            return
        if len(self.events) >= MAX_QUEUED:
            event = Event(-1, IN_Q_OVERFLOW, 0, b"")
            if self.events[-1] == event:
                return
        self.events.append(event)
        self.queue.wake(READABLE)

    def may_read(self, n: int) -> int:
        """As many whole events as fit. Raises SysError(EINVAL) if not even the first does."""
        if not self.events:
            if self.flags & O_NONBLOCK:
                raise SysError(EAGAIN)
            raise Block(self.queue)
        total = 0
        for event in self.events:
            size = event.size()
            if total + size > n:
                break
            total += size
        if not total:
            raise SysError(EINVAL)
        return total

    def read_into(self, views: Views) -> int:
        room, data, count = sum(map(len, views)), b"", 0
        for event in self.events:
            if len(data) + event.size() > room:
                break
            data += event.pack()
            count += 1
        del self.events[:count]
        at = 0
        for view in views:
            part = data[at : at + len(view)]
            view[: len(part)] = part
            at += len(part)
        return at

    def poll(self) -> int:
        return READABLE if self.events else 0

    def queues(self) -> tuple[WaitQueue, ...]:
        return (self.queue,)

    def ioctl(self, user: User, request: int, argument: int) -> int:
        if request != FIONREAD:
            return super().ioctl(user, request, argument)
        uaccess.write_u32(user.mm, argument, sum(event.size() for event in self.events))
        return 0
