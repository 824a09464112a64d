"""execve(2): a new program in an old process (Linux fs/exec.c, fs/binfmt_elf.c, fs/binfmt_script.c).

The new address space is built completely before the old one is touched: a program that cannot be loaded leaves the
caller as it was.
"""

import struct
from typing import TYPE_CHECKING, Final, NamedTuple

from mini_kernel import elf
from mini_kernel.cred import Credentials
from mini_kernel.errors import SysError
from mini_kernel.mm import fault, mmap, uaccess
from mini_kernel.mm.mm import STACK_TOP, Mm
from mini_kernel.mm.sfork import carry_over
from mini_kernel.mm.teardown import destroy
from mini_kernel.mm.vma import VM_EXEC, VM_GROWSDOWN, VM_MAY, VM_READ, VM_WRITE, MappedFile, Vma
from mini_kernel.uapi import auxv
from mini_kernel.uapi.errno import E2BIG, EFAULT, ENOEXEC, ENOMEM
from mini_kernel.uapi.mman import MAP_ANONYMOUS, MAP_FIXED, MAP_PRIVATE, PROT_EXEC, PROT_READ, PROT_WRITE
from mini_kernel.x86 import PAGE_SHIFT, PAGE_SIZE, RIP, RSP, page_down, page_up

if TYPE_CHECKING:
    from mini_kernel.kernel import Kernel

PIE_BASE: Final = 0x5555_5555_4000  # Linux ELF_ET_DYN_BASE without randomisation
STACK_PAGES: Final = 33  # mapped at once; the rest grows
MAX_ARG_STRLEN: Final = 32 * PAGE_SIZE
MAX_ARG_PAGES: Final = (8 << 20) // 4  # a quarter of RLIMIT_STACK
MAX_INTERPRETERS: Final = 5
CLOCK_TICKS: Final = 100
HWCAP: Final = 0x178B_FBFF  # CPUID 1 EDX of the CPU model


NOBODY_ELSE: Final = Credentials()  # user 0


class Program(NamedTuple):
    """What to load: the binary that runs in the end (an interpreter, for scripts) and its arguments."""

    file: MappedFile
    path: bytes
    argv: list[bytes]
    envp: list[bytes]
    cred: Credentials = NOBODY_ELSE  # who it will run as
    secure: bool = False  # it runs with other rights than its caller's (AT_SECURE)


class Loaded(NamedTuple):
    """A finished address space and where the program begins in it."""

    mm: Mm
    entry: int
    stack: int
    cred: Credentials = NOBODY_ELSE


def script_interpreter(head: bytes) -> tuple[bytes, list[bytes]] | None:
    """The interpreter and its one optional argument in a `#!` line, None if the file has none."""
    if not head.startswith(b"#!"):
        return None
    line = head[2:256].split(b"\n", 1)[0].strip(b" \t\r")
    if not line:
        raise SysError(ENOEXEC)
    parts = line.split(None, 1)
    return parts[0], [parts[1]] if len(parts) > 1 else []


def load(k: "Kernel", program: Program, old: Mm | None) -> Loaded:
    """Build the address space of an ELF program, for a caller whose memory is `old`.

    Raises ElfError for a bad file, SysError(ENOMEM, E2BIG).
    """
    cache = program.file.cache
    image = elf.parse(cache.read, cache.size)
    mm = Mm(k.frames, k.cpu)
    mm.thp = k.config.thp
    try:
        base = _map_image(mm, image, program.file)
        stack = _build_stack(k, mm, image, base, program)
        if old is not None:
            carry_over(old, mm)
    except (SysError, fault.BadAccess):
        destroy(mm)
        raise
    return Loaded(mm, base + image.entry, stack, program.cred)


def _map_image(mm: Mm, image: elf.ElfImage, file: MappedFile) -> int:
    """Map all segments; returns the load base. The heap starts behind the last one."""
    base = 0
    if image.type is elf.ElfType.DYN:
        base = (PIE_BASE + image.align - 1) // image.align * image.align - page_down(image.start)
    for segment in image.segments:
        _map_segment(mm, segment, base, file)
    mm.start_brk = mm.brk = page_up(base + image.end)
    return base


def _map_segment(mm: Mm, segment: elf.Segment, base: int, file: MappedFile) -> None:
    """The file's part as a private file mapping, the rest as zeros (Linux elf_map, set_brk, padzero)."""
    prot = (
        (PROT_READ if segment.flags & 4 else 0)
        | (PROT_WRITE if segment.flags & 2 else 0)
        | (PROT_EXEC if segment.flags & 1 else 0)
    )
    start = base + segment.vaddr
    file_end, end = start + segment.filesz, start + segment.memsz
    zero_from = page_down(start)
    if segment.filesz:
        zero_from = page_up(file_end)
        length = zero_from - page_down(start)
        index = segment.file_offset >> PAGE_SHIFT
        mmap.mmap(mm, page_down(start), length, prot, MAP_PRIVATE | MAP_FIXED, file, index)
        if end > file_end and prot & PROT_WRITE and zero_from > file_end:
            uaccess.write(mm, file_end, bytes(min(zero_from, end) - file_end))
    if end > zero_from:
        mmap.mmap(mm, zero_from, page_up(end) - zero_from, prot, MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS)


def _build_stack(k: "Kernel", mm: Mm, image: elf.ElfImage, base: int, program: Program) -> int:
    """Map the stack and fill it as the psABI says (3.4.1); returns RSP at entry."""
    flags = VM_READ | VM_WRITE | VM_MAY | VM_GROWSDOWN | (VM_EXEC if image.exec_stack else 0)
    mm.insert(Vma(STACK_TOP - STACK_PAGES * PAGE_SIZE, STACK_TOP, flags, name="[stack]"))
    strings = [*program.argv, *program.envp]
    if sum(len(s) + 9 for s in strings) > MAX_ARG_PAGES or any(len(s) >= MAX_ARG_STRLEN for s in strings):
        raise SysError(E2BIG)
    sp = STACK_TOP - 8
    block = bytearray()
    sp -= len(program.path) + 1
    execfn = sp
    block[:0] = program.path + b"\0" + bytes(8)
    addresses: list[int] = []
    for text in reversed(strings):
        sp -= len(text) + 1
        addresses.append(sp)
    addresses.reverse()
    block[:0] = b"".join(text + b"\0" for text in strings)
    environment = addresses[len(program.argv)] if program.envp else execfn
    mm.arguments, mm.environment = (sp, environment), (environment, execfn)
    extra = b"x86_64\0" + k.random.randbytes(16)
    sp -= len(extra)
    platform, random = sp, sp + 7
    block[:0] = extra
    vectors = _vectors(image, base, execfn, platform, random, program)
    mm.auxv = struct.pack(f"<{len(vectors)}Q", *vectors)
    argc = len(program.argv)
    words = [argc, *addresses[:argc], 0, *addresses[argc:], 0, *vectors]
    top, sp = sp, sp - 8 * len(words) & -16
    block[:0] = struct.pack(f"<{len(words)}Q", *words) + bytes(top - sp - 8 * len(words))
    _write_stack(mm, sp, bytes(block))
    return sp


def _write_stack(mm: Mm, sp: int, block: bytes) -> None:
    try:
        uaccess.write(mm, sp, block)
    except SysError as error:
        raise SysError(ENOMEM if error.errno == EFAULT else error.errno) from None


def _vectors(image: elf.ElfImage, base: int, execfn: int, platform: int, random: int, program: Program) -> list[int]:
    """The auxiliary vector (getauxval(3))."""
    pairs = (
        (auxv.AT_HWCAP, HWCAP),
        (auxv.AT_PAGESZ, PAGE_SIZE),
        (auxv.AT_CLKTCK, CLOCK_TICKS),
        (auxv.AT_PHDR, base + image.phdr if image.phdr else 0),
        (auxv.AT_PHENT, image.phentsize),
        (auxv.AT_PHNUM, image.phnum),
        (auxv.AT_BASE, 0),
        (auxv.AT_FLAGS, 0),
        (auxv.AT_ENTRY, base + image.entry),
        (auxv.AT_UID, program.cred.ruid),
        (auxv.AT_EUID, program.cred.euid),
        (auxv.AT_GID, program.cred.rgid),
        (auxv.AT_EGID, program.cred.egid),
        (auxv.AT_SECURE, int(program.secure)),
        (auxv.AT_RANDOM, random),
        (auxv.AT_HWCAP2, 0),
        (auxv.AT_EXECFN, execfn),
        (auxv.AT_PLATFORM, platform),
        (auxv.AT_MINSIGSTKSZ, 2048),
        (auxv.AT_NULL, 0),
    )
    return [word for pair in pairs for word in pair]


def start(k: "Kernel", loaded: Loaded) -> None:
    """Put the CPU at the program's first instruction: every register 0 but RIP and RSP. A new CR3 needs no flush."""
    k.cpu.load(k.cpu.fresh())
    k.cpu.cr3 = loaded.mm.cr3
    k.cpu.regs[RIP] = loaded.entry
    k.cpu.regs[RSP] = loaded.stack
