"""What is mapped where: maps, smaps, smaps_rollup (Linux fs/proc/task_mmu.c)."""

from os import fsencode
from typing import Final

from mini_kernel.fs.file import File
from mini_kernel.fs.proc.node import shown_path
from mini_kernel.fs.proc.status import is_shared_memory
from mini_kernel.fs.proc.usage import Usage, hugetlb_usage_of, usage_of
from mini_kernel.fs.proc.views import Subject
from mini_kernel.mm import vma as v
from mini_kernel.mm.huge import is_eligible
from mini_kernel.mm.mm import Mm
from mini_kernel.mm.vma import Vma
from mini_kernel.uapi.structs import Stat
from mini_kernel.x86 import PAGE_SIZE, PMD_SIZE

_NAME_COLUMN: Final = 72
_DEVICE: Final = Stat(0, 0).dev  # every file's
_SOFT_DIRTY: Final = 0x8000000  # Linux VM_SOFTDIRTY; here the areas that are not `soft_clean`
#: VmFlags in the order of their bits (Linux show_smap_vma_flags); sk is a region of sfork.
_MNEMONICS: Final = (
    (v.VM_READ, "rd"), (v.VM_WRITE, "wr"), (v.VM_EXEC, "ex"), (v.VM_SHARED, "sh"), (v.VM_MAYREAD, "mr"),
    (v.VM_MAYWRITE, "mw"), (v.VM_MAYEXEC, "me"), (v.VM_MAYSHARE, "ms"), (v.VM_GROWSDOWN, "gd"), (v.VM_LOCKED, "lo"),
    (v.VM_DONTCOPY, "dc"), (v.VM_DONTEXPAND, "de"), (v.VM_LOCKONFAULT, "lf"), (v.VM_NORESERVE, "nr"),
    (v.VM_HUGETLB, "ht"), (v.VM_WIPEONFORK, "wf"), (_SOFT_DIRTY, "sd"), (v.VM_HUGEPAGE, "hg"),
    (v.VM_NOHUGEPAGE, "nh"), (v.VM_SFORK, "sk"),
)  # fmt: skip


def name_of(vma: Vma) -> bytes:
    """The last column: a path, [heap], [stack] or nothing."""
    if vma.file is None:
        return vma.name.encode()
    name = shown_path(vma.file) if isinstance(vma.file, File) else fsencode(vma.file.name)
    return name.replace(b"\n", b"\\012")


def _line(start: int, end: int, rights: str, offset: int, device: int, inode: int, name: bytes) -> bytes:
    """One line of maps, with its newline (Linux show_vma_header_prefix)."""
    where = f"{start:08x}-{end:08x} {rights} {offset:08x} {device >> 8:02x}:{device & 0xFF:02x} {inode} ".encode()
    return (where.ljust(_NAME_COLUMN) + b" " + name if name else where) + b"\n"


def _header(vma: Vma) -> bytes:
    rights = "".join(
        letter if vma.flags & flag else "-" for flag, letter in ((v.VM_READ, "r"), (v.VM_WRITE, "w"), (v.VM_EXEC, "x"))
    )
    rights += "s" if vma.flags & (v.VM_SHARED | v.VM_MAYSHARE) else "p"
    offset = vma.pgoff << 12 if vma.file is not None else 0
    device = _DEVICE if vma.file is not None else 0
    inode = vma.file.inode.ino if isinstance(vma.file, File) else 0
    return _line(vma.start, vma.end, rights, offset, device, inode, name_of(vma))


def maps(subject: Subject) -> bytes:
    """/proc/PID/maps; empty for a zombie."""
    mm = subject.mm
    return b"".join(map(_header, mm.vmas)) if mm else b""


def _size(name: str, size: int) -> str:
    return f"{name + ':':<16}{size >> 10:8d} kB\n"


def _usage_lines(usage: Usage, rollup: bool) -> str:
    """The lines smaps and smaps_rollup share (Linux __show_smap)."""
    pss_file = usage.pss - usage.pss_anon - usage.pss_shmem
    parts = (("Pss_Anon", usage.pss_anon), ("Pss_File", pss_file), ("Pss_Shmem", usage.pss_shmem)) if rollup else ()
    sizes = (
        ("Rss", usage.rss), ("Pss", usage.pss >> 12), ("Pss_Dirty", usage.pss_dirty >> 12),
        *((name, share >> 12) for name, share in parts),
        ("Shared_Clean", usage.shared_clean), ("Shared_Dirty", usage.shared_dirty),
        ("Private_Clean", usage.private_clean), ("Private_Dirty", usage.private_dirty),
        ("Referenced", usage.referenced), ("Anonymous", usage.anonymous), ("LazyFree", 0),
        ("AnonHugePages", usage.anon_huge), ("ShmemPmdMapped", 0), ("FilePmdMapped", 0),
        ("Shared_Hugetlb", usage.shared_hugetlb), ("Private_Hugetlb", usage.private_hugetlb), ("Swap", 0),
        ("SwapPss", 0), ("Locked", usage.pss_locked >> 12),
    )  # fmt: skip
    return "".join(_size(name, size) for name, size in sizes)


def _area_usage(mm: Mm, vma: Vma) -> Usage:
    if vma.flags & v.VM_HUGETLB:
        return hugetlb_usage_of(mm, vma.start, vma.end)
    usage = usage_of(mm, vma.start, vma.end)
    if vma.flags & v.VM_LOCKED:
        usage.pss_locked = usage.pss
    if is_shared_memory(vma):
        usage.pss_shmem = usage.pss - usage.pss_anon
    return usage


def _area(mm: Mm, vma: Vma) -> bytes:
    held = vma.flags | (0 if vma.soft_clean else _SOFT_DIRTY)
    flags = "".join(f"{mnemonic} " for bit, mnemonic in _MNEMONICS if held & bit)
    page_size = PMD_SIZE if vma.flags & v.VM_HUGETLB else PAGE_SIZE
    text = (
        _size("Size", vma.end - vma.start)
        + _size("KernelPageSize", page_size)
        + _size("MMUPageSize", page_size)
        + _usage_lines(_area_usage(mm, vma), rollup=False)
        + f"{'THPeligible:':<16}{is_eligible(mm, vma):8d}\nVmFlags: {flags}\n"
    )
    return _header(vma) + text.encode()


def smaps(subject: Subject) -> bytes:
    """/proc/PID/smaps; empty for a zombie."""
    mm = subject.mm
    return b"".join(_area(mm, vma) for vma in mm.vmas) if mm else b""


def smaps_rollup(subject: Subject) -> bytes:
    """/proc/PID/smaps_rollup: the sum of smaps; empty for a zombie."""
    mm = subject.mm
    if mm is None or not mm.vmas:
        return b""
    total = Usage()
    for vma in mm.vmas:
        total.add(_area_usage(mm, vma))
    header = _line(mm.vmas[0].start, mm.vmas[-1].end, "---p", 0, 0, 0, b"[rollup]")
    return header + _usage_lines(total, rollup=True).encode()
