"""Effective addresses spelled out, and labels and source lines for addresses."""

import struct

import pytest

from emu import disasm
from emu.operand import State, accesses, explain
from emu.program import Program
from emu.symbols import Symbols
from mini_kernel.x86 import RAX, RBP, RBX, RCX, RSP

REGS = [0] * 17
REGS[RAX], REGS[RCX], REGS[RBX] = 0x1000, 2, 0xFFFF_FFFF_FFFF_FFF8
REGS[RSP], REGS[RBP] = 0x7000, 0x6000
STATE = State(REGS, fs_base=0x9000, gs_base=0xA000)


def explained(code: str, address: int | None = None) -> str:
    instruction = disasm.one(bytes.fromhex(code), 0x40_0000)
    assert instruction is not None
    return explain(instruction, STATE, address)


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("8b00", "rax=0x1000 = 0x1000"),  # mov eax, [rax]
        ("488954c810", "rax=0x1000 + rcx=0x2*8 + 0x10 = 0x1020"),
        ("8b40f8", "rax=0x1000 - 0x8 = 0xff8"),  # mov eax, [rax - 8]
        ("8b0418", "rax=0x1000 + rbx=0xfffffffffffffff8 = 0xff8"),  # wraps around
        ("678b0418", "eax=0x1000 + ebx=0xfffffff8 = 0xff8"),  # 32-bit address size
        ("8b0510000000", "rip=0x400006 + 0x10 = 0x400016"),
        ("648b042528000000", "fs=0x9000 + 0x28 = 0x9028"),
        ("658b00", "gs=0xa000 + rax=0x1000 = 0xb000"),
        ("8b042500100000", ""),  # absolute: the instruction says it
        ("488d00", ""),  # lea reads nothing
        ("90", ""),
        ("50", "the stack: rsp=0x7000 - 0x8 = 0x6ff8"),  # push rax
        ("c3", "the stack: rsp=0x7000"),  # ret
        ("c9", "the stack: rbp=0x6000"),  # leave
    ],
)
def test_terms_of_an_address(code: str, text: str) -> None:
    assert explained(code) == text


def test_only_the_access_that_faulted_is_explained() -> None:
    """`push qword ptr [rax]` reads at rax and writes to the stack."""
    assert explained("ff30").count("\n") == 1
    assert explained("ff30", 0x1000) == "rax=0x1000 = 0x1000"
    assert explained("ff30", 0x6FF8) == "the stack: rsp=0x7000 - 0x8 = 0x6ff8"


def test_an_access_that_crosses_a_page_says_which_part_faults() -> None:
    assert explained("488b40fe", 0x1000) == "rax=0x1000 - 0x2 = 0xffe, 8 bytes; the part from 0x1000 on faults"


def test_a_vector_of_addresses_is_not_guessed_at() -> None:
    instruction = disasm.one(bytes.fromhex("c4e2759004c8"), 0)  # vpgatherdd ymm0, [rax+ymm1*8], ymm1
    assert instruction is not None
    assert accesses(instruction, STATE) == []


def elf(kind: int = 2, cut: int = 0) -> bytes:
    """A file with nothing but two functions in a symbol table."""
    strings = b"\0main\0helper\0"
    symbols = bytes(24) + struct.pack("<IBBHQQ", 1, 2, 0, 1, 0x40_1000, 0x20)
    symbols += struct.pack("<IBBHQQ", 6, 2, 0, 1, 0x40_1040, 0x10)
    sections = struct.pack("<IIQQQQIIQQ", 0, 2, 0, 0, 64, len(symbols), 1, 1, 8, 24)
    sections += struct.pack("<IIQQQQIIQQ", 0, 3, 0, 0, 64 + len(symbols), len(strings), 0, 0, 1, 0)
    head = b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HHIQQQ", kind, 62, 1, 0, 0, 64 + len(symbols + strings))
    head += struct.pack("<IHHHHHH", 0, 64, 0, 0, 64, 2, 1)
    data = head + symbols + strings + sections
    return data[: len(data) - cut]


@pytest.mark.parametrize(
    ("address", "name"),
    [(0x40_1000, "main"), (0x40_101F, "main+0x1f"), (0x40_1020, None), (0x40_1045, "helper+0x5"), (0, None)],
)
def test_an_elf_file_names_its_functions(address: int, name: str | None) -> None:
    assert Symbols.of(Program("a", "/a", elf(), None)).name(address) == name


@pytest.mark.parametrize("data", [b"", b"#!/bin/sh\n", elf(kind=3), elf(cut=1), elf()[:64]])
def test_a_file_without_usable_symbols_names_nothing(data: bytes) -> None:
    symbols = Symbols.of(Program("a", "/a", data, None))
    assert (symbols.name(0x40_1000), symbols.line(0x40_1000), symbols.addresses()) == (None, None, {})
