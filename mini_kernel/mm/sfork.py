"""sfork: a fork with one region of memory that parent and child share, each with the rights it was given.

Goyal, Kumar, Jain: sfork, a fork with flexible shared memory regions. The region is `region.SharedArea`; everything
else is forked by whatever policy the process forks by.
"""

from collections.abc import Callable

from mini_kernel.errors import SysError
from mini_kernel.mm import mmap, protect
from mini_kernel.mm.mm import Mm
from mini_kernel.mm.region import install
from mini_kernel.mm.teardown import destroy
from mini_kernel.mm.vma import VM_SFORK, VM_SFORK_KEEP
from mini_kernel.uapi.errno import EINVAL, ENOMEM
from mini_kernel.uapi.mman import (
    CHILD_WRITE,
    MAP_ANONYMOUS,
    MAP_POPULATE,
    MAP_SFORK,
    PARENT_WRITE,
    PROT_READ,
    PROT_WRITE,
    SFORK_POPULATE,
)
from mini_kernel.x86 import PAGE_SHIFT


def map_region(mm: Mm, length: int, flags: int) -> int:
    """A new region for sfork; its address. Raises SysError(EINVAL, ENOMEM) with nothing mapped (S2)."""
    if not length or not flags & (CHILD_WRITE | PARENT_WRITE) or flags & ~(CHILD_WRITE | PARENT_WRITE | SFORK_POPULATE):
        raise SysError(EINVAL)
    populate = MAP_POPULATE if flags & SFORK_POPULATE else 0
    return mmap.mmap(mm, 0, length, PROT_READ | PROT_WRITE, MAP_SFORK | MAP_ANONYMOUS | populate)


def sfork_mm(parent: Mm, fork: Callable[[Mm], Mm], address: int, length: int, flags: int) -> Mm:
    """A child of `parent`, made by `fork`, that shares the region at `address` with it.

    Either side keeps the right to write only if `flags` say so. No fork shares the PTE tables of a region.
    Raises SysError(ENOMEM) with the parent as it was, the region still mapped.
    """
    child = fork(parent)
    try:
        if not flags & CHILD_WRITE:
            protect.mprotect(child, address, length, PROT_READ)
        if not flags & PARENT_WRITE:
            protect.mprotect(parent, address, length, PROT_READ)
    except SysError:
        destroy(child)
        raise
    return child


def carry_over(old: Mm, new: Mm) -> None:
    """Map the regions of `old` that are to survive execve(2) in `new`, at the same addresses and with the same rights.

    Raises SysError(ENOMEM) if the new program is in the way, or memory runs out.
    """
    for vma in old.vmas:
        if vma.flags & (VM_SFORK | VM_SFORK_KEEP) != VM_SFORK | VM_SFORK_KEEP or vma.file is None:
            continue
        if not new.is_free(vma.start, vma.end):
            raise SysError(ENOMEM)
        vma.file.get()
        kept = new.insert(vma.clone())
        for index in sorted(vma.file.cache.pages):
            if kept.pgoff <= index < kept.pgoff + kept.pages:
                install(new, kept, kept.start + ((index - kept.pgoff) << PAGE_SHIFT))
