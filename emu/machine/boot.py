"""From reset to ring 3, once per machine.

Writing CS through the API does not change the privilege level, so the CPU executes a real `sysretq`: on a
supervisor page of scratch tables, which also hold `fninit` and `ldmxcsr` because FPCW and MXCSR are 0 at reset.
It lands on an unmapped user page, and the page fault that follows is the calibration's experiment. Afterwards
the scratch frames are zeroed: since the hooks swallow every trap the CPU never leaves ring 3 again, and no user
table can reach what is no longer there.
"""

import struct
from typing import Final

from emu.machine.engine import REG_CR0, REG_CR3, REG_CR4, REG_EFLAGS, REG_GENERAL, REG_MSR, REG_RIP, Engine
from emu.machine.ram import Ram
from mini_kernel.x86 import FLAG_FIXED, FLAG_IF, PTE_P, PTE_W, R11, RCX

#: Frames the frame allocator must not hand out: frame 0 stays zero, so that CR3 = 0 (a state from `fresh` that
#: was given no tables) is an address space in which everything faults.
RESERVED_FRAMES: Final = 1

USER_ENTRY: Final = 0x4000_0000  # where sysretq lands; not mapped
_CODE_AT: Final = 0x5000  # virtual and physical
_SCRATCH_FRAMES: Final = 6
#: fninit; ldmxcsr [rip + 3]; sysretq; .long 0x1f80
_ENTRY_CODE: Final = bytes.fromhex("dbe3 0fae1503000000 480f07 801f0000")

_MSR_EFER, _MSR_STAR = 0xC000_0080, 0xC000_0081
_EFER: Final = 1 << 0 | 1 << 8 | 1 << 11  # SCE, LME, NXE
_STAR: Final = 0x23 << 48  # sysretq: CS = 0x23 + 16, SS = 0x23 + 8
_CR0: Final = 1 << 0 | 1 << 1 | 1 << 4 | 1 << 5 | 1 << 16 | 1 << 31  # PE MP ET NE WP PG
_CR4: Final = 1 << 2 | 1 << 5 | 1 << 9 | 1 << 10  # TSD PAE OSFXSR OSXMMEXCPT
START_FLAGS: Final = FLAG_FIXED | FLAG_IF


def prepare(engine: Engine, ram: Ram) -> int:
    """Scratch tables, control registers and entry code; returns the RIP to start at."""
    for level in range(1, 4):
        ram.words[level * 512] = (level + 1) << 12 | PTE_P | PTE_W
    ram.words[4 * 512 + (_CODE_AT >> 12)] = _CODE_AT | PTE_P | PTE_W
    ram.data[_CODE_AT : _CODE_AT + len(_ENTRY_CODE)] = _ENTRY_CODE
    for msr, value in ((_MSR_EFER, _EFER), (_MSR_STAR, _STAR)):
        engine.write(REG_MSR, struct.pack("<IxxxxQ", msr, value))
    for register, value in ((REG_CR3, 0x1000), (REG_CR4, _CR4), (REG_CR0, _CR0), (REG_EFLAGS, FLAG_FIXED)):
        engine.write(register, value)
    for register in REG_GENERAL:
        engine.write(register, 0)
    engine.write(REG_GENERAL[RCX], USER_ENTRY)
    engine.write(REG_GENERAL[R11], START_FLAGS)
    engine.write(REG_RIP, _CODE_AT)
    return _CODE_AT


def clean_up(ram: Ram) -> None:
    """Leave RAM all zero again."""
    ram.pages[:_SCRATCH_FRAMES] = 0
