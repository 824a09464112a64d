"""What several tests of the memory core need: a file to map, a walk of their own, the whole state as a value."""

from collections.abc import Callable, Iterator
from typing import Any

from fakes import FakeCpu, FakeRam

from mini_kernel.errors import SysError
from mini_kernel.mm import fault, mmap
from mini_kernel.mm.check import check
from mini_kernel.mm.frame import FrameAllocator
from mini_kernel.mm.mm import Mm
from mini_kernel.mm.pagecache import PageCache
from mini_kernel.uapi.mman import MAP_ANONYMOUS, MAP_FIXED, MAP_PRIVATE, MAP_SHARED, PROT_READ, PROT_WRITE

PAGE = 4096
RW = PROT_READ | PROT_WRITE
PRIVATE = MAP_PRIVATE | MAP_ANONYMOUS
SHARED = MAP_SHARED | MAP_ANONYMOUS
FIXED = MAP_FIXED
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


def check_all(*mms: Mm, files: tuple[FakeFile, ...] = ()) -> None:
    """Every invariant, over these address spaces, what they map, and `files`, mapped or not."""
    caches = {id(cache): cache for cache in [*caches_of(*mms), *(file.cache for file in files)]}
    check(mms[0].frames, mms, caches.values())


def errno_of(call: Callable[..., Any], *args: Any, **kwargs: Any) -> int:
    """The errno a call fails with, 0 if it does not."""
    try:
        call(*args, **kwargs)
    except SysError as error:
        return error.errno
    return 0


class Frames:
    """Names for frames: "zero", and letters in the order in which a test first meets them."""

    def __init__(self) -> None:
        self.names: dict[int, str] = {}

    def name(self, mm: Mm, pfn: int) -> str:
        if pfn == mm.frames.zero_page:
            return "zero"
        return self.names.setdefault(pfn, chr(ord("a") + len(self.names)))

    def check_mappings(self, mm: Mm, *expected: tuple[int, str, str]) -> None:
        """The whole tree of `mm` is `expected`: (page number relative to EDGE, frame, rights), ascending; no more.

        Every leaf is a PTE, and every invariant holds.
        """
        found = [
            ((va - EDGE) // PAGE, self.name(mm, pfn), rights) for va, (pfn, rights) in sorted(mapping_of(mm).items())
        ]
        assert found == list(expected)
        assert {len(mm.pt.walk(va)) for va, *_ in leaves(mm)} <= {4}


def space(pages: int = 4, prot: int = RW, flags: int = PRIVATE) -> Mm:
    mm = new_mm()
    mmap.mmap(mm, EDGE, pages * PAGE, prot, flags | FIXED)
    return mm


def at(n: int) -> int:
    return EDGE + n * PAGE


def flushes(mm: Mm) -> int:
    assert isinstance(mm.cpu, FakeCpu)
    return mm.cpu.tlb_flushes


def refusal(mm: Mm, address: int, error: int) -> tuple[int, int, str]:
    """Signal, code and class of an access that must fail."""
    try:
        fault.handle(mm, address, error)
    except fault.BadAccess as bad:
        return bad.signal, bad.code, bad.fault_class
    raise AssertionError(f"access {error:#x} to {address:#x} was not refused")


def file_space(flags: int, pages: int = 4, prot: int = RW) -> tuple[Mm, FakeFile]:
    mm = new_mm()
    file = FakeFile(mm.frames, pages)
    mmap.mmap(mm, EDGE, pages * PAGE, prot, flags | FIXED, file)
    return mm, file


def areas(mm: Mm) -> list[tuple[int, int, int]]:
    """(first page, page behind the last, rights) of every area, relative to EDGE."""
    return [((v.start - EDGE) // PAGE, (v.end - EDGE) // PAGE, v.flags & 7) for v in mm.vmas]
