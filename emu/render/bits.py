"""Numbers of the architecture and of signals in words."""

from typing import Final

from mini_kernel.mm.foresee import Verdict
from mini_kernel.mm.vma import VM_EXEC, VM_GROWSDOWN, VM_READ, VM_SHARED, VM_WRITE
from mini_kernel.mm.walk import LEVEL_NAMES, PTE_PROTNONE, Step
from mini_kernel.uapi import signal as signals
from mini_kernel.uapi import signal_names
from mini_kernel.x86 import (
    FLAG_AC,
    FLAG_AF,
    FLAG_CF,
    FLAG_DF,
    FLAG_IF,
    FLAG_OF,
    FLAG_PF,
    FLAG_SF,
    FLAG_TF,
    FLAG_ZF,
    PF_INSTR,
    PF_PROT,
    PF_RSVD,
    PF_USER,
    PF_WRITE,
    PTE_A,
    PTE_D,
    PTE_G,
    PTE_NX,
    PTE_P,
    PTE_PCD,
    PTE_PS,
    PTE_PWT,
    PTE_SOFT_DIRTY,
    PTE_U,
    PTE_W,
    VEC_AC,
    VEC_BP,
    VEC_DB,
    VEC_DE,
    VEC_GP,
    VEC_MF,
    VEC_NP,
    VEC_SS,
    VEC_UD,
    VEC_XM,
)

_CODE_PREFIX: Final = {
    signals.SIGSEGV: "SEGV_",
    signals.SIGBUS: "BUS_",
    signals.SIGILL: "ILL_",
    signals.SIGFPE: "FPE_",
    signals.SIGTRAP: "TRAP_",
    signals.SIGCHLD: "CLD_",
}
_VECTORS: Final = {
    VEC_DE: "divide error (#DE)",
    VEC_DB: "debug exception (#DB)",
    VEC_BP: "breakpoint (#BP)",
    VEC_UD: "invalid opcode (#UD)",
    VEC_NP: "segment not present (#NP)",
    VEC_SS: "stack-segment fault (#SS)",
    VEC_GP: "general protection (#GP)",
    VEC_MF: "x87 floating-point error (#MF)",
    VEC_AC: "alignment check (#AC)",
    VEC_XM: "SIMD floating-point error (#XM)",
}
_ENTRY_BITS: Final = (
    (PTE_W, "writable"),
    (PTE_U, "user"),
    (PTE_A, "accessed"),
    (PTE_D, "dirty"),
    (PTE_SOFT_DIRTY, "soft-dirty"),
    (PTE_PS, "2 MiB page"),
    (PTE_G, "global"),
    (PTE_PWT, "write-through"),
    (PTE_PCD, "cache-disable"),
    (PTE_NX, "no-execute"),
)
_FLAGS: Final = (
    (FLAG_CF, "CF"), (FLAG_PF, "PF"), (FLAG_AF, "AF"), (FLAG_ZF, "ZF"), (FLAG_SF, "SF"), (FLAG_TF, "TF"),
    (FLAG_IF, "IF"), (FLAG_DF, "DF"), (FLAG_OF, "OF"), (FLAG_AC, "AC"),
)  # fmt: skip


def signal_name(signo: int) -> str:
    """SIGSEGV, or the number where there is no name."""
    return signal_names.get(signo, str(signo))


def code_name(signo: int, code: int) -> str:
    """si_code by name: SEGV_MAPERR for (SIGSEGV, 1), SI_USER for any signal and 0."""
    prefix = _CODE_PREFIX.get(signo) if 0 < code < signals.SI_KERNEL else "SI_"
    if prefix is None:
        return str(code)
    names = {v: n for n, v in vars(signals).items() if n.startswith(prefix) and n not in ("SI_MAX_SIZE", "SI_LWP")}
    return names.get(code, str(code))


def vector_name(vector: int) -> str:
    """An exception in words, with the manual's mnemonic (SDM vol. 3A 6.15)."""
    return _VECTORS.get(vector, f"exception {vector}")


def page_fault_words(error: int) -> str:
    """A page-fault error code (SDM vol. 3A 4.7): what was tried, from where, what was in the way."""
    kind = "an instruction fetch" if error & PF_INSTR else "a write" if error & PF_WRITE else "a read"
    mode = "user" if error & PF_USER else "supervisor"
    if error & PF_RSVD:
        return f"{kind}, from {mode} mode, through an entry with a reserved bit set"
    if error & PF_PROT:
        return f"{kind}, from {mode} mode, to a page that is present: protection"
    return f"{kind}, from {mode} mode, to a page that is not present"


def entry_words(entry: int) -> str:
    """The bits of a paging-structure entry, most telling first (SDM tables 4-15 to 4-20)."""
    if not entry:
        return "empty: not present"
    names = [name for bit, name in _ENTRY_BITS if entry & bit]
    if not entry & PTE_P:
        return "not present, PROT_NONE" if entry & PTE_PROTNONE else "not present"
    return ", ".join(["present", *names])


def refusal(walk: tuple[Step, ...], error: int) -> str:
    """Which level of a walk stands in the way of the access, in a sentence; "" if none does.

    A level that is not present ends the walk; W and U must be granted by all levels, NX by one is enough to forbid.
    """
    if not walk:
        return ""
    last = walk[-1]
    if not last.entry & PTE_P:
        return f"the {LEVEL_NAMES[last.level]} entry is not present: the walk ends there"
    checks = [(PTE_U, True, "does not allow user mode")]
    if error & PF_WRITE:
        checks.append((PTE_W, True, "does not allow writing"))
    if error & PF_INSTR:
        checks.append((PTE_NX, False, "forbids execution"))
    for bit, wanted, words in checks:
        for step in walk:
            if bool(step.entry & bit) is not wanted:
                return f"the {LEVEL_NAMES[step.level]} entry {words}"
    return ""


def entry_changes(old: int, new: int) -> str:
    """Bits that two entries disagree about: `+dirty -writable`."""
    gained = [f"+{name}" for bit, name in _ENTRY_BITS if new & ~old & bit]
    lost = [f"-{name}" for bit, name in _ENTRY_BITS if old & ~new & bit]
    return " ".join([*gained, *lost])


_REPAIRS: Final = {
    "demand_zero": "give it a zeroed frame",
    "zero_page": "map the page of zeros, read-only",
    "cow_copy": "copy the page to a frame of its own",
    "cow_reuse": "make the page writable as it is: nobody else uses it",
    "table_break": "give the process its own copy of the PTE table, which is shared",
    "table_reuse": "take the PTE table back as it is: nobody else uses it",
    "file": "map the page of the file",
    "shared_write": "let the write to shared memory through",
    "sfork_install": "install the page of the region in every process that maps it",
    "huge_zero": "give it a zeroed huge page",
    "huge_copy": "copy the huge page",
    "huge_split": "split the huge page into small ones",
}


def verdict_words(verdict: Verdict) -> str:
    """What an access comes to, as the end of a sentence that begins with `the kernel will` (or, allowed: nothing)."""
    if verdict.allowed:
        return "do nothing: the tables allow it"
    if verdict.signal:
        name = signal_name(verdict.signal)
        return f"send {name} ({code_name(verdict.signal, verdict.code)}): {verdict.reason}"
    words = _REPAIRS.get(verdict.fault_class, "find nothing to repair")
    if verdict.page and verdict.page != verdict.fault_class:
        words += f", then {_REPAIRS.get(verdict.page, verdict.page)}"
    return ("extend the stack and " if verdict.grows else "") + words


def rights(flags: int) -> str:
    """VM_* flags as in /proc/pid/maps: rwxp."""
    letters = "".join(c if flags & bit else "-" for c, bit in (("r", VM_READ), ("w", VM_WRITE), ("x", VM_EXEC)))
    return letters + ("s" if flags & VM_SHARED else "p")


def grows_down(flags: int) -> bool:
    """True for a stack area."""
    return bool(flags & VM_GROWSDOWN)


def flag_names(rflags: int) -> str:
    """The RFLAGS that are set, space separated, lowest first."""
    return " ".join(name for bit, name in _FLAGS if rflags & bit)
