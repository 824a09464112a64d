"""What the kernel needs from hardware: RAM, one CPU, and how the CPU enters the kernel.

`emu.machine` fills these with the Unicorn engine; unit tests fill them with plain arrays. Nothing in
`mini_kernel` knows which. All three are *handles*: they hold no kernel state, are left out of snapshots, and
are the only way to memory, registers and translation caches.
"""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


class PhysicalMemory(Protocol):
    """Guest RAM: one zero-filled, sparse, contiguous range of `size` bytes from physical address 0.

    Four views of the same bytes, each the fast one for its use. Writing through any of them does *not*
    invalidate the CPU's translated code: see `Cpu.flush_code`.
    """

    size: int
    data: memoryview  # format 'B': bytes by physical address
    words: memoryview  # format 'Q': word w of frame f is words[f * 512 + w]
    tables: NDArray[np.uint64]  # (frames, 512): a frame as a table of entries
    pages: NDArray[np.uint8]  # (frames, 4096): a frame as bytes

    def discard(self, first_pfn: int, last_pfn: int) -> None:
        """Give the host pages behind frames [first_pfn, last_pfn) back; they read as zero afterwards."""
        ...

    def recall(self, key: object, pfns: NDArray[np.int64], contents: NDArray[np.uint64]) -> bool:
        """Write `contents` to these frames; `key` is the same object exactly if both are the same as before.

        Returns True if all other frames now read as zero, but for those reserved at boot; False: they are unchanged.
        """
        ...


class Cpu(Protocol):
    """One virtual CPU, as the kernel sees it between an entry and the return to ring 3.

    `regs` is the user register file *of the task that runs* (indices x86.RAX .. x86.RIP): after an entry it
    holds what user code left, and what it holds when the trap handler returns is what user code gets.
    RIP there is where the task goes on: behind the instruction for `syscall`, at it for faults.
    """

    regs: memoryview  # format 'Q', 17 words, in place for the life of the CPU

    def save(self) -> bytes:
        """The whole user state (regs, flags, segment bases, x87, SSE, CR3) as an opaque value."""
        ...

    def load(self, state: bytes) -> None:
        """Make `state` (from `save` or `fresh`) the running one. Changes CR3 without a flush."""
        ...

    def fresh(self) -> bytes:
        """The state of a new program: ring 3, all registers 0, FPU and SSE as after execve(2)."""
        ...

    @property
    def cr3(self) -> int:
        """Physical address of the PGD in use; assigning does not flush."""
        ...

    @cr3.setter
    def cr3(self, value: int) -> None: ...

    @property
    def rflags(self) -> int:
        """The flags register, complete."""
        ...

    @rflags.setter
    def rflags(self, value: int) -> None: ...

    @property
    def fs_base(self) -> int:
        """Base of the FS segment: thread-local storage."""
        ...

    @fs_base.setter
    def fs_base(self, value: int) -> None: ...

    @property
    def gs_base(self) -> int:
        """Base of the GS segment."""
        ...

    @gs_base.setter
    def gs_base(self, value: int) -> None: ...

    def fxsave(self) -> bytes:
        """The 512-byte FXSAVE64 image of the running state (SDM vol. 1 10.5.1)."""
        ...

    def fxrstor(self, image: bytes) -> None:
        """The inverse of `fxsave`."""
        ...

    def flush_tlb(self) -> None:
        """Ask that no translation cached so far is used by user code again. Cheap to repeat."""
        ...

    def flush_code(self) -> None:
        """Ask that no translated code made so far is run again; includes `flush_tlb`. Costs tens of microseconds."""
        ...

    def blocks(self) -> int:
        """Basic blocks run so far: the deterministic clock tick."""
        ...

    @property
    def slice_left(self) -> int:
        """Blocks until the next tick."""
        ...

    @slice_left.setter
    def slice_left(self, value: int) -> None: ...

    def stop(self) -> None:
        """Leave user mode for good once the current entry returns: `Machine.run` comes back."""
        ...


class TrapHandler(Protocol):
    """The kernel's entry points. Called with the task's state in `Cpu.regs`; never reentered."""

    def syscall(self) -> None:
        """`syscall` was executed: number in RAX, arguments in RDI RSI RDX R10 R8 R9."""
        ...

    def exception(self, vector: int, error: int, cr2: int) -> None:
        """A processor exception with its error code; `cr2` is meaningful for VEC_PF only.

        RIP is at the instruction, except for VEC_BP (int3) and VEC_DB, where it is behind, as on hardware.
        `int n` for n not 3 arrives as VEC_GP with error n * 8 + 2, as through Linux's IDT.
        """
        ...

    def tick(self) -> None:
        """The time slice is over."""
        ...


Snapshot = dict[str, Any]  # a plain-data image of kernel or machine state, see Kernel.snapshot
