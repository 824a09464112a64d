"""What the tests of huge pages share: an address space with memory for a few of them, and looks at what it maps."""

from typing import NamedTuple

from fakes import FakeCpu, FakeRam

from mini_kernel.mm import mmap, uaccess
from mini_kernel.mm.frame import FrameAllocator
from mini_kernel.mm.mm import Mm
from mini_kernel.uapi.mman import MAP_FIXED, PROT_READ, PROT_WRITE

HUGE = 2 << 20
PAGES = 512


class HugeFrames:
    """An allocator on `mib` MiB."""

    def __init__(self, mib: int) -> None:
        self.frames = FrameAllocator(FakeRam(mib << 20), FakeCpu(), reserved=1)


class Counts(NamedTuple):
    """How a huge page is counted."""

    first: int
    leaves: int
    frames: frozenset[int]  # the counts that occur


def new_huge_mm(mib: int = 48, thp: str = "always") -> Mm:
    """An empty address space."""
    frames = HugeFrames(mib).frames
    assert frames.cpu is not None
    mm = Mm(frames, frames.cpu)
    mm.thp = thp
    return mm


def region(mm: Mm, at: int, huge_pages: int, flags: int, prot: int = PROT_READ | PROT_WRITE) -> None:
    """Map so many times 2 MiB at a fixed address."""
    assert mmap.mmap(mm, at, huge_pages * HUGE, prot, flags | MAP_FIXED) == at


def leaf_at(mm: Mm, address: int) -> int:
    """The PMD leaf that maps `address`, 0 if none does. Found by a walk of the test's own."""
    table = mm.pt.pgd
    for shift in (39, 30, 21):
        entry = mm.frames.ram.words[table << 9 | address >> shift & 511]
        if shift == 21:
            return entry if entry & 0x80 else 0
        if not entry & 1:
            return 0
        table = (entry & 0xF_FFFF_FFFF_F000) >> 12
    return 0


def counts_of(mm: Mm, address: int) -> Counts:
    """The counts behind the leaf that maps `address`."""
    first = (leaf_at(mm, address) & 0xF_FFFF_FFFF_F000) >> 12
    assert first
    frames = frozenset(mm.frames.count[first : first + PAGES].tolist())
    return Counts(first, mm.frames.compounds[first >> 9], frames)


def store(mm: Mm, address: int, value: int) -> None:
    """Write one byte as the program would."""
    uaccess.write(mm, address, bytes([value]))


def see(mm: Mm, address: int) -> int:
    """Read one byte as the program would."""
    return uaccess.read(mm, address, 1)[0]
