"""The terminal: /dev/pts/0, /dev/tty, and the standard streams that are one at the host.

Until a program reads from it or changes it, the host's terminal is left as it is: what is typed there, Ctrl-C
included, is the host's business. The first such call takes it over: from then on keys come as they are pressed, and
lines, echo, erasing and signals are made here (ldisc.py). What is shown is processed by the host as the guest's
output flags say. Keys are taken in whenever the guest looks for them, at every clock tick and when nobody can run.
"""

import contextlib
import struct
from typing import TYPE_CHECKING, Any, Final, Protocol

from mini_kernel.errors import SysError
from mini_kernel.fs.file import READABLE, WRITABLE, User
from mini_kernel.fs.ldisc import LineDiscipline
from mini_kernel.fs.stream import HostStream
from mini_kernel.mm import uaccess
from mini_kernel.uapi.errno import EAGAIN, EINVAL, EIO, ENOTTY, EPERM, ESRCH
from mini_kernel.uapi.ioctls import (
    FIONREAD,
    TCFLSH,
    TCGETS,
    TCGETS2,
    TCIFLUSH,
    TCIOFLUSH,
    TCION,
    TCOFLUSH,
    TCOOFF,
    TCOON,
    TCSBRK,
    TCSBRKP,
    TCSETS,
    TCSETS2,
    TCSETSF,
    TCSETSF2,
    TCSETSW,
    TCSETSW2,
    TCXONC,
    TIOCEXCL,
    TIOCGETD,
    TIOCGPGRP,
    TIOCGSID,
    TIOCGWINSZ,
    TIOCNOTTY,
    TIOCNXCL,
    TIOCOUTQ,
    TIOCSCTTY,
    TIOCSPGRP,
    TIOCSWINSZ,
)
from mini_kernel.uapi.poll import POLLHUP
from mini_kernel.uapi.signal import SIGCONT, SIGHUP, SIGTTIN, SIGTTOU, SIGWINCH
from mini_kernel.wait import Block, WaitQueue

if TYPE_CHECKING:
    pass

TERMIOS_SIZE: Final = 36  # the kernel's struct termios, NCCS = 19
_SPEEDS: Final = struct.pack("<II", 38400, 38400)  # what struct termios2 has behind it
_SETTERS: Final = {TCSETS: 36, TCSETSW: 36, TCSETSF: 36, TCSETS2: 44, TCSETSW2: 44, TCSETSF2: 44}  # bytes read
_FLUSHING: Final = (TCSETSF, TCSETSF2)
_NO_EFFECT: Final = frozenset((TCSBRK, TCSBRKP, TIOCEXCL, TIOCNXCL))
_READ_SIZE: Final = 4096
_MAX_AHEAD: Final = 65536  # bytes typed and not read; more stay with the host


class Typist(Protocol):
    """The task that makes the call."""

    restart: dict[str, Any]

    @property
    def pgid(self) -> int:
        """Its process group."""
        ...

    @property
    def sid(self) -> int:
        """Its session."""
        ...


class JobControl(Protocol):
    """What a terminal asks of the kernel: about processes, and the time."""

    def caller(self) -> Typist | None:
        """The task whose system call this is."""
        ...

    def shrugs_off(self, signo: int) -> bool:
        """True if the caller blocks or ignores a signal."""
        ...

    def session_of(self, pgid: int) -> int | None:
        """The session of a process group, None if there is no such group."""
        ...

    def is_orphaned(self, pgid: int) -> bool:
        """True if nobody would continue the group once it is stopped."""
        ...

    def signal_group(self, pgid: int, signo: int) -> None:
        """Send a signal to every process of a group, as the kernel."""
        ...

    def now_ns(self) -> int:
        """CLOCK_MONOTONIC."""
        ...

    def pass_time(self, ns: int) -> None:
        """So much time went by while nobody could run."""
        ...


class Terminal:
    """The one terminal of a system: settings, keys, window, and whose it is."""

    def __init__(self, source: HostStream, screen: HostStream, jobs: JobControl) -> None:
        self.source = source  # keys come from here
        self.screen = screen  # output and echo go there
        self.jobs = jobs
        self.discipline = LineDiscipline()
        self.taken = False  # from the host
        self.ended = False  # no more keys will come
        self.session: int = 1  # which it controls; 0: none
        self.pgrp: int = 1  # foreground process group
        self.host_window = self.screen.window()
        self.window = _pack_window(self.host_window)
        self.last_key_ns = 0
        self.read_queue = WaitQueue()
        self.write_queue = WaitQueue()

    # -- keys ---------------------------------------------------------------------------------------

    def take(self) -> None:
        """From now on the keys are ours."""
        if not self.taken:
            self.taken = True
            self.source.take_over(self.discipline.output)

    def pump(self) -> None:
        """Take in what was typed since, and what became of the window."""
        if not self.taken:
            return
        self._look_at_window()
        while not self.ended and self.discipline.available() < _MAX_AHEAD and self.source.ready():
            self._receive()

    def _receive(self) -> None:
        discipline = self.discipline
        try:
            data = self.source.read(_READ_SIZE)
        except SysError as error:
            if error.errno != EIO:
                raise
            data = b""
            self._hang_up()
        if data:
            self.last_key_ns = self.jobs.now_ns()
            discipline.receive(data)
        else:
            self.ended = True
            discipline.end()
        self._settle()
        self.read_queue.wake(READABLE)

    def _settle(self) -> None:
        """Show the echo, send the signals, let writers go on."""
        discipline = self.discipline
        if discipline.echo:
            with contextlib.suppress(SysError):  # nobody looks any more: the read will say so
                self.screen.write(bytes(discipline.echo))
            discipline.echo.clear()
        for signo in discipline.signals:
            self.jobs.signal_group(self.pgrp, signo)
        discipline.signals.clear()
        if not discipline.stopped:
            self.write_queue.wake(WRITABLE)

    def _hang_up(self) -> None:
        """The other end is gone: whoever is in the foreground, and the session's leader, should end."""
        for pgid in {self.pgrp, self.session}:
            self.jobs.signal_group(pgid, SIGHUP)
            self.jobs.signal_group(pgid, SIGCONT)

    def _look_at_window(self) -> None:
        window = self.screen.window()
        if window != self.host_window:
            self.host_window = window
            self._resize(_pack_window(window))

    def _resize(self, window: bytes) -> None:
        if window != self.window:
            self.window = window
            self.jobs.signal_group(self.pgrp, SIGWINCH)

    def live(self) -> bool:
        """True if somebody may still type: then time is what it is outside, and waits for keys are waits."""
        return self.taken and not self.ended

    def idle(self, deadline_ns: int | None) -> None:
        """Nobody can run before a key is pressed or `deadline_ns` has come: wait. Raises SysError(EINTR)."""
        now = self.jobs.now_ns()
        timeout = None if deadline_ns is None else max(0, deadline_ns - now)
        passed = self.source.wait(timeout)
        self.jobs.pass_time(passed if timeout is None else min(passed, timeout))
        self.pump()

    # -- job control --------------------------------------------------------------------------------

    def _check_foreground(self, signo: int) -> None:
        """A process in the background stops here (Linux __tty_check_change). Raises Block, SysError(EIO)."""
        jobs = self.jobs
        caller = jobs.caller()
        if caller is None or caller.sid != self.session or caller.pgid == self.pgrp:
            return
        if jobs.shrugs_off(signo):
            if signo == SIGTTIN:
                raise SysError(EIO)
            return
        if jobs.is_orphaned(caller.pgid):
            raise SysError(EIO)
        jobs.signal_group(caller.pgid, signo)
        raise Block(self.read_queue)  # the signal keeps it from waiting

    def controls(self, sid: int) -> bool:
        """True if it is the controlling terminal of a session."""
        return sid == self.session

    # -- data ---------------------------------------------------------------------------------------

    def may_read(self, n: int, nonblocking: bool) -> int:
        """How much of `n` bytes can be read now. Raises Block, SysError EAGAIN, EIO."""
        self.take()
        self.pump()
        self._check_foreground(SIGTTIN)
        discipline = self.discipline
        if discipline.canonical:
            deadline = None
            if discipline.segments:
                if not discipline.segments[0]:
                    del discipline.segments[0]  # end of file, once
                    return 0
                return min(n, len(discipline.segments[0]))
        else:
            count, deadline = self._raw_count(n)
            if count is not None:
                return count
        if self.ended:
            return 0
        if nonblocking:
            raise SysError(EAGAIN)
        raise Block(self.read_queue, deadline_ns=deadline)

    def _raw_count(self, n: int) -> tuple[int | None, int | None]:
        """(bytes to read now or None to wait, until when), by VMIN and VTIME (termios(3))."""
        count = min(n, self.discipline.available())
        minimum, pause = self.discipline.times()
        if count and count >= min(minimum, n):
            return count, None
        if not pause:
            return (None if minimum else count), None
        if minimum and not count:
            return None, None
        if minimum:
            deadline = self.last_key_ns + pause  # between keys
        else:
            caller = self.jobs.caller()
            deadline = self.jobs.now_ns() + pause
            if caller is not None:
                deadline = caller.restart.setdefault("tty", deadline)
        return (count, None) if self.jobs.now_ns() >= deadline else (None, deadline)

    def may_write(self, n: int, nonblocking: bool) -> int:
        """How much of `n` bytes can be written now: all, unless ^S or the background forbid it."""
        if self.discipline.to_stop:
            self._check_foreground(SIGTTOU)
        if not self.discipline.stopped:
            return n
        if nonblocking:
            raise SysError(EAGAIN)
        raise Block(self.write_queue)

    def write(self, data: bytes) -> None:
        """Show it."""
        self.screen.write(data)
        if self.taken:
            self.discipline.wrote(data)

    def poll(self) -> int:
        """POLL* bits that hold now. Whoever asks wants to know about keys."""
        self.take()
        self.pump()
        bits = 0 if self.discipline.stopped else WRITABLE
        if self.discipline.enough() or self.ended:
            bits |= READABLE
        return bits | POLLHUP if self.ended else bits

    # -- ioctl_tty(2) -------------------------------------------------------------------------------

    def ioctl(self, user: User, request: int, argument: int) -> int:
        """Raises SysError ENOTTY for other requests, EFAULT, and what the request itself does."""
        mm = user.mm
        if request == TCGETS:
            uaccess.write(mm, argument, self.discipline.termios)
        elif request == TCGETS2:
            uaccess.write(mm, argument, self.discipline.termios + _SPEEDS)
        elif request in _SETTERS:
            self._configure(uaccess.read(mm, argument, _SETTERS[request])[:TERMIOS_SIZE], request in _FLUSHING)
        elif request == TIOCGWINSZ:
            uaccess.write(mm, argument, self.window)
        elif request == TIOCSWINSZ:
            self._resize(uaccess.read(mm, argument, 8))
        elif request == TCFLSH:
            self._flush(argument)
        elif request == TCXONC:
            self._flow(argument)
        elif request == FIONREAD:
            self.pump()
            uaccess.write_u32(mm, argument, self.discipline.available())
        elif request in (TIOCOUTQ, TIOCGETD):
            uaccess.write_u32(mm, argument, 0)
        elif request not in _NO_EFFECT:
            return self._job_ioctl(user, request, argument)
        return 0

    def _configure(self, termios: bytes, flush: bool) -> None:
        self._check_foreground(SIGTTOU)
        self.take()
        self.pump()
        self.discipline.configure(termios)
        if flush:
            self.discipline.flush()
        self.source.take_over(self.discipline.output)
        self._settle()

    def _flush(self, which: int) -> None:
        self._check_foreground(SIGTTOU)
        if which not in (TCIFLUSH, TCOFLUSH, TCIOFLUSH):
            raise SysError(EINVAL)
        self.pump()
        if which != TCOFLUSH:
            self.discipline.flush()

    def _flow(self, action: int) -> None:
        self._check_foreground(SIGTTOU)
        if action > TCION:
            raise SysError(EINVAL)
        if action in (TCOOFF, TCOON):
            self.discipline.stopped = action == TCOOFF
            self._settle()

    def _job_ioctl(self, user: User, request: int, argument: int) -> int:
        """Who is in the foreground of which session."""
        mine = user.sid == self.session
        if request == TIOCSCTTY:
            if mine:
                return 0
            if user.sid != user.tgid or self.session:
                raise SysError(EPERM)
            self.session, self.pgrp = user.sid, user.pgid
        elif request not in (TIOCGPGRP, TIOCSPGRP, TIOCGSID, TIOCNOTTY) or not mine:
            raise SysError(ENOTTY)
        elif request == TIOCGPGRP:
            uaccess.write_u32(user.mm, argument, self.pgrp)
        elif request == TIOCGSID:
            uaccess.write_u32(user.mm, argument, self.session)
        elif request == TIOCSPGRP:
            self._set_foreground(user, uaccess.read_u32(user.mm, argument))
        elif user.sid == user.tgid:  # TIOCNOTTY of the session's leader
            self.jobs.signal_group(self.pgrp, SIGHUP)
            self.jobs.signal_group(self.pgrp, SIGCONT)
            self.session = self.pgrp = 0
        return 0

    def _set_foreground(self, user: User, pgrp: int) -> None:
        self._check_foreground(SIGTTOU)
        if pgrp >= 1 << 31:
            raise SysError(EINVAL)
        session = self.jobs.session_of(pgrp)
        if session is None:
            raise SysError(ESRCH)
        if session != user.sid:
            raise SysError(EPERM)
        self.pgrp = pgrp


def _pack_window(window: tuple[int, int]) -> bytes:
    """struct winsize of (rows, columns)."""
    return struct.pack("<HHHH", *window, 0, 0)
