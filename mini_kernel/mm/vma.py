"""A virtual memory area: one range of addresses with one set of rights and one backing (Linux vm_area_struct)."""

from typing import Final, Protocol

from mini_kernel.mm.pagecache import PageCache
from mini_kernel.uapi.mman import PROT_EXEC, PROT_READ, PROT_WRITE
from mini_kernel.x86 import PAGE_SHIFT, PTE_A, PTE_NX, PTE_P, PTE_U, PTE_W

# Linux include/linux/mm.h; the low three equal PROT_*.
VM_READ: Final = 0x1
VM_WRITE: Final = 0x2
VM_EXEC: Final = 0x4
VM_SHARED: Final = 0x8
VM_MAYREAD: Final = 0x10
VM_MAYWRITE: Final = 0x20
VM_MAYEXEC: Final = 0x40
VM_MAYSHARE: Final = 0x80
VM_GROWSDOWN: Final = 0x100
VM_LOCKED: Final = 0x2000
VM_DONTCOPY: Final = 0x20000
VM_DONTEXPAND: Final = 0x40000
VM_LOCKONFAULT: Final = 0x80000
VM_NORESERVE: Final = 0x200000
VM_HUGETLB: Final = 0x400000
VM_WIPEONFORK: Final = 0x2000000
VM_HUGEPAGE: Final = 0x20000000
VM_NOHUGEPAGE: Final = 0x40000000
VM_SEALED: Final = 0x40000000000
VM_SFORK: Final = 0x8000000000
VM_ATTACHED: Final = 0x20000000000  # not in Linux: its areas are counted (System V shared memory), so none vanishes
VM_SFORK_KEEP: Final = 0x10000000000  # the region survives execve(2)

VM_ACCESS: Final = VM_READ | VM_WRITE | VM_EXEC
VM_MAY: Final = VM_MAYREAD | VM_MAYWRITE | VM_MAYEXEC
#: Two areas may merge only if these flags agree; all do.
VM_NEVER_MERGE: Final = VM_SFORK | VM_ATTACHED | VM_HUGETLB

PROT_ANY: Final = PROT_READ | PROT_WRITE | PROT_EXEC


class MappedFile(Protocol):
    """An open file as a mapping keeps it: counted, named, with a page cache."""

    @property
    def cache(self) -> PageCache:
        """Where its pages are."""
        ...

    @property
    def name(self) -> str:
        """What /proc/pid/maps shows."""
        ...

    def get(self) -> object:
        """One more user."""
        ...

    def put(self) -> None:
        """One user less; the last one closes it."""
        ...


class Vma:
    """[start, end) with flags VM_*; page `start` shows page `pgoff` of `file`, or is anonymous if that is None.

    Invariant: start and end are page aligned, start < end.
    Invariant: a shared area has a file (anonymous shared memory is a nameless one, as in Linux).
    """

    __slots__ = ("end", "file", "flags", "name", "page_bits", "pgoff", "soft_clean", "start")

    def __init__(
        self, start: int, end: int, flags: int, file: MappedFile | None = None, pgoff: int = 0, name: str = ""
    ) -> None:
        self.start = start
        self.end = end
        self.file = file
        self.pgoff = pgoff
        self.name = name  # "[heap]", "[stack]" or empty
        self.soft_clean = False  # since clear_refs only pages whose PTE says so are soft-dirty (Linux: no VM_SOFTDIRTY)
        self.flags = flags
        self.page_bits = 0  # PTE bits of a page that may be used in full, see set_flags
        self.set_flags(flags)

    def set_flags(self, flags: int) -> None:
        """Change the flags, and with them the PTE bits that pages of this area get.

        x86 cannot forbid reading what may be written or executed (SDM vol. 3A 4.6): PROT_WRITE implies read.
        """
        self.flags = flags
        if not flags & VM_ACCESS:
            self.page_bits = 0
            return
        bits = PTE_P | PTE_U | PTE_A
        if flags & VM_WRITE:
            bits |= PTE_W
        if not flags & VM_EXEC:
            bits |= PTE_NX
        self.page_bits = bits

    @property
    def pages(self) -> int:
        """Length in pages."""
        return (self.end - self.start) >> PAGE_SHIFT

    def index_of(self, address: int) -> int:
        """Page index in the file of an address inside."""
        return self.pgoff + ((address - self.start) >> PAGE_SHIFT)

    def clone(self, start: int | None = None, end: int | None = None) -> "Vma":
        """A copy, or the part [start, end) of it. The file is the same, not counted again."""
        new = Vma.__new__(Vma)
        new.start = self.start if start is None else start
        new.end = self.end if end is None else end
        new.file = self.file
        new.pgoff = self.pgoff if self.file is None else self.index_of(new.start)
        new.name = self.name
        new.soft_clean = self.soft_clean
        new.flags = self.flags
        new.page_bits = self.page_bits
        return new

    def can_merge(self, after: "Vma") -> bool:
        """True if `after` begins where this one ends and continues the same backing with the same rights."""
        return (
            self.end == after.start
            and self.flags == after.flags
            and not self.flags & VM_NEVER_MERGE
            and self.file is after.file
            and self.name == after.name
            and (self.file is None or self.pgoff + self.pages == after.pgoff)
        )

    def key(self) -> tuple[int, int, int, int, str]:
        """What distinguishes it, for comparisons in tests and snapshots."""
        return (self.start, self.end, self.flags, self.pgoff, self.file.name if self.file else self.name)

    def __repr__(self) -> str:
        rights = "".join(c if self.flags & bit else "-" for c, bit in (("r", 1), ("w", 2), ("x", 4)))
        kind = "s" if self.flags & VM_SHARED else "p"
        return f"Vma({self.start:#x}-{self.end:#x} {rights}{kind} {self.file.name if self.file else self.name})"
