"""A signal is a stop before it is delivered, as under ptrace: what gdb says of a program is what it says natively."""

import shutil
from pathlib import Path

import pytest
from gdb_lab import compiled, in_order, natively, needs_gdb, plain, session

pytestmark = [needs_gdb, pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")]
WRITTEN = r"\d+ \d+ \d+ "
SCRIPT = """\
handle SIGALRM stop print pass
continue
bt 2
p $_siginfo.si_signo
p $_siginfo.si_code
continue
signal 0
signal SIGUSR2
p hits[10]
p hits[12]
handle SIGUSR1 nostop
catch signal SIGALRM
continue
bt 1
info registers rip rax orig_rax
p add(2, 3)
p $_siginfo.si_signo
info registers rip rax orig_rax
stepi
info symbol $pc
p $rdi
continue
info registers rip rax orig_rax
break faulty
signal 0
up
p slept
p got
p hits[10]
p hits[14]
continue
p $_siginfo.si_signo
p $_siginfo._sifields._sigfault.si_addr
p add(20, 3)
p $_siginfo._sifields._sigfault.si_addr
signal SIGTERM
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled(tmp_path_factory.mktemp("signals"), "signals")


def test_a_session_reads_as_it_does_natively(program: Path) -> None:
    """Stops, registers of calls cut short, siginfo, calls of functions there; signals passed, dropped, replaced."""
    there, here = natively(program, SCRIPT, WRITTEN), plain(session(program, SCRIPT), WRITTEN)
    assert here == there
    in_order(here, "received signal SIGUSR1", "rax            0xfffffffffffffe00", "-512", "orig_rax       0x0")
    in_order(here, "Catchpoint 1 (signal SIGALRM)", "rax            0xfffffffffffffdfc", "SIGSEGV", "signal SIGTERM")


def test_signals_that_are_passed_are_not_told_and_going_back_ends_before_one(program: Path) -> None:
    """gdb's nostop noprint goes to the server; reverse-continue comes to the moment before a delivery."""
    text = session(
        program,
        """handle all nostop noprint pass
        handle SIGSEGV stop
        break handler
        continue
        info symbol $pc
        handle SIGUSR1 stop
        reverse-continue
        p hits[10]
        p $_siginfo.si_signo
        delete
        signal 0
        reverse-continue
        continue
        p hits[10]""",
    )
    in_order(text, "Breakpoint 1, handler (signo=10", "handler", "received signal SIGUSR1", "= 0", "= 10")
    in_order(text, "= 10", "received signal SIGUSR1", "history", "received signal SIGUSR1", "= 0")


IGNORED = """\
continue
signal 0
tbreak main
run
catch signal SIGCHLD SIGURG
continue
continue
continue
p $_siginfo.si_signo
p $_siginfo._sifields._sigchld.si_status
p $orig_rax
continue
"""


def test_ignored_signals_come_up_as_they_do_natively(tmp_path: Path) -> None:
    """Those that gdb wants to see; the call that waited is still the one it was."""
    program = compiled(tmp_path, "ignored")
    here = plain(session(program, IGNORED), r"\d|`")
    assert here == natively(program, IGNORED, r"\d|`")
    in_order(here, "received signal SIGUSR1", "exited normally", "SIGUSR1", "SIGURG", "SIGCHLD", "wait4", "= 3", "= 61")
