"""`emu debug`: where its commands come from, what it prints, and its exit status."""

import gc
import os
import pty
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from cli_lab import Cli

ROOT = Path(__file__).parents[2]
LIMIT_S = 60  # only keeps a test from being endless
COMMAND = [sys.executable, "-m", "emu.cli.main", "debug"]


def test_commands_of_options_and_files_run_in_their_order(cli: Cli) -> None:
    (cli.directory / "script").write_text("print 2\n")
    ended = cli("debug", "--batch", "-ex", "p 1", "-x", "script", "-ex", "c", "exit7.asm")
    assert (ended.status, ended.err) == (0, "")
    assert ended.out == b"$1 = 0x1\n$2 = 0x2\nthe program has ended: exit status 7\n"


def test_options_behind_the_program_are_the_debuggers_if_there_is_nothing_else(cli: Cli) -> None:
    """`emu debug PROG -x FILE --batch`, as gdb takes them; everything is the guest's where one word cannot be ours."""
    argc = ["--batch", "-ex", "p [$rsp]"]
    ended = cli("debug", "-ex", "p 1", "exit7.asm", "-ex", "p [$rsp]", "--batch")
    assert ended.out == b"$1 = 0x1\n$2 = 0x1\n"
    for words, count in (
        (["-x", "input", "output"], 3),
        (["--seed", "1", "--no-such-option"], 3),
        (["--help"], 1),
        (["word", "-ex", "p 1"], 3),
        (["--", "-ex", "p 1"], 2),  # told so
        (["--", "word"], 2),
    ):
        assert cli("debug", *argc, "exit7.asm", *words).out == b"$1 = %#x\n" % (1 + count), words
    for words, what in ((["-ex"], "expected one argument"), (["--mem", "much"], "is not a size")):
        ended = cli("debug", *argc, "exit7.asm", *words)
        assert ended.status == 2
        assert what in ended.err


@pytest.mark.parametrize("script", [["-ex", "nonsense"], ["-x", "missing"], ["-x", "bad"]])
def test_a_batch_that_fails_says_so(cli: Cli, script: list[str]) -> None:
    """In one line, and by its exit status; what stands behind it is run all the same."""
    (cli.directory / "bad").write_text("print 1 +\n")
    ended = cli("debug", "--batch", *script, "-ex", "p 5", "exit7.asm")
    first, *rest = ended.out.decode().splitlines()
    assert (ended.status, ended.err) == (1, "")
    assert "error: " in first
    assert rest == ["$1 = 0x5"]


@pytest.mark.parametrize("words", [["debug", "none.asm"], ["debug", "--replay", "none"], ["run", "none.asm"]])
def test_a_command_that_is_refused_leaves_the_collector_on(cli: Cli, words: list[str]) -> None:
    """It is off while modules are imported; in a process that lives on, garbage would pile up."""
    assert cli(*words).status == 2
    assert gc.isenabled()


def test_a_program_that_cannot_be_loaded_is_a_usage_error(cli: Cli) -> None:
    ended = cli("debug", "--batch", "none.asm")
    assert (ended.status, ended.out, len(ended.lines)) == (2, b"", 1)


def test_the_guests_output_comes_where_it_is_made(cli: Cli) -> None:
    """Between what was said before and after; commands come from standard input, which is not the guest's then."""
    ended = subprocess.run(
        [*COMMAND, str(cli.directory / "hello.asm")],
        input="catch return write\nc\necho between\nd\nc\n",
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0
    assert ended.stderr == "hello\n"
    assert "(emu)" not in ended.stdout
    assert ended.stdout.index("hello") < ended.stdout.index("= 6") < ended.stdout.index("between")
    assert ended.stdout.endswith("exit status 0\n")


def test_at_a_terminal_there_is_a_prompt_with_completion_and_colour(cli: Cli) -> None:
    """Tab completes a command; the context is on, in colour; an empty line steps again; the end of input leaves."""
    master, slave = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "XDG_STATE_HOME": str(cli.directory)}
    environment.pop("NO_COLOR", None)
    process = subprocess.Popen(
        [*COMMAND, str(cli.directory / "hello.asm")], stdin=slave, stdout=slave, stderr=slave, env=environment
    )
    os.close(slave)
    said = b""

    def until(text: bytes) -> None:
        nonlocal said
        while text not in said:
            assert select.select([master], [], [], LIMIT_S)[0], said
            said += os.read(master, 4096)
        said = said.partition(text)[2]

    until(b"(emu)")
    os.write(master, b"stepi\r")
    until(b"\x1b[34m-- registers")
    until(b"\x1b[33m*r")
    until(b"(emu)")
    os.write(master, b"disab\t")
    until(b"disable")
    os.write(master, b" 9\r")
    until(b"there is no point 9")
    until(b"(emu)")
    os.write(master, b"\x04")
    assert process.wait(60) == 0
    os.close(master)
    assert "stepi" in (cli.directory / "emu" / "debug_history").read_text()


def test_ctrl_c_stops_the_run_and_not_the_debugger(cli: Cli) -> None:
    """The guest has begun to run when it has written; what comes after the command that was stopped is done."""
    (cli.directory / "spin.asm").write_text(
        "_start:\n mov edi, 1\n mov eax, SYS_write\n lea rsi, [rip + _start]\n mov edx, 1\n syscall\n1: jmp 1b\n"
    )
    command = [*COMMAND, "--batch", "-ex", "continue", "-ex", "print 7", str(cli.directory / "spin.asm")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.read(1)
        process.send_signal(signal.SIGINT)
        out = process.communicate(timeout=LIMIT_S)[0]
    assert out.startswith(b"interrupted\nprocess 1 is at 0x")
    assert out.endswith(b"$1 = 0x7\n")
    assert process.returncode == 0


def test_a_recording_is_replayed(cli: Cli) -> None:
    """With the input it had, forward and back; it has a program and arguments of its own."""
    (cli.directory / "input").write_text("from a file\n")
    assert cli("run", "--record", "recording", "--stdin", "input", "cat.asm").out == b"from a file\n"
    (cli.directory / "input").unlink()
    ended = cli("debug", "--replay", "recording", "--batch", "-ex", "c", "-ex", "reverse-event return", "-ex", "c")
    assert (ended.status, ended.err) == (0, "")
    assert ended.out.startswith(b"from a file\nthe program has ended")
    assert ended.out.count(b"from a file") == 1
    assert cli("debug", "--replay", "recording", "cat.asm").status == 2
    assert cli("debug", "--replay", "cat.asm").lines[0].startswith("cat.asm: error: is no recording")
    assert cli("debug", "--batch").status == 2
    assert b"error: " in cli("debug", "--batch", "--replay", "recording", "-ex", "run other").out


def test_a_schedule_is_debugged_recorded_and_replayed(cli: Cli) -> None:
    """Some seed loses an update (status 1); the debugger sees the same, from the program and from a recording."""
    program = str(ROOT / "examples/bugs/lost_update.asm")
    statuses = {seed: cli("run", "--schedule", str(seed), program).status for seed in range(5)}
    lost = next(seed for seed, status in statuses.items() if status == 1)
    batch = ("--batch", "-ex", "run", "-ex", "reverse-event syscall", "-ex", "continue")
    for where in (("--schedule", str(lost), program), ("--replay", "recording")):
        if where[0] == "--replay":
            assert cli("run", "--schedule", str(lost), "--record", "recording", program).status == 1
        ended = cli("debug", *batch, *where)
        assert ended.out.count(b"the program has ended: exit status 1") == 2
        assert b"about to call exit_group" in ended.out


def test_a_run_does_not_load_the_prompt(cli: Cli) -> None:
    """What only the debugger needs costs `emu run` no start-up; nor does a batch load what only a terminal needs."""
    script = (
        "import sys; from emu.cli.main import main; main(['run', 'exit7.asm']); print('emu.prompt' in sys.modules);"
        "main(['debug', '--batch', 'exit7.asm']); print('prompt_toolkit' in sys.modules, 'textual' in sys.modules)"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (ended.stdout, ended.stderr) == ("False\nFalse False\n", "")


def test_limits_stop_a_command(cli: Cli) -> None:
    """--max-insns where it says, --timeout some time: the debugger goes on."""
    ended = cli("debug", "--max-insns", "7", "--batch", "-ex", "c", "-ex", "info time", "loop.asm")
    assert ended.out.startswith(b"7 instructions have been begun\n")
    assert b"\n7:" in ended.out
    ended = cli("debug", "--timeout", "0.2", "--batch", "-ex", "c", "-ex", "p 1", "loop.asm")
    assert ended.out.startswith(b"interrupted\n")
    assert ended.out.endswith(b"$1 = 0x1\n")
