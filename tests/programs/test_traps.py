"""The trap table, end to end: instruction bytes -> the signal a program gets, and what is in it, as on the host.

Each case runs three times: natively and in the lab with a handler that writes down what it is told (signal, si_code,
si_addr, RIP, trap number, error code, CR2), and in the lab without one, where the fault report must name the same.
"""

import struct
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

import pytest
from program_lab import NOT_NATIVE, Run, assemble, in_lab, natively, write_executable

from mini_kernel.uapi.signal import (
    ILL_ILLOPN,
    SEGV_ACCERR,
    SEGV_MAPERR,
    SI_KERNEL,
    SIGFPE,
    SIGILL,
    SIGSEGV,
    SIGTRAP,
)
from mini_kernel.x86 import RIP, VEC_GP, VEC_PF, VEC_UD

DRIVER = Path(__file__).with_name("trap_driver.asm")
CODE, DATA, READ_ONLY, HOLE, STACK = 0x1000_0000, 0x2000_0000, 0x3000_0000, 0x4000_0000, 0x5000_0000
END = 0x2000  # of the code pages
SURVIVED = 42
#: mov edi, 42; mov eax, SYS_exit_group; syscall - behind every case.
EXIT = bytes.fromhex("bf2a000000 b8e7000000 0f05")


class Told(NamedTuple):
    """What a handler finds in siginfo and ucontext."""

    signo: int
    code: int
    address: int
    rip: int
    vector: int
    error: int
    cr2: int


class Case(NamedTuple):
    """Bytes that run at CODE + `at`; with `whole` nothing comes behind them."""

    hex: str
    at: int = 0
    whole: bool = False


def last(text: str, short: int = 0) -> Case:
    """Bytes that end `short` bytes before the end of the code pages."""
    return Case(text, END - len(bytes.fromhex(text)) - short, True)


FAR = "48b80000000000008000 "  # mov rax, a non-canonical address
HIGH = "48b8000000000080ffff "  # mov rax, in the kernel's half
CASES: dict[str, Case] = {
    # Page faults: the address, and read, write or fetch.
    "read a hole": Case("8b03"),
    "write a hole": Case("8903"),
    "read-modify-write a hole": Case("ff03"),
    "cmpxchg a hole": Case("f00fb10b"),
    "read null": Case("8b00"),
    "write read-only": Case("8906"),
    "add to read-only": Case("0106"),
    "write code": Case("41c60700"),
    "read over the end of a page": Case("488b87fc0f0000"),
    "write over the end of a page": Case("488987fc0f0000"),
    "16-byte write over the end of a page": Case("0f1187f80f0000"),
    "read the kernel's half": Case(HIGH + "8b00"),
    "write the kernel's half": Case(HIGH + "8900"),
    "read the last user page": Case("48b800f0ffffff7f0000 8b00"),
    "jump to null": Case("ffe0"),
    "jump to a hole": Case("ffe3"),
    "call a hole": Case("ffd3"),
    "jump to data": Case("ffe7"),
    "jump to read-only": Case("ffe6"),
    "jump to the kernel's half": Case(HIGH + "ffe0"),
    "return to a hole": Case("53 c3"),
    "fetch over the end of code": last("b800"),
    "nops, then fetch over the end": last("90909048b8"),
    "store, then fetch over the end": last("c6070748"),
    "syscall as the last bytes of code": last("b827000000 0f05"),
    "jump as the last bytes of code": last("eb00"),
    "push below the stack": Case("bc00000050 50"),
    "call below the stack": Case("bc00000050 e800000000"),
    "pop above the stack": Case("bc00200050 58"),
    "rep movsb out of a page": Case("b980000000 488db7a00f0000 488dbfc00f0000 f3a4"),
    "rep stosq into a hole": Case("488dbff00f0000 b904000000 f348ab"),
    "rep movsb from a hole": Case("4889de b903000000 f3a4"),
    "rep movsb to read-only": Case("48 87f7 b903000000 f3a4"),
    "repne scasb over the end": Case("b001 b900200000 f2ae"),
    "std rep stosb below data": Case("fd b910000000 f3aa"),
    "enter with its stack in a hole": Case("4889dc c8200000"),
    "fxsave to read-only": Case("0fae06"),
    "movaps from a hole": Case("0f2803"),
    "fld from a hole": Case("dd03"),
    "bt with a far bit": Case("b8000000 7f 0fa307"),
    "xchg with read-only": Case("8706"),
    "lock inc read-only": Case("f0ff06"),
    "lea touches nothing": Case("8d03"),
    "prefetch touches nothing": Case("0f1803"),
    # Not canonical: #GP (or #SS with the stack), no address.
    "read not canonical": Case(FAR + "8b00"),
    "write not canonical": Case(FAR + "8900"),
    "jump not canonical": Case(FAR + "ffe0"),
    "call not canonical": Case(FAR + "ffd0"),
    "return to not canonical": Case(FAR + "50 c3"),
    "push with a stack not canonical": Case(FAR + "4889c4 50"),
    "read through rsp not canonical": Case(FAR + "4889c4 8b0424"),
    # Privileged, or refused to ring 3.
    "hlt": Case("f4"),
    "cli": Case("fa"),
    "sti": Case("fb"),
    "in": Case("e460"),
    "in dx": Case("ec"),
    "out": Case("e660"),
    "out dx": Case("ee"),
    "insb": Case("6c"),
    "outsb": Case("6e"),
    "rdmsr": Case("0f32"),
    "wrmsr": Case("0f30"),
    "mov cr0": Case("0f20c0"),
    "mov to cr3": Case("0f22d8"),
    "mov dr7": Case("0f21f8"),
    "clts": Case("0f06"),
    "lgdt": Case("0f0117"),
    "lidt": Case("0f011f"),
    "ltr": Case("0f00d8"),
    "lldt": Case("0f00d0"),
    "lmsw": Case("0f01f0"),
    "invlpg": Case("0f013f"),
    "wbinvd": Case("0f09"),
    "swapgs": Case("0f01f8"),
    "sysretq": Case("480f07"),
    "sysexit": Case("0f35"),
    "in after nops": Case("9090 ec"),
    # Segments.
    "mov ss, 0": Case("31c0 8ed0"),
    "mov ds, 0": Case("31c0 8ed8"),
    "mov ds, bad": Case("b8f8ff0000 8ed8"),
    "mov fs, bad": Case("b8f8ff0000 8ee0"),
    "mov cs": Case("8ec8"),
    "far return, null selector": Case("6a00 57 48cb"),
    "far jump through memory, null selector": Case("ff2f"),
    "far call through memory, null selector": Case("ff1f"),
    "iretq, null selector": Case("6a00 6a00 6a02 6a00 57 48cf"),
    "iretd, null selector": Case("6a00 6a00 6a00 cf"),
    # Interrupts and undefined instructions.
    "int3": Case("cc"),
    "int 3": Case("cd03"),
    "int 0": Case("cd00"),
    "int 1": Case("cd01"),
    "int 6": Case("cd06"),
    "int 8": Case("cd08"),
    "int 13": Case("cd0d"),
    "int 14": Case("cd0e"),
    "int 0x20": Case("cd20"),
    "int 255": Case("cdff"),
    "ud2": Case("0f0b"),
    "ud2 after nops": Case("9090 0f0b"),
    # The engine's translator aborts on these; emu/machine/aborts.py makes #UD of it.
    "lock bt on a register": Case("f0 0fa3f2"),
    "lock bts on a register": Case("f0 48 0fabf2"),
    "lock btr on a register": Case("f0 0fb3c1"),
    "lock btc on a register, after nops": Case("9090 f0 0fbbf2"),
    "lock bts imm on a register": Case("f0 0fbaea03"),
    "ud1": Case("0fb9c0"),
    "push es": Case("06"),
    "aaa": Case("37"),
    "bound": Case("6200"),
    "far jump immediate": Case("ea0000000000 00"),
    "into": Case("ce"),
    "lock add register": Case("f001c0"),
    "lock nop": Case("f090"),
    "lock mov to memory": Case("f08907"),
    "rsm": Case("0faa"),
    "monitor": Case("0f01c8"),
    "sysenter": Case("0f34"),
    "16 bytes of prefix": Case("66" * 15 + "90"),
    "movbe register": Case("0f38f0c0"),
    # Division.
    "div by zero": Case("f7f1"),
    "div 64 by zero": Case("48f7f1"),
    "div byte by zero": Case("f6f1"),
    "div overflow": Case("b201 b101 f6f1 baffffffff b901000000 f7f1"),
    "idiv overflow": Case("b800000080 99 83c9ff f7f9"),
    "div by memory": Case("f737"),
    "div by a hole": Case("f733"),
    # Flags.
    "popf with TF": Case("6800030000 9d 90"),
    "popf with NT": Case("6802420000 9d 90"),
    "popf with IOPL and IF": Case("6802300000 9d 90"),
    "popf with RF and VM": Case("6802020300 9d 90"),
    "popf with ID": Case("6802022000 9d 90"),
    "TF over a syscall": Case("6800030000 9d b827000000 0f05"),
    # x87: an unmasked exception is reported by the next waiting instruction.
    "fdiv by zero, masked": Case("dbe3 d9e8 d9ee def9 9b"),
    "fdiv by zero, unmasked, fwait": Case("dbe3 6668 7b03 d92c24 d9e8 d9ee def9 9b"),
    "invalid, unmasked, next x87": Case("dbe3 6668 7e03 d92c24 d9ee d9ee def9 d9e8"),
    "fdiv by zero, unmasked, not waited for": Case("dbe3 6668 7b03 d92c24 d9e8 d9ee def9 dbe2"),
    # Goes on.
    "cpuid": Case("0fa2"),
    "rdtsc": Case("0f31"),
    "rdtscp": Case("0f01f9"),
    "pause": Case("f390"),
    "endbr64": Case("f30f1efa"),
    "clflush": Case("0fae3f"),
    "mfence": Case("0faef0"),
    "push fs, pop fs": Case("0fa0 0fa1"),
    "lar": Case("0f02c0"),
    "verr": Case("0f00e0"),
    # Where the engine is not the host's CPU: see ACCEPTED.
    "movaps not aligned": Case("0f284701"),
    "popf with AC, access not aligned": Case("6802020400 9d 8b4701"),
    "vxorps": Case("c5f857c0"),
    "vpaddd ymm": Case("c5fdfec0"),
    # vpaddd xmm0, xmm1, xmm2 of 5 and 7; ud2 unless that is 12
    "vpaddd xmm": Case("b805000000 660f6ec8 b807000000 660f6ed0 0f57c0 c5f1fec2 660f7ec0 83f80c 7402 0f0b"),
    "rdrand": Case("0fc7f0"),
    "rdfsbase": Case("f3480faec0"),
    "xgetbv": Case("0f01d0"),
    "divss by zero, unmasked": Case("c7070000803f f30f1007 0f57c9 c707801d0000 0fae17 f30f5ec1"),
    "mov ss, own": Case("b82b000000 8ed0"),
    "mov ds, own": Case("b82b000000 8ed8"),
    "iretq to itself": Case("488d4c2408 6a2b 51 9c 6a33 488d0d03000000 51 48cf"),
    "far return to itself": Case("6a33 488d0d03000000 51 48cb"),
}

#: What the lab does otherwise, and why. The value is what the lab's handler is told; None: nothing, the code goes on.
_UD: Final = Told(SIGILL, ILL_ILLOPN, CODE, CODE, VEC_UD, 0, 0)


def _gp(rip: int, error: int = 0) -> Told:
    return Told(SIGSEGV, SI_KERNEL, 0, rip, VEC_GP, error, 0)


def _read_first(address: int) -> Told:
    return Told(SIGSEGV, SEGV_MAPERR, address, CODE, VEC_PF, 4, address)


_TARGET: Final = 0x80_0000_0000_0000  # of the jumps that are not canonical
_OLD_CPU: Final = "the CPU model is Westmere, so that nothing is random and little is computed wrongly"
_NO_GDT: Final = "there is no GDT: any selector but null is a bad one"
_BRANCH: Final = "the fault is at the target, as on AMD; Intel's is at the jump"
ACCEPTED: dict[str, tuple[str, Told | None]] = {
    "read-modify-write a hole": ("the engine reads first: error code 4, not 6", _read_first(HOLE)),
    "cmpxchg a hole": ("the engine reads first: error code 4, not 6", _read_first(HOLE)),
    "fxsave to read-only": (
        "the hardware writes the last byte first",
        Told(SIGSEGV, SEGV_ACCERR, READ_ONLY, CODE, VEC_PF, 7, READ_ONLY),
    ),
    "jump not canonical": (_BRANCH, _gp(_TARGET)),
    "call not canonical": (_BRANCH, _gp(_TARGET)),
    "return to not canonical": (_BRANCH, _gp(_TARGET)),
    "push with a stack not canonical": ("#GP instead of #SS, so SIGSEGV instead of SIGBUS", _gp(CODE + 13)),
    "read through rsp not canonical": ("#GP instead of #SS, so SIGSEGV instead of SIGBUS", _gp(CODE + 13)),
    "lock mov to memory": ("the engine ignores LOCK where it means nothing", None),
    "sysenter": ("the host enters its 32-bit ABI and dies at a random place", _UD),
    "invalid, unmasked, next x87": ("the engine reports x87 exceptions at fwait only", None),
    "movaps not aligned": ("the engine does not check the alignment of SSE operands", None),
    "popf with AC, access not aligned": ("the engine does not check alignment", None),
    "divss by zero, unmasked": ("the engine raises no SSE exceptions", None),
    "vpaddd ymm": ("no AVX: " + _OLD_CPU, _UD),
    "vpaddd xmm": (
        "the engine executes 128-bit AVX as SSE with two operands; CPUID says that there is none",
        Told(SIGILL, ILL_ILLOPN, CODE + 0x22, CODE + 0x22, VEC_UD, 0, 0),
    ),
    "rdrand": (_OLD_CPU, _UD),
    "rdfsbase": (_OLD_CPU, _UD),
    "xgetbv": (_OLD_CPU, _UD),
    "mov ss, own": (_NO_GDT, _gp(CODE + 5, 0x28)),
    "mov ds, own": (_NO_GDT, _gp(CODE + 5, 0x28)),
    "iretq to itself": (_NO_GDT, _gp(CODE + 0x13, 0x30)),
    "far return to itself": (_NO_GDT, _gp(CODE + 0xA, 0x30)),
}


@cache
def driver() -> bytes:
    return assemble(DRIVER.read_text(), DRIVER.name)


def stdin(case: Case, flags: int) -> bytes:
    return struct.pack("<II", case.at, flags) + bytes.fromhex(case.hex) + (b"" if case.whole else EXIT)


def told(run: Run) -> Told | int:
    """What the handler wrote, or how the program ended without it."""
    return Told(*struct.unpack("<iiQQQQQ", run.stdout)) if len(run.stdout) == 48 else run.status


def lab(case: Case, handler: bool) -> Run:
    return in_lab(driver(), stdin=stdin(case, int(handler)), memory=16 << 20)


@pytest.fixture(scope="session")
def native(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_executable(tmp_path_factory.mktemp("traps") / "driver", driver())


@pytest.mark.skipif(bool(NOT_NATIVE), reason=NOT_NATIVE)
@pytest.mark.parametrize("name", [name for name in CASES if name not in ACCEPTED])
def test_a_handler_is_told_the_same_as_on_the_host(name: str, native: Path) -> None:
    case = CASES[name]
    assert told(lab(case, True)) == told(natively(native, stdin=stdin(case, 1)))


@pytest.mark.parametrize("name", ACCEPTED)
def test_known_difference_is_as_described(name: str) -> None:
    _reason, expected = ACCEPTED[name]
    assert told(lab(CASES[name], True)) == (SURVIVED if expected is None else expected)


@pytest.mark.parametrize("name", CASES)
def test_the_fault_report_says_what_a_handler_is_told(name: str) -> None:
    """Without a handler the process dies of the same signal, and its record has the same place and reason."""
    expected, run = told(lab(CASES[name], True)), lab(CASES[name], False)
    if isinstance(expected, int):
        assert (run.status, run.records) == (expected, [])
        return
    assert run.status == -expected.signo
    (record,) = run.records
    assert (record.signo, record.code, record.address, record.vector, record.error) == (
        expected.signo, expected.code, expected.address, expected.vector, expected.error,
    )  # fmt: skip
    assert record.regs[RIP] == expected.rip
    if expected.signo in (SIGSEGV, SIGILL, SIGFPE) and CODE <= expected.rip < CODE + END:
        begins = record.instruction[: CODE + END - expected.rip]
        case = CASES[name]
        code = (bytes.fromhex(case.hex) + (b"" if case.whole else EXIT)).ljust(END, b"\0")
        assert begins == code[expected.rip - CODE - case.at :][: len(begins)][:16]


def test_table_is_large_and_covers_the_fault_signals() -> None:
    """At least sixty cases, four signals, and no difference that no case shows."""
    found = {told(lab(CASES[name], True)) for name in ("read a hole", "ud2", "div by zero", "int3")}
    assert {t.signo for t in found if isinstance(t, Told)} == {SIGSEGV, SIGILL, SIGFPE, SIGTRAP}
    assert len(CASES) >= 60
    assert ACCEPTED.keys() <= CASES.keys()


def test_time_stamps_come_from_the_virtual_clock() -> None:
    """rdtsc and rdtscp give the same numbers in every run, never less than before, and CPU 0."""
    # rdtsc; shl rdx, 32; lea rbp, [rax + rdx]; rdtscp; shl rdx, 32; add rax, rdx; mov [rdi], rbp; mov [rdi + 8], rax;
    # mov [rdi + 16], rcx; write(1, rdi, 24); exit_group(42)
    code = (
        "0f31 48c1e220 488d2c10 0f01f9 48c1e220 4801d0 48892f 48894708 48894f10"
        "89fe bf01000000 ba18000000 b801000000 0f05"
    )
    outputs = {lab(Case(code), True).stdout for _ in range(2)}
    assert len(outputs) == 1
    first, second, cpu = struct.unpack("<QQQ", outputs.pop())
    assert 0 < first <= second
    assert cpu == 0
