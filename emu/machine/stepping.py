"""The exact RIP of a fetch fault in the middle of a block.

The engine translates a block before it runs any of it. When the last instruction of the block reaches into a page
that cannot be fetched, the fault is reported with RIP at the *start of the block*, before instructions that the
hardware would have executed. For a fault that the kernel repairs this is harmless; for one that becomes a signal
the instructions in front must have had their effect.

The cure: run with TF set. Each instruction is then a block of its own, and the debug exceptions in between are
swallowed here, until the fetch fault comes again, now at the right instruction. TF must not be seen by the guest:
`pushf` in the stretch has its image corrected in guest memory, and `popf` decides anew about the guest's own TF.
"""

from typing import Final

from emu.machine.layout import WORD_EFLAGS
from emu.machine.ram import Ram
from mini_kernel.x86 import FLAG_TF, PTE_ADDR, PTE_P, PTE_PS, RIP, RSP, U64

_PUSHF, _POPF = 0x9C, 0x9D
_PREFIXES: Final = frozenset((0x66, 0x67, 0x2E, 0x36, 0x3E, 0x26, 0x64, 0x65, 0xF2, 0xF3, *range(0x40, 0x50)))


def walk(ram: Ram, cr3: int, address: int) -> int | None:
    """Physical address behind a virtual one by the tables alone, or None. No permission checks."""
    table = cr3
    for shift in (39, 30, 21, 12):
        entry = ram.words[((table & PTE_ADDR) >> 3) + (address >> shift & 511)]
        if not entry & PTE_P:
            return None
        if shift == 12 or (shift < 39 and entry & PTE_PS):
            low = (1 << shift) - 1
            return (entry & PTE_ADDR & ~low) | (address & low)
        table = entry
    return None


def syscall_length(ram: Ram, cr3: int, address: int) -> int:
    """Bytes of the `syscall` instruction at `address`, prefixes included; 2 if it cannot be read."""
    for prefixes in range(14):
        at = walk(ram, cr3, address + prefixes)
        if at is None:
            break
        if ram.data[at] == 0x0F:
            return prefixes + 2
    return 2


class Stepper:
    """Owns TF while `active`."""

    def __init__(self, ram: Ram, words: memoryview, word_cr3: int) -> None:
        self._ram = ram
        self._words = words
        self._word_cr3 = word_cr3
        self._from = 0
        self.active = False

    def begin(self) -> None:
        """Start to step. Precondition: the guest's own TF is clear."""
        self.active = True
        self._from = self._words[RIP]
        self._words[WORD_EFLAGS] |= FLAG_TF

    def end(self) -> None:
        """Give TF back to the guest, clear."""
        self.active = False
        self._words[WORD_EFLAGS] &= ~FLAG_TF & U64

    def stepped(self) -> None:
        """One instruction was executed: hide TF from the guest, and go on unless `popf` has changed TF."""
        words = self._words
        opcode = self._executed(self._from, words[RIP])
        self._from = words[RIP]
        if opcode == _PUSHF:
            at = walk(self._ram, words[self._word_cr3], (words[RSP] + 1) & U64)
            if at is not None:
                self._ram.data[at] &= ~(FLAG_TF >> 8) & 0xFF
        elif opcode == _POPF:
            self.active = False

    def _executed(self, start: int, end: int) -> int:
        """The opcode of a one-byte instruction, prefixes allowed, in [start, end); 0 for anything else."""
        if not 0 < end - start <= 15:
            return 0
        code = [self._byte(start + i) for i in range(end - start)]
        return code[-1] if all(byte in _PREFIXES for byte in code[:-1]) else 0

    def _byte(self, address: int) -> int:
        at = walk(self._ram, self._words[self._word_cr3], address)
        return 0 if at is None else self._ram.data[at]
