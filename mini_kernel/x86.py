"""Bits of the x86-64 paging structures, error codes and flags that kernel and CPU agree on.

Source: Intel SDM vol. 3A, sections 4.5 (4-level paging), 4.7 (page-fault error code), 6.15
(exception reference); vol. 1, 3.4.3 (RFLAGS). Linux names first, Intel's in brackets:
PGD (PML4), PUD (PDPT), PMD (page directory), PTE (page table).
"""

from typing import Final

PAGE_SHIFT: Final = 12
PAGE_SIZE: Final = 1 << PAGE_SHIFT
PAGE_MASK: Final = ~(PAGE_SIZE - 1) & 0xFFFF_FFFF_FFFF_FFFF
PTRS_PER_TABLE: Final = 512
PMD_SHIFT: Final = 21
PMD_SIZE: Final = 1 << PMD_SHIFT  # what one PTE table maps
PUD_SHIFT: Final = 30
PUD_SIZE: Final = 1 << PUD_SHIFT
PGDIR_SHIFT: Final = 39
PGDIR_SIZE: Final = 1 << PGDIR_SHIFT

TASK_SIZE: Final = 0x7FFF_FFFF_F000  # first address a process may not map (Linux TASK_SIZE_MAX)

# Entry bits, the same at every level unless said (SDM tables 4-15 to 4-20).
PTE_P: Final = 1 << 0  # present
PTE_W: Final = 1 << 1  # writable; ANDed over the levels
PTE_U: Final = 1 << 2  # user; ANDed over the levels
PTE_PWT: Final = 1 << 3
PTE_PCD: Final = 1 << 4
PTE_A: Final = 1 << 5  # accessed; set by the CPU
PTE_D: Final = 1 << 6  # dirty; set by the CPU in the leaf
PTE_PS: Final = 1 << 7  # leaf at PMD or PUD level
PTE_G: Final = 1 << 8
PTE_SOFT_DIRTY: Final = 1 << 11  # ignored by the CPU: written since clear_refs (Linux _PAGE_SOFT_DIRTY)
PTE_NX: Final = 1 << 63  # no execute; ORed over the levels
PTE_ADDR: Final = 0x000F_FFFF_FFFF_F000  # frame address
TABLE_BITS: Final = PTE_P | PTE_W | PTE_U | PTE_A  # what an upper-level entry carries (Linux _PAGE_TABLE)

# Page-fault error code (SDM vol. 3A 4.7).
PF_PROT: Final = 1  # 0: not present, 1: protection
PF_WRITE: Final = 2
PF_USER: Final = 4
PF_RSVD: Final = 8
PF_INSTR: Final = 16

# Exception vectors (SDM vol. 3A 6.15).
VEC_DE, VEC_DB, VEC_NMI, VEC_BP, VEC_OF, VEC_BR, VEC_UD, VEC_NM, VEC_DF = range(9)
VEC_TS, VEC_NP, VEC_SS, VEC_GP, VEC_PF = 10, 11, 12, 13, 14
VEC_MF, VEC_AC, VEC_MC, VEC_XM = 16, 17, 18, 19

# RFLAGS (SDM vol. 1 3.4.3).
FLAG_CF, FLAG_PF, FLAG_AF, FLAG_ZF, FLAG_SF = 1 << 0, 1 << 2, 1 << 4, 1 << 6, 1 << 7
FLAG_TF, FLAG_IF, FLAG_DF, FLAG_OF = 1 << 8, 1 << 9, 1 << 10, 1 << 11
FLAG_IOPL, FLAG_NT, FLAG_RF, FLAG_VM, FLAG_AC, FLAG_ID = 3 << 12, 1 << 14, 1 << 16, 1 << 17, 1 << 18, 1 << 21
FLAG_FIXED: Final = 1 << 1  # reads as one
#: What user code may change through a signal frame (Linux FIX_EFLAGS).
FLAGS_USER: Final = FLAG_CF | FLAG_PF | FLAG_AF | FLAG_ZF | FLAG_SF | FLAG_TF | FLAG_DF | FLAG_OF | FLAG_RF | FLAG_AC

USER_CS: Final = 0x33  # Linux __USER_CS
USER_DS: Final = 0x2B  # Linux __USER_DS

# Indices into Cpu.regs. The first sixteen are the hardware's own register numbers (SDM vol. 2 table 2-2).
RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15, RIP = range(17)
REGISTER_NAMES: Final = (
    "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
    "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "rip",
)  # fmt: skip

U64: Final = 0xFFFF_FFFF_FFFF_FFFF


def page_down(address: int) -> int:
    """The start of the page that holds `address`."""
    return address & ~(PAGE_SIZE - 1)


def page_up(address: int) -> int:
    """`address` rounded up to a page boundary."""
    return (address + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1)
