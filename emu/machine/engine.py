"""The part of libunicorn that the machine uses, bound by hand.

Why not the Python binding: its `reg_read` costs 2-5 us where the C call costs 0.2, its hook wrapper adds as
much to every trap, and importing it costs start-up time. The library is loaded as `PyDLL`: calls keep the GIL,
so a callback need not win it back (two mutex operations per trap).

`uc_hook_add` and `uc_ctl` are variadic. Every argument is passed with an explicit width and all are integers,
which the System V and AAPCS64 conventions pass as if the functions were not variadic.
"""

import ctypes
import functools
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from emu.machine.errors import EngineError, MachineError

ENGINE_VERSION: Final = (2, 1, 4)

# uc_err
ERR_OK, ERR_READ_UNMAPPED, ERR_WRITE_UNMAPPED, ERR_FETCH_UNMAPPED, ERR_INSN_INVALID = 0, 6, 7, 8, 10

# uc_hook_type and the instructions UC_HOOK_INSN accepts
HOOK_INTR, HOOK_INSN, HOOK_CODE, HOOK_BLOCK = 1, 2, 4, 8
HOOK_MEM_READ, HOOK_MEM_WRITE = 1 << 10, 1 << 11
MEM_READ, MEM_WRITE = 16, 17  # uc_mem_type, what a memory hook is told
INSN_IN, INSN_OUT, INSN_SYSCALL, INSN_SYSENTER = 218, 500, 699, 700

# uc_x86_reg
REG_CS, REG_EFLAGS, REG_FPSW, REG_RIP, REG_SS = 11, 25, 31, 41, 49
REG_CR0, REG_CR2, REG_CR3, REG_CR4, REG_FP0, REG_XMM0 = 50, 52, 53, 54, 82, 122
REG_FIP, REG_FDP, REG_FOP = 254, 256, 258
REG_FPCW, REG_FPTAG, REG_MSR, REG_MXCSR, REG_FS_BASE, REG_GS_BASE = 246, 247, 248, 249, 250, 251
#: rax rcx rdx rbx rsp rbp rsi rdi r8..r15, the hardware's order
REG_GENERAL: Final = (35, 38, 40, 37, 44, 36, 43, 39, *range(106, 114))

_ARCH_X86, _MODE_64, _CPU_WESTMERE, _PROT_ALL = 4, 1 << 3, 16, 7
_CTL_USE_EXITS, _CTL_CPU_MODEL, _CTL_TB_FLUSH, _CTL_TLB_FLUSH, _CTL_TCG_BUFFER = 4, 7, 10, 11, 13

SyscallHook = ctypes.CFUNCTYPE(None)  # (uc, data): both arguments left unread, which the ABI allows
InterruptHook = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_uint32)
InHook = ctypes.CFUNCTYPE(ctypes.c_uint32)
CodeHook = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_uint64)
BlockHook = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_uint64, ctypes.c_uint32)
MemoryHook = ctypes.CFUNCTYPE(
    None, ctypes.c_void_p, ctypes.c_int, ctypes.c_uint64, ctypes.c_int, ctypes.c_uint64
)  # (uc, type, physical address, size, value)


def _ctl_write(control: int, arguments: int) -> int:
    """The UC_CTL_WRITE macro of unicorn.h."""
    return control | arguments << 26 | 1 << 30


TLB_FLUSH: Final = _ctl_write(_CTL_TLB_FLUSH, 0)
CODE_FLUSH: Final = _ctl_write(_CTL_TB_FLUSH, 0)


def library_path() -> Path:
    """The shared library inside the installed unicorn package, found without importing the package."""
    spec = importlib.util.find_spec("unicorn")
    if spec is None or not spec.submodule_search_locations:
        raise MachineError("the unicorn package is not installed")
    name = "libunicorn.2.dylib" if sys.platform == "darwin" else "libunicorn.so.2"
    for place in spec.submodule_search_locations:
        path = Path(place) / "lib" / name
        if path.exists():
            return path
    raise MachineError(f"the unicorn package has no {name}")


@functools.cache
def library() -> ctypes.PyDLL:
    """libunicorn, loaded once, its version checked and its prototypes declared."""
    lib = ctypes.PyDLL(str(library_path()))
    version = lib.uc_version(None, None)
    found = version >> 24 & 255, version >> 16 & 255, version >> 8 & 255
    if found != ENGINE_VERSION:
        raise MachineError(f"unicorn {'.'.join(map(str, found))} found, exactly 2.1.4 is needed")
    p, u64, size_t, c_int = ctypes.c_void_p, ctypes.c_uint64, ctypes.c_size_t, ctypes.c_int
    lib.uc_strerror.restype = ctypes.c_char_p
    lib.uc_context_size.restype = size_t
    for name, types in {
        "uc_open": [c_int, c_int, p],
        "uc_close": [p],
        "uc_mem_map_ptr": [p, u64, size_t, ctypes.c_uint32, p],
        "uc_reg_read": [p, c_int, p],
        "uc_reg_write": [p, c_int, p],
        "uc_reg_read_batch": [p, p, p, c_int],
        "uc_reg_write_batch": [p, p, p, c_int],
        "uc_context_size": [p],
        "uc_context_alloc": [p, p],
        "uc_context_save": [p, p],
        "uc_context_restore": [p, p],
        "uc_context_free": [p],
        "uc_emu_start": [p, u64, u64, u64, size_t],
        "uc_emu_stop": [p],
        "uc_hook_add": [p, p, c_int, p, p, u64, u64],
        "uc_ctl": [p, c_int],
    }.items():
        getattr(lib, name).argtypes = types
    return lib


class Engine:
    """One open engine: x86-64, CPU model Westmere, no memory and no hooks yet.

    Westmere has no rdrand, rdseed, BMI, ERMS or fsgsbase: nothing that is random, and little of what the engine
    computes wrongly. The code buffer must be limited before anything else (its default grows to 1 GiB), and
    `until` must be off: with it, a jump to address 0 would end emulation instead of faulting.
    """

    def __init__(self, code_buffer: int) -> None:
        self.lib = library()
        handle = ctypes.c_void_p()
        self._check("uc_open", self.lib.uc_open(_ARCH_X86, _MODE_64, ctypes.byref(handle)))
        self.handle = handle
        self._callbacks: list[Any] = []  # the engine holds bare pointers into these
        try:
            self._control(_ctl_write(_CTL_TCG_BUFFER, 1), ctypes.c_uint32(code_buffer))
            self._control(_ctl_write(_CTL_CPU_MODEL, 1), ctypes.c_int(_CPU_WESTMERE))
            self._control(_ctl_write(_CTL_USE_EXITS, 1), ctypes.c_int(1))
        except MachineError:
            self.close()
            raise

    def _check(self, what: str, code: int) -> None:
        if code != ERR_OK:
            raise EngineError(what, code, self.lib.uc_strerror(code).decode())

    def _control(self, control: int, argument: object) -> None:
        self._check("uc_ctl", self.lib.uc_ctl(self.handle, control, argument))

    def close(self) -> None:
        """Free the engine. Its memory and callbacks must still exist at this point."""
        if self.handle:
            self.lib.uc_close(self.handle)
            self.handle = ctypes.c_void_p()
            self._callbacks.clear()

    def map(self, address: int, size: int) -> None:
        """Make `size` bytes at the host's `address` the physical memory from 0."""
        self._check("uc_mem_map_ptr", self.lib.uc_mem_map_ptr(self.handle, 0, size, _PROT_ALL, address))

    def hook(self, kind: int, callback: Any, data: int = 0, insn: int = 0) -> None:
        """Add a hook for all addresses: a ctypes callback, or the address of native code with its data."""
        self._callbacks.append(callback)
        target = ctypes.cast(callback, ctypes.c_void_p) if not isinstance(callback, int) else callback
        out = ctypes.c_size_t()
        add: Callable[..., int] = self.lib.uc_hook_add
        code = add(self.handle, ctypes.byref(out), kind, target, data, 1, 0, ctypes.c_int(insn))
        self._check("uc_hook_add", code)

    def read(self, register: int, size: int = 8) -> bytes:
        """`size` bytes of a register by its uc_x86_reg number."""
        buffer = ctypes.create_string_buffer(64)
        self._check("uc_reg_read", self.lib.uc_reg_read(self.handle, register, buffer))
        return buffer.raw[:size]

    def write(self, register: int, value: int | bytes) -> None:
        """Write a register by its uc_x86_reg number; an int as 64 bits."""
        data = value.to_bytes(8, "little") if isinstance(value, int) else value
        buffer = ctypes.create_string_buffer(data, 64)
        self._check("uc_reg_write", self.lib.uc_reg_write(self.handle, register, buffer))

    def read_batch(self, registers: "ctypes.Array[ctypes.c_int]", pointers: "ctypes.Array[ctypes.c_void_p]") -> None:
        """Many registers at once, each to where its pointer says."""
        code = self.lib.uc_reg_read_batch(self.handle, registers, pointers, len(registers))
        self._check("uc_reg_read_batch", code)

    def write_batch(self, registers: "ctypes.Array[ctypes.c_int]", pointers: "ctypes.Array[ctypes.c_void_p]") -> None:
        """Many registers at once, in order, each from where its pointer says."""
        code = self.lib.uc_reg_write_batch(self.handle, registers, pointers, len(registers))
        self._check("uc_reg_write_batch", code)

    def start(self, rip: int) -> int:
        """uc_emu_start without any limit; returns the uc_err."""
        return self.lib.uc_emu_start(self.handle, rip, 0, 0, 0)

    def describe(self, code: int) -> str:
        """The engine's text for a uc_err."""
        return self.lib.uc_strerror(code).decode()
