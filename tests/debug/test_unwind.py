"""Backtraces: are they a real gdb's, of code with and without a description, and do they end on any stack at all?"""

import io
import random
import re
import shutil
import sys
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest
from debug_lab import debugged, source, stripped
from elftools.dwarf.callframe import FDE
from elftools.elf.elffile import ELFFile
from program_lab import compile_c, compiler_missing, in_lab

from emu.cfi import CallFrames, Row, Section
from emu.debug import AtBreakpoint, Ended
from emu.debug.events import Executed, SyscallEntered
from emu.debug.frames import backtrace
from emu.debug.points import Catchpoint
from emu.debug.runner import DebugError
from emu.debug.state import set_register, write
from emu.dwarf_expression import evaluate
from emu.elf_symbols import ElfTables
from emu.program import Program, load_program
from emu.render.fault import fault_report
from emu.symbols import Symbols
from emu.unwind import Backtrace
from mini_kernel.x86 import RBX, RIP, RSP

sys.path.insert(0, str(Path(__file__).parents[1] / "gdb"))
from gdb_lab import needs_gdb, session

PROGRAMS = Path(__file__).parent / "frames"
COMPILERS = ("gcc", "musl-gcc")
#: Programs, where to stop in them, how far a real gdb knows the way without musl's library being described.
STOPS = {"sorting": "*compare", "recursion": "*leaf", "handler": "*say"}


@cache
def compiled(name: str, compiler: str, directory: Path) -> Path:
    missing = compiler_missing(compiler)
    if missing:
        pytest.skip(missing)
    return compile_c(PROGRAMS / f"{name}.c", directory / f"{name}-{compiler}", compiler, "-fomit-frame-pointer")


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("frames")


def frames_of(path: Path, place: str, call: int | None = None) -> Backtrace:
    """Where a breakpoint stops, or from there on the next call of this number."""
    with debugged(load_program(str(path))) as d:
        with d.breaking_at(place):
            assert isinstance(d.cont(), AtBreakpoint)
        if call is not None:
            d.add(Catchpoint(kind=SyscallEntered, before=True, only=frozenset((call,))))
            d.cont()
        return backtrace(d)


def names(trace: Backtrace) -> list[str]:
    """Functions; compilers' parts of one (`f.part.0`) count as that one."""
    return [
        "signal" if frame.signal else re.sub(r"\+0x.*|\.(part|constprop|isra|cold)\..*", "", frame.name or "?")
        for frame in trace.frames
    ]


def gdb_frames(path: Path, commands: str) -> list[tuple[int, str]]:
    """(address, function) as gdb has them; the address of an innermost frame at a line's beginning is missing: 0."""
    told = session(
        path, f"set backtrace past-main on\nhandle SIGILL nostop noprint pass\n{commands}\ncontinue\nbacktrace"
    )
    found: list[tuple[int, str]] = []
    for line in re.findall(r"^#\d+ .*$", told, re.M):
        if "<signal handler called>" in line:
            found.append((0, "signal"))
            continue
        match = re.match(r"#\d+ +(?:(0x[0-9a-f]+) in )?(\S+)", line)
        assert match is not None, told
        found.append((int(match[1] or "0", 16), match[2]))
    return found


@needs_gdb
@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize("name", STOPS)
def test_a_backtrace_is_what_gdb_says(name: str, compiler: str, directory: Path) -> None:
    """The same places in the same order; as far as gdb knows where musl does not describe its functions."""
    path = compiled(name, compiler, directory)
    trace = frames_of(path, STOPS[name].removeprefix("*"))
    theirs = gdb_frames(path, f"break {STOPS[name]}")
    ours = [(0 if f.signal else f.rip, "signal" if f.signal else (f.name or "?")) for f in trace.frames]
    known = len(theirs) if compiler == "gcc" else _described(path, theirs)
    assert known >= {"sorting": 2, "recursion": 8, "handler": 4}[name] - (compiler != "gcc"), theirs
    assert len(ours) >= known
    assert trace.broken is None
    for (mine, my_name), (address, their_name) in zip(ours, theirs[:known], strict=False):
        assert mine == address or address == 0, (ours, theirs)
        assert my_name.partition("+")[0].lstrip("_")[:6] == their_name.lstrip("_")[:6] or mine == address


def _described(path: Path, frames: list[tuple[int, str]]) -> int:
    """How many frames gdb finds by what the compiler says: up to the first caller of a function without."""
    described = CallFrames(_sections(path))
    for i, (address, name) in enumerate(frames):
        if i and name != "signal" and described.row(address - 1) is None:
            return i + 1
    return len(frames)


WAYS = {
    ("sorting", "gcc"): ["compare", "msort_with_tmp", "msort_with_tmp", "qsort", "sorted", "main"],
    ("sorting", "musl-gcc"): ["compare", "sift", "trinkle", "qsort", "sorted", "main"],
    ("recursion", "gcc"): ["leaf", *["down"] * 6, "main"],
    ("recursion", "musl-gcc"): ["leaf", *["down"] * 6, "main"],
    ("handler", "gcc"): ["say", "handler", "signal", "divide", "main"],
    ("handler", "musl-gcc"): ["say", "handler", "signal", "divide", "main"],
}


@pytest.mark.parametrize(("name", "compiler"), WAYS)
def test_the_way_from_main_is_known_without_frame_pointers(name: str, compiler: str, directory: Path) -> None:
    """Of glibc by its call frame information, of musl, which has none, by reading its code; up to the entry."""
    trace = frames_of(compiled(name, compiler, directory), STOPS[name].removeprefix("*"))
    ours = [n for n, m in zip(names(trace), [*names(trace)[1:], ""], strict=True) if n != m or n == "down"]
    wanted = [n for n, m in zip(WAYS[name, compiler], [*WAYS[name, compiler][1:], ""], strict=True)
              if n != m or n == "down"]  # fmt: skip
    got = [re.sub(r"^_*qsort.*", "qsort", n) for n in ours]
    assert got[: len(wanted)] == wanted
    assert names(trace).index("_start") == len(trace.frames) - 1
    assert trace.broken is None
    assert all(frame.found != "guess" for frame in trace.frames)


@pytest.mark.parametrize("compiler", COMPILERS)
def test_inside_a_call_to_the_kernel_too(compiler: str, directory: Path) -> None:
    """In the library's write, in a handler on a stack of its own, interrupted at ud2."""
    trace = frames_of(compiled("handler", compiler, directory), "say", call=1)
    ours = names(trace)
    assert "write" in "".join(ours[:2]), ours
    at = ours.index("say")
    assert ours[at : at + 5] == ["say", "handler", "signal", "divide", "main"]
    assert [f.found for f in trace.frames].count("signal") == 1
    outer, inner = trace.frames[at + 3], trace.frames[at]
    assert abs(outer.registers[RSP] - inner.registers[RSP]) > 1 << 20, "not another stack"
    assert outer.exact


# -- reading call frame information ---------------------------------------------------------------------


def _sections(path: Path) -> list[Section]:
    elf = ELFFile(io.BytesIO(path.read_bytes()))
    found = [(elf.get_section_by_name(name), name == ".eh_frame") for name in (".eh_frame", ".debug_frame")]
    return [Section(section["sh_addr"], section.data(), eh) for section, eh in found if section is not None]


@pytest.mark.parametrize("compiler", COMPILERS)
def test_rows_are_those_of_another_reader(compiler: str, directory: Path) -> None:
    """Every row of every tenth function of the program and its library, against pyelftools."""
    path = compiled("handler", compiler, directory)
    ours = CallFrames(_sections(path))
    dwarf = ELFFile(io.BytesIO(path.read_bytes())).get_dwarf_info(follow_links=False)
    entries = [e for e in (*dwarf.EH_CFI_entries(), *(dwarf.CFI_entries() if dwarf.has_CFI() else ()))
               if isinstance(e, FDE)]  # fmt: skip
    assert len(ours.ranges) == len(entries)
    signals = [e for e in entries if "S" in e.cie.augmentation_dict.get("augmentation", "")]
    rows = 0
    for entry in [*signals, *entries[:: 10 if len(entries) > 50 else 1]]:
        for wanted in entry.get_decoded().table:
            row = ours.row(wanted["pc"])
            assert row is not None, hex(wanted["pc"])
            assert _plain(row) == _theirs(wanted), hex(wanted["pc"])
            rows += 1
    assert rows > 5


def _plain(row: Row) -> tuple[object, dict[int, object]]:
    return row.cfa, {n: (r.how, r.code or r.value) for n, r in row.rules.items()}


def _theirs(row: dict[str | int, object]) -> tuple[object, dict[int, object]]:
    how = {"OFFSET": "at", "EXPRESSION": "expression", "UNDEFINED": "undefined", "REGISTER": "register",
           "SAME_VALUE": "same"}  # fmt: skip
    rules: dict[int, object] = {}
    for number, rule in row.items():
        if isinstance(number, int):
            argument = rule.arg  # pyright: ignore[reportAttributeAccessIssue]  # pyelftools has no types for it
            value = bytes(argument) if isinstance(argument, list) else argument or 0
            rules[number] = how[rule.type], value  # pyright: ignore[reportAttributeAccessIssue]
    cfa = row["cfa"]
    expression = cfa.expr  # pyright: ignore[reportAttributeAccessIssue]
    register = (cfa.reg, cfa.offset)  # pyright: ignore[reportAttributeAccessIssue]
    return (bytes(expression) if expression is not None else register), rules


def test_damaged_sections_say_nothing_and_do_no_harm(directory: Path) -> None:
    """Bytes changed anywhere, or cut off: rows or none, never an exception, never without an end."""
    (section,) = [s for s in _sections(compiled("recursion", "gcc", directory)) if s.eh]
    piece, chance = section.data[:4000], random.Random(5)
    for _ in range(60):
        data = bytearray(piece)
        for _ in range(chance.randrange(1, 30)):
            data[chance.randrange(len(data))] = chance.choice((0, 0xFF, 0x80, 0x0F, chance.randrange(256)))
        frames = CallFrames([section._replace(data=bytes(data[: chance.randrange(len(data))]))])
        for start, end in frames.ranges[:200]:
            for address in (start, end - 1, (start + end) // 2):
                assert frames.row(address) is None or isinstance(frames.row(address), Row)


@pytest.mark.parametrize(
    ("code", "value"),
    [
        ("77080680", None),  # an operation that is none
        ("7708", 0x1008),
        ("7708 06", 0x77),
        ("7708 8000 3f 1a 3b 2a 33 24 22", 0x1008 + 8),  # a PLT's: breg7 8, breg16 0, lit15, and, ...
        ("35 31 1c", 4),
        ("11 7e 32 1e", (1 << 64) - 4),
        ("31 30 1b", None),  # division by zero
        ("31 28 fcff", None),  # jumps back: out of values
        ("2ffdff", None),  # for ever
        ("38 32 1b", 4),
        ("31 32 16 1c", 1),
    ],
)  # fmt: skip
def test_expressions(code: str, value: int | None) -> None:
    """Values, or a ValueError."""
    registers = {7: 0x1000, 16: 0x401_00B}

    def run() -> int:
        return evaluate(bytes.fromhex(code), registers.get, lambda address, _size: 0x77 if address == 0x1008 else None)

    if value is None:
        with pytest.raises(ValueError):
            run()
    else:
        assert run() == value


# -- code that nobody describes, stacks that nobody would make -------------------------------------------------

CALLS = """
_start:
    lea rdi, [rip + entered]
    call outer
    mov eax, SYS_exit_group
    syscall
outer:
    push rbx
    mov ebx, 77
    sub rsp, 24
    call nothing
    test rbx, rbx
    jz 1f
    call rdi
1:  add rsp, 24
    pop rbx
    ret
nothing:
    ret
entered:
    push r12
    mov rbx, 5
inside:
    lea rsp, [rsp - 64]
    nop
stop:
    add rsp, 64
    pop r12
    ret
"""


@pytest.fixture(scope="module")
def calls() -> Iterator[Program]:
    yield source(CALLS)


def test_assembly_is_read_from_the_functions_start(calls: Program) -> None:
    """Without frame pointers, at every instruction; and the caller's registers are found where they were pushed."""
    with debugged(calls) as d:
        d.until("outer")
        seen = 0
        while d.symbols().label(d.machine.regs[16])[0] != "_start":  # pyright: ignore[reportOptionalSubscript]
            trace = backtrace(d)
            way = [name for name in names(trace) if name != "inside" and name != "stop"]
            assert (
                way[-2:] == ["outer", "_start"] if "entered" not in way else way[-3:] == ["entered", "outer", "_start"]
            )
            assert trace.broken is None
            if "inside" in way or (d.symbols().name(trace.frames[0].rip) or "").startswith("stop"):
                assert trace.frames[2].registers.get(RBX) == 0
            d.step()
            seen += 1
        assert seen > 15


def test_a_jump_to_nowhere_has_a_caller() -> None:
    """The return address is on top of the stack."""
    program = source("_start:\n mov eax, 0x1000\n call f\nf:\n push rbx\n call rax\n ud2\n")
    with debugged(program) as d:
        d.cont()
        assert names(backtrace(d)) == ["?", "f", "_start"]


def test_a_broken_stack_is_called_broken(directory: Path) -> None:
    """A return address that was written over, with the address it cannot be."""
    with debugged(load_program(str(compiled("recursion", "gcc", directory)))) as d:
        d.until("leaf")
        write(d, d.machine.regs[RSP], (0x4141414141414141).to_bytes(8, "little"))
        trace = backtrace(d)
        assert len(trace.frames) == 1
        assert trace.broken == "the return address 0x4141414141414141 is no code"


def test_there_are_as_many_frames_as_were_asked_for(directory: Path) -> None:
    with debugged(load_program(str(compiled("recursion", "gcc", directory)))) as d:
        d.until("leaf")
        assert [len(backtrace(d, limit=n).frames) for n in (1, 2, 5)] == [1, 2, 5]


@pytest.mark.parametrize("compiler", [*COMPILERS, None])
def test_any_stack_ends(compiler: str | None, directory: Path, calls: Program) -> None:
    """Words of the stack, and registers, that are pointers into the stack, into code, or nothing at all."""
    chance = random.Random(11)
    program = calls if compiler is None else load_program(str(compiled("sorting", compiler, directory)))
    with debugged(program) as d:
        with d.breaking_at("stop" if compiler is None else "compare"):
            d.cont()
        top = d.machine.regs[RSP] - 2048
        codes = [address for address in d.symbols().addresses().values() if address < 0x480000]
        for _ in range(40):
            words = b"".join(_word(chance, top, codes) for _ in range(200))
            write(d, top, words)
            set_register(d, "rbp", int.from_bytes(_word(chance, top, codes), "little"))
            set_register(d, "rsp", chance.choice((top, top + 8, 0, (1 << 64) - 8, top + 160)))
            set_register(d, "rip", int.from_bytes(_word(chance, top, codes), "little"))
            assert 1 <= len(backtrace(d, limit=300).frames) <= 300


def _word(chance: random.Random, top: int, codes: list[int]) -> bytes:
    near = top + 8 * chance.randrange(-20, 300)
    value = chance.choice((near, near, chance.choice(codes) + chance.randrange(64), chance.randrange(1 << 64), 0))
    return value.to_bytes(8, "little")


def test_frames_of_a_program_that_was_executed(directory: Path, tmp_path: Path) -> None:
    """Its names are read without touching the guest: the way back over the exec is the way that was gone."""
    (tmp_path / "bin").mkdir()
    shutil.copy(compiled("recursion", "gcc", directory), tmp_path / "bin" / "recursion")
    program = source(
        "_start:\n lea rdi, [rip + path]\n xor esi, esi\n xor edx, edx\n mov eax, SYS_execve\n syscall\n ud2\n"
        '.data\npath: .asciz "/bin/recursion"\n'
    )
    with debugged(program, root=str(tmp_path)) as d:
        d.step_event(Executed)
        with d.breaking_at("leaf"):
            d.cont()
        assert names(backtrace(d))[:8] == ["leaf", *["down"] * 6, "main"]
        d.back_to(Executed)
        d.back(3)
        assert names(backtrace(d)) == ["_start"]
        assert d.locate("path") > d.locate("_start")


def test_a_program_without_names_has_frames_too() -> None:
    """By guesses, which are called so."""
    with debugged(Program("program", "", stripped(CALLS).data, None)) as d:
        d.until("stop")
        found = backtrace(d)
        assert len(found.frames) >= 2


# -- finish, forward and back ------------------------------------------------------------------------------


def test_finish_leaves_the_frame_that_was_chosen(directory: Path) -> None:
    """An inner frame of a recursion, not one of the same function before it; and back to its call, not another."""
    with debugged(load_program(str(compiled("recursion", "gcc", directory)))) as d:
        d.until("leaf")
        frames = backtrace(d).frames
        stop = d.finish(2)
        assert (stop.rip, d.machine.regs[RSP]) == (frames[3].rip, frames[3].registers[RSP])
        left = backtrace(d).frames
        assert [f.rip for f in left[1:]] == [f.rip for f in frames[4:]]
        d.back_out(1)
        assert d.machine.regs[RSP] == frames[5].registers[RSP]
        assert d.decode(d.machine.regs[RIP]).end == frames[5].rip  # pyright: ignore[reportOptionalMemberAccess]
        with pytest.raises(DebugError):
            d.finish(30)
        with pytest.raises(DebugError):
            d.back_out(30)


def test_back_out_of_a_function_that_has_called_another_first(calls: Program) -> None:
    """The call that led into it, though a later one was made with the stack as high."""
    program = source("_start:\n nop\n call f\n ud2\nf: call g\n push rbx\n sub rsp, 64\nhere: nop\n ud2\ng: ret\n")
    with debugged(program) as d:
        d.until("here")
        assert d.back_out().rip == d.locate("_start") + 1


def test_back_out_of_a_handler_is_where_the_signal_came(directory: Path) -> None:
    with debugged(load_program(str(compiled("handler", "gcc", directory)))) as d:
        d.until("say")
        interrupted = backtrace(d).frames[3].rip
        before = d.decode(d.back_out(1).rip)
        assert before is not None
        assert before.end == interrupted
        d.until("say")
        assert names(backtrace(d))[1:3] == ["handler", "signal"]
        d.finish(1)
        assert names(backtrace(d))[:2] == ["signal", "divide"], "between a handler and what goes on"
        assert d.step(2).rip == interrupted + 2


# -- in fault reports ----------------------------------------------------------------------------------------


def calls_of(program: Program) -> list[str]:
    """The lines under `calls` of the report about how it was killed, without addresses."""
    run = in_lab(program.data, memory=64 << 20)
    rows = fault_report(run.records[0], Symbols.of(program)).splitlines()
    labels = [row[2:15].strip() for row in rows]
    if "calls" not in labels:
        return []
    first = labels.index("calls")
    last = next(i for i in range(first + 1, len(rows)) if labels[i])
    return [re.sub(r"0x[0-9a-f]+ <(\w+)[^>]*>", r"\1", row[15:]) for row in rows[first:last]]


FAULT = """
#include <signal.h>
#include <stdlib.h>
static int compare(const void *a, const void *b) { return **(int **)a; }
__attribute__((noinline)) void sort(void) { int *v[3] = {0, 0, 0}; qsort(v, 3, 8, compare); asm volatile(""); }
void handler(int signo) { sort(); asm volatile(""); }
int main(void) { signal(SIGUSR1, handler); raise(SIGUSR1); return 0; }
"""


@pytest.mark.parametrize("compiler", COMPILERS)
def test_a_fault_report_has_the_calls(compiler: str, tmp_path: Path) -> None:
    """From the stack as it was: through the library, and through a signal to main."""
    missing = compiler_missing(compiler)
    if missing:
        pytest.skip(missing)
    (tmp_path / "fault.c").write_text(FAULT)
    program = load_program(str(compile_c(tmp_path / "fault.c", tmp_path / "fault", compiler)))
    found = calls_of(program)
    wanted = [name for name in found if name in ("sort", "handler", "a signal interrupted", "main", "_start")]
    assert wanted == ["sort", "handler", "a signal interrupted", "main", "_start"], found


def test_a_stack_overflow_says_how_often(tmp_path: Path) -> None:
    """RSP is below the stack then; and a fault in nobody's function has no calls."""
    deep = "_start: call f\nf: push rbx\n sub rsp, 4000\n push rbx\n call f\n ret\n"
    assert calls_of(source(deep)) == ["f at program.asm:5, 16 times"]
    assert calls_of(source("_start: mov eax, [0]\n")) == []
    assert calls_of(source("_start: call f\nf: mov qword ptr [rsp], 5\n ret\n")) == []


def test_a_page_that_nobody_has_touched_is_no_way_past_a_stop() -> None:
    """A breakpoint at the first instruction of such a page stops, once; a step over a line does not end in there."""
    leave = "mov eax, SYS_exit_group\n xor edi, edi\n syscall\n"
    far = f"_start:\n call far_away\n nop\n {leave}.balign 4096\nfar_away:\n nop\n ret\n"
    with debugged(source(far)) as d:
        with d.breaking_at("far_away"):
            assert isinstance(d.cont(), AtBreakpoint)
            assert isinstance(d.cont(), Ended)
            assert isinstance(d.back_cont(), AtBreakpoint)
        d.go(0)
        assert d.next_line().rip == d.locate("_start") + 5
        d.go(0)
        with d.breaking_at("far_away"):
            assert d.step().rip == d.locate("far_away")
            assert isinstance(d.cont(), Ended)
        d.go(0)
        d.step_line()
        assert backtrace(d).frames[0].name == "far_away"


def test_a_line_is_one_piece_however_many_rows_it_has(tmp_path: Path) -> None:
    """So that a step back over lines stands at a line's beginning, not at that of its last row."""
    missing = compiler_missing("gcc")
    if missing:
        pytest.skip(missing)
    path = compile_c(PROGRAMS / "handler.c", tmp_path / "handler", "gcc", "-O0", "-g")
    rows = sorted(ElfTables(path.read_bytes()).rows())
    assert len(rows) > 10
    neighbours = pairwise(rows)
    assert not [a for a, b in neighbours if a.end == b.start and (a.file, a.line) == (b.file, b.line)]
