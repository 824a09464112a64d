"""What several tests of the memory core need: a file to map, a walk of their own, the whole state as a value."""

from collections.abc import Callable, Iterator
from typing import Any

from fakes import FakeCpu, FakeRam
from mini_kernel.errors import SysError
from mini_kernel.mm.check import check
from mini_kernel.mm.frame import FrameAllocator
from mini_kernel.mm.mm import Mm
from mini_kernel.mm.pagecache import PageCache
from mini_kernel.uapi.mman import MAP_ANONYMOUS, MAP_PRIVATE, MAP_SHARED, PROT_READ, PROT_WRITE

PAGE = 4096
RW = PROT_READ | PROT_WRITE
PRIVATE = MAP_PRIVATE | MAP_ANONYMOUS
SHARED = MAP_SHARED | MAP_ANONYMOUS
#: The last page below a 1 GiB (so also 2 MiB) boundary: what starts here needs two tables at two levels.
EDGE = (5 << 30) - PAGE


class FakeFile:
    """A MappedFile over a page cache; counts its users. The inode itself outlives them."""

    def __init__(self, frames: FrameAllocator, pages: int, name: str = "/file") -> None:
        self.cache = PageCache(frames)
        self.cache.size = pages * PAGE
        self.name = name
        self.users = 0

    def get(self) -> "FakeFile":
        self.users += 1
        return self

    def put(self) -> None:
        self.users -= 1
        assert self.users >= 0


def new_frames(mib: int = 16) -> FrameAllocator:
    """An allocator on fake RAM with a fake CPU."""
    return FrameAllocator(FakeRam(mib << 20), FakeCpu(), reserved=1)


def new_mm(frames: FrameAllocator | None = None) -> Mm:
    """An empty address space."""
    frames = frames or new_frames()
    assert frames.cpu is not None
    return Mm(frames, frames.cpu)


def leaves(mm: Mm) -> Iterator[tuple[int, int, bool, bool, int]]:
    """(address, leaf entry, W, U, NX) of every non-zero leaf, rights combined over the levels as the MMU does."""

    def below(table: int, shift: int, base: int, both: int, either: int) -> Iterator[tuple[int, int, bool, bool, int]]:
        for index, entry in enumerate(mm.frames.ram.words[table << 9 : (table << 9) + 512].tolist()):
            if not entry:
                continue
            va, a, o = base + (index << shift), both & entry, either | entry
            if shift == 12:
                yield va, entry, bool(a & 2), bool(a & 4), o >> 63
            elif entry & 1:
                yield from below((entry & 0xF_FFFF_FFFF_F000) >> 12, shift - 9, va, a, o)

    yield from below(mm.pt.pgd, 39, 0, -1, 0)


def mapping_of(mm: Mm) -> dict[int, tuple[int, str]]:
    """Address -> (pfn, rights) of every mapped page; rights are a subset of "rwx", "-" for PROT_NONE."""
    out: dict[int, tuple[int, str]] = {}
    for va, entry, w, u, nx in leaves(mm):
        present = entry & 1 and u
        rights = "r" + "w" * w + "x" * (not nx) if present else "-"
        out[va] = ((entry & 0xF_FFFF_FFFF_F000) >> 12, rights)
    return out


def state_of(*mms: Mm) -> dict[str, Any]:
    """All that an operation which fails must leave alone: VMAs, entries, counters, frame counts."""
    frames = mms[0].frames
    return {
        "vmas": [[(v.key(), v.page_bits, id(v.file)) for v in mm.vmas] for mm in mms],
        "files": [[len(v.file.cache.mappings) for v in mm.vmas if v.file] for mm in mms],
        "leaves": [list(leaves(mm)) for mm in mms],
        "rss": [(mm.rss_anon, mm.rss_file, mm.pt.tables) for mm in mms],
        "scalars": [(mm.brk, mm.start_brk, mm.lock_future) for mm in mms],
        "counts": {pfn: frames.counts[pfn] for pfn in frames.used().tolist()},
        "free": frames.available(),
    }


def caches_of(*mms: Mm) -> list[PageCache]:
    """The page caches that the VMAs refer to."""
    return list({id(v.file): v.file.cache for mm in mms for v in mm.vmas if v.file is not None}.values())


def check_all(*mms: Mm) -> None:
    """Every invariant, over these address spaces and the files they map."""
    check(mms[0].frames, mms, caches_of(*mms))


def errno_of(call: Callable[..., Any], *args: Any, **kwargs: Any) -> int:
    """The errno a call fails with, 0 if it does not."""
    try:
        call(*args, **kwargs)
    except SysError as error:
        return error.errno
    return 0
