"""Leaves at PMD level (PTE_PS) against the CPU's own walker: rights, A and D, what is cached, what is code.

SDM vol. 3A 4.5, table 4-16: such an entry maps 2 MiB; bit 12 is PAT, bits 20:13 are reserved.
"""

from collections.abc import Iterator

import pytest
from machine_lab import CODE, Lab, Trap, laboratory
from test_machine_walker import ACCESS, BITS, expected, predict

from mini_kernel.x86 import (
    PF_PROT,
    PF_USER,
    PF_WRITE,
    PTE_A,
    PTE_ADDR,
    PTE_D,
    PTE_P,
    PTE_PS,
    PTE_U,
    PTE_W,
    RAX,
    RDI,
)

TARGET = 0x1234_5678_9000
BASE = TARGET & -(2 << 20)
FRAME, OTHER = 0x40_0000, 0x60_0000  # two groups of 512 frames
FULL = PTE_P | PTE_W | PTE_U
READ_ONLY = PTE_P | PTE_U
LOAD, STORE = bytes.fromhex("8a07 0f05"), bytes.fromhex("8807 0f05")


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with laboratory() as laboratory_:
        yield laboratory_


def leaf_of(lab: Lab, bits: int, frame: int = FRAME) -> int:
    """Map 2 MiB at BASE; the word index of the entry."""
    slot = lab.entry_at(BASE, 21) >> 3
    lab.machine.ram.words[slot] = frame | bits | PTE_PS
    return slot


def access(lab: Lab, code: bytes, address: int = TARGET, value: int = 0) -> list[Trap]:
    lab.start(code)
    lab.machine.regs[RDI] = address
    lab.machine.regs[RAX] = value
    lab.log.traps.clear()
    lab.machine.run()
    return lab.log.traps


@pytest.mark.parametrize("kind", list(ACCESS))
@pytest.mark.parametrize("bits", list(BITS))
def test_every_bit_of_a_leaf(lab: Lab, bits: str, kind: str) -> None:
    """P, W, U, NX of a leaf at PMD level mean what they mean in a PTE, with its error codes; A and D are set."""
    lab.reset()
    p, w, u, n = BITS[bits]
    slot = leaf_of(lab, p * PTE_P | w * PTE_W | u * PTE_U | n << 63)
    lab.write(FRAME + TARGET - BASE, b"\x0f\x05")
    error = predict(BITS[bits], kind)
    assert access(lab, bytes.fromhex(ACCESS[kind])) == expected(error, kind)
    leaf = lab.machine.ram.words[slot]
    assert bool(leaf & PTE_D) == (error is None and kind == "write")
    assert bool(leaf & PTE_A) or error is not None


@pytest.mark.parametrize("level", [39, 30])
@pytest.mark.parametrize("kind", list(ACCESS))
@pytest.mark.parametrize("bits", [b for b in BITS if b[0] == "P"])
def test_rights_above_a_leaf_are_combined_with_its_own(lab: Lab, level: int, bits: str, kind: str) -> None:
    """A PUD entry without W write-protects every huge page below it: how a PMD table is shared."""
    lab.reset()
    leaf_of(lab, FULL)
    lab.write(FRAME + TARGET - BASE, b"\x0f\x05")
    _p, w, u, n = BITS[bits]
    above = lab.entry_at(BASE, level) >> 3
    table = lab.machine.ram.words[above] & PTE_ADDR
    lab.machine.ram.words[above] = table | PTE_P | w * PTE_W | u * PTE_U | n << 63
    assert access(lab, bytes.fromhex(ACCESS[kind])) == expected(predict(BITS[bits], kind), kind)


def test_a_write_after_a_read_sets_d_at_last(lab: Lab) -> None:
    """The TLB entry that a read made is not used for a write: D is set by the first one."""
    lab.reset()
    slot = leaf_of(lab, FULL)
    access(lab, bytes.fromhex("8a07 8807 0f05"))
    assert lab.machine.ram.words[slot] & (PTE_A | PTE_D) == PTE_A | PTE_D


def test_copy_on_write_of_a_huge_page(lab: Lab) -> None:
    """A write to a read-only leaf faults with code 7; the repaired entry, of another frame, is used after a flush."""
    lab.reset()
    slot = leaf_of(lab, READ_ONLY)
    lab.machine.ram.data[FRAME] = 1

    def act(trap: Trap) -> bool:
        if trap.vector != 14:
            return False
        lab.machine.ram.words[slot] = OTHER | FULL | PTE_PS
        lab.machine.flush_tlb()
        return True

    lab.log.act = act
    try:
        traps = access(lab, bytes.fromhex("8a0f 8807 8a17 0f05"), BASE, 0x55)
    finally:
        lab.log.act = lambda trap: False
    assert traps[0] == Trap(14, PF_USER | PF_PROT | PF_WRITE, CODE + 2, BASE)
    assert [t.vector for t in traps] == [14, "syscall"]
    assert (lab.machine.ram.data[FRAME], lab.machine.ram.data[OTHER]) == (1, 0x55)
    assert lab.machine.regs[2] == 0x55, "the read after it sees the copy"


@pytest.mark.parametrize("page", [0, 1, 255, 511])
def test_a_flush_forgets_the_whole_huge_page(lab: Lab, page: int) -> None:
    """After a split and a flush each page of the 2 MiB is translated by its own PTE, wherever the leaf was used."""
    lab.reset()
    slot = leaf_of(lab, FULL)
    table, moved = 0x30_0000, 0x31_0000

    def act(trap: Trap) -> bool:
        if trap.vector != "syscall" or len(lab.log.traps) > 1:
            return False
        words = lab.machine.ram.words
        for i in range(512):
            words[(table >> 3) + i] = FRAME + (i << 12) | FULL
        words[(table >> 3) + page] = moved | READ_ONLY
        words[slot] = table | FULL
        lab.machine.flush_tlb()
        return True

    lab.machine.ram.data[moved] = 9
    lab.log.act = act
    try:  # store, split, load, store: the load shows the new frame, the store is refused
        traps = access(lab, bytes.fromhex("8807 0f05 8a0f 8807 0f05"), BASE + (page << 12), 7)
    finally:
        lab.log.act = lambda trap: False
    assert [t.vector for t in traps] == ["syscall", 14]
    assert traps[1].error == PF_USER | PF_PROT | PF_WRITE
    assert lab.machine.regs[1] & 0xFF == 9
    assert lab.machine.ram.data[FRAME + (page << 12)] == 7


def test_code_in_a_huge_page_is_dropped_with_a_code_flush(lab: Lab) -> None:
    """What ran from a leaf does not run again once its 2 MiB are other frames."""
    lab.reset()
    slot = leaf_of(lab, FULL)
    lab.write(FRAME, bytes.fromhex("b001 0f05"))
    lab.write(OTHER, bytes.fromhex("b002 0f05"))
    jump = bytes.fromhex("ffe7")
    access(lab, jump, BASE)
    assert lab.machine.regs[RAX] == 1
    lab.machine.ram.words[slot] = OTHER | FULL | PTE_PS
    lab.machine.flush_code()
    access(lab, jump, BASE)
    assert lab.machine.regs[RAX] == 2


def test_a_store_across_two_huge_pages(lab: Lab) -> None:
    """Eight bytes over the boundary of two leaves reach both frames."""
    lab.reset()
    leaf_of(lab, FULL)
    lab.machine.ram.words[lab.entry_at(BASE + (2 << 20), 21) >> 3] = OTHER | FULL | PTE_PS
    access(lab, bytes.fromhex("488907 0f05"), BASE + (2 << 20) - 4, 0x8877_6655_4433_2211)
    data = lab.machine.ram.data
    assert bytes(data[FRAME + (2 << 20) - 4 : FRAME + (2 << 20)]) == b"\x11\x22\x33\x44"
    assert bytes(data[OTHER : OTHER + 4]) == b"\x55\x66\x77\x88"


def test_reserved_bits_of_a_leaf(lab: Lab) -> None:
    """An address that is no multiple of 2 MiB sets a reserved bit: the allocator must not hand out such a group."""
    lab.reset()
    leaf_of(lab, FULL, FRAME + 0x2000)
    traps = access(lab, LOAD)
    assert traps == [Trap(14, PF_USER | PF_PROT | 8, CODE, TARGET)]
