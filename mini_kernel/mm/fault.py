"""The page-fault handler: a ladder from "is there a mapping" to "give it a frame" (Linux handle_mm_fault).

Each rung either repairs the tables and names what it did (the fault classes of the ledger), or raises `BadAccess`
with the signal Linux sends. User code, the kernel's own accesses (uaccess) and MAP_POPULATE come through here.

What is to be done is decided by functions that change nothing (`refusal`, `growth`, `first_touch`, `write_kind`);
foresee.py asks the same ones what a fault would come to.
"""

from collections.abc import Callable
from typing import Final

import numpy as np

from mini_kernel.errors import KernelBug, SysError
from mini_kernel.mm import alias, huge, region
from mini_kernel.mm.frame import K_CACHE, K_CODE
from mini_kernel.mm.mm import MMAP_MIN_ADDR, STACK_GUARD_GAP, UNLIMITED, Mm
from mini_kernel.mm.pagecache import PageCache
from mini_kernel.mm.vma import (
    VM_ACCESS,
    VM_EXEC,
    VM_GROWSDOWN,
    VM_HUGETLB,
    VM_LOCKED,
    VM_LOCKONFAULT,
    VM_SFORK,
    VM_SHARED,
    VM_WRITE,
    Vma,
)
from mini_kernel.uapi.errno import ENOMEM, ENOSPC
from mini_kernel.uapi.signal import BUS_ADRERR, SEGV_ACCERR, SEGV_MAPERR, SIGBUS, SIGKILL, SIGSEGV
from mini_kernel.x86 import (
    PAGE_MASK,
    PAGE_SHIFT,
    PAGE_SIZE,
    PF_INSTR,
    PF_WRITE,
    PMD_SIZE,
    PTE_A,
    PTE_ADDR,
    PTE_D,
    PTE_P,
    PTE_PS,
    PTE_SOFT_DIRTY,
    PTE_W,
)

BEHIND_THE_END: Final = "the file ends before this page"
_NO_WRITE: Final = ~PTE_W
_DIRTY: Final = PTE_D | PTE_SOFT_DIRTY

#: What a fault can turn out to be, as the ledger names it.
FAULT_CLASSES: Final = (
    "demand_zero", "zero_page", "cow_copy", "cow_reuse", "table_break", "table_reuse", "file", "shared_write",
    "sfork_install", "huge_zero", "huge_copy", "huge_split", "protection", "unmapped", "oom", "bus",
)  # fmt: skip


class BadAccess(Exception):
    """An access that no repair can make good: the signal and si_code to send, and why (for the fault report)."""

    def __init__(self, signal: int, code: int, fault_class: str, reason: str) -> None:
        super().__init__(reason)
        self.signal = signal
        self.code = code
        self.fault_class = fault_class
        self.reason = reason


def handle(mm: Mm, address: int, error: int) -> str:
    """Repair one access to `address`; `error` holds PF_WRITE or PF_INSTR for its kind, PF_PROT if a page was there.

    Returns the class of the fault. Raises BadAccess; out of memory is BadAccess(SIGKILL) of class "oom", with nothing
    changed: the caller may make room and try again.
    """
    vma = mm.find(address) or _grow_stack(mm, address)
    _check_rights(vma, error)
    costs = mm.pt.costs
    broken, reused = costs.tables_broken, costs.tables_reused
    try:
        fault_class = _repair(mm, vma, address, error)
        if fault_class == huge.SPLIT:
            _repair(mm, vma, address, error)
    except SysError as failure:
        if failure.errno != ENOMEM:
            why = "no huge page is free" if failure.errno == ENOSPC else "the page cannot be read from the file"
            raise BadAccess(SIGBUS, BUS_ADRERR, "bus", why) from None
        raise BadAccess(SIGKILL, 0, "oom", "no free frame") from None
    if costs.tables_broken != broken:
        return "table_break"  # whatever was done to the page in the same fault (F83)
    if costs.tables_reused != reused:
        return "table_reuse"
    if not fault_class:
        raise KernelBug(f"fault {error:#x} at {address:#x}, whose entry allows the access: {mm.pt.walk(address)}")
    return fault_class


def _repair(mm: Mm, vma: Vma, address: int, error: int) -> str:
    """Do what the access needs; its class, empty if claiming the PTE table was all.

    Only what is about to change a PTE claims the table: reads of present pages and refused accesses never get there.
    """
    write = error & PF_WRITE
    slot = mm.pt.slot(address)
    entry = mm.frames.ram.words[slot] if slot else 0
    if not entry:
        if not slot and (done := huge.repair(mm, vma, address, error)) is not None:
            return done
        return _FIRST[first_touch(vma, address, write)](mm, vma, address, error)
    if write:
        slot = mm.pt.make_slot(address)
        entry = mm.frames.ram.words[slot]
        if not entry & PTE_W:
            return _write_protected(mm, vma, address, slot, entry)
    return ""


def refusal(vma: Vma, error: int) -> str:
    """Why the VMA does not allow an access, "" if it does.

    Linux access_error: the VMA decides, never the bits found in tables (R5).
    """
    if error & PF_WRITE:
        allowed = vma.flags & VM_WRITE
    elif error & PF_INSTR:
        allowed = vma.flags & VM_EXEC
    else:
        allowed = vma.flags & VM_ACCESS
    if allowed:
        return ""
    kind = "write" if error & PF_WRITE else "fetch" if error & PF_INSTR else "read"
    return f"the mapping does not allow to {kind}"


def _check_rights(vma: Vma, error: int) -> None:
    why = refusal(vma, error)
    if why:
        raise BadAccess(SIGSEGV, SEGV_ACCERR, "protection", why)


def growth(mm: Mm, address: int) -> tuple[Vma | None, str]:
    """The MAP_GROWSDOWN area that may be extended down to `address`, or None and why (Linux expand_stack)."""
    vma = mm.first_after(address)
    if vma is None or not vma.flags & VM_GROWSDOWN:
        return None, "nothing is mapped there"
    page = address & PAGE_MASK
    if page < MMAP_MIN_ADDR or vma.end - page > mm.limits.stack:
        near = vma.start - page <= STACK_GUARD_GAP
        return None, "the stack would exceed RLIMIT_STACK" if near else "nothing is mapped there"
    i = mm.index_after(vma.start)
    if i:
        below = mm.vmas[i - 1]
        gap = 0 if below.flags & VM_GROWSDOWN or not below.flags & VM_ACCESS else STACK_GUARD_GAP
        if page < below.end + gap:
            return None, "the stack would come within its guard gap"
    limit = mm.limits.address_space
    if limit != UNLIMITED and (mm.total_pages() << PAGE_SHIFT) + vma.start - page > limit:
        return None, "the stack would exceed RLIMIT_AS"
    if vma.flags & VM_LOCKED and (mm.locked_pages() << PAGE_SHIFT) + vma.start - page > mm.limits.locked:
        return None, "the locked stack would exceed RLIMIT_MEMLOCK"
    return vma, ""


def _grow_stack(mm: Mm, address: int) -> Vma:
    """Extend a MAP_GROWSDOWN area down to `address`, or say that nothing is mapped there."""
    vma, why = growth(mm, address)
    if vma is None:
        raise BadAccess(SIGSEGV, SEGV_MAPERR, "unmapped", why)
    page = address & PAGE_MASK
    mm.set_start(vma, page)
    return mm.merge_around(mm.index_after(page))


def first_touch(vma: Vma, address: int, write: int) -> str:
    """What brings a page to where nothing is mapped: the fault class (of the file's that may still be "bus")."""
    if vma.file is None:
        return "demand_zero" if write else "zero_page"
    if vma.index_of(address) << PAGE_SHIFT >= vma.file.cache.size:
        return "bus"
    return "sfork_install" if vma.flags & VM_SFORK else "file"


def _demand_zero(mm: Mm, vma: Vma, address: int, _error: int) -> str:
    """First write to an anonymous page: a zeroed frame."""
    frames = mm.frames
    pfn = frames.alloc()
    try:
        slot = mm.pt.make_slot(address)
    except SysError:
        frames.put(pfn)
        raise
    bits = vma.page_bits
    if vma.flags & VM_EXEC:
        frames.kinds[pfn] |= K_CODE
    frames.ram.words[slot] = pfn << PAGE_SHIFT | bits | _DIRTY
    mm.pt.rss_anon += 1
    return "demand_zero"


def _zero_page(mm: Mm, vma: Vma, address: int, _error: int) -> str:
    """First read of an anonymous page: the one page of zeros, write-protected."""
    slot = mm.pt.make_slot(address)
    if vma.flags & VM_EXEC:
        mm.frames.kinds[mm.frames.zero_page] |= K_CODE
    mm.frames.ram.words[slot] = mm.frames.zero_page << PAGE_SHIFT | vma.page_bits & _NO_WRITE
    return "zero_page"


def _file(mm: Mm, vma: Vma, address: int, error: int) -> str:
    """First access to a page of a file or of shared memory: the page cache's frame, or a copy for a private write."""
    assert vma.file is not None
    cache = vma.file.cache
    index = vma.index_of(address)
    frames = mm.frames
    source = cache.get_page(index)
    bits = vma.page_bits
    if not vma.flags & VM_SHARED:
        if error & PF_WRITE:
            _install_new_copy(mm, vma, address, source)
            return "file"
        bits &= _NO_WRITE
    elif error & PF_WRITE:
        bits |= _DIRTY
    elif vma.soft_clean:
        bits &= _NO_WRITE  # the first write has to be noted
    slot = mm.pt.make_slot(address)
    if (vma.flags & VM_EXEC or frames.kinds[source] & K_CODE) and len(cache.mappings) > 1:
        bits = _settle_aliases(cache, vma, index, bits)
    if vma.flags & VM_EXEC:
        frames.kinds[source] |= K_CODE
    frames.get(source)
    frames.ram.words[slot] = source << PAGE_SHIFT | bits
    mm.pt.rss_file += 1
    return "file"


def _sfork(mm: Mm, vma: Vma, address: int, error: int) -> str:
    return region.install(mm, vma, address, bool(error & PF_WRITE))


def _behind_the_end(_mm: Mm, _vma: Vma, _address: int, _error: int) -> str:
    raise BadAccess(SIGBUS, BUS_ADRERR, "bus", BEHIND_THE_END)


_FIRST: Final[dict[str, Callable[[Mm, Vma, int, int], str]]] = {
    "demand_zero": _demand_zero,
    "zero_page": _zero_page,
    "file": _file,
    "sfork_install": _sfork,
    "bus": _behind_the_end,
}


def _settle_aliases(cache: PageCache, vma: Vma, index: int, bits: int) -> int:
    """The PTE bits for a page that may be code here or elsewhere (see alias.py)."""
    if vma.flags & VM_EXEC:
        alias.claim_for_code(cache, vma, index)
    if bits & PTE_W and alias.has_code_elsewhere(cache, vma):
        if bits & PTE_D:
            alias.claim_for_writing(cache, vma, index)
        else:
            bits &= _NO_WRITE  # only read so far: let the first write fault
    return bits


def _install_new_copy(mm: Mm, vma: Vma, address: int, source: int) -> None:
    """A private copy where nothing was mapped: frame first, tables last, so that a failure leaves nothing."""
    pfn = _copy(mm, vma, source)
    try:
        slot = mm.pt.make_slot(address)
    except SysError:
        mm.frames.put(pfn)
        raise
    mm.frames.ram.words[slot] = pfn << PAGE_SHIFT | vma.page_bits | _DIRTY
    mm.pt.rss_anon += 1
    if mm.frames.listener is not None:
        mm.frames.listener.frame_copied(mm.pt.pgd, address, source, pfn)


def _copy(mm: Mm, vma: Vma, source: int) -> int:
    """A new frame with the content of `source`."""
    frames = mm.frames
    pfn = frames.alloc(zero=False)
    data = frames.ram.data
    data[pfn << PAGE_SHIFT : (pfn << PAGE_SHIFT) + PAGE_SIZE] = data[
        source << PAGE_SHIFT : (source << PAGE_SHIFT) + PAGE_SIZE
    ]
    if vma.flags & VM_EXEC:
        frames.kinds[pfn] |= K_CODE
    mm.pt.costs.pages_copied += 1
    return pfn


def write_kind(mm: Mm, vma: Vma, entry: int) -> str:
    """What a write to a present page needs whose PTE, in a table of its own, has no W: a fault class (do_wp_page)."""
    if vma.flags & VM_SHARED:
        return "shared_write"
    frames = mm.frames
    pfn = (entry & PTE_ADDR) >> PAGE_SHIFT
    if pfn == frames.zero_page or frames.kinds[pfn] & K_CACHE:
        return "cow_copy"
    # Pins do not make it anybody else's.
    return "cow_reuse" if frames.counts[pfn] - frames.pins.get(pfn, 0) == 1 else "cow_copy"


def _write_protected(mm: Mm, vma: Vma, address: int, slot: int, entry: int) -> str:
    """A write to a present page whose PTE has no W (Linux do_wp_page)."""
    frames = mm.frames
    kind = write_kind(mm, vma, entry)
    if kind == "shared_write":
        if frames.kinds[(entry & PTE_ADDR) >> PAGE_SHIFT] & K_CODE and vma.file is not None:
            alias.claim_for_writing(vma.file.cache, vma, vma.index_of(address))
        frames.ram.words[slot] = entry | PTE_W | _DIRTY | PTE_A
        return kind
    pfn = (entry & PTE_ADDR) >> PAGE_SHIFT
    if pfn == frames.zero_page:
        new = frames.alloc()
        if vma.flags & VM_EXEC:
            frames.kinds[new] |= K_CODE
        frames.ram.words[slot] = new << PAGE_SHIFT | vma.page_bits | _DIRTY
        mm.cpu.flush_tlb()
        mm.pt.rss_anon += 1
        return kind
    if kind == "cow_reuse":
        frames.ram.words[slot] = entry | PTE_W | _DIRTY | PTE_A
        return kind
    cached = frames.kinds[pfn] & K_CACHE
    new = _copy(mm, vma, pfn)
    frames.ram.words[slot] = new << PAGE_SHIFT | vma.page_bits | _DIRTY
    mm.cpu.flush_tlb()
    frames.put(pfn)
    if cached:
        mm.pt.rss_file -= 1
        mm.pt.rss_anon += 1
    if frames.listener is not None:
        frames.listener.frame_copied(mm.pt.pgd, address, pfn, new)
    return kind


def populate(mm: Mm, start: int, end: int, write: bool) -> None:
    """Fault in every page of [start, end) that lies in a VMA, with writes where the VMA allows them if `write` is set.

    Raises SysError(ENOMEM) when memory ends, BadAccess where an access would be refused; pages before stay.
    """
    for vma in mm.overlapping(start, end):
        error = PF_WRITE if write and vma.flags & VM_WRITE else 0
        _populate(mm, vma, max(start, vma.start), min(end, vma.end), error)


def prefault(mm: Mm, start: int, end: int) -> None:
    """What mlock(2) and MAP_POPULATE do with [start, end): private writable pages are written to, others read.

    Linux populate_vma_page_range, which leaves areas that are locked on fault alone. Raises as `populate`.
    """
    for vma in mm.overlapping(start, end):
        if not vma.flags & VM_LOCKONFAULT:
            error = PF_WRITE if vma.flags & (VM_WRITE | VM_SHARED) == VM_WRITE else 0
            _populate(mm, vma, max(start, vma.start), min(end, vma.end), error)


def prefault_quietly(mm: Mm, start: int, end: int) -> None:
    """`prefault` for a mapping that stands even if not all of its pages can be had."""
    try:
        prefault(mm, start, end)
    except (SysError, BadAccess):
        return


def _populate(mm: Mm, vma: Vma, start: int, end: int, error: int) -> None:
    """Whole anonymous ranges with nothing in them go in one step, and so do huge pages."""
    lo, hi = huge.part_to_fill(mm, vma, start, end, error)
    if lo < hi:
        huge.fill(mm, vma, lo, hi, error)
        _populate(mm, vma, start, lo, error)
        _touch_all(mm, lo, hi, error)
        _populate(mm, vma, hi, end, error)
        return
    small = vma.file is None and not vma.flags & VM_HUGETLB
    if small and error and end - start > PAGE_SIZE and not mm.pt.read(start, end).any():
        populate_anonymous(mm, vma, start, end)
        return
    _touch_all(mm, start, end, error)


def _touch_all(mm: Mm, start: int, end: int, error: int) -> None:
    address = start
    while address < end:
        _touch(mm, address, error)
        is_huge = mm.pt.has_leaves and mm.pt.leaf_slot(address)
        address = (address & -PMD_SIZE) + PMD_SIZE if is_huge else address + PAGE_SIZE


def _touch(mm: Mm, address: int, error: int) -> None:
    if _allowed(mm, address, error):
        return
    try:
        handle(mm, address, error)
    except BadAccess as bad:
        if bad.fault_class == "oom":
            raise SysError(ENOMEM) from None
        raise


def _allowed(mm: Mm, address: int, error: int) -> bool:
    """True if the tables, all levels of them, allow the read or write already."""
    steps = mm.pt.walk(address)
    need = PTE_P | PTE_W if error else PTE_P
    ends = len(steps) == 4 or steps[-1].entry & PTE_PS
    return bool(ends) and all(step.entry & need == need for step in steps)


def populate_anonymous(mm: Mm, vma: Vma, start: int, end: int) -> None:
    """Map a zeroed, writable frame at every page of the empty range [start, end) of an anonymous VMA.

    All or SysError(ENOMEM) with nothing mapped.
    """
    pages = (end - start) >> PAGE_SHIFT
    pfns = mm.frames.alloc_many(pages)
    try:
        mm.pt.make_range(start, end)
    except SysError:
        mm.frames.put_many(pfns)
        raise
    if vma.flags & VM_EXEC:
        mm.frames.kind[pfns] |= K_CODE
    mm.pt.write(start, pfns.astype(np.uint64) << np.uint64(PAGE_SHIFT) | np.uint64(vma.page_bits | _DIRTY))
    mm.pt.rss_anon += pages
