"""`emu run busybox sh` on a terminal: what a person types and sees. Waits for what must appear, never for a time."""

import os
import pty
import select
import shutil
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from fcntl import ioctl
from time import monotonic

import pytest

pytestmark = pytest.mark.skipif(shutil.which("busybox") is None, reason="busybox is not installed")
DEADLINE_S = 60.0  # only a failing test waits so long


class Session:
    """A person at a terminal in which emu runs."""

    def __init__(self, *command: str) -> None:
        self.master, self.slave = pty.openpty()
        self.resize(24, 80)
        self.settings = termios.tcgetattr(self.slave)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "emu.cli.main", "run", *command],
            stdin=self.slave,
            stdout=self.slave,
            stderr=self.slave,
            start_new_session=True,
        )
        self.seen = b""

    def resize(self, rows: int, columns: int) -> None:
        """The window gets another size."""
        ioctl(self.master, termios.TIOCSWINSZ, struct.pack("<HHHH", rows, columns, 0, 0))

    def type(self, keys: str) -> None:
        """Press keys."""
        os.write(self.master, keys.encode())

    def expect(self, text: str) -> str:
        """Wait until this is shown; all that was shown before it, since the last time."""
        end = monotonic() + DEADLINE_S
        wanted = text.encode()
        while wanted not in self.seen:
            left = end - monotonic()
            assert left > 0, f"{text!r} does not come; {self.seen!r} did"
            if select.select([self.master], [], [], left)[0]:
                self.seen += os.read(self.master, 65536)
        before, _, self.seen = self.seen.partition(wanted)
        return before.decode(errors="replace")

    def start(self, command: str) -> None:
        """Type a command at the prompt, and wait until it runs: keys pressed before that would be the prompt's."""
        self.type(f"echo ru''ns; {command}\r")
        self.expect("runs\r\n")

    def run(self, command: str) -> str:
        """Type a command at the prompt; what it prints up to the next prompt."""
        self.type(command + "\r")
        self.expect(command.split("\n")[-1])
        return self.expect("/ # ").replace("\r\n", "\n").strip()

    def end(self) -> int:
        """Wait for the end; the exit status."""
        return self.process.wait(DEADLINE_S)

    def close(self) -> None:
        """Leave nothing behind."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.master)
        os.close(self.slave)


@pytest.fixture
def session() -> Iterator[Session]:
    shell = Session("busybox", "sh")
    try:
        shell.expect("/ # ")
        yield shell
    finally:
        shell.close()


def test_a_shell_feels_as_on_a_terminal(session: Session) -> None:
    """Line editing, names of the terminal, its size and its changes, the end: and the host's terminal is as before."""
    session.type("echo onX\x7fe\x1b[D\x1b[Dt\r")
    session.expect("\n")
    assert session.expect("/ # ").strip() == "otne"
    assert session.run("tty; test -t 0 && echo yes; stty size; echo via > /dev/tty") == "/dev/pts/0\nyes\n24 80\nvia"
    session.start("sh -c \"trap 'stty size; exit' WINCH; while :; do read x; done\"")
    session.resize(50, 132)
    assert session.expect("/ # ").strip() == "50 132"
    session.type("exit 5\r")
    assert session.end() == 5
    assert termios.tcgetattr(session.slave) == session.settings


def test_control_keys_reach_the_foreground_of_the_guest(session: Session) -> None:
    """^C ends what runs, computing, sleeping or reading; ^Z stops it, fg goes on; ^D ends it, and the shell."""
    for command in ("while :; do :; done", "sleep 1000", "cat"):
        session.start(command)
        session.type("\x03")
        assert "^C" in session.expect("/ # ")
    assert session.run("echo $?") == "130"
    session.start("cat")
    session.type("\x1a")
    session.expect("Stopped")
    session.expect("/ # ")
    session.start("fg")
    session.type("resumed\r")
    session.expect("resumed\r\nresumed\r\n")
    session.type("\x04")
    session.expect("/ # ")
    session.type("\x04")
    assert session.end() == 0


def test_the_background_runs_while_the_shell_waits_for_keys(session: Session) -> None:
    """A job ends by itself while nothing is typed; one that reads is stopped."""
    session.type("(sleep 0.2; echo from behind) & echo $((6*7))\r")
    session.expect("42\r\n")
    session.expect("from behind")
    session.type("\r")
    session.expect("Done")
    session.expect("/ # ")
    session.type("cat &\r")
    session.expect("/ # ")
    assert "Stopped (tty input)" in session.run("jobs")
    session.type("exit\r")
    session.expect("You have stopped jobs.")
    session.type("exit\r")  # the job is hung up
    assert session.end() == 0


def test_full_screen_programs_work(session: Session) -> None:
    """vi writes a file, less shows pages and is left, top prints."""
    session.type("vi /tmp/file\r")
    session.expect("/tmp/file")
    session.type("iwritten in vi\x1b")
    session.expect("written in vi")
    session.type(":wq\r")
    session.expect("/ # ")
    assert session.run("cat /tmp/file") == "written in vi"
    session.type("seq 100 | less\r")
    session.expect("23")
    session.type(" ")
    session.expect("46")
    session.type("q")
    session.expect("/ # ")
    assert "busybox sh" in session.run("top -b -n 1")


@pytest.mark.parametrize("signo", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_from_outside_gives_the_terminal_back(session: Session, signo: signal.Signals) -> None:
    """emu ends by the signal; the host's terminal is as it was."""
    assert termios.tcgetattr(session.slave) != session.settings
    session.process.send_signal(signo)
    assert session.end() == -signo
    assert termios.tcgetattr(session.slave) == session.settings


def test_a_program_that_reads_no_keys_leaves_the_terminal_alone() -> None:
    """Then Ctrl-C is the host's: it ends the run."""
    shell = Session("busybox", "sh", "-c", "echo ready; while :; do :; done")
    try:
        shell.expect("ready")
        assert termios.tcgetattr(shell.slave) == shell.settings
        shell.process.send_signal(signal.SIGINT)
        shell.expect("emu: interrupted")
        assert shell.end() == 130
    finally:
        shell.close()


def test_an_interrupt_from_outside_ends_a_shell_that_waits(session: Session) -> None:
    """SIGINT to emu itself: the run is over, with its report."""
    session.process.send_signal(signal.SIGINT)
    session.expect("emu: interrupted")
    assert session.end() == 130
    assert termios.tcgetattr(session.slave) == session.settings
