"""`emu asm`, `emu selftest`, `emu bench`, help."""

import json
import os
import shutil

import pytest
from cli_lab import Cli

from emu.machine import selftest


def test_asm_writes_an_executable_that_runs(cli: Cli) -> None:
    assert cli("asm", "exit7.asm").status == 0
    assert os.access("exit7.elf", os.X_OK)
    assert cli("run", "exit7.elf").status == 7


def test_asm_writes_where_it_is_told(cli: Cli) -> None:
    assert cli("asm", "exit7.asm", "-o", "out").status == 0
    assert cli("run", "out").status == 7


def test_a_listing_shows_address_bytes_and_source(cli: Cli) -> None:
    run = cli("asm", "--listing", "exit7.asm")
    rows = run.out.decode().splitlines()
    assert [row[:8].strip() for row in rows] == ["", "401000", "401005", "40100a", ""]
    assert rows[3].split() == ["40100a", "0f", "05", "4", "syscall"]
    assert not os.path.exists("exit7.elf")


def test_a_listing_goes_to_a_file_and_an_executable_with_it_if_wanted(cli: Cli) -> None:
    shown = cli("asm", "--listing", "exit7.asm").out
    assert cli("asm", "--listing-out", "exit7.lst", "-o", "out.elf", "exit7.asm").out == b""
    assert (cli.directory / "exit7.lst").read_bytes() == shown
    assert cli("run", "out.elf").status == 7


def test_a_listing_file_that_cannot_be_written_is_said_before_anything_is_made(cli: Cli) -> None:
    run = cli("asm", "--listing-out", "nowhere/x.lst", "-o", "out.elf", "exit7.asm")
    assert (run.status, run.lines) == (2, ["emu: error: --listing-out nowhere/x.lst: No such file or directory"])
    assert not os.path.exists("out.elf")


def test_the_symbols_are_shown_with_their_places(cli: Cli) -> None:
    run = cli("asm", "--symbols", "hello.asm")
    assert [row.split() for row in run.out.decode().splitlines()] == [
        ["401000", "-", "global", "-", ".text", "r-x", "_start", "hello.asm:3"],
        ["402000", "-", "local", "-", ".data", "rw-", "text", "hello.asm:16"],
    ]


def test_other_assemblers_have_no_listing(cli: Cli) -> None:
    if not shutil.which("as"):
        pytest.skip("as is not installed")
    run = cli("asm", "--assembler", "gas", "--listing", "exit7.asm")
    assert (run.status, run.out) == (2, b"")
    assert run.lines == [
        "emu: error: --listing and --symbols need source for the built-in assembler (--assembler keystone)"
    ]


def test_att_syntax_is_understood(cli: Cli) -> None:
    (cli.directory / "att.s").write_text("movl $7, %edi\nmovl $SYS_exit_group, %eax\nsyscall\n")
    assert cli("run", "--syntax", "att", "att.s").status == 7


def test_selftest_prints_every_check_and_the_slice_method(cli: Cli) -> None:
    run = cli("selftest")
    lines = run.out.decode().splitlines()
    assert (run.status, lines[-1]) == (0, f"all {len(lines) - 1} checks passed")
    assert any(line.startswith("ok     time slices: ") for line in lines)


def test_a_failed_check_gives_status_1(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selftest, "run_selftest", lambda: [selftest.Check("engine", False, "lost")])
    import emu.cli.selftest as command

    monkeypatch.setattr(command, "run_selftest", selftest.run_selftest)
    run = cli("selftest")
    assert (run.status, run.out) == (1, b"FAILED engine: lost\n1 of 1 checks failed\n")


def test_bench_lists_what_it_can_measure(cli: Cli) -> None:
    names = cli("bench", "--list").out.decode().split()
    assert {"syscall", "fault", "fork", "startup"} <= set(names)


def test_bench_writes_json(cli: Cli) -> None:
    run = cli("bench", "syscall", "--quick", "--runs", "1", "--json", "out.json")
    assert run.status == 0
    document = json.loads((cli.directory / "out.json").read_text())
    assert document["schema"] == 1
    assert {row["bench"] for row in document["rows"]} == {"syscall"}


@pytest.mark.parametrize("command", ["run", "asm", "bench", "selftest"])
def test_every_command_explains_itself(cli: Cli, command: str) -> None:
    run = cli(command, "--help")
    assert run.status == 0
    assert run.out.startswith(b"usage: emu " + command.encode())
