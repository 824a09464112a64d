"""What System V objects have in common: ids, keys, owners and modes (svipc(7); Linux ipc/util.c).

Invariant: `objects[i].id & (IPCMNI - 1) == i`; `keys[k].key == k`, and IPC_PRIVATE is never in `keys`.
"""

from itertools import chain
from typing import Any, Final, Generic, Protocol, TypeVar

from mini_kernel.errors import SysError
from mini_kernel.fs.path import FsContext
from mini_kernel.fs.superblock import Clock
from mini_kernel.uapi.errno import EACCES, EEXIST, EIDRM, EINVAL, ENOENT
from mini_kernel.uapi.ipc import IPC_CREAT, IPC_EXCL, IPC_PRIVATE, IpcPerm
from mini_kernel.uapi.structs import NSEC_PER_SEC

_INDEX_BITS: Final = 15  # of an id; the sequence number stands above (Linux IPCMNI_SHIFT)
IPCMNI: Final = 1 << _INDEX_BITS
_SEQUENCES: Final = 0x7FFF_FFFF >> _INDEX_BITS
_MIN_CYCLE: Final = 64  # indices that are tried before the first is used again (Linux ipc_min_cycle)
READ, WRITE = 0o444, 0o222  # rights to ask for


class Runner(Protocol):
    """A task, as the last user of an object."""

    @property
    def tgid(self) -> int:
        """Process id."""
        ...


class Running(Protocol):
    """The scheduler: whose system call, fault or exit this is."""

    @property
    def loaded(self) -> Runner | None:
        """The task whose state is in the CPU."""
        ...


class Sleeper(Protocol):
    """A task that waits in a call whose outcome another's call decides: `restart["answer"]`, when it is woken."""

    restart: dict[str, Any]

    @property
    def tgid(self) -> int:
        """Process id."""
        ...

    def wake(self, key: int = 0) -> bool | None:
        """Become runnable."""
        ...


class IpcObject:
    """Owner, mode and names of a segment, a set or a queue. Times are seconds since the epoch, 0 for never."""

    def __init__(self, key: int, flags: int, fs: FsContext) -> None:
        self.id = self.seq = -1
        self.key = key
        self.uid = self.cuid = fs.uid
        self.gid = self.cgid = fs.gid
        self.mode = flags & 0o777
        self.ctime = 0

    def permits(self, wanted: int, fs: FsContext) -> bool:
        """True if `fs` has the rights `wanted`, permission bits of any of the three places (Linux ipcperms)."""
        granted = self.mode
        if fs.uid in (self.cuid, self.uid):
            granted >>= 6
        elif {self.cgid, self.gid} & {fs.gid, *fs.groups}:
            granted >>= 3
        return fs.uid == 0 or not (wanted >> 6 | wanted >> 3 | wanted) & ~granted & 0o7

    def require(self, wanted: int, fs: FsContext) -> None:
        """SysError(EACCES) unless `permits`."""
        if not self.permits(wanted, fs):
            raise SysError(EACCES)

    def is_owner(self, fs: FsContext) -> bool:
        """True if `fs` may change or remove it."""
        return fs.uid in (0, self.uid, self.cuid)

    def perm(self) -> IpcPerm:
        """struct ipc64_perm."""
        return IpcPerm(self.key, self.uid, self.gid, self.cuid, self.cgid, self.mode, self.seq)

    @property
    def signed_key(self) -> int:
        """The key as /proc/sysvipc shows it."""
        return self.key - (1 << 32) if self.key >> 31 else self.key


T = TypeVar("T", bound=IpcObject)


class IpcTable(Generic[T]):
    """The objects of one kind (Linux ipc_ids)."""

    def __init__(self, clock: Clock, running: Running) -> None:
        self.clock = clock
        self.running = running
        self.objects: dict[int, T] = {}  # by index
        self.keys: dict[int, T] = {}
        self._next = 0  # where the search for a free index begins
        self._last = -1  # the index given out last
        self._seq = 0

    def now(self) -> int:
        """CLOCK_REALTIME in seconds."""
        return self.clock.real_ns() // NSEC_PER_SEC

    def pid(self) -> int:
        """Whose call this is."""
        return self.running.loaded.tgid if self.running.loaded else 0

    # -- finding ------------------------------------------------------------------------------------

    def named(self, key: int, flags: int) -> T | None:
        """The object of a key, None if one is to be made. Raises SysError: ENOENT, EEXIST."""
        found = self.keys.get(key) if key != IPC_PRIVATE else None
        if found is None:
            if key != IPC_PRIVATE and not flags & IPC_CREAT:
                raise SysError(ENOENT)
            return None
        if flags & IPC_CREAT and flags & IPC_EXCL:
            raise SysError(EEXIST)
        return found

    def find(self, ident: int) -> T:
        """The object of an id. Raises SysError: EINVAL if there is none, EIDRM if it was another that is gone."""
        found = self.at_index(ident)
        if found.id != ident:
            raise SysError(EIDRM)
        return found

    def at_index(self, ident: int) -> T:
        """The object at the index in the low bits of `ident` (SHM_STAT and kin). Raises SysError(EINVAL)."""
        found = self.objects.get(ident & (IPCMNI - 1)) if ident >= 0 else None
        if found is None:
            raise SysError(EINVAL)
        return found

    def highest(self) -> int:
        """The highest index in use, 0 if none is."""
        return max(self.objects, default=0)

    # -- making and removing ------------------------------------------------------------------------

    def enter(self, new: T) -> None:
        """Give it an id: indices go round, and each round has a new sequence number (Linux ipc_idr_alloc)."""
        limit = min(max(len(self.objects) * 3 // 2, _MIN_CYCLE), IPCMNI)
        candidates = chain(range(self._next, limit), range(limit))
        index = next(i for i in candidates if i not in self.objects)
        if index <= self._last:
            self._seq = (self._seq + 1) % _SEQUENCES
        self._next, self._last = index + 1, index
        new.seq = self._seq
        new.id = (self._seq << _INDEX_BITS) + index
        new.ctime = self.now()
        self.objects[index] = new
        if new.key != IPC_PRIVATE:
            self.keys[new.key] = new

    def forget_key(self, old: T) -> None:
        """Nobody finds it by its key any more."""
        if self.keys.get(old.key) is old:
            del self.keys[old.key]
        old.key = IPC_PRIVATE

    def leave(self, old: T) -> None:
        """Nobody finds it any more."""
        del self.objects[old.id & (IPCMNI - 1)]

    def update(self, changed: T, uid: int, gid: int, mode: int) -> None:
        """IPC_SET. Raises SysError(EINVAL) for ids that nobody can have."""
        if 0xFFFF_FFFF in (uid, gid):
            raise SysError(EINVAL)
        changed.uid, changed.gid = uid, gid
        changed.mode = changed.mode & ~0o777 | mode & 0o777
        changed.ctime = self.now()
