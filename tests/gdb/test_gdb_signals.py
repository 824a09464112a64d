"""A signal is a stop before it is delivered, as under ptrace: what gdb says of a program is what it says natively."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from gdb_lab import GDB, LIMIT_S, in_order, needs_gdb, session

pytestmark = [needs_gdb, pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")]
HERE = Path(__file__).parent
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
#: What differs between any two runs: where gdb got the program from, its process id, arguments before they are set.
NOISE = re.compile(r"^(Reading |warning: File transfers|Program stopped).*\n|^\n", re.M)
WRITTEN = re.compile(r"\d+ \d+ \d+ ")
NAMES = re.compile(r"context=0x\w+|process \d+| of /.*/signals\b")


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """signals.c, static."""
    path = tmp_path_factory.mktemp("signals") / "signals"
    command = ["gcc", "-g", "-O0", "-static", "-o", str(path), str(HERE / "signals.c")]
    subprocess.run(command, check=True, capture_output=True)
    return path


def natively(program: Path, script: str) -> str:
    """What gdb says of the same on the host. Skips where processes may not be traced."""
    assert GDB is not None
    head = ("set pagination off", "set confirm off", "set width 0", "set startup-with-shell off", "starti")
    words = [word for line in (*head, *script.splitlines()) for word in ("-ex", line)]
    command = [GDB, "-nx", "-batch", *words, str(program)]
    ended = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=LIMIT_S, check=False
    )
    if "Program stopped" not in ended.stdout:
        pytest.skip("the host does not let processes be traced")
    return plain(ended.stdout)


def plain(text: str) -> str:
    """Without what may differ, from the first stop on, and without what the program wrote."""
    lines = NAMES.sub("", NOISE.sub("", text)).splitlines()
    start = next(i for i, line in enumerate(lines) if " in _start ()" in line)
    return "\n".join(line for line in lines[start:] if not WRITTEN.match(line))


def test_a_session_reads_as_it_does_natively(program: Path) -> None:
    """Stops, registers of calls cut short, siginfo, calls of functions there; signals passed, dropped, replaced."""
    there, here = natively(program, SCRIPT), plain(session(program, SCRIPT))
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
