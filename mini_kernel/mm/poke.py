"""Writes by a debugger: past the rights of the area (Linux access_process_vm with FOLL_FORCE), not past fork's rules.

The page goes through the fault ladder as if the area were writable: a shared PTE table is broken and a page that is not
the process's alone is copied (R1-R4, R7). Then its entry gets the bits the area really has.
"""

from mini_kernel.errors import SysError
from mini_kernel.mm import uaccess
from mini_kernel.mm.mm import Mm
from mini_kernel.mm.vma import VM_READ, VM_SHARED, VM_WRITE, Vma
from mini_kernel.mm.walk import PTE_PROTNONE
from mini_kernel.uapi.errno import EFAULT
from mini_kernel.x86 import PAGE_SIZE, PTE_A, PTE_ADDR, PTE_D, PTE_P, PTE_PS, PTE_SOFT_DIRTY, PTE_U

_KEEP = PTE_ADDR | PTE_A | PTE_D | PTE_SOFT_DIRTY


def poke(mm: Mm, address: int, data: bytes) -> None:
    """Store bytes. Raises SysError: EFAULT where nothing is mapped, or shared memory is read-only; ENOMEM.

    Bytes in pages before the one that fails are written.
    """
    while data:
        n = min(len(data), PAGE_SIZE - (address & (PAGE_SIZE - 1)))
        vma = mm.find(address)
        if vma is None or vma.flags & (VM_SHARED | VM_WRITE) == VM_SHARED:
            raise SysError(EFAULT)
        if vma.flags & VM_WRITE:
            uaccess.write(mm, address, data[:n])
        else:
            _force(mm, vma, address, data[:n])
        address, data = address + n, data[n:]


def _force(mm: Mm, vma: Vma, address: int, data: bytes) -> None:
    """`data`, within one page of a private area without VM_WRITE."""
    words = mm.frames.ram.words
    slot = mm.pt.slot(address)
    if slot and words[slot] & (PTE_P | PTE_PROTNONE) == PTE_PROTNONE:
        slot = mm.pt.make_slot(address)
        words[slot] = words[slot] & _KEEP | PTE_P | PTE_U
    flags = vma.flags
    vma.set_flags(flags | VM_READ | VM_WRITE)
    try:
        at = uaccess.translate(mm, address, True, len(data))
        mm.frames.ram.data[at : at + len(data)] = data
    finally:
        vma.set_flags(flags)
        _restore(mm, vma, address)


def _restore(mm: Mm, vma: Vma, address: int) -> None:
    """Give the page's entry the bits of its area again."""
    words = mm.frames.ram.words
    slot = mm.pt.leaf_slot(address) or mm.pt.slot(address)
    if slot and words[slot]:
        words[slot] = words[slot] & (_KEEP | PTE_PS) | (vma.page_bits or PTE_PROTNONE)
        mm.cpu.flush_tlb()
