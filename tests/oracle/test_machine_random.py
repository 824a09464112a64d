"""Random bytes as programs: whatever they are, the host lives and the rest of RAM is untouched."""

import random

import numpy as np
import pytest
from machine_lab import CODE, DATA, FRAMES, PGD, STACK_TOP, Lab, Trap, laboratory

from mini_kernel.x86 import RIP, RSP

PROGRAMS = 10_000
OWN = 4  # frames the program may write: code, two of data, stack
#: Beginnings that lead somewhere: system instructions, string operations, far transfers, prefixes, SSE, x87.
SEED_BYTES = (
    "0f05 cd80 cf 48cf 66cf cb ca ff2c24 ff1c24 9d 669d 0f34 0f0b f3a4 f2ae f348ab 6c 6e e4 ec ef f4 cc f1 8ed0 "
    "8ed8 8ee0 0fb2 0fb4 0f00 0f01 0f20 0f22 0fae 0fc7 480fc7 d8 d9 db df 0f28 660f 0f0d c8 c9 c5 c4 62 f0 66 67 "
    "2e 64 0f30 0f31 0fa2 0faa e8 e9 eb 75 c3 c2 ff 8f 0f18 0f3f cd d7 0f09 0f78 0f79 0f24 f30f 0f38 0f3a 9c58"
)
SEEDS = [bytes.fromhex(seed) for seed in SEED_BYTES.split()]
IRETD = bytes.fromhex("c7042400004000 c744240433000000 c744240802020200 c744240c00007000 c74424102b000000 cf")


def program(rng: random.Random) -> bytes:
    """64 to 200 bytes, half of them after a seed."""
    parts = [IRETD] if rng.random() < 0.02 else []
    while sum(map(len, parts)) < rng.randrange(64, 200):
        if rng.random() < 0.5:
            parts.append(rng.choice(SEEDS))
        parts.append(rng.randbytes(rng.randrange(1, 8)))
    return b"".join(parts)


class Suite:
    """Runs programs on one machine and checks after each."""

    def __init__(self, lab: Lab, seed: int) -> None:
        self.lab = lab
        self.rng = random.Random(seed)
        self.vectors = dict[int | str, int]()
        lab.log.act = self.act
        words = lab.machine.ram.tables
        self.frames = np.r_[1 : PGD >> 12, (FRAMES >> 12) + OWN : words.shape[0]]
        words[self.frames[1:]] = 0xA5A5_A5A5_A5A5_A5A5
        self.outside = words[self.frames].copy()
        self.tables = words[PGD >> 12 : lab.next_table >> 12].copy()

    def act(self, trap: Trap) -> bool:
        """Go on after a few traps, so that programs get further than their first fault."""
        self.vectors[trap.vector] = self.vectors.get(trap.vector, 0) + 1
        if trap.vector == "tick" or len(self.lab.log.traps) > 6:
            return False
        regs = self.lab.machine.regs
        if isinstance(trap.vector, int) and CODE <= trap.rip < CODE + 0xF00:
            regs[RIP] = trap.rip + self.rng.randrange(1, 4)
        else:
            regs[RIP] = CODE + self.rng.randrange(64)
        regs[RSP] = STACK_TOP - 0x200
        return True

    def one(self) -> None:
        """One program, from fresh registers that point at its own pages."""
        lab, machine = self.lab, self.lab.machine
        lab.start(program(self.rng))
        for register in range(16):
            if register != RSP:
                machine.regs[register] = self.rng.choice(
                    (DATA + 0x800, STACK_TOP - 0x400, CODE, self.rng.getrandbits(64))
                )
        lab.log.traps.clear()
        assert machine.run() == "stopped"
        assert lab.log.traps

    def check(self) -> None:
        """RAM outside the program's pages is as it was, up to accessed and dirty bits in its tables."""
        words = self.lab.machine.ram.tables
        assert np.array_equal(words[self.frames], self.outside)
        now = words[PGD >> 12 : self.lab.next_table >> 12]
        assert not ((now ^ self.tables) & np.uint64(0xFFFF_FFFF_FFFF_FF9F)).any()


def run_suite(programs: int, seed: int, **options: object) -> dict[int | str, int]:
    with laboratory(ram_bytes=4 << 20, quantum=2_000, **options) as lab:
        suite = Suite(lab, seed)
        for i in range(programs):
            suite.one()
            if i % 20 == 19:
                suite.check()
                lab.run(bytes.fromhex("0f05"))
        suite.check()
        return suite.vectors


def test_three_hundred_random_programs() -> None:
    """A short run in each way the machine can work has the same events, and so has a second one."""
    plain = [run_suite(300, seed=7, **way) for way in ({}, {}, {"in_place": False}, {"slice_method": "python"})]
    assert all(events == plain[0] for events in plain)
    exact = [run_suite(300, seed=7, exact=True, **way) for way in ({}, {"in_place": False})]
    assert exact[0] == exact[1]


@pytest.mark.long
def test_ten_thousand_random_programs() -> None:
    """All of them end in a trap the kernel knows, and every kind of trap comes up."""
    vectors = run_suite(PROGRAMS, seed=20260727)
    assert {0, 1, 3, 6, 13, 14, "syscall", "tick"} <= set(vectors)
    assert sum(vectors.values()) > PROGRAMS
    assert set(vectors) <= {0, 1, 3, 6, 13, 14, 16, 17, 19, 0x80, "syscall", "tick"}
