"""Debian's gdb, with nothing told to it but where the server is, debugs programs in the lab."""

import socket
import subprocess
from pathlib import Path

import pytest
from gdb_lab import ROOT, gdb, in_order, needs_gdb, serving, session

from emu.gdb.packet import INTERRUPT, Reader, frame

pytestmark = needs_gdb
FORK = "examples/fork_cow.asm"
HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def c_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A C program with debug information."""
    path = tmp_path_factory.mktemp("gdb") / "inspect"
    command = ["gcc", "-g", "-O0", "-static", "-o", str(path), str(HERE / "inspect.c")]
    subprocess.run(command, check=True, capture_output=True)
    return path


def test_registers_code_lines_and_steps_are_there_without_a_file() -> None:
    """The program, its symbols and its source lines come from the guest itself."""
    text = session(FORK, "p $rip\nx/2i $pc\nstepi\np $rip\nnext\nbt 1\np $eflags\np $mxcsr\nset var $rbx = 7\np $rbx")
    in_order(text, "_start () at examples/fork_cow.asm", "$1 = (void (*)()) 0x401000", "movb", "0x401007")
    in_order(text, "#0  _start ()", "[ IF ]", "[ IM DM ZM OM UM PM ]", "= 7")
    assert "warning: Could not load" not in text
    assert "more recent" not in text


def test_both_sides_of_a_fork_live() -> None:
    """With detach-on-fork off, the child waits until it is resumed; breakpoints and memory are each side's own."""
    text = session(
        FORK,
        """set detach-on-fork off
        catch fork
        continue
        stepi
        info inferiors
        inferior 2
        break 33
        continue
        p *(char *)&cell
        inferior 1
        p *(char *)&cell
        info threads""",
    )
    in_order(text, "forked process 2", "process 1", "[Switching to inferior 2", "Breakpoint 2.2, child ()")
    in_order(text, "= 66 'B'", "[Switching to inferior 1", "= 65 'A'", "1.1", "2.1")


def test_what_is_let_go_at_a_fork_runs_on() -> None:
    text = session(FORK, "continue")
    in_order(text, "Detaching after fork from child process 2", "[Inferior 1 (process 1) exited normally]")


def test_following_the_child() -> None:
    text = session(FORK, "set follow-fork-mode child\nbreak child\ncontinue\ncontinue")
    in_order(text, "fork to child Thread 2.2", "hit Breakpoint 1", "[Inferior 2", "exited normally")


def test_system_calls_are_caught_on_the_way_in_and_out() -> None:
    text = session(FORK, "catch syscall wait4\ncontinue\np $orig_rax\np $rdi\ncontinue\np $orig_rax\np $rax")
    in_order(text, "call to syscall", "= 61", "= -1", "returned from syscall", "= 61", "= 2")


def test_watchpoints_see_reads_writes_and_the_kernel() -> None:
    text = session(FORK, "rwatch *(char *)&cell\ncontinue\ndelete\nwatch *(char *)&cell\nstarti\ncontinue")
    in_order(text, "read watchpoint", "Value = ")
    text = session(FORK, "watch *(char *)&cell\ncontinue")
    in_order(text, "Old value = 0", "New value = 65 'A'")


def test_a_fault_is_a_signal_with_siginfo_and_a_reason() -> None:
    text = session(
        "examples/null_dereference.asm",
        "continue\np $_siginfo.si_code\np $_siginfo._sifields._sigfault.si_addr\nmonitor why\ncontinue",
    )
    in_order(text, "SIGSEGV", "= 1", "(void *) 0x28", "the PMD entry is not present", "terminated with signal SIGSEGV")


def test_repairing_the_cause_of_a_fault_by_hand_lets_the_program_go_on() -> None:
    script = "continue\nset var $rbx = $rsp\nset var $rcx = 0\nsignal 0"
    text = session("examples/null_dereference.asm", script)
    in_order(text, "SIGSEGV", "exited")
    assert "terminated" not in text


def test_c_threads_signals_and_locals(c_program: Path) -> None:
    text = session(
        c_program,
        """break add
        continue
        bt
        finish
        break worker
        continue
        info threads
        delete
        continue
        bt
        watch table[3]
        continue
        info locals
        catch vfork
        continue
        continue""",
    )
    in_order(
        text, "add (a=2, b=3)", "main (argc=1", "Value returned is $1 = 5", "hit Breakpoint 2, worker", "(waiting)"
    )
    in_order(text, "(waiting)", "received signal SIGUSR1", "raise ()", "New value = 42", "sum = 5")
    in_order(text, "vforked process", "[Inferior 1 (process 1) exited with code 04]")


def test_exec_is_caught_and_the_new_program_is_known() -> None:
    text = session("examples/vfork_exec.asm", "set follow-fork-mode child\ncatch exec\ncontinue\ninfo inferiors")
    in_order(text, "Catchpoint 1 (exec'd", "process 2")


def test_proc_files_memory_map_auxv_and_monitor_commands() -> None:
    text = session(
        FORK,
        """info proc mappings
        info auxv
        info mem
        monitor vtop cell
        monitor pt
        monitor maps
        monitor ledger
        monitor tasks
        monitor log 3
        monitor nonsense
        monitor vtop nowhere""",
    )
    in_order(text, "0x402000", "[stack]", "AT_ENTRY", "0x401000", "0x0", "PGD 0x", "there is no monitor command")
    assert "system calls" in text
    assert "there is no symbol" in text


def test_run_begins_again_with_arguments(c_program: Path) -> None:
    text = session(c_program, "break add\ncontinue\np $_siginfo.si_signo\nrun one two\nup\np argc")
    in_order(text, "Breakpoint 1, add", "= 5", "Breakpoint 1, add", "= 3")


def test_going_back_over_a_write_a_fault_and_a_fork() -> None:
    """reverse-continue ends at what was passed before; reverse-stepi undoes an instruction, system calls included."""
    text = session(
        FORK,
        """break 33
        set follow-fork-mode child
        continue
        p *(char *)&cell
        reverse-stepi
        p *(char *)&cell
        stepi
        p *(char *)&cell
        delete
        reverse-continue""",
    )
    in_order(text, "Breakpoint 1", "= 66 'B'", "= 65 'A'", "= 66 'B'", "history")
    text = session(FORK, "break 19\ncontinue\nwatch *(char *)&cell\nreverse-continue\nreverse-continue\np $rip")
    in_order(text, "Breakpoint 1, ", "Old value = 65", "New value = 0", "history", "0x401000")


def test_a_recording_by_a_schedule_is_debugged(tmp_path: Path) -> None:
    """gdb sees the recorded order: 0 was loaded here when the other process stored 1, so that one of two is lost."""
    recording, program = tmp_path / "recording", "examples/bugs/lost_update.asm"
    command = [str(ROOT / ".venv/bin/emu"), "run", "--schedule", "13", "--record", str(recording), program]
    assert subprocess.run(command, cwd=ROOT, check=False).returncode == 1
    script = """break leave if $rdi == 1
        continue
        watch *(long *)$rbx
        reverse-continue
        p $rcx
        delete
        run other arguments"""
    for words in (("--schedule", "13", program), ("--replay", str(recording))):
        with serving(words[-1], options=("--once", *words[:-1])) as port:
            text = gdb(port, script)
        in_order(text, "Breakpoint 1, leave", "Old value = 1", "New value = 0", "inc rcx", "$1 = 0")


def test_two_sessions_after_one_another_and_detach() -> None:
    """Who comes after a detach finds the program where it ran to; after its end, at its beginning."""
    with serving("examples/pipe.asm", options=()) as port:
        first = gdb(port, "stepi\ndetach")
        second = gdb(port, "p $rip\nkill")
        third = gdb(port, "p $rip\ncontinue")
    assert "detached" in first
    in_order(second, "$1 = ", "killed")
    in_order(third, "0x401000", "exited with code 03")


@pytest.mark.parametrize("together", [True, False])
def test_ctrl_c_stops_a_program_that_runs_for_ever(tmp_path: Path, together: bool) -> None:
    """As gdb sends it: 0x03 behind a resume, with it or after its acknowledgement."""
    source = tmp_path / "spin.asm"
    source.write_text("_start:\n    inc rax\n    jmp _start\n")
    with serving(source) as port, socket.create_connection(("127.0.0.1", port)) as other:
        resume = frame(b"vCont;c:p1.-1")
        other.sendall(resume + INTERRUPT if together else resume)
        if not together:
            assert other.recv(1) == b"+"
            other.sendall(INTERRUPT)
        reader = Reader()
        while (packet := reader.next()) is None:
            reader.feed(other.recv(4096))
    assert packet.startswith(b"T02")


def test_a_port_in_use_is_an_error_in_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        for words in (["--port", str(port), FORK], [FORK, "--port", str(port)], [FORK, f"--port={port}", "--once"]):
            command = [str(ROOT / ".venv/bin/emu"), "gdb", *words]
            ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
            assert ended.returncode == 2
            assert ended.stderr.startswith(f"emu: --port {port}: ")
            assert len(ended.stderr.splitlines()) == 1
