"""Hostile programs: random ring-3 code through the whole kernel, with every invariant checked after each.

A program to run, not a test: `python hostile.py FIRST COUNT [--show]` runs the programs with seeds from FIRST on and
ends with status 0 if none of them made the kernel or the machine misbehave. A crash of the host process, which random
code might cause, is then an exit status and not the end of the test suite (test_hostile.py).
"""

import argparse
import faulthandler
import os
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).parents[2]))

from emu.boot import Options, System
from emu.program import Program
from mini_kernel.fs.stream import BytesStream
from mini_kernel.mm import mmap, protect, uaccess
from mini_kernel.syscalls import TABLE
from mini_kernel.task import SigAction
from mini_kernel.uapi.mman import MAP_ANONYMOUS, MAP_FIXED, MAP_PRIVATE, MAP_SHARED, PROT_EXEC, PROT_READ
from mini_kernel.uapi.signal import (
    SA_NODEFER,
    SA_ONSTACK,
    SA_RESTART,
    SA_RESTORER,
    SA_SIGINFO,
    SIGBUS,
    SIGFPE,
    SIGILL,
    SIGSEGV,
    SIGTRAP,
)
from mini_kernel.x86 import FLAG_AC, FLAG_DF, FLAG_NT, FLAG_TF, RIP, RSP

MEMORY: Final = 8 << 20
QUANTUM: Final = 500  # blocks; short, so that programs are interrupted anywhere
MAX_TICKS, MAX_ENTRIES = 6, 60
PROGRAMS_PER_SYSTEM: Final = 1_000
HANG_S: Final = 60  # host seconds without a finished program: dump the stacks and die

CODE, DATA, SHARED, READ_ONLY, GUARD = 0x40_0000, 0x50_0000, 0x60_0000, 0x70_0000, 0x80_0000
HANDLER, HANDLER_STACK = 0x90_0000, 0x98_0000
#: The interrupted code goes on one byte further, in the middle of an instruction or not; or, if it had left the code
#: page, one byte behind where it went on last time. RESTORER is rt_sigreturn.
#:     mov rcx, [rdx + 168]; mov eax, ecx; shr eax, 12; cmp eax, CODE >> 12; je 1f; mov rcx, [HANDLER_STACK]
#: 1:  inc rcx; mov [rdx + 168], rcx; mov [HANDLER_STACK], rcx; ret
HANDLER_CODE: Final = bytes.fromhex(
    "488b8aa8000000 89c8 c1e80c 3d00040000 7408 488b0c2500009800 48ffc1 48898aa8000000 48890c2500009800 c3"
)
RESTORER: Final = bytes.fromhex("b80f000000 0f05")
EXIT: Final = bytes.fromhex("31ff b8e7000000 0f05")  # exit_group(0)
FAULTS: Final = (SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP)
#: Smallest ELF that loads: one page of code, `hlt` (never run).
TINY_ELF: Final = bytes.fromhex(
    "7f454c4602010100000000000000000002003e0001000000780001000000000040000000000000000000000000000000"
    "000000004000380001004000000000000100000005000000000000000000000000000100000000000000010000000000"
    "79000000000000007900000000000000001000000000000 0f4".replace(" ", "")
)

INTERESTING: Final = (
    0, 1, 2, 3, 7, 8, 16, 63, 64, 255, 4095, 4096, 4097, 65536, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF,
    0xFFFF_FFFF_FFFF_FFFF, 0xFFFF_FFFF_FFFF_F000, 0x8000_0000_0000_0000, 0x7FFF_FFFF_FFFF_FFFF, 0x7FFF_FFFF_F000,
    0x7FFF_FFFF_EFF8, 0x8000_0000_0000, 0xFFFF_8000_0000_0000, -100 & 0xFFFF_FFFF_FFFF_FFFF,
)  # fmt: skip
PLACES: Final = (CODE, DATA, SHARED, READ_ONLY, GUARD, CODE + 0xFF8, DATA + 0x1FFC, SHARED + 0x0FF0, DATA + 0x1000)
#: Instructions that touch what user code must not, change modes or are easily got wrong; others are made below.
_ODD: Final = """
    cc cd03 cd80 cd21 cd0e cd06 f1 f4 fa fb ec ed ee ef 6c 6d 6e 6f 0f0b 0f34 0f35 480f07 0f06 0f30 0f32
    0f31 0f01f9 0f20d8 0f22d8 0f22e0 0f23f8 0f0110 0f0118 0f00d8 0f00d0 0f0138 0f01f8 0f08 0f09 cf 48cf
    66cf cb 48cb ca0800 9d 669d 9c ff2c24 ff1c24 8ed0 8ed8 8ee0 8ee8 8cc8 0fa0 0fa1 0fa9 0fb206 c8ffff1f
    c9 c3 c20800 0fc7f8 c5f877 62f17c4828c0 0faa 0f01c1 f0ff07 f00f0b f3a4 f348a5 f3aa f348ab f2ae f3a6
    fdf3a4 ebfe e800000000 ff24c500004000 ffe0 ffd0 ff20 dbe3 d9ee d9f7 9b dd30 dd20 0fae07 0fae0f
    0fae17 0fae1f 480fae07 480fae0f f7f1 48f7f9 f6f0 0fa2 0fc70f 480fc70f 87e4 4c8b1425 9090 f390 0f0d08
    0f1f00 6690 48e9ffffff7f e9000000f0 0f8400000080 67e301 8f00 ff30 50 58 54 5c 6aff 68ffffffff
    f00fa3f2 f0480fabf2 f00fb3c1 f00fbaea03
"""
ODD: Final = tuple(bytes.fromhex(text) for text in _ODD.split())


def value(rng: random.Random) -> int:
    """A number worth trying: small, huge, or an address in or beside what is mapped."""
    kind = rng.random()
    if kind < 0.35:
        return rng.choice(INTERESTING)
    if kind < 0.75:
        return rng.choice(PLACES) + rng.choice((0, 0, 0, 8, 64, 128, rng.randrange(4096)))
    if kind < 0.95:
        return rng.randrange(64)
    return rng.getrandbits(64)


def move(register: int, number: int) -> bytes:
    """mov register, imm64."""
    return bytes((0x48 | register >> 3, 0xB8 | register & 7)) + (number & (1 << 64) - 1).to_bytes(8, "little")


def system_call(rng: random.Random) -> bytes:
    """A system call with arguments worth trying; some leave registers as the last one did."""
    number = rng.choice(CALLS) if rng.random() < 0.97 else rng.getrandbits(rng.choice((9, 12, 32)))
    code = b""
    for register in (7, 6, 2, 10, 8, 9):
        if rng.random() < 0.8:
            code += move(register, value(rng))
    return code + move(0, number) + b"\x0f\x05"


def memory_access(rng: random.Random) -> bytes:
    """A load, store, exchange or string move through registers set just before."""
    register, base = rng.randrange(16), rng.choice((0, 1, 2, 3, 6, 7))
    opcode = rng.choice((0x89, 0x8B, 0x87, 0x01, 0x31, 0xFF, 0x8F, 0x88, 0x38))
    modrm = (register & 7) << 3 | base
    return move(base, value(rng)) + bytes((0x48 | (register >> 3) << 2, opcode, modrm))


def jump(rng: random.Random) -> bytes:
    """A short jump, anywhere near."""
    return bytes((rng.choice((0xEB, *range(0x70, 0x80), 0xE0, 0xE2)), rng.randrange(256)))


def computed_jump(rng: random.Random) -> bytes:
    """jmp rax or call rax, to anywhere."""
    return move(0, value(rng)) + rng.choice((b"\xff\xe0", b"\xff\xd0"))


def pushes(rng: random.Random) -> bytes:
    """Numbers on the stack for whatever pops them: iretq frames, flags, return addresses."""
    flags = rng.choice((0x202, 0x202 | FLAG_TF, 0x202 | FLAG_NT, FLAG_AC, FLAG_DF, 0x3202, 0x2_0202, 0x20_0202))
    order = (0x2B, DATA + 0x800, flags, rng.choice((0x33, 0x23, 0x2B, 0, 0xFFFF)), CODE + rng.randrange(256))
    code = b"".join(move(0, n) + b"\x50" for n in (order if rng.random() < 0.6 else [value(rng) for _ in order]))
    return code + rng.choice((b"\x48\xcf", b"\xcf", b"\x9d", b"\xc3", b"\x48\xcb", move(0, 15) + b"\x0f\x05"))


def random_bytes(rng: random.Random) -> bytes:
    return rng.randbytes(rng.randrange(1, 24))


def odd(rng: random.Random) -> bytes:
    return rng.choice(ODD)


MAKERS: Final[tuple[Callable[[random.Random], bytes], ...]] = (
    *(system_call,) * 6, *(memory_access,) * 3, jump, computed_jump, pushes, odd, odd, random_bytes,
)  # fmt: skip
CALLS: Final = sorted(TABLE)


def make(rng: random.Random) -> bytes:
    """The code of one program: random bytes, or a random sequence of things worth trying."""
    if rng.random() < 0.3:
        return rng.randbytes(rng.choice((16, 64, 256, 4000)))
    code = b"".join(rng.choice(MAKERS)(rng) for _ in range(rng.randrange(2, 25)))
    if rng.random() < 0.2 and code:
        spoiled = bytearray(code)
        for _ in range(rng.randrange(1, 6)):
            spoiled[rng.randrange(len(spoiled))] = rng.randrange(256)
        code = bytes(spoiled)
    return (code + EXIT)[:4096]


class Limiter:
    """Passes entries on to the kernel, and stops a program that has made enough of them."""

    def __init__(self, system: System) -> None:
        self.system = system
        self.entries = self.ticks = 0

    def reset(self) -> None:
        """A new program begins."""
        self.entries = self.ticks = 0

    def _count(self) -> None:
        self.entries += 1
        if self.entries > MAX_ENTRIES:
            self.system.machine.stop()

    def syscall(self) -> None:
        self.system.kernel.traps.syscall()
        self._count()

    def exception(self, vector: int, error: int, cr2: int) -> None:
        self.system.kernel.traps.exception(vector, error, cr2)
        self._count()

    def tick(self) -> None:
        self.system.kernel.traps.tick()
        self.ticks += 1
        if self.ticks > MAX_TICKS:
            self.system.machine.stop()


class Range:
    """A booted system with the hunting ground mapped, to which every program returns."""

    def __init__(self, exact: bool) -> None:
        options = Options(memory=MEMORY, quantum=QUANTUM, exact=exact)
        streams = (BytesStream(), BytesStream(), BytesStream())
        self.system = System(Program("hostile", "", TINY_ELF, None), (), options, streams)
        self.limiter = Limiter(self.system)
        self.system.machine.attach(self.limiter)
        task = self.system.task(1)
        for place, prot, kind in (
            (CODE, 7, MAP_PRIVATE), (DATA, 3, MAP_PRIVATE), (SHARED, 3, MAP_SHARED), (READ_ONLY, 1, MAP_PRIVATE),
            (HANDLER, 7, MAP_PRIVATE), (HANDLER_STACK, 3, MAP_PRIVATE),
        ):  # fmt: skip
            mmap.mmap(task.mm, place, 0x2000, prot, kind | MAP_FIXED | MAP_ANONYMOUS)
        uaccess.write(task.mm, DATA, b"/tmp/x\0" + bytes(57) + bytes(range(64)) * 4)
        uaccess.write(task.mm, HANDLER, HANDLER_CODE + RESTORER)
        uaccess.write_u64(task.mm, HANDLER_STACK, CODE)
        protect.mprotect(task.mm, HANDLER, 0x2000, PROT_READ | PROT_EXEC)
        self.image = self.system.snapshot()
        self.system.kernel.shutdown()
        self.own_frames = self._frames_outside_files()

    def _frames_outside_files(self) -> int:
        kernel = self.system.kernel
        return kernel.frames.in_use - sum(len(cache.pages) for cache in kernel.caches())

    def shoot(self, code: bytes, rng: random.Random) -> None:
        """Run one program and look at everything afterwards. Raises what went wrong."""
        system = self.system
        system.restore(self.image)
        for stream in system.streams:
            assert isinstance(stream, BytesStream)
            stream.written.clear()
            stream.data = b"input"
        self.limiter.reset()
        kernel, cpu = system.kernel, system.machine
        uaccess.write(system.task(1).mm, CODE, code)
        for register in range(16):
            cpu.regs[register] = value(rng)
        cpu.regs[RSP] = rng.choice((DATA + 0x1000, DATA + 0x1000, cpu.regs[RSP], kernel.sched.switches, DATA + 0x203))
        cpu.regs[RIP] = CODE
        if rng.random() < 0.8:
            self._survive_faults(rng)
        system.run()
        kernel.check()
        kernel.shutdown()
        self.look()

    def _survive_faults(self, rng: random.Random) -> None:
        """Give the program a handler that steps over what faults, mostly on a stack of its own."""
        task = self.system.task(1)
        flags = SA_SIGINFO | SA_RESTORER | SA_ONSTACK | rng.choice((0, SA_NODEFER, SA_RESTART))
        action = SigAction(HANDLER, flags, HANDLER + len(HANDLER_CODE), 0)
        task.process.actions.update(dict.fromkeys(FAULTS, action))
        if rng.random() < 0.9:
            task.altstack = (HANDLER_STACK, 0, 0x2000)

    def look(self) -> None:
        """Everything is dead: memory and tables must be as at boot, but for what is in files."""
        kernel = self.system.kernel
        kernel.check()
        assert not kernel.tasks, f"tasks are left: {list(kernel.tasks)}"
        assert not kernel.processes, f"processes are left: {list(kernel.processes)}"
        assert self._frames_outside_files() == self.own_frames, "frames are lost or freed twice"
        assert not kernel.ram.pages[0].any(), "frame 0 was written"

    def close(self) -> None:
        self.system.close()


def run(first: int, count: int, show: bool) -> int:
    """Run the programs; the exit status."""
    ground: Range | None = None
    descriptors = len(os.listdir("/proc/self/fd")) if sys.platform == "linux" else 0
    for seed in range(first, first + count):
        faulthandler.dump_traceback_later(HANG_S, exit=True)
        if ground is None or seed % PROGRAMS_PER_SYSTEM == 0:
            if ground is not None:
                ground.close()
            ground = Range(exact=seed // PROGRAMS_PER_SYSTEM % 4 == 3)
        rng = random.Random(seed)
        code = make(rng)
        if show:
            print(seed, code.hex(), flush=True)
        try:
            ground.shoot(code, rng)
        except BaseException:
            print(f"program {seed} ({code.hex()})", file=sys.stderr, flush=True)
            raise
    if ground is not None:
        ground.close()
    faulthandler.cancel_dump_traceback_later()
    if descriptors:
        assert len(os.listdir("/proc/self/fd")) <= descriptors, "file descriptors of the host are left open"
    print(f"{count} programs")
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description="random hostile programs through the whole kernel")
    parser.add_argument("first", type=int)
    parser.add_argument("count", type=int)
    parser.add_argument("--show", action="store_true", help="print every program before it runs")
    options = parser.parse_args()
    return run(options.first, options.count, options.show)


if __name__ == "__main__":
    sys.exit(main())
