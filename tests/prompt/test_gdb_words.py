"""What fingers know from gdb and pwndbg: does it do what it does there, or say what to type instead?"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from program_lab import compile_c, compiler_missing
from prompt_lab import ROOT, example, say, shell

from emu.program import load_program
from emu.prompt import Shell
from emu.prompt.elsewhere import HARMLESS, elsewhere
from emu.prompt.fit import fit
from emu.prompt.registry import find

FRAMES = ROOT / "tests" / "debug" / "frames"

CALLS = """
_start:
    mov ebx, 0x11
    call outer
    mov edi, eax
    mov eax, SYS_exit_group
    syscall
outer:
    push rbx
    mov ebx, 0x22
    call inner
back:
    pop rbx
    ret
inner:
    mov rax, [rip + cell]
    mov dword ptr [rip + cell], -2
    ret
.data
cell: .quad 0x1122334455667788
number: .long -5, 7
greeting: .asciz "hello"
fraction: .quad 0x3ff8000000000000
"""


@pytest.fixture
def calls(tmp_path: Path) -> Iterator[Shell]:
    source = tmp_path / "calls.asm"
    source.write_text(CALLS)
    with shell(load_program(str(source))) as session:
        yield session


@pytest.fixture
def inside(calls: Shell) -> Shell:
    """At the beginning of inner, called by outer, called by _start."""
    say(calls, "b inner", "r", "d")
    return calls


@pytest.mark.parametrize(
    ("short", "long"),
    [
        ("s", "step"), ("si", "stepi"), ("n", "next"), ("ni", "nexti"), ("c", "continue"), ("cont", "continue"),
        ("rc", "reverse-continue"), ("rsi", "reverse-stepi"), ("rni", "reverse-nexti"), ("rs", "reverse-step"),
        ("rn", "reverse-next"), ("b", "break"), ("br", "break"), ("brea", "break"), ("tb", "tbreak"), ("i", "info"),
        ("inf", "info"), ("p", "print"), ("pri", "print"), ("disas", "disassemble"), ("disass", "disassemble"),
        ("disp", "display"), ("undisp", "undisplay"), ("u", "until"), ("adv", "advance"), ("comm", "commands"),
        ("cond", "condition"), ("ign", "ignore"), ("bt", "backtrace"), ("where", "backtrace"), ("f", "frame"),
        ("fr", "frame"), ("up", "up"), ("dow", "down"), ("l", "list"), ("fin", "finish"), ("r", "run"), ("d", "delete"),
        ("dis", "disable"), ("en", "enable"), ("h", "help"), ("q", "quit"), ("j", "jump"), ("wat", "watch"),
        ("ste", "step"), ("reverse-s", "reverse-step"), ("th", "task"), ("inferior", "task"), ("t", "task"),
        ("hexdump", "dump"), ("telescope", "stack"), ("nearpc", "disassemble"), ("vmmap", "vmmap"),
    ],
)  # fmt: skip
def test_abbreviations(short: str, long: str) -> None:
    assert find(short).names[0] == long


def test_frames_are_looked_at(inside: Shell) -> None:
    """Registers, expressions, code, lines and the stack are those of the frame; a step forgets it."""
    assert say(inside, "bt").splitlines()[-1].startswith("#2 0x40100a <_start+0xa> at ")
    told = say(inside, "up", "p/x $rbx", "p $rip == back", "p $rsp", "list")
    assert told.startswith("#1 0x401020 <back>") or "<outer+" in told.splitlines()[0]
    assert "= 0x22" in told
    assert "call inner" in told.splitlines()[1]
    assert "= 0x11" in say(inside, "up", "p/x $rbx")
    assert "outermost" in say(inside, "up")
    assert "=>" in say(inside, "disas")
    assert "call 0x" in say(inside, "disas").partition("=>")[0].splitlines()[-1]
    assert "<not saved>" in say(inside, "info registers")
    assert "was not saved" in say(inside, "p $rcx")
    assert "saved registers: rip at 0x" in say(inside, "frame 0", "info frame")
    assert "rbx at 0x" in say(inside, "info frame 1")
    assert "called by frame 2" in say(inside, "info frame 1")
    assert "no frame 9" in say(inside, "f 9")
    assert "#1 " in say(inside, "frame function outer")
    assert "no frame of 'nothing'" in say(inside, "frame function nothing")
    assert say(inside, "info registers rip", "p $rip").count("0x") > 1
    assert "frame 0 only" in say(inside, "set $rax = 1")
    assert "#0 " in say(inside, "si", "frame")
    assert "innermost" in say(inside, "down")
    assert len(say(inside, "bt 1").splitlines()) == 2
    assert say(inside, "bt -1").startswith("#2 ")
    assert say(inside, "i s") == say(inside, "bt")


def test_finish_and_return_from_a_frame(inside: Shell) -> None:
    """finish runs out of the chosen frame; return leaves it without running."""
    assert "_start+0xa" in say(inside, "up", "finish")
    say(inside, "b inner", "r", "d", "up")
    told = say(inside, "return 5")
    assert "<_start+0xa>" in told
    assert "= 0x5" in say(inside, "p $rax")
    assert "= 0x11" in say(inside, "p $rbx")
    assert "exit status 5" in say(inside, "c")


def test_memory_by_c_types(inside: Shell) -> None:
    """{int}A and *(int *)A, read and set; values and formats of a size."""
    assert say(inside, "p/x {int}cell", "p/x *(short *)cell", "p/x *(unsigned char*)cell") == (
        "$1 = 0x55667788\n$2 = 0x7788\n$3 = 0x88"
    )
    assert say(inside, "p/d {int}number", "p/d *(int *)&number", "p (char)0x1ff").splitlines() == [
        "$4 = -5", "$5 = -5", "$6 = 0xff = 255",
    ]  # fmt: skip
    say(inside, "set {int}number = 9", "set *(char *)cell = 1", "set var {short}(number+4) = 3")
    assert say(inside, "p/d {int}number", "p/x {long}cell", "p {int}(number + 4)").splitlines() == [
        "$7 = 9", "$8 = 0x1122334455667701", "$9 = 0x3",
    ]  # fmt: skip
    assert "has no size" in say(inside, "set var number = 1")
    assert "no type" in say(inside, "p {thing}number")
    assert "$10 = 1.5" in say(inside, "p/f [fraction]")
    assert "1.5" in say(inside, "x/fg &fraction")


def test_parts_of_registers_and_variables(inside: Shell) -> None:
    say(inside, "set $rax = 0x1122334455667788", "set $al = 0xff", "set $i = 3", "set $eax = -1")
    assert say(inside, "p/x $rax", "p/d $eax", "p $i + 1") == "$1 = 0x11223344ffffffff\n$2 = -1\n$3 = 0x4"
    assert "no register and no symbol" in say(inside, "p $nothing")


def test_displays(inside: Shell) -> None:
    """After every stop, in their formats; what cannot be evaluated is left out; removed by number."""
    assert say(inside, "display/x $rbx") == "1: /x $rbx = 0x22"
    assert say(inside, "display/i $pc").startswith("2: /i $pc\ninner:\n=> 0x")
    assert inside.execute("display nothing").failed
    assert "1: /x $rbx = 0x22" in say(inside, "si")
    assert "2: /i $pc\n=> 0x" in say(inside, "si")
    assert say(inside, "info display") == "1: /x $rbx\n2: /i $pc"
    assert "$pc" not in say(inside, "undisplay 2", "si")
    assert say(inside, "undisplay", "info display") == "nothing is displayed"
    assert inside.execute("undisplay 7").failed
    assert say(inside, 'printf "%d of %#x%% %s\\n", 3, 4, greeting'.replace("#", "")) == "3 of 4% hello"
    assert say(inside, "output/x 16") == "0x10"
    assert inside.execute('printf "%d"').failed


def test_watching_what_is_at_an_address(inside: Shell) -> None:
    """`watch *A` is the memory at A, of the type's size; a register cannot be."""
    assert "0x402000, 4 bytes" in say(inside, "watch *(int *)cell")
    assert "0x402000, 8 bytes" in say(inside, "watch *0x402000", "rwatch -l *cell")
    assert "was read" in say(inside, "c")
    assert "was written" in say(inside, "c")
    assert "registers cannot be watched" in say(inside, "watch $rax")
    assert len(say(inside, "info watchpoints").splitlines()) == 3


def test_points_in_gdbs_words(calls: Shell) -> None:
    say(calls, "b outer", "hbreak inner", "tbreak back", "delete 2-3", "clear outer")
    assert say(calls, "info b") == "there are no points"
    say(calls, "b outer", "b inner", "delete breakpoints")
    assert say(calls, "info b") == "there are no points"
    say(calls, "b outer", "b inner")
    assert say(calls, "info b 7").startswith("7: ")
    assert calls.execute("clear back").failed


def test_checkpoints_and_jumps(inside: Shell) -> None:
    assert say(inside, "checkpoint").startswith("checkpoint 1 is ")
    there = inside.d.now
    say(inside, "finish")
    assert "inner" in say(inside, "restart 1")
    assert inside.d.now == there
    assert say(inside, "info checkpoints").startswith("1: ")
    assert inside.execute("restart 7").failed
    assert "exit status" in say(inside, "finish", "jump back")


def test_arguments_are_kept(calls: Shell) -> None:
    say(calls, "set args one 'two three'", "starti")
    assert "= 0x3" in say(calls, "p [rsp]")
    assert say(calls, "show args") == "args: one two three"


def test_code_and_lines_by_gdbs_ranges(inside: Shell) -> None:
    """A function as a whole; FROM, TO; FROM, +BYTES; a number of instructions. Lines N, N,M, and those before."""
    assert say(inside, "disas outer").count("0x4010") >= 5
    assert "inner:" not in say(inside, "disas back")
    whole = say(inside, "disas /r inner")
    assert whole.rstrip().endswith("ret") or "ret " in whole.splitlines()[-1]
    assert len(say(inside, "disas inner, +8").splitlines()) == len(say(inside, "disas inner, 2").splitlines())
    assert say(inside, "disas inner, inner+8") == say(inside, "disas inner, +8")
    assert say(inside, "list 3,5").splitlines()[0] == "    3      mov ebx, 0x11"
    assert len(say(inside, "list 3,5").splitlines()) == 3
    assert say(inside, "list 12").splitlines()[0].startswith("    8  outer:")
    first = say(inside, "list -").splitlines()
    assert (first[0].split()[0], first[-1].split()[0]) == ("1", "7") or first[-1].startswith("    7")
    assert inside.execute("list -").failed
    assert "calls.asm has" in say(inside, "list 900")


def test_a_line_without_code_is_the_next_one_with(calls: Shell) -> None:
    """`break 13` is the instruction behind a label; a number is no address."""
    assert "<back> at " in say(calls, "b 12")
    assert say(calls, "b 12").endswith("calls.asm:12") or "calls.asm:13" in say(calls, "b 12")
    assert "<back>" in say(calls, "b calls.asm:12")
    for wrong in ("b 999", "b calls.asm:999", "b nosuch.c:1", "advance 999"):
        assert "has no code" in say(calls, wrong), wrong
    say(calls, "set listsize 3")
    assert len(say(calls, "list 5").splitlines()) == 3
    assert "programs are static" in say(calls, "info sharedlibrary")


def test_each_task(calls: Shell) -> None:
    with example("fork_cow.asm") as fork:
        told = say(fork, "catch fork", "c", "thread apply all bt", "info threads", "inferior 2", "thread apply 1 p pid")
        assert "task 1:\n#0 " in told
        assert "task 2:\n#0 " in told
        assert told.endswith("$1 = 0x1")
        assert fork.task().tid == 2
        assert fork.execute("thread apply").failed


def test_gdbs_scripts_begin_with_settings_that_mean_nothing(calls: Shell) -> None:
    for setting in ("pagination off", "confirm off", "width 0", "height 0", "disassembly-flavor intel",
                    "print pretty on", "scheduler-locking off", "follow-fork-mode parent"):  # fmt: skip
        assert say(calls, f"set {setting}") == ""
    assert calls.execute("set disassembly-flavor att").failed
    assert all(say(calls, f"set {name} 0") == "" for name in HARMLESS)


def test_what_is_elsewhere_says_what_to_do_here(calls: Shell) -> None:
    """One line, which names a command that there is."""
    for word in (
        "kill",
        "attach",
        "ptype",
        "record",
        "layout",
        "call",
        "shell",
        "python",
        "find",
        "checksec",
    ):
        answer = calls.execute(f"{word} something")
        assert answer.failed
        assert answer.lines == [f"error: there is no {word!r} here: {elsewhere(word)}"]
    assert "names of variables" in say(calls, "info locals")


def test_completion_of_registers_and_places(calls: Shell) -> None:
    assert {"$rax", "$rsp"} <= set(calls.complete("p $r"))
    assert "*outer" in calls.complete("b *out")
    assert "frame" in calls.complete("info fra")
    assert "$rsp" in calls.complete("x/4gx $rs")


def test_an_optimised_program_of_c(tmp_path: Path) -> None:
    """Frames of code without frame pointers, from the innermost to main and back down."""
    missing = compiler_missing("gcc")
    if missing:
        pytest.skip(missing)
    program = compile_c(FRAMES / "recursion.c", tmp_path / "recursion", "gcc", "-g")
    with shell(load_program(str(program))) as session:
        told = say(session, "b leaf", "r", "bt")
        assert told.count("<down+0x") == 6
        assert "lines, the next is 12" in say(session, "up", "info source")
        told = say(session, "frame function main", "list", "down", "p/x $rip == [$rsp - 8]")
        assert "return down(5, &here)" in told
        assert "recursion.c" in say(session, "info line")
        assert "<down+" in say(session, "frame function leaf", "up 3", "finish")


@pytest.mark.parametrize("width", [40, 60, 80, 100, 132])
def test_lines_fit_the_terminal(width: int) -> None:
    """None is wider; instructions stay on one line, and nothing else is lost."""
    with example("bugs/null_field.asm", ("registers", "code", "stack", "backtrace", "why")) as session:
        lines = session.execute("continue").lines
    for line in lines:
        rows = fit(line, width)
        assert all(len(row) <= width for row in rows), rows
        if line[:2] in ("=>", "  ") and line[3:5] == "0x":
            assert len(rows) == 1
            assert line[:12] == rows[0][:12]
        elif not line.startswith("-- "):
            assert "".join("".join(rows).split()) == "".join(line.split())
