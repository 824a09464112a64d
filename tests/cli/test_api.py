"""`import emu`: run, boot, Result."""

import subprocess
import sys

import pytest
from cli_lab import Cli

import emu


def test_run_gives_a_result(cli: Cli) -> None:
    result = emu.run("hello.asm")
    assert (result.status, result.ending, result.stdout, result.stderr) == (0, "exited", b"hello\n", b"hello\n")
    assert result.ledger["total"]["syscalls"] == {"exit_group": 1, "write": 2}
    assert (result.events, result.records, result.fault_report()) == ((), (), "")


def test_input_and_arguments_reach_the_guest(cli: Cli) -> None:
    assert emu.run("cat.asm", stdin=b"abc").stdout == b"abc"
    assert emu.run("strings.asm", ["one", "two"], env={"A": "1"}).stdout.startswith(b"one\ntwo\n")


def test_events_are_strace_lines(cli: Cli) -> None:
    assert emu.run("exit7.asm", strace="exit_group").events == (
        "exit_group(7)                           = ?",
        "+++ exited with 7 +++",
    )


def test_a_fault_is_a_result_with_a_report(cli: Cli) -> None:
    result = emu.run("null.asm")
    assert result.status == 139
    assert [record.address for record in result.records] == [0x20]
    assert result.fault_report().startswith("process 1 (null.asm) was killed: SIGSEGV (SEGV_MAPERR) at 0x20\n")


def test_limits_are_results_too(cli: Cli) -> None:
    result = emu.run("loop.asm", max_insns=10)
    assert (result.status, result.ending) == (124, "max-insns")
    assert result.ledger["total"]["instructions"] == 10


def test_what_cannot_be_loaded_raises(cli: Cli) -> None:
    with pytest.raises(emu.AsmError):
        emu.run("wrong.asm")
    with pytest.raises(emu.ProgramError):
        emu.run("absent.asm")


def test_boot_stops_before_the_first_instruction(cli: Cli) -> None:
    with emu.boot("exit7.asm") as system:
        assert system.task(1).name == "exit7.asm"
        assert system.run().status == 7


def test_boot_is_a_function_and_a_module(cli: Cli) -> None:
    import emu.boot as module
    from emu.boot import System

    with emu.boot("exit7.asm") as system:
        assert type(system) is System is module.System


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = "import emu, sys; sys.exit(any(m in sys.modules for m in ('numpy', 'emu.boot', 'emu.asm', 'capstone')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_public_name_exists_and_the_list_is_sorted() -> None:
    assert emu.__all__ == sorted(emu.__all__)
    assert all(getattr(emu, name) is not None for name in emu.__all__)
    assert set(emu.__all__) <= set(dir(emu))
    with pytest.raises(AttributeError):
        emu.swim  # noqa: B018


def test_a_fork_policy_that_is_not_there_is_refused_not_ignored(cli: Cli) -> None:
    with pytest.raises(emu.EmuError, match="--fork must be one of classic, odf, not spoon"):
        emu.run("exit7.asm", fork="spoon")
