"""Exit statuses and the lines on stderr that go with them."""

import pytest
from cli_lab import Cli

from emu.boot import System
from emu.machine import MachineError
from mini_kernel.errors import KernelBug


def test_the_guests_exit_status_is_ours(cli: Cli) -> None:
    run = cli("run", "exit7.asm")
    assert (run.status, run.out, run.err) == (7, b"", "")


def test_guest_output_goes_byte_for_byte_where_the_guest_sent_it(cli: Cli) -> None:
    run = cli("run", "hello.asm")
    assert (run.status, run.out, run.err) == (0, b"hello\n", "hello\n")


def test_a_signal_gives_128_plus_its_number(cli: Cli) -> None:
    assert cli("run", "term.asm").status == 128 + 15


def test_a_spent_instruction_limit_gives_124_and_says_where_the_guest_was(cli: Cli) -> None:
    run = cli("run", "--max-insns", "1000", "loop.asm")
    assert run.status == 124
    assert run.lines == [
        "emu: stopped after 1000 instructions (--max-insns)",
        "  process 1 (loop.asm) is at 0x401000, _start at loop.asm:1",
    ]


def test_the_instruction_limit_is_exact(cli: Cli) -> None:
    assert cli("run", "--max-insns", "2", "exit7.asm").status == 124
    assert cli("run", "--max-insns", "3", "exit7.asm").status == 7


def test_a_deadlock_gives_124_and_says_who_waits_for_what(cli: Cli) -> None:
    run = cli("run", "deadlock.asm")
    assert run.status == 124
    assert run.lines == [
        "emu: deadlock: every process waits for something that cannot happen",
        "  process 1 (deadlock.asm) waits in read(3, 0x402000, 4)",
    ]


def test_source_with_a_mistake_gives_2_one_line_and_the_source_line(cli: Cli) -> None:
    run = cli("run", "wrong.asm")
    assert (run.status, run.out) == (2, b"")
    assert run.lines[0].startswith("wrong.asm:2:14: error: ")
    assert run.lines[1:] == ["        mov rax, nowhere", "                 ^"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("absent.asm", None, "absent.asm: error: cannot be read: No such file or directory"),
        ("absent", None, "absent: error: cannot be read: No such file or directory here, nor such a program on PATH"),
        ("text.txt", b"hello", "text.txt: error: neither an ELF file, a #! script nor source (.asm, .nasm, .s, .S)"),
        ("short", b"\x7fELF\x02\x01\x01", "e_ident"),
        ("cut", b"\x7fELF\x02\x01\x01" + bytes(9) + b"\2\0\x3e\0\1\0\0\0" + bytes(8) + b"\xff" * 8, "cut: error: e_"),
    ],
)
def test_what_cannot_be_loaded_gives_2_and_one_line(cli: Cli, name: str, content: bytes | None, message: str) -> None:
    if content is not None:
        (cli.directory / name).write_bytes(content)
    run = cli("run", name)
    assert (run.status, run.out, len(run.lines)) == (2, b"", 1)
    assert message in run.err


@pytest.mark.parametrize(
    "failure", [KernelBug("I3: two owners"), MachineError("engine lost"), ZeroDivisionError("0/0")]
)
def test_our_own_failure_gives_125_and_says_where_to_look(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    def run_badly(_system: System) -> None:
        raise failure

    monkeypatch.setattr(System, "run", run_badly)
    run = cli("run", "exit7.asm")
    assert run.status == 125
    assert run.lines[0].startswith(f"emu: internal error: {type(failure).__name__}: {failure} (test_cli_status.py:")
    assert run.lines[1:] == ["emu: EMU_DEBUG=1 shows the whole traceback"]
    monkeypatch.setenv("EMU_DEBUG", "1")
    assert "Traceback (most recent call last)" in cli("run", "exit7.asm").err


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["swim"],
        ["run"],
        ["run", "--"],
        ["run", "--swim", "exit7.asm"],
        ["run", "--mem", "many", "exit7.asm"],
        ["run", "--mem", "1K", "exit7.asm"],
        ["run", "--mem", "4096G", "exit7.asm"],
        ["run", "--timeout", "0", "exit7.asm"],
        ["run", "--max-insns", "-1", "exit7.asm"],
        ["run", "--env", "NOVALUE", "exit7.asm"],
        ["run", "--fork", "spoon", "exit7.asm"],
        ["run", "--stdin", "absent", "exit7.asm"],
        ["run", "--root", "absent", "exit7.asm"],
        ["run", "--stats-json", "absent/out", "exit7.asm"],
        ["run", "--strace-out", "absent/out", "exit7.asm"],
        ["run", "-e", "trace=swim", "exit7.asm"],
        ["run", "-e", "signal=none", "exit7.asm"],
        ["run", "--assembler", "gas", "--syntax", "nasm", "exit7.asm"],
        ["run", "--assembler", "nasm", "--syntax", "att", "exit7.asm"],
        ["asm", "exit7.elf"],
        ["asm", "exit7.asm", "-o", "absent/out"],
        ["bench", "swimming"],
    ],
)
def test_wrong_usage_gives_2_and_names_what_is_wrong(cli: Cli, arguments: list[str]) -> None:
    run = cli(*arguments)
    assert (run.status, run.out) == (2, b"")
    assert "error: " in run.lines[-1]
    offender = next((a for a in arguments if "absent" in a or "swim" in a), "")
    assert offender.removeprefix("trace=") in run.lines[-1]


def test_files_that_cannot_be_written_are_noticed_before_the_run(cli: Cli) -> None:
    assert cli("run", "--stats-json", "absent/out", "hello.asm").out == b""


def test_memory_sizes_take_suffixes(cli: Cli) -> None:
    for size in ("2097152", "2048K", "2M", "2MiB", "1g"):
        assert cli("run", "--mem", size, "exit7.asm").status == 7


def test_the_whole_command_runs_with_every_invariant_checked(cli: Cli) -> None:
    assert cli("run", "--check", "family.asm").status == 139
