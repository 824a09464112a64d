"""A system on a machine that others have used before is the same as one on a machine of its own, whatever they did."""

import random
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emu.boot import DEFAULT_ENVIRONMENT, Options, System
from emu.machine import ClosedError, Machine, MachineError, RecordMachine
from emu.machine.cpu import CpuState
from emu.program import Program
from emu.testing.loading import load
from emu.testing.warm import WarmSystem
from mini_kernel.fs.stream import BytesStream
from mini_kernel.snapshot import Image
from mini_kernel.uapi.errno import ENOMEM
from mini_kernel.x86 import RIP

MEMORY = 16 << 20
EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.asm"))[::2]
EXIT = "31ff b8e7000000 0f05"
#: Programs that leave the CPU as few do.
ODD = {
    "leaves 64-bit mode by iretd": "c7042400004000 c744240433000000 c744240802020200 c744240c00007000 cf",
    "steps itself": "9c 810c2400010000 9d 9090 " + EXIT,
    "sets DF, AC and NT": "fd 9c 810c2400400400 9d " + EXIT,
    "fills the x87 stack": "d9e8 d9e8 d9e8 d9e8 d9e8 d9e8 d9e8 d9e8 d9eb " + EXIT,
    "rounds upwards": "6800080000 d92c24 c70424805f0000 0fae1424 " + EXIT,
    "leaves XMM and carry": "660f76c0 660f6fc8 f9 " + EXIT,
    "sets FS and GS": "bf02100000 be00104000 b89e000000 0f05 bf01100000 b89e000000 0f05 " + EXIT,
    "writes its own code": "48c7c000000000 c605f3ffffff90 488d05e6ffffff c60090 " + EXIT,
    "reads a port": "ec " + EXIT,
    "calls by sysenter": "0f34 " + EXIT,
    "has no such instruction": "0f0b",
    "jumps out of the canonical addresses": "48b80000000000008000 ffe0",
    "jumps to 0": "31c0 ffe0",
    "says int 14": "cd0e",
    "calls with a prefix": "31ff b8e7000000 660f05",
    "waits for ever": "b822000000 0f05",
    "never ends": "ebfe",
    "recurs": "e8fbffffff",
    "forks and waits": "b839000000 0f05 85c0 7413 31d2 31f6 31ff 4d31d2 48c7c7ffffffff b83d000000 0f05 " + EXIT,
    "maps the code's address anew": "bf00004000 be00100000 ba07000000 41ba32000000 4983c8ff 4531c9 b809000000 0f05",
}


def elf(code: bytes) -> bytes:
    """An ELF file with one segment, at 0x400000, that may be read, written and run."""
    head = bytes([0x7F, *b"ELF", 2, 1, 1]).ljust(16, b"\0")
    size = 120 + len(code)
    head += struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, 0x400078, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    return head + struct.pack("<IIQQQQQQ", 1, 7, 0, 0x400000, 0x400000, size, size, 4096) + code


def wild(rng: random.Random) -> bytes:
    """Random instructions, half of them after the beginning of one that does something to the CPU."""
    pieces = list(ODD.values())
    code = b""
    while len(code) < 80:
        if rng.random() < 0.5:
            code += bytes.fromhex(rng.choice(pieces))[: rng.randrange(2, 12)]
        code += rng.randbytes(rng.randrange(1, 6))
    return code


def corpus(endless: bool) -> list[Program]:
    """All programs; without those that only a limit ends, if they are not wanted."""
    rng = random.Random(7)
    codes = {**{name: bytes.fromhex(code) for name, code in ODD.items()}, **{f"wild{i}": wild(rng) for i in range(40)}}
    small = [Program(name, "", elf(code), None) for name, code in codes.items()]
    return [*(p for p in small if endless or ends(p)), *(load(str(path)) for path in EXAMPLES)]


def ends(program: Program) -> bool:
    with WarmSystem(program, (), Options(memory=MEMORY, max_insns=5000)) as system:
        return system.run().ending != "max-insns"


def everything(system: System) -> dict[str, Any]:
    """What can be known of a system that has been run; RAM also where no frame is in use."""
    machine = system.machine
    outcome = system.run()
    dirty = np.flatnonzero(machine.ram.tables.any(axis=1))
    return {
        "outcome": outcome,
        "output": (system.stdout, system.stderr),
        "stats": system.stats(),
        "records": list(system.records),
        "clock": (machine.blocks(), machine.slice_left, machine.instructions() if machine.exact else None),
        "registers": machine.save(),
        "fpu": machine.fxsave(),
        "flags": (machine.rflags, machine.fs_base, machine.gs_base, machine.cr3),
        "kernel": system.snapshot(),
        "ram": (dirty.tolist(), machine.ram.pages[dirty].tobytes()),
    }


SHAPES: dict[str, dict[str, Any]] = {
    "plain": {},
    "exact, cut off": {"max_insns": 400},
    "scheduled": {"schedule": 5, "max_insns": 5000},
    "traced": {"traced": True},
}


def run_in(kind: type[System], program: Program, shape: str) -> dict[str, Any]:
    options = Options(memory=MEMORY, quantum=500, environment=DEFAULT_ENVIRONMENT, **SHAPES[shape])
    streams = (BytesStream(b"input\n"), BytesStream(), BytesStream())
    with kind(program, ("argument",), options, streams) as system:
        blocks: list[tuple[int, int]] = []
        if options.traced:
            system.machine.on_block = lambda address, size: blocks.append((address, size))
        return {**everything(system), "blocks": blocks}


@pytest.fixture
def no_host_values(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two values depend on the host: how long a fork took, and an address that the engine notes in its last word."""
    monkeypatch.setattr("mini_kernel.process.perf_counter_ns", lambda: 0)
    monkeypatch.setattr(CpuState, "save", lambda cpu: bytes(cpu._state[:-8]) + bytes(8))


def same(one: Any, other: Any) -> bool:
    """Equality; of snapshots, the quick way if they are the same bytes."""
    if isinstance(one, Image) and isinstance(other, Image) and one.objects == other.objects:
        return bool(np.array_equal(one.pfns, other.pfns) and np.array_equal(one.contents, other.contents))
    return bool(one == other)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.usefixtures("no_host_values")
def test_a_used_machine_is_as_good_as_a_new_one(shape: str) -> None:
    """Programs of all kinds, in a random order, on machines that the others have used: no difference at all."""
    programs = corpus(endless="max_insns" in SHAPES[shape])
    random.Random(shape).shuffle(programs)
    for program in programs[: None if shape == "plain" else len(programs) // 2]:
        alone, found = (run_in(kind, program, shape) for kind in (System, WarmSystem))
        for what, value in alone.items():
            assert same(found[what], value), (program.name, what)


def boot(program: Program, **options: Any) -> WarmSystem:
    return WarmSystem(program, (), Options(memory=MEMORY, **options))


def test_a_machine_is_used_again_by_systems_of_its_kind_only() -> None:
    hello = load(str(EXAMPLES[0]))
    with boot(hello, quantum=777) as system:
        machine = system.machine
        system.run()
    with boot(hello, quantum=778) as other, boot(hello, quantum=777, exact=True) as another:
        assert machine not in (other.machine, another.machine)
        with boot(hello, quantum=777) as again:
            assert again.machine is machine


@pytest.mark.parametrize("breaks", [True, False])
def test_a_machine_whose_system_broke_is_thrown_away(breaks: bool) -> None:
    with pytest.raises(ZeroDivisionError if breaks else ClosedError):
        with boot(load(str(EXAMPLES[0])), quantum=779) as system:
            machine: Any = system.machine
            if breaks:
                raise ZeroDivisionError
        system.machine.blocks()  # behind the statement it has no machine
    with boot(load(str(EXAMPLES[0])), quantum=779) as system:
        assert (system.machine is machine) == (not breaks)


def test_only_a_plain_machine_that_stands_still_is_recycled() -> None:
    with RecordMachine(MEMORY) as machine, pytest.raises(MachineError, match="debugger"):
        machine.recycle()
    with System(load(str(EXAMPLES[0])), (), Options(memory=MEMORY)) as system:
        failures: list[str] = []
        syscall: Callable[[], None] = system.kernel.traps.syscall

        def inside() -> None:
            with pytest.raises(MachineError):
                system.machine.recycle()
            failures.append("as it should")
            syscall()

        system.machine._kernel_syscall = inside
        system.run()
        assert failures


def test_an_interruption_that_comes_late_stops_nobody_else() -> None:
    """Interrupted before it ran: the next system on the same machine is not."""
    machine = Machine(MEMORY)
    machine.interrupt()
    machine.recycle()
    with System(load(str(EXAMPLES[0])), (), Options(memory=MEMORY), machine=machine) as system:
        assert system.machine.regs[RIP]
        system.fail_syscall(ENOMEM, "brk")
        assert system.run().ending == "exited"
