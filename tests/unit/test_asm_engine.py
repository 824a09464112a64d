"""emu.asm.engine and its worker: Keystone may hang, crash or exit; the caller gets answers."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from emu import disasm
from emu.asm import Assembler, tables, worker
from emu.asm.engine import MAX_DEATHS, Engine, Refusal, _keystone_directory  # pyright: ignore[reportPrivateUsage]
from emu.asm.errors import AsmError, SourceError
from emu.asm.instructions import Encoding, Key
from emu.asm.verify import Want, explain
from emu.errors import EmuError

NOP = b"\x90"


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    made = Engine()
    yield made
    made.close()


def pid_of(engine: Engine) -> int:
    """The process id of the worker; tests may end exactly this one."""
    process = engine._process  # pyright: ignore[reportPrivateUsage]
    assert process is not None
    return process.pid


HANGS = [":", ",", "[", ".byte 1-,2", ".quad 0x11223344556677889", ".ascii 'x", "%define", ".fill 0x7fffffff, 8, 1"]
KILLS = [".text", "mov ah, r8b"]


@pytest.mark.parametrize("text", [*HANGS, *KILLS])
def test_what_hangs_or_kills_keystone_is_refused_and_the_rest_assembled(engine: Engine, text: str) -> None:
    """The statement is named by its place in the answers; those before and behind it have their bytes."""
    answers = engine.encode(["nop", text, "nop"])
    assert answers == [NOP, Refusal("the assembler hangs or crashes on this"), NOP]


def test_after_some_deaths_the_rest_is_given_up(engine: Engine) -> None:
    """A file full of them ends in bounded time."""
    answers = engine.encode([".text"] * 10 + ["nop"])
    assert sum(a == Refusal("the assembler hangs or crashes on this") for a in answers) == MAX_DEATHS
    assert all(isinstance(a, Refusal) for a in answers)
    assert len(answers) == 11


def test_a_killed_worker_is_restarted() -> None:
    """Ended between two calls, the next call meets a broken pipe and starts another."""
    engine = Engine()
    assert engine.encode(["nop"]) == [NOP]
    os.kill(pid_of(engine), signal.SIGKILL)
    assert engine.encode(["nop", "ret"])[-1] == b"\xc3"
    assert engine.encode(["nop", "ret"]) == [NOP, b"\xc3"]
    engine.close()


def test_thousands_of_statements_come_back_in_order(engine: Engine) -> None:
    """More than one request; answers line up with statements."""
    texts = [f"mov eax, {n:#x}" for n in range(5000)]
    assert engine.encode(texts) == [b"\xb8" + n.to_bytes(4, "little") for n in range(5000)]


def test_a_statement_that_cannot_be_sent_is_refused(engine: Engine) -> None:
    """Neither length nor encoding upsets the protocol."""
    answers = engine.encode(["nop", "é", "nop", "x" * 100_000, "nop"])
    assert [isinstance(a, Refusal) for a in answers] == [False, True, False, True, False]


def test_the_worker_opens_no_file(engine: Engine, tmp_path: Path) -> None:
    """Keystone's .incbin finds nothing, even where our own parser would let it through."""
    secret = tmp_path / "secret"
    secret.write_bytes(b"SECRET")
    for answer in engine.encode([f'.incbin "{secret}"', f'.include "{secret}"']):
        assert isinstance(answer, Refusal) or b"SECRET" not in answer


def test_a_wrong_radix_is_found_before_anything_is_assembled() -> None:
    """An engine that reads 60 as 0x60 is not used."""
    assert worker.radix_fault(lambda _: (worker.OK, bytes.fromhex("48c7c03c000000"))) is None
    wrong = worker.radix_fault(lambda _: (worker.OK, bytes.fromhex("48c7c060000000")))
    assert wrong == "keystone assembles 'mov rax, 60' to 48 c7 c0 60 00 00 00, not 48 c7 c0 3c 00 00 00"
    assert worker.radix_fault(lambda _: (worker.REFUSED, b"no")) is not None


def _nothing(_name: str) -> None:
    return None


def test_without_keystone_the_error_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Not installed, or not loadable: an EmuError, no hang and no traceback of another process."""
    monkeypatch.setattr("importlib.util.find_spec", _nothing)
    with pytest.raises(EmuError, match="keystone-engine is not installed; use --assembler gas or nasm"):
        _keystone_directory()
    (tmp_path / "keystone.py").write_text("raise ImportError('broken')")
    monkeypatch.setattr("emu.asm.engine._keystone_directory", lambda: str(tmp_path))
    with pytest.raises(EmuError, match="keystone cannot be loaded: broken"):
        Engine().encode(["nop"])


def test_start_does_not_wait_and_close_can_be_repeated() -> None:
    """An assembler can be started early, closed twice, and used again after that."""
    assembler = Assembler(disasm.one)
    assembler.start()
    assembler.close()
    assembler.close()
    assert assembler.assemble("nop", "t.asm").entry == 0x401000
    assembler.close()


RAX = Want("reg", 8, reg="rax")

LIES: list[tuple[str, list[Want], str]] = [
    ("push", [Want("imm", imm=0xFFFF)], "6a ff"),
    ("push", [Want("imm", imm=0x80000000)], "66 68 00 00"),
    ("mov", [Want("reg", 8, reg="rbx"), Want("mem", disp=0x1000)], "48 8b 1d 00 10 00 00"),
    ("mov", [Want("reg", 8, reg="rbx"), Want("mem", segment="fs", disp=0x28)], "64 48 8b 1d 28 00 00 00"),
    ("mov", [Want("reg", 8, reg="rbx"), Want("mem", segment="fs", disp=0x28)], "48 8b 1c 25 28 00 00 00"),
    ("add", [RAX, Want("imm", imm=0xFFFFFFFF)], "48 83 c0 ff"),
    ("mov", [Want("reg", 1, reg="al"), Want("imm", imm=0x1FF)], "b0 ff"),
    ("mov", [RAX, Want("mem", base="rbx", disp=0x10)], "48 8b 43 11"),
    ("mov", [RAX, Want("mem", disp=0x1_0000_1000)], "48 8b 04 25 00 10 00 00"),
    ("mov", [RAX, Want("mem", base="rsp", index="rsp")], "48 8b 04 24"),
    ("mov", [RAX, Want("mem", base="rbx", index="rcx", scale=4)], "48 8b 04 8b 90"),
    ("mov", [RAX, Want("mem", base="rbx", index="rcx", scale=8)], "48 8b 04 8b"),
    ("mov", [Want("mem", 8, base="rdi"), Want("imm", imm=7)], "c6 07 07"),
    ("iretd", [], "66 cf"),
    ("sub", [RAX, Want("reg", 8, reg="rbx")], "48 01 d8"),
    ("sub", [RAX, Want("reg", 8, reg="rbx")], "48 29 c3"),
    ("nop", [], "0f"),
]


@pytest.mark.parametrize(("mnemonic", "wants", "data"), LIES, ids=[f"{m} {d}" for m, _, d in LIES])
def test_an_encoding_that_says_something_else_is_found(mnemonic: str, wants: list[Want], data: str) -> None:
    """Truncated numbers, lost operands, wrong segments, widths and addressing modes do not pass."""
    assert explain(mnemonic, wants, bytes.fromhex(data), disasm.one) is not None


def test_no_bytes_are_a_mistake() -> None:
    """Keystone reports success with nothing for some statements."""
    with pytest.raises(SourceError, match="no bytes"):
        Encoding.of(Key("nop", "nop", (), False), b"", disasm.one)


@pytest.mark.parametrize("name", sorted(tables.FIXED))
def test_a_fixed_encoding_is_what_its_name_says(name: str) -> None:
    """The bytes we write ourselves decode to that mnemonic, or to a known synonym of it."""
    data = tables.FIXED[name]
    if name == "fsetpm":
        data = data[1:]  # a wait stands before it
    spelled = _SYNONYMS.get(name, name)
    found = disasm.one(data, 0)
    assert found is not None
    assert (found.size, found.mnemonic) == (len(data), spelled)


#: What Capstone calls them.
_SYNONYMS = {
    "pushf": "pushfq", "popf": "popfq", "pushfw": "pushf", "popfw": "popf",
    "iret": "iretd", "iretw": "iret", "xlat": "xlatb", "retn": "ret", "lret": "retf", "retfw": "retf", "icebp": "int1",
    "fwait": "wait", "leavew": "leave", "ud2a": "ud2",
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(tables.BRANCHES))
def test_a_branch_is_what_its_name_says(name: str) -> None:
    """Both forms decode to the mnemonic, or the preferred name of its condition, and lead where they should."""
    for opcode, width in zip(tables.BRANCHES[name], (1, 4), strict=True):
        if opcode:
            data = opcode + (0x10).to_bytes(width, "little")
            found = disasm.one(data, 0x1000)
            assert found is not None
            assert (found.size, found.mnemonic) == (len(data), tables.CANON.get(name, name))
            assert found.operands[0].imm == 0x1000 + len(data) + 0x10


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("movs byte ptr [rdi], word ptr [rsi]", "the operands of movs have different sizes"),
        ("movs [rdi], [rsi]", "the operands of movs have no size: say byte, word, dword or qword ptr"),
        ("ins qword ptr [rdi], dx", "ins has no form for 8 bytes"),
        ("stosb [rsi]", "stosb takes [rdi] here and nothing else"),
        ("movsb fs:[rdi], [rsi]", "the destination of movsb is always in es"),
        ("lgs rax, [rbx]", "lgs takes a far pointer, which is not supported"),
        ("fxsave dword ptr [rax]", "the operand of fxsave is a structure and has no such size"),
        ("lea rax, 5", "lea takes an address in brackets, not a number"),
        ("mov byte ptr rax, 5", "rax has not the size that stands before it"),
        (
            "vaddps ymm0, ymm1, ymm2",
            "AVX is not available in this machine, so vaddps cannot run; use addps",
        ),
        ("tzcnt eax, ebx", "BMI1 is not available in this machine, so tzcnt cannot run; use bsf, which differs for 0"),
        ("movabs rbx, [0x1122334455667788]", "movabs with memory takes al, ax, eax or rax and a bare address"),
    ],
)
def test_an_instruction_that_does_not_exist_is_refused_with_its_reason(source: str, message: str) -> None:
    """What is wrong is said in the terms of the source, before Keystone sees anything."""
    with Assembler(disasm.one) as assembler, pytest.raises(AsmError) as caught:
        assembler.assemble(f"nop\n{source}\n", "t.asm")
    assert [(m.line, m.message) for m in caught.value.errors] == [(2, message)]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("movl %rax, %rbx", "%rbx does not fit the suffix of movl"),
        ("shrq %cl", "%cl does not fit the suffix of shrq"),
    ],
)
def test_an_att_suffix_that_contradicts_a_register_is_refused(source: str, message: str) -> None:
    """The width of an instruction is said once, or twice the same."""
    with Assembler(disasm.one) as assembler, pytest.raises(AsmError) as caught:
        assembler.assemble(source, "t.s", syntax="att")
    assert [m.message for m in caught.value.errors] == [message]
