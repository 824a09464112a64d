"""System V shared memory: the segments of a system and what attaches them (shmget(2); Linux ipc/shm.c).

A segment is a page cache with an owner, a mode and an id. It outlives the processes that use it: it goes when it was
removed (IPC_RMID) and nothing shows it any more. Each shmat(2) makes one `Attachment`, the file of the areas it maps,
so that two attaches never become one area and shmdt(2) finds the pieces of the one it is asked for.

Invariant: `nattch` is the number of areas, in all address spaces, whose file attaches the segment.
"""

from collections.abc import Iterator
from typing import Final

from mini_kernel.errors import SysError
from mini_kernel.fs.path import FsContext
from mini_kernel.fs.superblock import Clock
from mini_kernel.ipc.table import IPCMNI, IpcObject, IpcTable, Running
from mini_kernel.mm.frame import FrameAllocator
from mini_kernel.mm.pagecache import PageCache
from mini_kernel.uapi.errno import EINVAL, ENOMEM, ENOSPC
from mini_kernel.uapi.ipc import (
    SHM_DEST,
    SHM_LOCKED,
    SHM_NORESERVE,
    SHMALL,
    SHMMAX,
    SHMMIN,
    SHMMNI,
    pack_shm_info,
    pack_shmid_ds,
    pack_shminfo,
)
from mini_kernel.x86 import PAGE_SHIFT, PAGE_SIZE

_MAX_FILE: Final = (1 << 63) - 1  # bytes; a segment is a file of tmpfs
_HEADING: Final = (
    b"       key      shmid perms                  size  cpid  lpid nattch   uid   gid  cuid  cgid"
    b"      atime      dtime      ctime                   rss                  swap\n"
)


class Segment(IpcObject):
    """A shared memory segment (Linux shmid_kernel)."""

    def __init__(self, key: int, size: int, flags: int, fs: FsContext, cache: PageCache) -> None:
        super().__init__(key, flags, fs)
        self.name = f"/SYSV{key & 0xFFFF_FFFF:08x} (deleted)"
        self.size = size  # bytes, as asked for
        self.reserved = not flags & SHM_NORESERVE
        self.atime = self.dtime = 0
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

    def pack(self) -> bytes:
        """struct shmid_ds."""
        return pack_shmid_ds(
            self.perm(), self.size, self.atime, self.dtime, self.ctime, self.cpid, self.lpid, self.nattch
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


class SegmentTable(IpcTable[Segment]):
    """The segments of a system, and the limits of /proc/sys/kernel/shm*."""

    def __init__(self, frames: FrameAllocator, clock: Clock, running: Running) -> None:
        super().__init__(clock, running)
        self.frames = frames
        self.shmmax, self.shmall, self.shmmni = SHMMAX, SHMALL, SHMMNI

    def caches(self) -> Iterator[PageCache]:
        """The page cache of every segment."""
        return (segment.cache for segment in self.objects.values())

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
        if len(self.objects) >= min(self.shmmni, IPCMNI):
            raise SysError(ENOSPC)
        self.enter(segment)
        segment.cpid = self.pid()
        return segment

    def remove(self, segment: Segment) -> None:
        """IPC_RMID: gone at once, or, while it is attached, without a key until the last detach."""
        self.forget_key(segment)
        segment.mode |= SHM_DEST
        self._destroy_if_unused(segment)

    def _destroy_if_unused(self, segment: Segment) -> None:
        if not segment.nattch and segment.mode & SHM_DEST:
            self.leave(segment)
            segment.cache.drop()

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
        segment.atime, segment.lpid = self.now(), self.pid()

    def detached(self, segment: Segment) -> None:
        """One area less; the last one of a removed segment frees it."""
        segment.dtime, segment.lpid = self.now(), self.pid()
        self.release(segment)

    # -- reports ------------------------------------------------------------------------------------

    def total_pages(self) -> int:
        """Pages of all segments, touched or not."""
        return sum(segment.pages for segment in self.objects.values())

    def limits(self) -> bytes:
        """struct shminfo of IPC_INFO."""
        return pack_shminfo(self.shmmax, SHMMIN, self.shmmni, self.shmmni, self.shmall)

    def usage(self) -> bytes:
        """struct shm_info of SHM_INFO."""
        resident = sum(len(cache.pages) for cache in self.caches())
        return pack_shm_info(len(self.objects), self.total_pages(), resident)

    def listing(self) -> bytes:
        """/proc/sysvipc/shm, in the order of the indices (Linux sysvipc_shm_proc_show)."""
        rows = [_HEADING]
        for _index, s in sorted(self.objects.items()):
            rows.append(
                b"%10d %10d  %4o %21d %5d %5d  %5d %5d %5d %5d %5d %10d %10d %10d %21d %21d\n"
                % (
                    s.signed_key, s.id, s.mode, s.size, s.cpid, s.lpid, s.nattch, s.uid, s.gid, s.cuid, s.cgid,
                    s.atime, s.dtime, s.ctime, len(s.cache.pages) << PAGE_SHIFT, 0,
                )
            )  # fmt: skip
        return b"".join(rows)
