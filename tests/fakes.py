"""Stand-ins for the hardware: RAM as a numpy array, a CPU that only counts what it is asked."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mini_kernel.mm.frame import FrameAllocator
from mini_kernel.mm.mm import Mm


class FakeRam:
    """PhysicalMemory over an ordinary array."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.tables = np.zeros((size >> 12, 512), np.uint64)
        self.pages = self.tables.view(np.uint8)
        self.words = memoryview(self.tables).cast("B").cast("Q")
        self.data = memoryview(self.tables).cast("B")

    def discard(self, first_pfn: int, last_pfn: int) -> None:
        self.tables[first_pfn:last_pfn] = 0

    def recall(self, key: object, pfns: NDArray[np.int64], contents: NDArray[np.uint64]) -> bool:
        self.tables[pfns] = contents
        return False


class FakeCpu:
    """Cpu that counts flushes and holds registers in an array."""

    def __init__(self) -> None:
        self.regs = memoryview(bytearray(17 * 8)).cast("Q")
        self.tlb_flushes = 0
        self.code_flushes = 0
        self.cr3 = self.fs_base = self.gs_base = 0
        self.rflags = 0x202
        self.stopped = False
        self.slice_left = 0

    def flush_tlb(self) -> None:
        self.tlb_flushes += 1

    def flush_code(self) -> None:
        self.code_flushes += 1

    def save(self) -> bytes:
        return bytes(self.regs)

    def load(self, state: bytes) -> None:
        self.regs[:] = memoryview(state).cast("Q")

    def fresh(self) -> bytes:
        return bytes(17 * 8)

    def fxsave(self) -> bytes:
        return bytes(512)

    def fxrstor(self, image: bytes) -> None:
        assert len(image) == 512

    def blocks(self) -> int:
        return 0

    def stop(self) -> None:
        self.stopped = True


def new_mm(mib: int = 16) -> Any:
    """An empty address space on `mib` MiB of fake RAM."""
    frames = FrameAllocator(FakeRam(mib << 20), FakeCpu(), reserved=1)
    return Mm(frames, frames.cpu)
