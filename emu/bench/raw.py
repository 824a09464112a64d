"""The bare engine: the least that any kernel on it must cost. Flat memory, no paging, ring 0, no kernel.

`run` binds it the way `emu.machine` does: the cheapest known way into Python. `binding_syscall` goes through the
engine's published Python binding, as most users of it do; in a process of its own, because here only `emu.machine`
drives the engine.
"""

import subprocess
import sys
from time import perf_counter_ns
from typing import Final

from emu.asm import Image
from emu.errors import EmuError
from emu.machine import engine as uc
from emu.machine.ram import Ram

_RAM: Final = 16 << 20  # programs are linked at 4 MiB
_CODE_BUFFER: Final = 32 << 20
_LIMIT: Final = 300.0  # seconds

#: mov rbx, COUNT; again: mov eax, 110; syscall; dec rbx; jnz again; hlt
_BINDING: Final = """
import sys, time, unicorn
from unicorn.x86_const import UC_X86_INS_SYSCALL
count = int(sys.argv[1])
engine = unicorn.Uc(unicorn.UC_ARCH_X86, unicorn.UC_MODE_64)
engine.mem_map(0x400000, 4096)
code = b"\\x48\\xbb" + count.to_bytes(8, "little") + bytes.fromhex("b86e000000 0f05 48ffcb 75f4 f4")
engine.mem_write(0x400000, code)
engine.hook_add(unicorn.UC_HOOK_INSN, lambda engine, data: None, None, 1, 0, UC_X86_INS_SYSCALL)
began = time.perf_counter_ns()
engine.emu_start(0x400000, 0)
print(time.perf_counter_ns() - began)
"""


def _nothing() -> None:
    """The empty hook."""


def run(image: Image, empty_syscall_hook: bool = False) -> int:
    """Run a program up to its `hlt`; the nanoseconds that took, without making the engine and loading.

    Raises EmuError if it ends in another way.
    """
    ram = Ram(_RAM)
    engine = uc.Engine(_CODE_BUFFER)
    try:
        engine.map(ram.address, ram.size)
        for section in image.sections:
            ram.data[section.vaddr : section.vaddr + len(section.data)] = section.data
        if empty_syscall_hook:
            engine.hook(uc.HOOK_INSN, uc.SyscallHook(_nothing), insn=uc.INSN_SYSCALL)
        began = perf_counter_ns()
        error = engine.start(image.entry)
        took = perf_counter_ns() - began
    finally:
        engine.close()
        ram.release()
    if error:
        raise EmuError(f"bench: the bare engine gave up: {engine.describe(error)}")
    return took


def binding_syscall(count: int) -> int:
    """Nanoseconds for `count` system calls with an empty hook of the engine's own Python binding."""
    try:
        command = [sys.executable, "-c", _BINDING, str(count)]
        done = subprocess.run(command, capture_output=True, check=True, text=True, timeout=_LIMIT)
    except (OSError, subprocess.SubprocessError) as error:
        raise EmuError(f"bench: the engine's binding: {error}") from None
    return int(done.stdout)
