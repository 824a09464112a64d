"""What the machine tests share: a bare machine, hand-built tables, and a trap handler that writes a log.

The tables are built here by a few lines of their own, not by the kernel's, so that the two can disagree.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from emu.machine import Machine
from mini_kernel.x86 import PTE_ADDR, PTE_NX, PTE_P, PTE_U, PTE_W, RAX, RIP, RSP, VEC_UD

RAM_BYTES = 16 << 20
PGD = 0x10000  # tables from here up
FRAMES = 0x200000  # data frames from here up
CODE = 0x40_0000
DATA = 0x60_0000
STACK_TOP = 0x70_1000
RWX = PTE_P | PTE_W | PTE_U
RX = PTE_P | PTE_U
RW = RWX | PTE_NX
EXIT = bytes.fromhex("0f05")


@dataclass(frozen=True)
class Trap:
    """One entry into the kernel, as the handler saw it."""

    vector: int | str
    error: int = 0
    rip: int = 0
    cr2: int = 0


@dataclass
class Log:
    """A TrapHandler: writes every entry down, and stops at the first unless `act` handles it (returns True)."""

    machine: Machine
    act: Callable[[Trap], bool] = lambda trap: False
    traps: list[Trap] = field(default_factory=list)

    def _enter(self, trap: Trap) -> None:
        self.traps.append(trap)
        if not self.act(trap):
            self.machine.stop()

    def syscall(self) -> None:
        self._enter(Trap("syscall", 0, self.machine.regs[RIP]))

    def exception(self, vector: int, error: int, cr2: int) -> None:
        self._enter(Trap(vector, error, self.machine.regs[RIP], cr2 if vector == 14 else 0))

    def tick(self) -> None:
        self._enter(Trap("tick", 0, self.machine.regs[RIP]))


class Lab:
    """A machine with one address space: CODE (rwx), two pages of DATA, a stack page; everything else unmapped."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.log = Log(machine)
        machine.attach(self.log)
        self.next_table = PGD + 0x1000
        self.next_frame = FRAMES
        self.cr3 = PGD
        self.reset()

    def reset(self) -> None:
        """Forget all mappings and translations, and start over."""
        self.machine.ram.discard(0, self.machine.ram.size >> 12)
        self.next_table, self.next_frame, self.cr3 = PGD + 0x1000, FRAMES, PGD
        self.code_frame = self.map(CODE, RWX)
        self.map(DATA, RW)
        self.map(DATA + 0x1000, RW)
        self.map(STACK_TOP - 0x1000, RW)
        self.machine.flush_code()

    def entry_at(self, address: int, leaf_shift: int = 12) -> int:
        """Physical address of the entry for `address`, upper tables made as needed (present, writable, user)."""
        table = self.cr3
        for shift in (39, 30, 21):
            at = table + (address >> shift & 511) * 8
            if shift == leaf_shift:
                return at
            entry = self.machine.ram.words[at >> 3]
            if not entry:
                entry = self.machine.ram.words[at >> 3] = self.next_table | RWX
                self.next_table += 0x1000
            table = entry & PTE_ADDR
        return table + (address >> 12 & 511) * 8

    def map(self, address: int, bits: int, frame: int | None = None) -> int:
        """Map one page; returns the frame's physical address."""
        if frame is None:
            frame, self.next_frame = self.next_frame, self.next_frame + 0x1000
        self.machine.ram.words[self.entry_at(address) >> 3] = frame | bits
        return frame

    def new_space(self) -> int:
        """Start another address space; `map` fills it from now on. Returns its CR3."""
        self.cr3, self.next_table = self.next_table, self.next_table + 0x1000
        return self.cr3

    def write(self, physical: int, data: bytes) -> None:
        """Put bytes into RAM and forget translations of them."""
        self.machine.ram.data[physical : physical + len(data)] = data
        self.machine.flush_code()

    def start(self, code: bytes, offset: int = 0, **registers: int) -> None:
        """Load `code` at CODE + offset and a fresh register state that begins there."""
        self.write(self.code_frame + offset, code)
        machine = self.machine
        machine.load(machine.fresh())
        machine.cr3 = self.cr3
        machine.regs[RIP] = CODE + offset
        machine.regs[RSP] = STACK_TOP - 0x100

    def run(self, code: bytes, offset: int = 0) -> list[Trap]:
        """Run `code` until the first entry into the kernel that `act` does not handle."""
        self.start(code, offset)
        self.log.traps.clear()
        self.machine.run()
        return self.log.traps


@contextmanager
def laboratory(ram_bytes: int = RAM_BYTES, **options: Any) -> Iterator[Lab]:
    """A Lab on a machine of its own."""
    with Machine(ram_bytes, **options) as machine:
        yield Lab(machine)


__all__ = ["CODE", "DATA", "RAX", "STACK_TOP", "VEC_UD", "Lab", "Log", "Trap", "laboratory"]
