"""What the fault handler would do about an access, without doing it: for debuggers and reports.

It climbs the ladder of fault.py with the same decisions, and changes nothing: no table, no counter, no A or D bit.
"""

from typing import NamedTuple

from mini_kernel.mm import fault, huge
from mini_kernel.mm.hugetlb import HugeCache
from mini_kernel.mm.mm import Mm
from mini_kernel.mm.vma import VM_HUGETLB, VM_SHARED, Vma
from mini_kernel.mm.zone import GROUP_SHIFT
from mini_kernel.uapi.signal import BUS_ADRERR, SEGV_ACCERR, SEGV_MAPERR, SIGBUS, SIGKILL, SIGSEGV
from mini_kernel.x86 import (
    PAGE_SHIFT,
    PF_INSTR,
    PF_WRITE,
    PTE_ADDR,
    PTE_NX,
    PTE_P,
    PTE_PS,
    PTE_U,
    PTE_W,
    TASK_SIZE,
)


class Verdict(NamedTuple):
    """The outcome of an access.

    allowed      the tables grant it as they are: no fault
    fault_class  as in the ledger, "" if allowed
    signal       what is sent, with its si_code; 0 if the fault is repaired, or there is none
    reason       why it is refused
    grows        the stack is extended first
    page         what becomes of the page where a PTE table is broken or taken back in the same fault, else ""
    """

    allowed: bool
    fault_class: str = ""
    signal: int = 0
    code: int = 0
    reason: str = ""
    grows: bool = False
    page: str = ""


_ALLOWED = Verdict(True)


def foresee(mm: Mm, address: int, error: int) -> Verdict:
    """What an access comes to; `error` holds PF_WRITE or PF_INSTR for its kind, neither for a read."""
    if address >= TASK_SIZE:
        return Verdict(False, "unmapped", SIGSEGV, SEGV_MAPERR, "the address is not the user's")
    if is_granted(mm, address, error):
        return _ALLOWED
    vma, why = mm.find(address), ""
    grows = vma is None
    if vma is None:
        vma, why = fault.growth(mm, address)
    if vma is None:
        return Verdict(False, "unmapped", SIGSEGV, SEGV_MAPERR, why)
    why = fault.refusal(vma, error)
    if why:
        return Verdict(False, "protection", SIGSEGV, SEGV_ACCERR, why, grows)
    return _with_memory(mm, _repair(mm, vma, address, error)._replace(grows=grows))


def is_granted(mm: Mm, address: int, error: int) -> bool:
    """True if the CPU would not fault: all levels present and for users, writable for a write, no NX for a fetch."""
    steps = mm.pt.walk(address)
    need = PTE_P | PTE_U | (PTE_W if error & PF_WRITE else 0)
    ends = len(steps) == 4 or steps[-1].entry & PTE_PS
    forbidden = PTE_NX if error & PF_INSTR else 0
    return bool(ends) and all(s.entry & need == need and not s.entry & forbidden for s in steps)


def _repair(mm: Mm, vma: Vma, address: int, error: int) -> Verdict:
    """fault._repair, dry."""
    write = error & PF_WRITE
    words = mm.frames.ram.words
    slot = mm.pt.slot(address)
    entry = words[slot] if slot else 0
    if not slot:
        found = _huge(mm, vma, address, error)
        if found:
            return _claiming(mm, address, found)
    if not entry:
        kind = fault.first_touch(vma, address, write)
        if kind == "bus":
            return Verdict(False, kind, SIGBUS, BUS_ADRERR, fault.BEHIND_THE_END)
        return _claiming(mm, address, kind)
    if write:
        broken = _gate(mm, address) == "table_break"
        if not entry & PTE_W or (broken and not vma.flags & VM_SHARED):
            kind = "cow_copy" if broken and not vma.flags & VM_SHARED else fault.write_kind(mm, vma, entry)
            return _claiming(mm, address, kind)
        return _claiming(mm, address, "")
    return Verdict(False, "")


def _huge(mm: Mm, vma: Vma, address: int, error: int) -> str:
    """huge.repair, dry: its class, "" if small pages are to be used."""
    slot = mm.pt.pmd_slot(address)
    entry = mm.frames.ram.words[slot] if slot else 0
    if entry:
        return huge.write_kind(mm, vma, entry) if error & PF_WRITE and not entry & PTE_W else "table_reuse"
    if vma.flags & VM_HUGETLB:
        if vma.file is None:
            return "huge_zero"
        cache = vma.file.cache
        known = isinstance(cache, HugeCache) and vma.index_of(address) >> GROUP_SHIFT in cache.groups
        return "file" if known else "huge_zero"
    return "huge_zero" if huge.is_first(mm, vma, address, error) else ""


def _gate(mm: Mm, address: int) -> str:
    """What claiming the tables over `address` takes: "table_break", "table_reuse" or nothing."""
    words = mm.frames.ram.words
    for slot in (mm.pt.pud_slot(address), mm.pt.pmd_slot(address)):
        entry = words[slot] if slot else 0
        if entry & (PTE_P | PTE_W | PTE_PS) == PTE_P:
            shared = mm.frames.counts[(entry & PTE_ADDR) >> PAGE_SHIFT] > 1
            return "table_break" if shared else "table_reuse"
    return ""


def _claiming(mm: Mm, address: int, kind: str) -> Verdict:
    """The verdict for a page that becomes `kind`, with the tables over it claimed first."""
    gate = _gate(mm, address)
    return Verdict(False, gate, page=kind) if gate else Verdict(False, kind)


def _with_memory(mm: Mm, verdict: Verdict) -> Verdict:
    """Out of memory is foreseen where there is none at all: how much a repair needs is the repair's business."""
    needs = {verdict.fault_class, verdict.page} & {"demand_zero", "cow_copy", "table_break", "sfork_install"}
    if needs and not mm.frames.available():
        return Verdict(False, "oom", SIGKILL, 0, "no free frame: the process is killed")
    return verdict
