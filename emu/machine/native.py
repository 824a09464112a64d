"""Host machine code that the engine calls before every block or instruction.

A hook is a C function pointer, so it need not be Python: a handful of host instructions that decrement a counter
and ask the engine to stop below zero cost a few per cent where a Python block hook costs a factor of fifty. The
bytes are kept beside their listing (a test assembles the listing and compares), are written to a fresh page that
then becomes read-execute, and find all data through the hook's `user_data` pointer; nothing is patched.

`SYSCALL_CODE` is the first half of a system call entry: R11 = RFLAGS (worked out by uc_reg_read, the engine keeps
flags lazily), RCX = RIP behind the instruction, the check that user code is still in 64-bit ring 3, and the check
that the instruction is two bytes long. The latter matters because the engine adds the length to RIP *after* the
hook, to whichever task then runs: with a prefix (66 0F 05) that would be one byte too many. So the stub walks the
tables to the first byte; anything but 0F, or a huge page, goes the slow way. It needs the register file in place.
Offsets there are those of layout.py: RIP 128, eflags 136, hflags 176.

Where the host is not x86-64 or refuses executable memory, `load` returns None and the machine counts in Python
callbacks. Not with `emu_start(count=...)`: that is ten times faster than a callback, but puts an instruction hook
under every instruction, and then a fault in mid-block loses the arithmetic flags (Entries._settle).
"""

import ctypes
import mmap
import platform
import sys
from collections.abc import Sequence
from typing import Any, Final

BLOCK_LISTING: Final = """
    sub qword ptr [rcx], 1
    js expired
    ret
expired:
    jmp qword ptr [rcx + 8]
"""
BLOCK_CODE: Final = bytes.fromhex("48832901 7801 c3 ff6108")

CODE_LISTING: Final = """
    sub qword ptr [rcx], 1
    js expired
    inc qword ptr [rcx + 16]
    mov qword ptr [rcx + 24], rsi
    mov rax, qword ptr [rcx + 32]
    movups xmm0, xmmword ptr [rax + 136]
    movups xmm1, xmmword ptr [rax + 152]
    mov rax, qword ptr [rax + 168]
    movups xmmword ptr [rcx + 40], xmm0
    movups xmmword ptr [rcx + 56], xmm1
    mov qword ptr [rcx + 72], rax
    ret
expired:
    jmp qword ptr [rcx + 8]
"""
CODE_CODE: Final = bytes.fromhex(
    "48832901782e48ff411048897118488b41200f1080880000000f108898000000488b80a80000000f1141280f11493848894148c3ff6108"
)

SYSCALL_LISTING: Final = """
    push rbx
    push r12
    sub rsp, 8
    mov rbx, rsi
    mov r12, qword ptr [rsi]
    lea rdx, [r12 + 88]
    mov qword ptr [rdx], 0
    mov esi, 25
    call qword ptr [rbx + 8]
    mov rax, qword ptr [r12 + 128]
    lea rcx, [rax + 2]
    mov qword ptr [r12 + 128], rcx
    mov qword ptr [r12 + 8], rcx
    mov ecx, dword ptr [rbx + 32]
    cmp ecx, dword ptr [r12 + 176]
    jne odd
    test dword ptr [r12 + 136], 0x23100
    jne odd
    mov rdi, qword ptr [rbx + 40]
    mov rsi, qword ptr [rbx + 48]
    mov rdx, qword ptr [rbx + 56]
    mov rdx, qword ptr [rdx]
    movabs r8, 0xffffffffff000
    mov ecx, 39
level:
    and rdx, r8
    cmp rdx, rsi
    jae odd
    mov r9, rax
    shr r9, cl
    and r9d, 511
    add rdx, rdi
    mov rdx, qword ptr [rdx + 8*r9]
    test dl, 1
    je odd
    cmp ecx, 12
    je leaf
    sub ecx, 9
    test dl, -128
    je level
    jmp odd
leaf:
    and rdx, r8
    cmp rdx, rsi
    jae odd
    add rdx, rdi
    and eax, 4095
    cmp byte ptr [rdx + rax], 15
    jne odd
    call qword ptr [rbx + 16]
    jmp done
odd:
    call qword ptr [rbx + 24]
done:
    sub qword ptr [r12 + 128], 2
    add rsp, 8
    pop r12
    pop rbx
    ret
"""
SYSCALL_CODE: Final = bytes.fromhex(
    "5341544883ec084889f34c8b26498d54245848c70200000000be19000000ff5308498b842480000000488d480249898c2480"
    "00000049894c24088b4b20413b8c24b0000000757741f7842488000000003102007569488b7b28488b7330488b5338488b12"
    "49b800f0ffffffff0f00b9270000004c21c24839f273434989c149d3e94181e1ff0100004801fa4a8b14caf6c201742a83f9"
    "0c740a83e909f6c28074d2eb1b4c21c24839f273134801fa25ff0f0000803c020f7505ff5310eb03ff53184983ac24800000"
    "00024883c408415c5bc3"
)

#: What the engine's `abort` becomes, see aborts.py. Its cells (AbortCells) are 3325 bytes behind its first byte.
ABORT_LISTING: Final = """
    lea rcx, [rip + 3321]
    mov rdi, qword ptr [rcx]
    test rdi, rdi
    je real
    inc qword ptr [rcx + 16]
    mov esi, 6
    jmp qword ptr [rcx + 8]
real:
    jmp qword ptr [rcx + 24]
"""
ABORT_CODE: Final = bytes.fromhex("488d0df90c0000488b394885ff740c48ff4110be06000000ff6108ff6118")

_PROT_READ_EXEC = 1 | 4
_STUBS: Final = (BLOCK_CODE, CODE_CODE, SYSCALL_CODE, ABORT_CODE)
_SPACING = 256
_CELLS_AT = 4096  # the page behind the code stays writable


class Counter(ctypes.Structure):
    """What a stub finds at `user_data`; the offsets are those of the listings.

    left        decremented first; below zero the stub asks the engine to stop and counts nothing
    stop        address of uc_emu_stop, which gets the engine handle the stub was called with

    CODE_LISTING only:

    count       instructions begun
    last        address of the last one begun
    registers   address of the register file
    flags       the five words of the lazy flags (eflags to cc_op) before that instruction, see Entries._settle
    """

    left: int
    stop: int
    count: int
    last: int
    registers: int
    flags: "ctypes.Array[ctypes.c_uint64]"
    _fields_ = [
        ("left", ctypes.c_int64),
        ("stop", ctypes.c_uint64),
        ("count", ctypes.c_uint64),
        ("last", ctypes.c_uint64),
        ("registers", ctypes.c_uint64),
        ("flags", ctypes.c_uint64 * 5),
    ]

    def restore(self, data: bytes) -> None:
        """As it was when `bytes(counter)` was this."""
        ctypes.memmove(ctypes.addressof(self), data, len(data))


class SyscallFrame(ctypes.Structure):
    """What SYSCALL_CODE finds at `user_data`.

    registers   address of the register file
    read        address of uc_reg_read
    enter       called when all is well, without arguments
    odd         called instead when the mode is not `mode`, VM, IOPL or TF are set, or prefixes come before 0F 05
    mode        hflags of 64-bit ring 3
    ram, size   guest RAM in the host
    cr3_at      address of the CR3 field
    """

    mode: int
    _fields_ = [
        ("registers", ctypes.c_uint64),
        ("read", ctypes.c_uint64),
        ("enter", ctypes.c_uint64),
        ("odd", ctypes.c_uint64),
        ("mode", ctypes.c_uint64),
        ("ram", ctypes.c_uint64),
        ("size", ctypes.c_uint64),
        ("cr3_at", ctypes.c_uint64),
    ]


class AbortCells(ctypes.Structure):
    """What ABORT_CODE finds behind it.

    env     the engine's CPU, while one runs; else 0
    throw   address of the engine's raise_exception(env, vector)
    count   how often it has aborted
    real    address of the C library's abort
    """

    env: int
    throw: int
    count: int
    real: int
    _fields_ = [
        ("env", ctypes.c_uint64),
        ("throw", ctypes.c_uint64),
        ("count", ctypes.c_uint64),
        ("real", ctypes.c_uint64),
    ]


class CodePages:
    """A page of host code at `address`, not writable, and behind it one of data, at `_CELLS_AT`."""

    def __init__(self, pages: mmap.mmap, address: int) -> None:
        self.pages = pages
        self.address = address


class NativeCode:
    """The stubs in an executable page: addresses of `block`, `code`, `syscall` and `abort`."""

    def __init__(self, code: CodePages) -> None:
        self.block, self.code, self.syscall, self.abort = (code.address + _SPACING * i for i in range(len(_STUBS)))
        self.abort_cells = AbortCells.from_buffer(code.pages, _CELLS_AT)
        self._pages = code


def supported_host() -> bool:
    """True where the stubs are the host's own instructions and calling convention."""
    return platform.machine() in ("x86_64", "AMD64") and sys.platform != "win32"


def load() -> NativeCode | None:
    """Put the stubs into executable memory; None where that is impossible."""
    code = map_code(_STUBS, _SPACING)
    return NativeCode(code) if code else None


def map_code(stubs: Sequence[bytes], spacing: int) -> CodePages | None:
    """A page with these stubs, `spacing` bytes from one to the next; None where that is impossible."""
    if not supported_host():
        return None
    pages = mmap.mmap(-1, _CELLS_AT + mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    for i, stub in enumerate(stubs):
        pages[spacing * i : spacing * i + len(stub)] = stub
    address = ctypes.addressof(ctypes.c_char.from_buffer(pages))
    mprotect = ctypes.CDLL(None).mprotect
    mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    if mprotect(address, _CELLS_AT, _PROT_READ_EXEC) != 0:
        return None
    return CodePages(pages, address)


def address_of(function: Any) -> int:
    """The address of a C function loaded by ctypes."""
    return ctypes.cast(function, ctypes.c_void_p).value or 0


def data_of(structure: ctypes.Structure) -> int:
    """The `user_data` for a hook. The structure must outlive the engine."""
    return ctypes.addressof(structure)
