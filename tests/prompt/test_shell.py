"""The prompt: what commands do, forward and back, and what becomes of those that cannot be."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from program_lab import assemble
from prompt_lab import example, say, shell

from emu.program import Program
from emu.prompt import Shell
from emu.prompt.info import INFO
from emu.prompt.registry import COMMANDS, commands
from emu.prompt.scripts import play

LOOP = """
_start:
    lea rbx, [rip + cell]
    mov ecx, 5
again:
    mov [rbx], rcx
    call leaf
    loop again
    mov eax, SYS_exit_group
    mov edi, 3
    syscall
leaf:
    push rax
    pop rax
    ret
.data
cell: .quad 0
"""


@pytest.fixture
def loop(tmp_path: Path) -> Iterator[Shell]:
    from emu.program import load_program

    source = tmp_path / "loop.asm"
    source.write_text(LOOP)
    with shell(load_program(str(source))) as session:
        yield session


@pytest.fixture
def fork() -> Iterator[Shell]:
    with example("fork_cow.asm") as session:
        yield session


def test_a_read_watch_meets_a_write_from_its_buffer(fork: Shell) -> None:
    """And backwards, from the end."""
    for verb in ("c", "rc"):
        text = say(fork, "rwatch parent_line, 1", verb)
        assert "read" in text and "kernel" in text, text
        assert "ended" in say(fork, "delete", "c")


def test_a_condition_decides_where_it_stops(loop: Shell) -> None:
    """Over registers and memory; and what was ignored is passed."""
    assert "breakpoint 1" in say(loop, "break again if rcx == 3 && [cell] == 4", "run")
    assert say(loop, "print rcx", "print $ + $1") == "$1 = 0x3\n$2 = 0x6"
    assert "ended: exit status 3" in say(loop, "c")
    assert say(loop, "delete", "tb leaf", "ignore 2 2", "run", "p rcx").endswith("$3 = 0x3")
    assert say(loop, "info b") == "there are no points"


def test_every_step_has_its_way_back(loop: Shell) -> None:
    """After any walk forward, the same number of reverse-stepi is the beginning again."""
    say(loop, "si 2", "ni", "nexti", "stepi 3", "finish", "next", "s", "until", "step-block")
    here = loop.d.now.instructions
    assert here > 10
    say(loop, f"rsi {here}")
    assert loop.d.now.instructions == 0
    say(loop, "si 5", "reverse-finish")
    assert loop.d.now.instructions == 3
    assert "call 0x" in say(loop, "x/i rip")
    say(loop, "goto end")
    assert loop.d.now.instructions >= here


def test_who_wrote_it_is_found_and_gone_to(loop: Shell) -> None:
    """Without a watchpoint set before; `hit` is behind the store."""
    told = say(loop, "run", "who-wrote cell", "goto hit", "p/d [cell]")
    assert "was written by task 1, at" in told
    assert "old 0x2" in told
    assert told.endswith("$1 = 1")
    assert "old 0x3" in say(loop, "rsi", "who-wrote cell")
    assert "was never written" in say(loop, "goto start", "who-wrote cell")


def test_watching_runs_both_ways(loop: Shell) -> None:
    """The same hits backwards as forwards."""
    forward = say(loop, "watch cell", *["c"] * 5).count("old ")
    back = say(loop, "c", *["rc"] * 5).count("old ")
    assert (forward, back) == (5, 5)
    assert "the earliest moment" in say(loop, "rc")


def test_an_empty_line_repeats_a_step_and_goes_on_with_memory(loop: Shell) -> None:
    say(loop, "si", "", "")
    assert loop.d.now.instructions == 3
    assert say(loop, "x/2xb 0x401000", "").splitlines()[1].startswith("0x401002")
    assert say(loop, "print 1", "") == "$1 = 0x1"


def test_commands_of_a_point(loop: Shell) -> None:
    """Run at each stop; `silent` leaves the stop itself out; they can go on."""
    assert loop.execute("b again").failed is False
    say(loop, "commands", "silent", "print rcx", "end")
    assert say(loop, "c", "c") == "$1 = 0x5\n$2 = 0x4"
    say(loop, "commands 1", "p rcx", "continue", "end")
    told = say(loop, "c")
    assert "$5 = 0x1" in told
    assert told.endswith("the program has ended: exit status 3")


def test_registers_and_memory_are_set_and_the_run_is_another(loop: Shell) -> None:
    say(loop, "b again", "c", "d", "set rcx = 1", "set dword [cell+4] = 7")
    assert say(loop, "p [cell] >> 32") == "$1 = 0x7"
    assert "mov eax" in say(loop, "next 3")
    assert "status 9" in say(loop, "next 2", "set $edi = 9", "set rdi = 9", "c")
    assert say(loop, "set exx = 1").startswith("error: ")


def test_both_sides_of_a_fork(fork: Shell) -> None:
    """follow child takes steps along; each side's memory is seen; pt-diff tells how the tables differ."""
    assert "makes process 2" in say(fork, "catch fork", "run")
    assert "* process 1" in say(fork, "info tasks")
    assert say(fork, "delete", "p pid", "task 2", "p pid").endswith("$2 = 0x2")
    assert "no difference" in say(fork, "pt-diff -b 1 2")
    told = say(fork, "b child", "c", "d", "advance print", "info tasks")
    assert "* process 2" in told
    differs = say(fork, "pt-diff 1 2")
    assert "PTE entry" in differs
    told = say(fork, "goto start", "follow child", "step-fork", "info tasks")
    assert "process 2" in told


def test_catching_by_name(fork: Shell) -> None:
    """Calls, signals, classes of faults and kernel events, by name or the beginning of one."""
    assert "about to call write(" in say(fork, "catch syscall write", "c")
    assert "error code 0x7" in say(fork, "d", "catch fault cow-copy", "c")
    assert "is copied" in say(fork, "d", "catch frame-copied", "c")
    for wrong in ("catch syscall wriite", "catch nothing", "catch signal BLA", "catch fault no", "catch"):
        assert fork.execute(wrong).failed, wrong


def test_info_says_something(fork: Shell) -> None:
    """Whatever there is to ask, before anything has run too."""
    for name in INFO.keys() - {"locals", "args"}:
        answer = fork.execute(f"info {name} _start" if name in ("symbol", "line", "address") else f"info {name}")
        assert answer.lines
        assert not answer.failed, answer


def test_the_context_marks_what_changed_and_explains_a_fault() -> None:
    with example("null_dereference.asm", ("registers", "code", "why")) as session:
        told = say(session, "stepi")
        assert "*rip" in told or "*rbx" in told
        told = say(session, "c")
        assert "-- why" in told
        assert "the PMD entry is not present" in told
        assert "page fault" in say(session, "why")


def test_points_and_marks_survive_on_paper(loop: Shell, tmp_path: Path) -> None:
    """save and source make the same points again."""
    say(loop, "b again if rcx < 3", "watch -p 0x5000, 4", "catch syscall exit_group", "watch-pte cell", "mark here")
    say(loop, "commands 1", "print rcx", "end")
    before = say(loop, "info b").replace("1:", ":")
    say(loop, f"save breakpoints {tmp_path}/points", f"save marks {tmp_path}/marks", "delete")
    say(loop, f"source {tmp_path}/points", f"source {tmp_path}/marks")
    after = say(loop, "info b")
    assert [line.partition(":")[2] for line in after.splitlines()] == [
        line.partition(":")[2] for line in before.splitlines()
    ]
    assert loop.marks["here"] == (0, 0)


def test_a_file_stops_at_its_first_mistake_and_names_the_line(loop: Shell, tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("si\n# nothing\nprint nothing\nsi\n")
    answers = list(play(loop, "script", script.read_text().splitlines()))
    assert answers[-1].lines == ["script:3: error: 'nothing' is no register and no symbol"]
    assert loop.d.now.instructions == 1
    script.write_text(f"source {script}\n")
    assert "call each other" in say(loop, f"source {script}")


def test_abbreviations_and_suggestions(loop: Shell) -> None:
    assert say(loop, "disass _start,1") == say(loop, "disassemble _start,1") != ""
    assert say(loop, "brek 3") == "error: there is no command 'brek': did you mean 'break'?"
    assert "can be" in say(loop, "reverse-")
    assert "backtrace" in loop.complete("back")
    assert "registers" in loop.complete("info re")
    assert "leaf" in loop.complete("break le")
    assert "table-broken" in loop.complete("catch table")


def test_help_knows_every_command(loop: Shell) -> None:
    told = say(loop, "help")
    assert all(command.names[0] in told for command in commands())
    assert "precedence" in say(loop, "help expressions")
    assert say(loop, "help rc").startswith("reverse-continue (also rc)")


def test_nothing_that_is_typed_is_more_than_a_line(
    loop: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every command with arguments of all kinds, wrong ones above all: an answer, and the debugger goes on."""
    monkeypatch.chdir(tmp_path)
    chance = random.Random(3)
    words = ["", "1", "-1", "rax", "leaf", "cell, 8", "[0]", "0xffffffffffffffff", "nothing", "/4xg rsp", "/9999999x 0",
             "*rip", "if", "process 9", "a b c", "99999999999", "on", "child", "=", "[cell] = 1",
             "start", "5:5", "\x00", "é"]  # fmt: skip
    names = [name for name in COMMANDS if name not in ("quit", "q", "exit")]
    assert "no moment" in say(loop, "set rax = 1", "pt-diff nothing")  # nothing has run since
    for _ in range(400):
        line = f"{chance.choice(names)} {chance.choice(words)}"
        answer = loop.execute(line)
        assert not answer.failed or sum("error: " in row for row in answer.lines) == 1, line
        if loop.prompt == ">":
            loop.execute("end")
        loop.execute("delete")
    assert "$" in say(loop, "print 1")


def test_at_the_end_there_is_only_the_way_back(loop: Shell) -> None:
    assert "nothing is running" in say(loop, "run", "si")
    assert "error" in say(loop, "info registers")
    assert "syscall" in say(loop, "rsi")


def test_a_program_without_its_source_is_debugged_by_address_and_symbol() -> None:
    with shell(Program("program", "", assemble(LOOP), None)) as session:
        assert "breakpoint 1" in say(session, "b *0x40100c", "c")
        assert "cannot be shown" in say(session, "list")
        assert "<leaf>" in say(session, "b leaf")
        assert session.execute("b loaf").failed


def test_asking_of_the_past_leaves_the_present_alone(fork: Shell) -> None:
    """Before a call or a fault, who-wrote and pt-diff go elsewhere and come back: what was about to happen does."""
    say(fork, "catch syscall fork", "c")
    assert "was written" in say(fork, "mark here", "who-wrote cell", "pt-diff start")
    told = say(fork, "catch fork", "c")
    assert "makes process 2" in told, told
    assert fork.d.now > fork.marks["here"]
    assert "error code 0x7" in say(fork, "d", "catch fault cow_copy", "c")
    say(fork, "who-wrote cell")
    say(fork, "d", "c")
    assert "is at" in say(fork, "catch fault", "rc", "who-wrote cell", "rc")


TABLE = "signal        stop   print  pass\nSIGUSR1       {}    yes    {}"


def test_signals_are_handled_sent_and_told_of() -> None:
    """As gdb's `handle`, `signal` and `queue-signal`; what is done is the same when it is gone through again."""
    with example("bugs/lost_signal.asm") as s:
        assert say(s, "handle usr1 stop") == TABLE.format("yes", "yes")
        assert say(s, "c").startswith("about to get SIGUSR1 (SI_USER)\n")
        assert "<handler>" in say(s, "si")
        assert "mask+" in say(s, "rsi")
        assert say(s, "signal 0") == "the program has ended: exit status 0"
        say(s, "goto start", "handle usr1 nostop nopass")
        assert say(s, "info handling") == TABLE.format("no ", "no")
        assert say(s, "queue-signal sigterm", "c") == "the program has ended: killed by SIGTERM"
    with example("bugs/lost_signal.asm") as s:
        say(s, "handle SIGUSR1 print nopass")
        dropped = "process 1 does not get SIGUSR1 (SI_USER)\nthe program has ended: exit status 0"
        assert say(s, "c") == dropped
        say(s, "goto start")
        assert say(s, "c") == dropped.splitlines()[1]
        for wrong in ("handle", "handle SIGKILL stop", "handle 65", "handle stop", "signal", "signal bla"):
            assert s.execute(wrong).failed, wrong
