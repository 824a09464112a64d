"""emu.disasm: bytes to instructions with operands that can be spelled out."""

import subprocess
import sys

import pytest

from emu import disasm
from emu.disasm import Operand


def test_one_gives_text_size_and_every_part_of_an_address() -> None:
    """A memory operand has all that makes up its effective address."""
    found = disasm.one(bytes.fromhex("64488b44cbf0"), 0x401000)
    assert found is not None
    assert (found.address, found.size, found.end) == (0x401000, 6, 0x401006)
    assert found.text == "mov rax, qword ptr fs:[rbx + rcx*8 - 0x10]"
    assert found.operands == (
        Operand("reg", 8, "w", reg="rax"),
        Operand("mem", 8, "r", segment="fs", base="rbx", index="rcx", scale=8, disp=-16),
    )


def test_prefixes_and_rip_relative_addresses_are_kept() -> None:
    """lock is part of the mnemonic; rip as base counts from the end of the instruction."""
    found = disasm.one(bytes.fromhex("f0ff0510000000"), 0)
    assert found is not None
    assert (found.mnemonic, found.operands[0].base, found.operands[0].disp, found.end) == ("lock inc", "rip", 16, 7)


def test_immediates_keep_their_sign_and_width() -> None:
    """add rax, -1 from one byte is -1 in eight."""
    found = disasm.one(bytes.fromhex("4883c0ff"), 0)
    assert found is not None
    assert found.operands[1].size == 8
    assert found.operands[1].imm % (1 << 64) == (1 << 64) - 1


@pytest.mark.parametrize("code", [b"", b"\x0f", b"\x48\x8b", b"\x06", b"\xff\xff\xff"])
def test_bytes_that_make_no_instruction_give_none(code: bytes) -> None:
    """Empty, cut off, or invalid in 64-bit mode."""
    assert disasm.one(code, 0) is None


def test_one_looks_at_no_more_than_an_instruction_can_have() -> None:
    """A page of bytes costs the same as fifteen."""
    found = disasm.one(b"\x90" * 4096, 0)
    assert found is not None
    assert found.data == b"\x90"


def test_many_says_how_far_it_got() -> None:
    """The first bad byte ends it, and shows."""
    run = disasm.many(b"\x90\xc3\x06\x90", 0x1000)
    assert [(i.address, i.text) for i in run.instructions] == [(0x1000, "nop"), (0x1001, "ret")]
    assert run.consumed == 2
    assert disasm.many(b"\x90" * 10, 0, 3).consumed == 3
    assert disasm.many(b"", 0) == disasm.Run((), 0)


def test_importing_the_module_does_not_import_capstone() -> None:
    """Capstone takes longer to import than a small program takes to run."""
    check = "import sys, emu.disasm, emu.program; sys.exit('capstone' in sys.modules or 'keystone' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0
