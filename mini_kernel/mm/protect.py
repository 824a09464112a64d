"""mprotect(2) on an address space (Linux mm/mprotect.c)."""

from mini_kernel.errors import SysError
from mini_kernel.mm import alias, fault
from mini_kernel.mm.mm import UNLIMITED, Mm
from mini_kernel.mm.tlb import Gather
from mini_kernel.mm.vma import (
    VM_ACCESS,
    VM_EXEC,
    VM_GROWSDOWN,
    VM_LOCKED,
    VM_MAYWRITE,
    VM_NORESERVE,
    VM_SEALED,
    VM_SFORK,
    VM_SHARED,
    VM_WRITE,
    Vma,
)
from mini_kernel.mm.walk import PTE_PROTNONE
from mini_kernel.uapi.errno import EACCES, EINVAL, ENOMEM, EPERM
from mini_kernel.uapi.mman import PROT_EXEC, PROT_GROWSDOWN, PROT_GROWSUP, PROT_READ, PROT_SEM, PROT_WRITE
from mini_kernel.x86 import PAGE_SHIFT, PAGE_SIZE, PTE_A, PTE_ADDR, PTE_D, PTE_SOFT_DIRTY, PTE_W, TASK_SIZE, page_up

_KEEP = PTE_ADDR | PTE_A | PTE_D | PTE_SOFT_DIRTY


def mprotect(mm: Mm, start: int, length: int, prot: int) -> None:
    """Change the rights of [start, start + length). Raises SysError as mprotect(2) does.

    As in Linux, areas before the first hole or forbidden area are changed even if the call fails there.
    """
    grows = prot & (PROT_GROWSDOWN | PROT_GROWSUP)
    prot &= ~(PROT_GROWSDOWN | PROT_GROWSUP)
    if grows == PROT_GROWSDOWN | PROT_GROWSUP or start & (PAGE_SIZE - 1):
        raise SysError(EINVAL)
    if not length:
        return
    end = start + page_up(length)
    if end > TASK_SIZE:
        raise SysError(ENOMEM)
    if prot & ~(PROT_READ | PROT_WRITE | PROT_EXEC | PROT_SEM):
        raise SysError(EINVAL)
    if grows:
        start = _grows_from(mm, start, end, grows)
    _protect(mm, start, end, prot & VM_ACCESS)


def _grows_from(mm: Mm, start: int, end: int, grows: int) -> int:
    """PROT_GROWSDOWN: the change reaches down to the start of the stack that holds `start`. Nothing grows up here."""
    vma = mm.first_after(start)
    if vma is None or vma.start >= end or (grows == PROT_GROWSUP and vma.start > start):
        raise SysError(ENOMEM)
    if grows == PROT_GROWSUP or not vma.flags & VM_GROWSDOWN:
        raise SysError(EINVAL)
    return vma.start


def _protect(mm: Mm, start: int, end: int, rights: int) -> None:
    at = start
    while at < end:
        vma = mm.find(at)
        if vma is None:
            raise SysError(ENOMEM)
        if rights & ~(vma.flags >> 4):  # VM_MAYx is VM_x << 4
            raise SysError(EACCES)
        if vma.flags & VM_SEALED:
            raise SysError(EPERM)
        stop = min(end, vma.end)
        flags = vma.flags & ~VM_ACCESS | rights
        if vma.flags & VM_SFORK and not rights & VM_WRITE:
            flags &= ~VM_MAYWRITE  # who gives up writing to a region does so for good (S4)
        if flags != vma.flags:
            _check_data_limit(mm, vma, flags, stop - at)
            _check_commitment(mm, vma, flags, stop - at)
            mm.check_ends(at, stop)
            mm.pt.claim(at, stop)
            if flags & VM_EXEC and vma.file is not None and alias.is_written_elsewhere(vma.file.cache, vma):
                alias.prepare_for_code(vma.file.cache, vma)
            fill = vma.flags & (VM_WRITE | VM_SHARED | VM_LOCKED) == VM_LOCKED and flags & VM_WRITE
            for part in mm.isolate(at, stop):
                with mm.gather() as tlb:
                    _set_flags(mm, part, flags, tlb)
            mm.merge_range(at, stop)
            if fill:  # what is locked does not wait for the first write (Linux mprotect_fixup)
                fault.prefault_quietly(mm, at, stop)
        at = stop


def _check_commitment(mm: Mm, vma: Vma, flags: int, length: int) -> None:
    """Memory that becomes writable is promised from then on: obvious overcommit is refused (overcommit_memory 0)."""
    promised = VM_WRITE | VM_SHARED | VM_NORESERVE
    if flags & promised == VM_WRITE and not vma.flags & promised and length >> PAGE_SHIFT > mm.frames.total:
        raise SysError(ENOMEM)


def _check_data_limit(mm: Mm, vma: Vma, flags: int, length: int) -> None:
    """RLIMIT_DATA counts a private area from the moment it becomes writable."""
    becomes_data = flags & (VM_WRITE | VM_SHARED) == VM_WRITE and not vma.flags & VM_WRITE
    if becomes_data and mm.limits.data != UNLIMITED and (mm.data_pages() << PAGE_SHIFT) + length > mm.limits.data:
        raise SysError(ENOMEM)


def _set_flags(mm: Mm, vma: Vma, flags: int, tlb: Gather) -> None:
    """Give one VMA new rights, and its pages with it. A private page is writable again only by a fault (COW)."""
    gains_exec = flags & VM_EXEC and not vma.flags & VM_EXEC
    vma.set_flags(flags)
    bits = vma.page_bits or PTE_PROTNONE
    code_elsewhere = vma.file is not None and alias.has_code_elsewhere(vma.file.cache, vma)
    if vma.soft_clean or not flags & VM_SHARED or code_elsewhere:
        bits &= ~PTE_W
    mm.change(vma.start, vma.end, _KEEP, bits, tlb)
    if gains_exec:
        mm.mark_code(vma.start, vma.end)
        if vma.file is not None and alias.is_written_elsewhere(vma.file.cache, vma):
            for index in range(vma.pgoff, vma.pgoff + vma.pages):
                alias.claim_for_code(vma.file.cache, vma, index)
