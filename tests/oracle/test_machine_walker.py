"""Page-table bits against the CPU's own walker, after kvm-unit-tests' access.c.

One entry at one level is given every combination of P, W, U and NX, all other levels allow everything; a read,
a write and a fetch from ring 3 must do what a few lines of SDM vol. 3A 4.6 and 4.7 predict.
"""

from collections.abc import Iterator

import pytest
from machine_lab import CODE, FRAMES, Lab, Trap, laboratory

from mini_kernel.x86 import (
    PF_INSTR,
    PF_PROT,
    PF_RSVD,
    PF_USER,
    PF_WRITE,
    PTE_A,
    PTE_D,
    PTE_NX,
    PTE_P,
    PTE_PS,
    PTE_U,
    PTE_W,
    RDI,
)

TARGET = 0x1234_5678_9000  # its own entry at every level
CONTENT = FRAMES + 0x10_0000
SHIFTS = {"PGD": 39, "PUD": 30, "PMD": 21, "PTE": 12}
ACCESS = {"read": "8a07 0f05", "write": "8807 0f05", "fetch": "ffe7"}  # through RDI
BITS = {f"{'P' if p else '-'}{'W' if w else '-'}{'U' if u else '-'}{'N' if n else '-'}": (p, w, u, n)
        for p in (0, 1) for w in (0, 1) for u in (0, 1) for n in (0, 1)}  # fmt: skip


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with laboratory() as laboratory_:
        yield laboratory_


def predict(bits: tuple[int, int, int, int], access: str) -> int | None:
    """The error code, or None for an access that succeeds."""
    present, writable, user, no_execute = bits
    code = PF_USER | (PF_WRITE if access == "write" else 0) | (PF_INSTR if access == "fetch" else 0)
    if not present:
        return code
    refused = not user or (access == "write" and not writable) or (access == "fetch" and no_execute)
    return code | PF_PROT if refused else None


def do(lab: Lab, access: str) -> list[Trap]:
    """Make one access to TARGET."""
    lab.start(bytes.fromhex(ACCESS[access]))
    lab.machine.regs[RDI] = TARGET
    lab.log.traps.clear()
    lab.machine.run()
    return lab.log.traps


def expected(error: int | None, access: str) -> list[Trap]:
    """The log of one access: its page fault, or the system call that follows it."""
    if error is None:
        return [Trap("syscall", 0, TARGET + 2 if access == "fetch" else CODE + 4)]
    return [Trap(14, error, TARGET if access == "fetch" else CODE, TARGET)]


@pytest.mark.parametrize("access", list(ACCESS))
@pytest.mark.parametrize("level", list(SHIFTS))
@pytest.mark.parametrize("bits", list(BITS))
def test_every_bit_at_every_level(lab: Lab, level: str, bits: str, access: str) -> None:
    """W and U are ANDed over the levels, NX is ORed, P ends the walk; the error code says which access failed."""
    lab.reset()
    lab.map(TARGET, PTE_P | PTE_W | PTE_U, CONTENT)
    lab.write(CONTENT, b"\x0f\x05")
    at = lab.entry_at(TARGET, SHIFTS[level]) >> 3
    p, w, u, n = BITS[bits]
    before = (lab.machine.ram.words[at] & 0x000F_FFFF_FFFF_F000) | p * PTE_P | w * PTE_W | u * PTE_U | n * PTE_NX
    lab.machine.ram.words[at] = before
    lab.machine.flush_tlb()
    error = predict(BITS[bits], access)
    assert do(lab, access) == expected(error, access)
    leaf = lab.machine.ram.words[lab.entry_at(TARGET) >> 3] if p or level == "PTE" else 0
    dirty = error is None and access == "write"
    assert bool(leaf & PTE_D) == dirty
    if error is None:
        assert leaf & PTE_A and lab.machine.ram.words[at] & PTE_A, "the CPU marks what it used"


@pytest.mark.parametrize("access", list(ACCESS))
@pytest.mark.parametrize("bits", list(BITS))
def test_two_levels_combine(lab: Lab, bits: str, access: str) -> None:
    """The PGD grants W or withholds it independently of what the PTE says."""
    for upper in BITS.values():
        if not upper[0]:
            continue
        lab.reset()
        lab.map(TARGET, PTE_P | PTE_W | PTE_U, CONTENT)
        lab.write(CONTENT, b"\x0f\x05")
        for level, (p, w, u, n) in (("PGD", upper), ("PTE", BITS[bits])):
            at = lab.entry_at(TARGET, SHIFTS[level]) >> 3
            address = lab.machine.ram.words[at] & 0x000F_FFFF_FFFF_F000
            lab.machine.ram.words[at] = address | p * PTE_P | w * PTE_W | u * PTE_U | n * PTE_NX
        p, w, u, n = BITS[bits]
        joined = (p, w & upper[1], u & upper[2], n | upper[3])
        assert do(lab, access) == expected(predict(joined, access), access)


@pytest.mark.parametrize("access", list(ACCESS))
def test_huge_page_of_2_mib(lab: Lab, access: str) -> None:
    """A leaf at PMD level maps 2 MiB, system calls from it included."""
    lab.reset()
    entry = lab.entry_at(TARGET, 21) >> 3
    lab.machine.ram.words[entry] = 0x40_0000 | PTE_P | PTE_W | PTE_U | PTE_PS
    lab.write(0x40_0000 + (TARGET & 0x1F_FFFF), b"\x0f\x05")
    assert do(lab, access) == expected(None, access)


def test_reserved_bit(lab: Lab) -> None:
    """A reserved address bit in an entry is a fault of its own kind."""
    lab.reset()
    lab.map(TARGET, PTE_P | PTE_W | PTE_U | 1 << 51, CONTENT)
    assert do(lab, "read") == [Trap(14, PF_USER | PF_PROT | PF_RSVD, CODE, TARGET)]


def test_frame_beyond_4_gib() -> None:
    """Data frames may be anywhere in RAM; CR3 too, when it is written through `Cpu.cr3`."""
    with laboratory(ram_bytes=8 << 30) as lab:
        far = 6 << 30
        lab.map(TARGET, PTE_P | PTE_W | PTE_U, far)
        lab.machine.ram.data[far : far + 4] = b"far!"
        lab.start(bytes.fromhex("8b07 0f05"))
        pgd = 5 << 30
        lab.machine.ram.tables[pgd >> 12] = lab.machine.ram.tables[lab.cr3 >> 12]
        lab.machine.cr3 = pgd
        lab.machine.regs[RDI] = TARGET
        lab.machine.run()
        assert lab.machine.regs[0] == int.from_bytes(b"far!", "little")
        assert lab.machine.cr3 == pgd
