"""Up to three guest processes do random things to their memory and read all of it each time. Is it as the model says?

It runs on the real CPU, with its TLB, and with the invariants checked at every entry into the kernel. See
probe_script.py for how a script comes with the log that it must produce.
"""

import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from probe_script import Script

from emu.asm import to_elf
from emu.boot import Options, System
from emu.program import Program, new_assembler
from mini_kernel.fs.stream import BytesStream

SOURCE = Path(__file__).with_name("fork_probe.asm")
SEEDS = 64
PER_TEST = 8
#: Where the parts begin: half of them, and in a long run all.
PARTS = [pytest.param(first, marks=[pytest.mark.full] * (first >= SEEDS // 2)) for first in range(0, SEEDS, PER_TEST)]


@pytest.fixture(scope="module")
def program() -> Iterator[Program]:
    """The guest, assembled once."""
    with new_assembler() as assembler:
        image = assembler.assemble(SOURCE.read_text(), SOURCE.name)
    yield Program("probe", "", to_elf(image), None)


def run(program: Program, script: Script, fork: str, check: bool) -> list[int]:
    """The log that the guest writes, word by word."""
    streams = (BytesStream(script.data()), BytesStream(), BytesStream())
    with System(program, (), Options(memory=64 << 20, fork=fork, check=check, timeout=600), streams) as system:
        outcome = system.run()
        assert outcome.ending == "exited", (outcome, system.stderr.decode())
        assert not system.stderr, system.stderr.decode()
        system.kernel.check()
        return [word for (word,) in struct.iter_unpack("<Q", system.stdout)]


def compare(seed: int, script: Script, log: list[int]) -> None:
    """Word for word; the first difference is told with what it is about."""
    for i, ((what, value), found) in enumerate(zip(script.log, log, strict=False)):
        assert found == value, f"seed {seed}, word {i}: {what} gives {found:#x}, the model says {value:#x}"
    assert len(log) == len(script.log), f"seed {seed}: {len(log)} words instead of {len(script.log)}"


@pytest.mark.parametrize("first", PARTS)
def test_guests_see_what_the_model_says_whatever_they_fork_by(program: Program, first: int) -> None:
    """Classic and on-demand forks and sfork mixed, all invariants checked at every entry."""
    for seed in range(first, first + PER_TEST):
        script = Script(seed, "mixed")
        compare(seed, script, run(program, script, "classic", check=True))


@pytest.mark.parametrize("first", PARTS)
def test_every_policy_shows_the_same_bytes(program: Program, first: int) -> None:
    """The same script gives the same log whether fork(2) is classic or on demand, and both are the model's."""
    for seed in range(1000 + first, 1000 + first + PER_TEST):
        script = Script(seed, "classic")
        logs = [run(program, script, policy, check=False) for policy in ("classic", "odf")]
        assert logs[0] == logs[1]
        compare(seed, script, logs[1])


@pytest.mark.full
@pytest.mark.parametrize("first", range(0, SEEDS, PER_TEST))
def test_guests_see_what_the_model_says_for_long(program: Program, first: int) -> None:
    """Longer scripts in a system whose every fork is on demand."""
    for seed in range(2000 + first, 2000 + first + PER_TEST):
        script = Script(seed, "odf", steps=120)
        compare(seed, script, run(program, script, "odf", check=True))
