"""The kernel's access to user memory (Linux copy_from_user, copy_to_user, strncpy_from_user).

Rights are the ones user code has: the walk ANDs W and U over all four levels, and whatever it does not allow goes
through the same fault ladder (R7). Everything raises SysError(EFAULT) at the first byte that cannot be reached.

While somebody asks for it (`tell_accesses`) each access is told to the kernel's MemoryListener. What nobody listens to
costs one look at a global: it is of the whole process as a static key is of the whole of Linux, and says only whether
to look for a listener.
"""

import struct
from collections.abc import Iterator

from mini_kernel.errors import KernelBug, SysError
from mini_kernel.mm import fault
from mini_kernel.mm.mm import Mm
from mini_kernel.mm.walk import LEAF_OR_TABLE
from mini_kernel.uapi.errno import EFAULT, ENAMETOOLONG
from mini_kernel.x86 import (
    PAGE_SHIFT,
    PAGE_SIZE,
    PF_WRITE,
    PMD_SIZE,
    PTE_A,
    PTE_ADDR,
    PTE_D,
    PTE_P,
    PTE_U,
    PTE_W,
    TASK_SIZE,
)

_U64 = struct.Struct("<Q")
_U32 = struct.Struct("<I")
_SHORT = 128  # bytes of a string looked at first: most end there
_READ = PTE_P | PTE_U
_WRITE = PTE_P | PTE_U | PTE_W
_askers = 0  # how many ask to be told


def tell_accesses(wanted: bool) -> None:
    """Ask for MemoryListener.user_access to be called; False: no more. Each asks once, and takes back once."""
    global _askers  # noqa: PLW0603  # see above
    _askers += 1 if wanted else -1


def _tell(mm: Mm, address: int, physical: int, n: int, write: bool) -> None:
    listener = mm.frames.listener
    if listener is not None:
        listener.user_access(mm.pt.pgd, address, physical, n, write)


def _physical(mm: Mm, address: int, need: int) -> int:
    """Physical address behind `address` if all four levels grant `need`, else -1."""
    words = mm.frames.ram.words
    entry = words[mm.pt.pgd << 9 | address >> 39 & 511]
    rights = entry
    slot = 0
    for shift in (30, 21, 12):
        if entry & LEAF_OR_TABLE != PTE_P:
            return _huge_physical(mm, slot, address, rights, need) if entry & PTE_P else -1
        slot = (entry & PTE_ADDR) >> 3 | address >> shift & 511
        entry = words[slot]
        rights &= entry
    if rights & need != need:
        return -1
    if need == _WRITE:
        words[slot] = entry | PTE_A | PTE_D
    return entry & PTE_ADDR | address & (PAGE_SIZE - 1)


def _huge_physical(mm: Mm, slot: int, address: int, rights: int, need: int) -> int:
    """`_physical` where the PMD entry at `slot` is present and maps a huge page."""
    if rights & need != need:
        return -1
    words = mm.frames.ram.words
    if need == _WRITE:
        words[slot] |= PTE_A | PTE_D
    return words[slot] & PTE_ADDR | address & (PMD_SIZE - 1)


def translate(mm: Mm, address: int, write: bool, n: int = 1) -> int:
    """Physical address of one user byte, faulting its page in. Raises SysError(EFAULT).

    `n` bytes within the page are going to be read or stored from there on; 0 if that is told by the caller.
    """
    need = _WRITE if write else _READ
    for _ in range(4):
        physical = _physical(mm, address, need)
        if physical >= 0:
            if write:
                mm.frames.wrote(physical >> PAGE_SHIFT)
            if _askers and n:
                _tell(mm, address, physical, n, write)
            return physical
        _fault_in(mm, address, PF_WRITE if write else 0)
    raise KernelBug(f"the fault handler does not make {address:#x} accessible")


def _fault_in(mm: Mm, address: int, error: int) -> None:
    """Repair one access. Without memory for it somebody is killed; SysError(EFAULT) if that is the caller itself."""
    while True:
        try:
            fault.handle(mm, address, error)
            return
        except fault.BadAccess as bad:
            reclaimer = mm.frames.reclaimer
            out_of_memory = bad.fault_class == "oom" and reclaimer is not None and reclaimer.make_room()
            if not out_of_memory or not mm.users:  # it may have been this very memory that was freed
                raise SysError(EFAULT) from None


def _check(address: int, n: int) -> None:
    if address + n > TASK_SIZE or n < 0:
        raise SysError(EFAULT)


def chunks(mm: Mm, address: int, n: int, write: bool) -> Iterator[memoryview]:
    """The RAM behind user bytes [address, address + n), page by page in order.

    Raises SysError(EFAULT) when it reaches the first page that cannot be accessed.
    """
    _check(address, n)
    data = mm.frames.ram.data
    while n > 0:
        size = min(n, PAGE_SIZE - (address & (PAGE_SIZE - 1)))
        physical = translate(mm, address, write, size)
        yield data[physical : physical + size]
        address += size
        n -= size


def read(mm: Mm, address: int, n: int) -> bytes:
    """`n` bytes from user memory."""
    if 0 < n <= PAGE_SIZE - (address & (PAGE_SIZE - 1)) and address < TASK_SIZE:
        physical = translate(mm, address, False, n)
        return bytes(mm.frames.ram.data[physical : physical + n])
    return b"".join(chunks(mm, address, n, False))


def write(mm: Mm, address: int, data: bytes | memoryview) -> None:
    """Store `data` in user memory. Bytes before the one that faults are written."""
    n = len(data)
    if 0 < n <= PAGE_SIZE - (address & (PAGE_SIZE - 1)) and address < TASK_SIZE:
        physical = translate(mm, address, True, n)  # the usual case, without the generator
        mm.frames.ram.data[physical : physical + n] = data
        return
    at = 0
    for chunk in chunks(mm, address, n, True):
        chunk[:] = data[at : at + len(chunk)]
        at += len(chunk)


def read_u64(mm: Mm, address: int) -> int:
    """One 64-bit word."""
    return _U64.unpack(read(mm, address, 8))[0]


def read_u32(mm: Mm, address: int) -> int:
    """One 32-bit word."""
    return _U32.unpack(read(mm, address, 4))[0]


def write_u64(mm: Mm, address: int, value: int) -> None:
    """Store a 64-bit word."""
    write(mm, address, _U64.pack(value & 0xFFFF_FFFF_FFFF_FFFF))


def write_u32(mm: Mm, address: int, value: int) -> None:
    """Store a 32-bit word."""
    write(mm, address, _U32.pack(value & 0xFFFF_FFFF))


def read_cstr(mm: Mm, address: int, limit: int = PAGE_SIZE) -> bytes:
    """A string up to its zero byte; SysError(ENAMETOOLONG) if there is none within `limit` bytes."""
    n = min(_SHORT, limit, PAGE_SIZE - (address & (PAGE_SIZE - 1)))
    if address < TASK_SIZE and n > 0:
        physical = translate(mm, address, False, 0)
        part = bytes(mm.frames.ram.data[physical : physical + n])
        end = part.find(0)
        if end >= 0:
            if _askers:
                _tell(mm, address, physical, end + 1, False)
            return part[:end]
    return _read_long_cstr(mm, address, limit)


def _read_long_cstr(mm: Mm, address: int, limit: int) -> bytes:
    parts: list[bytes] = []
    at, left = address, min(limit, max(0, TASK_SIZE - address))
    while left > 0:
        n = min(left, PAGE_SIZE - (at & (PAGE_SIZE - 1)))
        physical = translate(mm, at, False, 0)
        part = bytes(mm.frames.ram.data[physical : physical + n])
        end = part.find(0)
        parts.append(part if end < 0 else part[:end])
        if _askers:
            _tell(mm, at, physical, n if end < 0 else end + 1, False)
        if end >= 0:
            return b"".join(parts)
        at, left = at + n, left - n
    raise SysError(ENAMETOOLONG if address + limit <= TASK_SIZE else EFAULT)


def probe(mm: Mm, address: int, n: int) -> bytes:
    """What could be read of [address, address + n) without any fault: for debuggers and reports. Changes nothing."""
    out: list[bytes] = []
    while n > 0 and 0 <= address < TASK_SIZE:
        size = min(n, PAGE_SIZE - (address & (PAGE_SIZE - 1)))
        physical = _physical(mm, address, PTE_P)
        if physical < 0:
            break
        out.append(bytes(mm.frames.ram.data[physical : physical + size]))
        address += size
        n -= size
    return b"".join(out)
