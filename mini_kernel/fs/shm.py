"""System V shared memory: the segments of a system and what attaches them (shmget(2); Linux ipc/shm.c, ipc/util.c).

A segment is a page cache with an owner, a mode and an id. It outlives the processes that use it: it goes when it was
removed (IPC_RMID) and nothing shows it any more. Each shmat(2) makes one `Attachment`, the file of the areas it maps,
so that two attaches never become one area and shmdt(2) finds the pieces of the one it is asked for.

Invariant: `nattch` is the number of areas, in all address spaces, whose file attaches the segment.
Invariant: `segments[i].id & (IPCMNI - 1) == i`; `keys[k].key == k`, and IPC_PRIVATE is never in `keys`.
"""

from collections.abc import Iterator
from itertools import chain
from typing import Final, Protocol

from mini_kernel.errors import SysError
from mini_kernel.fs.path import FsContext
from mini_kernel.fs.superblock import Clock
from mini_kernel.mm.frame import FrameAllocator
from mini_kernel.mm.pagecache import PageCache
from mini_kernel.uapi.errno import EIDRM, EINVAL, ENOMEM, ENOSPC
from mini_kernel.uapi.ipc import (
    IPC_PRIVATE,
    SHM_DEST,
    SHM_LOCKED,
    SHM_NORESERVE,
    SHMALL,
    SHMMAX,
    SHMMIN,
    SHMMNI,
    IpcPerm,
    pack_shm_info,
    pack_shmid_ds,
    pack_shminfo,
)
from mini_kernel.uapi.structs import NSEC_PER_SEC
from mini_kernel.x86 import PAGE_SHIFT, PAGE_SIZE

_INDEX_BITS: Final = 15  # of an id; the sequence number stands above (Linux IPCMNI_SHIFT)
IPCMNI: Final = 1 << _INDEX_BITS
_SEQUENCES: Final = 0x7FFF_FFFF >> _INDEX_BITS
_MIN_CYCLE: Final = 64  # indices that are tried before the first is used again (Linux ipc_min_cycle)
_MAX_FILE: Final = (1 << 63) - 1  # bytes; a segment is a file of tmpfs
_HEADING: Final = (
    b"       key      shmid perms                  size  cpid  lpid nattch   uid   gid  cuid  cgid"
    b"      atime      dtime      ctime                   rss                  swap\n"
)


class Runner(Protocol):
    """A task, as the last user of a segment."""

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


class Segment:
    """A shared memory segment (Linux shmid_kernel). Times are seconds since the epoch, 0 for never."""

    def __init__(self, key: int, size: int, flags: int, fs: FsContext, cache: PageCache) -> None:
        self.id = self.seq = -1
        self.key = key
        self.name = f"/SYSV{key & 0xFFFF_FFFF:08x} (deleted)"
        self.uid = self.cuid = fs.uid
        self.gid = self.cgid = fs.gid
        self.mode = flags & 0o777
        self.size = size  # bytes, as asked for
        self.reserved = not flags & SHM_NORESERVE
        self.atime = self.dtime = self.ctime = 0
        self.cpid = self.lpid = 0
        self.nattch = 0
        self.cache = cache
        cache.size = size

    @property
    def pages(self) -> int:
        """Length in pages."""
        return (self.size + PAGE_SIZE - 1) >> PAGE_SHIFT

    @property
    def locked(self) -> bool:
        """True under SHM_LOCK."""
        return bool(self.mode & SHM_LOCKED)

    def permits(self, wanted: int, fs: FsContext) -> bool:
        """True if `fs` has the rights `wanted`, permission bits of any of the three places (Linux ipcperms)."""
        granted = self.mode
        if fs.uid in (self.cuid, self.uid):
            granted >>= 6
        elif {self.cgid, self.gid} & {fs.gid, *fs.groups}:
            granted >>= 3
        return fs.uid == 0 or not (wanted >> 6 | wanted >> 3 | wanted) & ~granted & 0o7

    def is_owner(self, fs: FsContext) -> bool:
        """True if `fs` may change or remove it."""
        return fs.uid in (0, self.uid, self.cuid)

    def pack(self) -> bytes:
        """struct shmid_ds."""
        perm = IpcPerm(self.key, self.uid, self.gid, self.cuid, self.cgid, self.mode, self.seq)
        return pack_shmid_ds(
            perm, self.size, self.atime, self.dtime, self.ctime, self.cpid, self.lpid, self.nattch
        )  # fmt: skip


class Attachment:
    """What one shmat(2) maps: a MappedFile whose every area counts as an attach, as in Linux."""

    def __init__(self, table: "SegmentTable", segment: Segment) -> None:
        self.table = table
        self.segment = segment

    @property
    def cache(self) -> PageCache:
        """Where the pages are."""
        return self.segment.cache

    @property
    def name(self) -> str:
        """What /proc/pid/maps shows: the key at creation."""
        return self.segment.name

    def get(self) -> "Attachment":
        """One more area: attached, copied by fork, split, moved (Linux shm_open)."""
        self.table.attached(self.segment)
        return self

    def put(self) -> None:
        """One area less (Linux shm_close)."""
        self.table.detached(self.segment)


class SegmentTable:
    """The segments of a system (Linux ipc_ids), and the limits of /proc/sys/kernel/shm*."""

    def __init__(self, frames: FrameAllocator, clock: Clock, running: Running) -> None:
        self.frames = frames
        self.clock = clock
        self.running = running
        self.segments: dict[int, Segment] = {}  # by index
        self.keys: dict[int, Segment] = {}
        self.shmmax, self.shmall, self.shmmni = SHMMAX, SHMALL, SHMMNI
        self._next = 0  # where the search for a free index begins
        self._last = -1  # the index given out last
        self._seq = 0

    def _now(self) -> int:
        return self.clock.real_ns() // NSEC_PER_SEC

    def _pid(self) -> int:
        return self.running.loaded.tgid if self.running.loaded else 0

    # -- finding ------------------------------------------------------------------------------------

    def find(self, ident: int) -> Segment:
        """The segment of an id. Raises SysError: EINVAL if there is none, EIDRM if it was another that is gone."""
        segment = self.at_index(ident)
        if segment.id != ident:
            raise SysError(EIDRM)
        return segment

    def at_index(self, ident: int) -> Segment:
        """The segment at the index in the low bits of `ident` (SHM_STAT). Raises SysError(EINVAL)."""
        segment = self.segments.get(ident & (IPCMNI - 1)) if ident >= 0 else None
        if segment is None:
            raise SysError(EINVAL)
        return segment

    def highest(self) -> int:
        """The highest index in use, 0 if none is."""
        return max(self.segments, default=0)

    def caches(self) -> Iterator[PageCache]:
        """The page cache of every segment."""
        return (segment.cache for segment in self.segments.values())

    # -- making and removing ------------------------------------------------------------------------

    def create(self, key: int, size: int, flags: int, fs: FsContext) -> Segment:
        """A new segment (Linux newseg). Raises SysError EINVAL, ENOSPC, ENOMEM.

        ENOMEM is for what could never fit into RAM; pages are only taken when they are touched.
        """
        if not SHMMIN <= size <= self.shmmax:
            raise SysError(EINVAL)
        segment = Segment(key, size, flags, fs, PageCache(self.frames))
        if self.total_pages() + segment.pages > self.shmall:
            raise SysError(ENOSPC)
        if size > _MAX_FILE:
            raise SysError(EINVAL)
        if segment.reserved and segment.pages > self.frames.total:
            raise SysError(ENOMEM)
        if len(self.segments) >= min(self.shmmni, IPCMNI):
            raise SysError(ENOSPC)
        self._enter(segment)
        return segment

    def _enter(self, segment: Segment) -> None:
        """Give it an id: indices go round, and each round has a new sequence number (Linux ipc_idr_alloc)."""
        limit = min(max(len(self.segments) * 3 // 2, _MIN_CYCLE), IPCMNI)
        candidates = chain(range(self._next, limit), range(limit))
        index = next(i for i in candidates if i not in self.segments)
        if index <= self._last:
            self._seq = (self._seq + 1) % _SEQUENCES
        self._next, self._last = index + 1, index
        segment.seq = self._seq
        segment.id = (self._seq << _INDEX_BITS) + index
        segment.cpid, segment.ctime = self._pid(), self._now()
        self.segments[index] = segment
        if segment.key != IPC_PRIVATE:
            self.keys[segment.key] = segment

    def remove(self, segment: Segment) -> None:
        """IPC_RMID: gone at once, or, while it is attached, without a key until the last detach."""
        self._forget_key(segment)
        segment.mode |= SHM_DEST
        self._destroy_if_unused(segment)

    def _forget_key(self, segment: Segment) -> None:
        if self.keys.get(segment.key) is segment:
            del self.keys[segment.key]
        segment.key = IPC_PRIVATE

    def _destroy_if_unused(self, segment: Segment) -> None:
        if not segment.nattch and segment.mode & SHM_DEST:
            del self.segments[segment.id & (IPCMNI - 1)]
            segment.cache.drop()

    def update(self, segment: Segment, uid: int, gid: int, mode: int) -> None:
        """IPC_SET. Raises SysError(EINVAL) for ids that nobody can have."""
        if 0xFFFF_FFFF in (uid, gid):
            raise SysError(EINVAL)
        segment.uid, segment.gid = uid, gid
        segment.mode = segment.mode & ~0o777 | mode & 0o777
        segment.ctime = self._now()

    # -- attaching ----------------------------------------------------------------------------------

    def hold(self, segment: Segment) -> None:
        """Keep a segment while shmat(2) may unmap its last area; ends with `release`."""
        segment.nattch += 1

    def release(self, segment: Segment) -> None:
        """The end of `hold`."""
        segment.nattch -= 1
        self._destroy_if_unused(segment)

    def attached(self, segment: Segment) -> None:
        """One more area."""
        segment.nattch += 1
        segment.atime, segment.lpid = self._now(), self._pid()

    def detached(self, segment: Segment) -> None:
        """One area less; the last one of a removed segment frees it."""
        segment.dtime, segment.lpid = self._now(), self._pid()
        self.release(segment)

    # -- reports ------------------------------------------------------------------------------------

    def total_pages(self) -> int:
        """Pages of all segments, touched or not."""
        return sum(segment.pages for segment in self.segments.values())

    def limits(self) -> bytes:
        """struct shminfo of IPC_INFO."""
        return pack_shminfo(self.shmmax, SHMMIN, self.shmmni, self.shmmni, self.shmall)

    def usage(self) -> bytes:
        """struct shm_info of SHM_INFO."""
        resident = sum(len(cache.pages) for cache in self.caches())
        return pack_shm_info(len(self.segments), self.total_pages(), resident)

    def listing(self) -> bytes:
        """/proc/sysvipc/shm, in the order of the indices (Linux sysvipc_shm_proc_show)."""
        rows = [_HEADING]
        for _index, s in sorted(self.segments.items()):
            key = s.key - (1 << 32) if s.key >> 31 else s.key
            rows.append(
                b"%10d %10d  %4o %21d %5d %5d  %5d %5d %5d %5d %5d %10d %10d %10d %21d %21d\n"
                % (
                    key, s.id, s.mode, s.size, s.cpid, s.lpid, s.nattch, s.uid, s.gid, s.cuid, s.cgid,
                    s.atime, s.dtime, s.ctime, len(s.cache.pages) << PAGE_SHIFT, 0,
                )
            )  # fmt: skip
        return b"".join(rows)
