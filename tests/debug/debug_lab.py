"""What the debugger's tests share: a program under a debugger, its state as one value, programs that fork at random."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

from program_lab import assemble

from emu.boot import Options, System
from emu.debug import Debugger, Ended, Stop
from emu.debug.state import registers, vector_state
from emu.program import Program, load_program, new_assembler
from mini_kernel.fs.stream import BytesStream

EXAMPLES = Path(__file__).parents[2] / "examples"


@contextmanager
def debugged(program: Program, stdin: bytes = b"", **options: Any) -> Iterator[Debugger]:
    """A debugger over a fresh system."""
    streams = (BytesStream(stdin), BytesStream(), BytesStream())
    chosen = Options(**{"memory": 64 << 20, "debug": True, **options})
    with System(program, (), chosen, streams) as system:
        yield Debugger(system)


def source(text: str, name: str = "program.asm") -> Program:
    """An assembled program with its symbols and lines."""
    with new_assembler() as assembler:
        image = assembler.assemble(text, name)
    from emu.asm import to_elf

    return Program(name, "", to_elf(image), image)


def stripped(text: str) -> Program:
    """The same without symbols; a little faster to make."""
    return Program("program", "", assemble(text), None)


def example(name: str) -> Program:
    """One of the examples."""
    return load_program(str(EXAMPLES / name))


def fingerprint(d: Debugger) -> tuple[Any, ...]:
    """Everything that a program could ever see: the time, every task's registers, all memory in use, output."""
    kernel = d.kernel
    frames = kernel.frames.used()
    memory = hashlib.sha256(kernel.ram.tables[frames].tobytes()).hexdigest()
    tasks = tuple(
        (tid, int(t.state), t.call, registers(d, tid), vector_state(d, tid), t.blocked, tuple(t.pending))
        for tid, t in sorted(kernel.tasks.items())
    )
    current = d.current.tid if d.current else 0
    return d.now, current, tasks, frames.tolist(), memory, kernel.clock.now_ns(), d.machine.slice_left


def ending(d: Debugger) -> tuple[Any, ...]:
    """How a run ended: status, output, costs (but for host time)."""
    costs = d.system.stats()["total"]
    del costs["fork_us"], costs["instructions"]
    return d.kernel.exit_status, d.system.stdout, d.system.stderr, costs


def run_to_end(d: Debugger) -> list[Stop]:
    """Every stop up to the end."""
    stops: list[Stop] = []
    while not stops or not isinstance(stops[-1], Ended):
        stops.append(d.cont())
        assert len(stops) < 10_000
    return stops


def random_forks(random: Random) -> str:
    """A program that writes, forks in every way, maps and unmaps, and waits, as chance has it; it always ends."""
    lines = [".text", "_start:", "    lea rbx, [rip + data]", f"    mov r12d, {random.randrange(3, 6)}", "again:"]
    for number in range(random.randrange(3, 7)):
        lines += random.choice((_write, _fork, _spin, _call, _map))(random, number)
    lines += ["    dec r12d", "    jnz again", "reap:"]
    lines += [*_system("wait4", "-1", "0", "0", "0"), "    test rax, rax", "    jg reap"]
    lines += ["    movzx edi, byte ptr [rbx]", "    mov eax, SYS_exit_group", "    syscall"]
    lines += ["leaf:", "    push rax", "    inc qword ptr [rbx + 8]", "    pop rax", "    ret"]
    return "\n".join([*lines, ".data", "data: .quad 1, 2, 3, 4", ".zero 8192"]) + "\n"


def _system(name: str, *arguments: str) -> list[str]:
    registers = ("rdi", "rsi", "rdx", "r10", "r8", "r9")
    moves = [f"    mov {r}, {a}" for r, a in zip(registers, arguments, strict=False)]
    return [*moves, f"    mov eax, SYS_{name}", "    syscall"]


def _write(random: Random, number: int) -> list[str]:
    return [f"    add qword ptr [rbx + {random.choice((0, 8, 4096, 8000))}], {number + 1}"]


def _fork(random: Random, number: int) -> list[str]:
    call = random.choice(("fork", "odfork"))
    child = [f"    inc byte ptr [rbx + {random.choice((0, 5000))}]", f"    mov ecx, {random.randrange(1, 40)}"]
    return [
        *_system(call), "    test rax, rax", f"    jnz parent{number}", *child, f"spin{number}: loop spin{number}",
        *_system("exit_group", str(number)), f"parent{number}:",
    ]  # fmt: skip


def _spin(random: Random, number: int) -> list[str]:
    return [f"    mov ecx, {random.randrange(1, 90)}", f"wait{number}: loop wait{number}"]


def _call(_random: Random, _number: int) -> list[str]:
    return ["    call leaf"]


def _map(random: Random, number: int) -> list[str]:
    made = _system("mmap", "0", str(random.choice((4096, 12288))), "3", "0x22", "-1", "0")
    touched = ["    mov r13, rax", f"    mov byte ptr [r13 + {random.randrange(4096)}], {number}"]
    return [*made, *touched, *(_system("munmap", "r13", "4096") if random.randrange(2) else [])]
