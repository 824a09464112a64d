"""inotify(7): who watches an inode, and telling them what happened to it. What they are told is queued in inotify.

An event goes to the watches on the directory an inode is in, with its name there, and to those on the inode itself.
An inode with several names is seen under the newest or the one that was opened last.
"""

from struct import Struct
from typing import TYPE_CHECKING, Final, NamedTuple

from mini_kernel.uapi.fcntl import S_IFDIR, S_IFMT
from mini_kernel.uapi.inotify import (
    IN_ALL_EVENTS,
    IN_DELETE_SELF,
    IN_EXCL_UNLINK,
    IN_IGNORED,
    IN_ISDIR,
    IN_MOVE_SELF,
    IN_ONESHOT,
)

if TYPE_CHECKING:
    from mini_kernel.fs.inode import Inode
    from mini_kernel.fs.inotify import InotifyFile

_HEAD: Final = Struct("<iIII")


class Event(NamedTuple):
    """One struct inotify_event: the watch, IN_* bits, what ties two ends of a rename together, a name or b""."""

    wd: int
    mask: int
    cookie: int
    name: bytes

    def pack(self) -> bytes:
        """As read(2) gives it; the name is padded with zeros to the size of the head."""
        length = (len(self.name) // _HEAD.size + 1) * _HEAD.size if self.name else 0
        return _HEAD.pack(self.wd, self.mask, self.cookie, length) + self.name.ljust(length, b"\0")

    def size(self) -> int:
        """Bytes of `pack`."""
        return _HEAD.size * (1 + (len(self.name) // _HEAD.size + 1 if self.name else 0))


class Watch:
    """What one instance wants to know about one inode. Its inode has it in `watches`."""

    __slots__ = ("inode", "instance", "mask", "wd")

    def __init__(self, instance: "InotifyFile", wd: int, inode: "Inode", mask: int) -> None:
        self.instance = instance
        self.wd = wd
        self.inode = inode
        self.mask = mask

    def hear(self, mask: int, cookie: int, name: bytes) -> None:
        """Queue an event if it is wanted; a watch for one event only ends with it."""
        if not mask & self.mask & IN_ALL_EVENTS:
            return
        self.instance.queue_event(Event(self.wd, mask, cookie, name))
        if self.mask & IN_ONESHOT:
            self.end()

    def end(self) -> None:
        """Nothing more is heard: IN_IGNORED says so."""
        self.detach()
        self.instance.queue_event(Event(self.wd, IN_IGNORED, 0, b""))

    def detach(self) -> None:
        """Off the inode and out of the instance."""
        self.inode.watches = tuple(w for w in self.inode.watches if w is not self)
        self.inode.sb.primary.watches -= 1
        del self.instance.watches[self.wd]


def tell(inode: "Inode", mask: int) -> None:
    """Something happened to an inode: its directory hears of it under its name, then the inode itself."""
    if inode.mode & S_IFMT == S_IFDIR:
        mask |= IN_ISDIR
    if inode.home is not None:
        for watch in inode.home.watches:
            if inode.nlink or not watch.mask & IN_EXCL_UNLINK:
                watch.hear(mask, 0, inode.name)
    for watch in inode.watches:
        watch.hear(mask, 0, b"")


def tell_name(directory: "Inode", inode: "Inode", mask: int, name: bytes, cookie: int = 0) -> None:
    """A name was made, removed or moved in a directory: who watches that hears of it."""
    if inode.mode & S_IFMT == S_IFDIR:
        mask |= IN_ISDIR
    for watch in directory.watches:
        watch.hear(mask, cookie, name)


def tell_moved(inode: "Inode") -> None:
    """IN_MOVE_SELF, which no directory hears of."""
    for watch in inode.watches:
        watch.hear(IN_MOVE_SELF, 0, b"")


def tell_gone(inode: "Inode") -> None:
    """Nobody can reach the inode any more: IN_DELETE_SELF, and the watches end."""
    for watch in inode.watches:
        watch.hear(IN_DELETE_SELF, 0, b"")
    for watch in inode.watches:
        watch.end()
