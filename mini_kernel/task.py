"""Tasks and processes. A Task is what the scheduler runs (a thread); a Process is a thread group (getpid(2)).

Invariant: `task.cpu_state` is the task's user state exactly while another task's is in the CPU.
Invariant: a task in WAITING has the call to issue again in `call` and sits on the queues in `waiting_on`.
"""

from collections import deque
from collections.abc import Container
from enum import IntEnum
from typing import Any, Final, NamedTuple, Protocol

from mini_kernel.cred import Credentials
from mini_kernel.fs.fdtable import FdTable
from mini_kernel.fs.path import FsContext
from mini_kernel.ledger import Ledger
from mini_kernel.mm.mm import Mm
from mini_kernel.timer import Timer
from mini_kernel.uapi.poll import POLLIN
from mini_kernel.uapi.resource import RLIM_INFINITY, RLIMIT_CORE, RLIMIT_NOFILE, RLIMIT_NPROC, RLIMIT_SIGPENDING
from mini_kernel.uapi.signal import (
    CLD_CONTINUED,
    SA_NOCLDSTOP,
    SA_NOCLDWAIT,
    SI_KERNEL,
    SI_USER,
    SIG_DFL,
    SIG_IGN,
    SIGALRM,
    SIGCHLD,
    SIGCONT,
    SIGKILL,
    SIGRTMIN,
    SIGSTOP,
    SIGTSTP,
    SIGTTIN,
    SIGTTOU,
    SIGURG,
    SIGWINCH,
    SS_DISABLE,
)
from mini_kernel.wait import WaitQueue

IGNORED_BY_DEFAULT = frozenset((SIGCHLD, SIGCONT, SIGURG, SIGWINCH))
STOPS_BY_DEFAULT = frozenset((SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU))
UNBLOCKABLE = 1 << SIGKILL - 1 | 1 << SIGSTOP - 1


class State(IntEnum):
    """What a task is doing."""

    RUNNABLE = 0
    WAITING = 1
    STOPPED = 2
    DEAD = 3


class Source(Protocol):
    """A POSIX timer, as its signal sees it. While the signal is pending it sends no other."""

    def signal_taken(self, info: "SigInfo") -> "SigInfo":
        """The signal is being delivered; what is known of it now (si_overrun)."""
        ...

    def signal_ignored(self) -> None:
        """The signal had no effect."""
        ...

    def signal_wanted(self) -> None:
        """The signal that the timer sends is not ignored any more."""
        ...

    def stop(self) -> None:
        """It fires no more."""
        ...

    @property
    def signo(self) -> int:
        """The signal that it sends, 0 for none."""
        ...


class SigInfo(NamedTuple):
    """A signal on its way, with what siginfo_t says about it."""

    signo: int
    code: int = SI_USER
    pid: int = 0
    uid: int = 0
    value: int = 0  # si_value, or si_status of a child
    address: int = 0  # si_addr of a fault
    fields: bytes = b""  # the union of siginfo_t from offset 16, where it holds more than the fields above
    source: Source | None = None
    errno: int = 0
    told: bool = False  # a debugger sent it, and is not asked about it


class TrapInfo(NamedTuple):
    """A task's last exception that became a signal, for sigcontext: trapno, err, cr2."""

    vector: int = 0
    error: int = 0
    cr2: int = 0


class Interrupted(NamedTuple):
    """A system call that was waiting when a signal came."""

    number: int
    arguments: tuple[int, ...]
    restartable: bool  # if a handler runs that has SA_RESTART
    ended: bool = False  # it does not go on, whatever the signal was


class SigAction(NamedTuple):
    """What rt_sigaction(2) set."""

    handler: int = SIG_DFL
    flags: int = 0
    restorer: int = 0
    mask: int = 0


DEFAULT_ACTION = SigAction()


def bit(signo: int) -> int:
    """A signal's bit in a mask."""
    return 1 << signo - 1


#: Process.odf. The next fork of an armed process is on-demand, and makes it and the child active (prctl(65)).
ODF_OFF: Final = 0
ODF_ARMED: Final = 1
ODF_ACTIVE: Final = 2


class Process:
    """What the threads of one process share (Linux signal_struct and sighand_struct)."""

    def __init__(self, tgid: int, parent: "Process | None", pgid: int, sid: int) -> None:
        self.tgid = tgid
        self.parent = parent
        self.pgid = pgid
        self.sid = sid
        self.parent_tid = 0  # the thread of the parent that made it (__WNOTHREAD)
        self.children: list[Process] = []
        self.subreaper = False  # gets the orphans below it (PR_SET_CHILD_SUBREAPER)
        self.tasks: list[Task] = []
        self.actions: dict[int, SigAction] = {}
        self.pending: list[SigInfo] = []
        self.exit_status: int | None = None  # as wait4 reports it, once it is a zombie
        self.exiting: int | None = None  # exit_group's status, while threads are still leaving
        self.exit_signal = SIGCHLD
        self.last_uid = 0  # of the thread that died last
        self.stop_signal = 0  # stopped by this, not yet waited for
        self.stopped = False
        self.continued = False  # continued, not yet waited for
        self.child_events = WaitQueue()
        self.end_events = WaitQueue()  # woken when it ends (pidfds)
        self.reaped = False  # it has been waited for, and its number is free
        self.executed = False  # it has called execve(2)
        self.signal_events = WaitQueue()  # who watches for signals through signalfd(2)
        self.itimer_real = Timer(self)  # alarm(2), ITIMER_REAL; a period goes on once SIGALRM has been taken
        self.posix_timers: dict[int, Source] = {}  # by the number that timer_create(2) gave
        self.last_timer = -1
        self.cpu_itimers: dict[int, Timer] = {}  # ITIMER_VIRTUAL, ITIMER_PROF once set
        self.cpu_timers: list[Timer] = []  # those that watch this process's use of the processor
        self.odf = ODF_OFF  # what its forks are, see ODF_*
        self.shown: frozenset[int] = frozenset()  # signals that a debugger is to see though they are ignored
        self.oom_score_adj = 0  # thousandths of all memory that the OOM killer adds to its size
        self.ledger = Ledger()
        self.children_ledger = Ledger()
        self.name = ""
        self.rlimits: dict[int, tuple[int, int]] = {
            RLIMIT_CORE: (0, RLIM_INFINITY),
            RLIMIT_NOFILE: (1024, 1 << 20),
            RLIMIT_NPROC: (4096, 4096),
            RLIMIT_SIGPENDING: (4096, 4096),
        }

    def timer_fired(self, timer: Timer) -> None:
        """ITIMER_REAL has come to its end."""
        send_to_process(self, SigInfo(SIGALRM, SI_KERNEL))

    @property
    def uid(self) -> int:
        """The user it runs as, or ran as."""
        return self.tasks[0].cred.ruid if self.tasks else self.last_uid

    @property
    def zombie(self) -> bool:
        """True once dead and not yet waited for."""
        return self.exit_status is not None

    def action(self, signo: int) -> SigAction:
        """What happens on a signal."""
        return self.actions.get(signo, DEFAULT_ACTION)

    def ignores(self, signo: int) -> bool:
        """True if the signal has no effect on this process."""
        handler = self.action(signo).handler
        return handler == SIG_IGN or (handler == SIG_DFL and signo in IGNORED_BY_DEFAULT)

    def reaps_itself(self) -> bool:
        """True if children of this process leave no zombie (SIGCHLD ignored, or SA_NOCLDWAIT)."""
        action = self.action(SIGCHLD)
        return action.handler == SIG_IGN or bool(action.flags & SA_NOCLDWAIT)


class RunQueue:
    """Tasks that can run, in the order they will."""

    def __init__(self) -> None:
        self.tasks: deque[Task] = deque()


class Task:
    """One thread of execution."""

    exclusive = False  # wait.Waiter

    def __init__(
        self, tid: int, process: Process, mm: Mm | None, files: FdTable, fs: FsContext, run_queue: RunQueue
    ) -> None:
        self.tid = tid
        self.process = process
        self.user_mm = mm
        self.files = files
        self.fs = fs
        self.run_queue = run_queue
        self.state = State.RUNNABLE
        self.cpu_state = b""
        self.name = ""
        self.exe_path = b""
        self.blocked = 0  # signal mask
        self.saved_mask: int | None = None  # to restore once a handler's frame is built (rt_sigsuspend)
        self.awaited = 0  # signals that the task waits for in rt_sigtimedwait: they wake it though blocked
        self.pending: list[SigInfo] = []
        self.blocks = 0  # of user code that it ran
        self.attention = False  # look at signals and state before the next return to user mode
        self.last_trap = TrapInfo()
        self.altstack: tuple[int, int, int] = (0, SS_DISABLE, 0)  # ss_sp, ss_flags, ss_size
        self.restart: dict[str, Any] = {}
        self.call: tuple[int, tuple[int, ...]] | None = None  # the system call to issue again
        self.interrupted: Interrupted | None = None  # the one a signal cut short
        self.waiting_on: tuple[WaitQueue, ...] = ()
        self.sleep = Timer(self)  # ends a wait that has a deadline
        self.vfork_done: WaitQueue | None = None  # woken when this child has let go of its parent's memory
        self.clear_child_tid = 0
        self.nice = 0  # setpriority(2); the scheduler does not look at it
        self.robust_list = 0  # address of the head of the locks it holds (set_robust_list(2))
        self.cred = Credentials()
        self.timer_slack_ns = 50_000  # PR_SET_TIMERSLACK; timers are exact here
        self.personality = 0
        self.policy = 0  # SCHED_*; like nice, kept only
        self.rt_priority = 0
        self.no_new_privileges = False  # PR_SET_NO_NEW_PRIVS
        self.pdeath_signal = 0  # sent when the parent ends (PR_SET_PDEATHSIG)
        process.tasks.append(self)

    # -- what other modules ask ---------------------------------------------------------------------

    @property
    def mm(self) -> Mm:
        """The address space. Precondition: the task is alive."""
        assert self.user_mm is not None
        return self.user_mm

    @property
    def tgid(self) -> int:
        """Process id."""
        return self.process.tgid

    @property
    def pgid(self) -> int:
        """Process group."""
        return self.process.pgid

    @property
    def sid(self) -> int:
        """Session."""
        return self.process.sid

    @property
    def ledger(self) -> Ledger:
        """Where this task's costs are counted."""
        return self.process.ledger

    @property
    def alive(self) -> bool:
        """True until it has exited."""
        return self.state is not State.DEAD

    def set_cred(self, new: Credentials) -> None:
        """Become somebody else. Who gains or loses rights can be dumped no more (Linux commit_creds)."""
        old, self.cred = self.cred, new
        self.fs.uid, self.fs.gid, self.fs.groups = new.fsuid, new.fsgid, new.groups
        same = (old.euid, old.egid, old.fsuid, old.fsgid) == (new.euid, new.egid, new.fsuid, new.fsgid)
        if not same or new.permitted & ~old.permitted:
            self.mm.dumpable = False
            self.pdeath_signal = 0

    # -- waiting ------------------------------------------------------------------------------------

    def wake(self, key: int = 0) -> None:
        """End a wait: leave all queues and become runnable, or stopped if the process is."""
        if self.state is not State.WAITING:
            return
        self.leave_queues()
        if self.process.stopped:
            self.state = State.STOPPED
            return
        self.state = State.RUNNABLE
        self.run_queue.tasks.append(self)

    def leave_queues(self) -> None:
        """Stop waiting on anything."""
        for queue in self.waiting_on:
            queue.discard(self)
        self.waiting_on = ()
        self.sleep.disarm()

    def timer_fired(self, timer: Timer) -> None:
        """The deadline of a wait has come."""
        self.wake()

    # -- signals ------------------------------------------------------------------------------------

    def deliverable(self) -> bool:
        """True if some pending signal is not blocked."""
        return any(not self.blocked & bit(i.signo) for i in self.pending) or any(
            not self.blocked & bit(i.signo) for i in self.process.pending
        )

    def takes(self, signo: int) -> bool:
        """True if a signal posted now has this task do something (Linux wants_signal)."""
        if not self.alive or (signo != SIGKILL and self.process.stopped):
            return False
        return not self.blocked & ~self.awaited & bit(signo)

    def send_signal(self, signo: int, code: int = SI_USER) -> None:
        """Post a signal to this very thread."""
        post(self, SigInfo(signo, code, self.tgid, self.cred.ruid), self.pending)


# -- sending -----------------------------------------------------------------------------------------


def post(task: Task, info: SigInfo, pending: list[SigInfo]) -> None:
    """Queue a signal on `pending` (the thread's or its process's) unless ignored, and wake who will take it."""
    process, signo = task.process, info.signo
    _continue_or_unstop(process, signo)
    if process.ignores(signo) and not task.blocked & bit(signo) and signo not in process.shown:
        if info.source is not None:
            info.source.signal_ignored()
        return
    if signo < SIGRTMIN and info.source is None and any(p.signo == signo for p in pending):
        return  # standard signals do not queue, but each timer has one of its own
    pending.append(info)
    process.signal_events.wake(POLLIN)
    if pending is task.pending:
        _alert(task, signo)
    elif signo == SIGKILL:
        for thread in process.tasks:
            _alert(thread, signo)
    else:
        alert_one(process, signo)


def inject(task: Task, info: SigInfo) -> None:
    """A debugger has the task get this signal next, whatever is pending. Ignored and blocked it can be."""
    _continue_or_unstop(task.process, info.signo)
    task.pending.insert(0, info._replace(told=True))
    _alert(task, info.signo)


def alert_one(process: Process, signo: int) -> None:
    """Have one thread look at a signal of the process: the first one if it can take it, else the idlest that can."""
    willing = [t for t in process.tasks if t.takes(signo)]
    if willing:
        chosen = willing[0] if willing[0] is process.tasks[0] else min(willing, key=lambda t: t.attention)
        _alert(chosen, signo)


def _alert(task: Task, signo: int) -> None:
    if task.takes(signo):
        task.attention = True
        task.wake()


def _continue_or_unstop(process: Process, signo: int) -> None:
    """SIGCONT and SIGKILL start stopped tasks; SIGCONT and stop signals cancel each other."""
    if signo == SIGCONT:
        discard_signals(process, STOPS_BY_DEFAULT)
    elif signo in STOPS_BY_DEFAULT:
        discard_signals(process, frozenset((SIGCONT,)))
    if signo not in (SIGCONT, SIGKILL) or not process.stopped:
        return
    process.stopped = False
    process.stop_signal = 0
    process.continued = signo == SIGCONT
    for task in process.tasks:
        task.attention = True  # signals that came meanwhile; and a call that was cut short goes on
        if task.state is State.STOPPED:
            task.state = State.RUNNABLE
            task.run_queue.tasks.append(task)
    if process.continued:
        tell_parent(process, CLD_CONTINUED, SIGCONT)


def discard_signals(process: Process, signals: Container[int]) -> None:
    """Forget pending signals of a process and its threads."""
    for pending in (process.pending, *(t.pending for t in process.tasks)):
        pending[:] = [p for p in pending if p.signo not in signals]


def send_to_process(process: Process, info: SigInfo) -> None:
    """Post a signal to a process: any thread that does not block it takes it (kill(2))."""
    alive = [t for t in process.tasks if t.alive]
    if not alive or process.zombie:
        return
    willing = [t for t in alive if not t.blocked & bit(info.signo)]
    post((willing or alive)[0], info, process.pending)


def tell_parent(process: Process, code: int, signo: int) -> None:
    """The process stopped or went on: SIGCHLD unless SA_NOCLDSTOP, and an event for wait(2)."""
    parent = process.parent
    if parent is None:
        return
    if not parent.action(SIGCHLD).flags & SA_NOCLDSTOP:
        send_to_process(parent, SigInfo(SIGCHLD, code, process.tgid, process.uid, signo))
    parent.child_events.wake()
