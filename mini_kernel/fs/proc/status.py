"""What a process is: status, stat, statm, comm (Linux fs/proc/array.c, task_mmu.c).

Lines of Linux's whose value is not known here are left out: the peaks VmPeak and VmHWM, VmPin, the two counts of
context switches apart. Sizes are in kB, in statm pages. Resident sizes are the accounting of the address space (F80):
a PTE table that several share counts for its owner alone.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

from mini_kernel.clock import NS_PER_BLOCK
from mini_kernel.cred import Credentials
from mini_kernel.fs.file import File
from mini_kernel.fs.proc.usage import hugetlb_pages, owned_pages
from mini_kernel.fs.proc.views import ProcessView, Signal, Subject, TaskView
from mini_kernel.ledger import Ledger
from mini_kernel.mm.mm import STACK_TOP, THP_NEVER, Mm
from mini_kernel.mm.vma import VM_EXEC, VM_GROWSDOWN, VM_WRITE, Vma
from mini_kernel.uapi.resource import RLIM_INFINITY, RLIMIT_SIGPENDING
from mini_kernel.uapi.signal import SIG_DFL, SIG_IGN
from mini_kernel.x86 import PAGE_SHIFT

CLOCK_TICKS: Final = 100  # USER_HZ: stat counts time in these per second
_STATES: Final = ("R (running)", "S (sleeping)", "T (stopped)", "X (dead)")  # by task.State
_STOPPED: Final = _STATES[2]
_ZOMBIE: Final = "Z (zombie)"
_NS_PER_TICK: Final = 1_000_000_000 // CLOCK_TICKS


def state_of(subject: Subject) -> str:
    """The letter and the word."""
    task = subject.task
    if task is None:
        return _ZOMBIE
    return _STOPPED if subject.process.stopped else _STATES[task.state]  # also what waits in a call meanwhile


def name_of(subject: Subject) -> bytes:
    """comm: up to 15 bytes."""
    task = subject.task
    return (task.name if task else subject.process.name).encode("utf-8", "replace")[:15]


# -- sizes -------------------------------------------------------------------------------------------


class Sizes(NamedTuple):
    """Parts of an address space, in pages."""

    total: int
    locked: int
    anon: int
    file: int
    shmem: int
    data: int
    stack: int
    text: int
    library: int

    @property
    def resident(self) -> int:
        """RSS."""
        return self.anon + self.file + self.shmem


def sizes_of(mm: Mm, exe_path: bytes) -> Sizes:
    """Linux task_mem. Program text is what the executable's file backs and may be run."""
    code = [v for v in mm.vmas if v.flags & (VM_EXEC | VM_WRITE | VM_GROWSDOWN) == VM_EXEC]
    text = sum(v.pages for v in code if file_path(v) == exe_path)
    shmem = sum(owned_pages(mm, v.start, v.end) for v in mm.vmas if is_shared_memory(v))
    huge = hugetlb_pages(mm)
    return Sizes(
        mm.total_pages(),
        mm.locked_pages(),
        mm.rss_anon - huge.own_anon,
        mm.rss_file - huge.own_file - shmem,
        shmem,
        mm.data_pages(),
        sum(v.pages for v in mm.vmas if v.flags & VM_GROWSDOWN),
        text,
        sum(v.pages for v in code) - text,
    )


def resident_pages(mm: Mm) -> int:
    """VmRSS, in pages."""
    huge = hugetlb_pages(mm)
    return mm.rss - huge.own_anon - huge.own_file


def file_path(vma: Vma) -> bytes:
    """The path of the open file an area shows, b"" if it shows none."""
    return vma.file.path if isinstance(vma.file, File) else b""


def is_shared_memory(vma: Vma) -> bool:
    """True for MAP_SHARED|MAP_ANONYMOUS: it has pages of its own kind, but no open file."""
    return vma.file is not None and not isinstance(vma.file, File)


def _memory_lines(mm: Mm, exe_path: bytes) -> Iterable[str]:
    sizes = sizes_of(mm, exe_path)
    for name, pages in (
        ("VmSize", sizes.total), ("VmLck", sizes.locked), ("VmRSS", sizes.resident), ("RssAnon", sizes.anon),
        ("RssFile", sizes.file), ("RssShmem", sizes.shmem), ("VmData", sizes.data), ("VmStk", sizes.stack),
        ("VmExe", sizes.text), ("VmLib", sizes.library), ("VmPTE", mm.pt.tables - 1), ("VmSwap", 0),
        ("HugetlbPages", hugetlb_pages(mm).mapped),
    ):  # fmt: skip
        yield f"{name}:\t{pages << 2:8d} kB"


# -- status ------------------------------------------------------------------------------------------


def status(subject: Subject) -> bytes:
    """/proc/PID/status."""
    name = name_of(subject).replace(b"\\", b"\\\\").replace(b"\n", b"\\n")
    lines = [*_identity_lines(subject)]
    task = subject.task
    if task is not None and task.user_mm is not None:
        lines += _memory_lines(task.user_mm, task.exe_path)
        lines += ["CoreDumping:\t0", f"THP_enabled:\t{task.user_mm.thp != THP_NEVER:d}"]
    lines += _signal_lines(subject)
    lines += _rights_lines(task)
    lines += ["Cpus_allowed:\t1", "Cpus_allowed_list:\t0", "Mems_allowed:\t1", "Mems_allowed_list:\t0", ""]
    return b"Name:\t" + name + b"\n" + "\n".join(lines).encode()


def _identity_lines(subject: Subject) -> Iterable[str]:
    process, task = subject.process, subject.task
    if task is not None:
        yield f"Umask:\t{task.fs.umask:04o}"
    yield f"State:\t{state_of(subject)}"
    yield f"Tgid:\t{process.tgid}"
    yield "Ngid:\t0"
    yield f"Pid:\t{subject.number}"
    yield f"PPid:\t{subject.parent_id}"
    yield "TracerPid:\t0"
    cred = task.cred if task else Credentials()
    yield "".join(["Uid:", *(f"\t{uid}" for uid in (*cred.uids, cred.fsuid))])
    yield "".join(["Gid:", *(f"\t{gid}" for gid in (*cred.gids, cred.fsgid))])
    yield f"FDSize:\t{_table_size(task)}"
    yield ("Groups:\t" + "".join(f"{group} " for group in cred.groups) + ("" if cred.groups else " "))
    for space, number in (
        ("NStgid", process.tgid), ("NSpid", subject.number), ("NSpgid", process.pgid), ("NSsid", process.sid),
    ):  # fmt: skip
        yield f"{space}:\t{number}"


def _table_size(task: TaskView | None) -> int:
    """Slots of the descriptor table: Linux begins with 64 and then doubles from 256."""
    highest = max(task.files.fds, default=0) if task else 0
    size = 64
    while size <= highest:
        size = max(256, 2 * size)
    return size if task else 0


def signal_masks(subject: Subject) -> tuple[int, int, int, int, int]:
    """(pending for the thread, pending for the process, blocked, ignored, caught): bit n - 1 is signal n."""
    process, task = subject.process, subject.task
    handlers = {signo: action.handler for signo, action in process.actions.items()} if task else {}
    return (
        _mask(task.pending) if task else 0,
        _mask(process.pending),
        task.blocked if task else 0,
        sum(1 << signo - 1 for signo, handler in handlers.items() if handler == SIG_IGN),
        sum(1 << signo - 1 for signo, handler in handlers.items() if handler not in (SIG_DFL, SIG_IGN)),
    )


def _mask(pending: Iterable[Signal]) -> int:
    mask = 0
    for signal in pending:
        mask |= 1 << signal.signo - 1
    return mask


def _signal_lines(subject: Subject) -> Iterable[str]:
    process = subject.process
    queued = len(process.pending) + sum(len(t.pending) for t in process.tasks)
    limit = process.rlimits.get(RLIMIT_SIGPENDING, (RLIM_INFINITY, RLIM_INFINITY))[0]
    yield f"Threads:\t{len(process.tasks) or 1}"
    yield f"SigQ:\t{queued}/{limit}"
    for name, mask in zip(("SigPnd", "ShdPnd", "SigBlk", "SigIgn", "SigCgt"), signal_masks(subject), strict=True):
        yield f"{name}:\t{mask:016x}"


def _rights_lines(task: TaskView | None) -> Iterable[str]:
    c = task.cred if task else Credentials()
    for name, mask in (
        ("CapInh", c.inheritable), ("CapPrm", c.permitted), ("CapEff", c.effective), ("CapBnd", c.bounding),
        ("CapAmb", c.ambient),
    ):  # fmt: skip
        yield f"{name}:\t{mask:016x}"
    yield f"NoNewPrivs:\t{int(task.no_new_privileges) if task else 0}"
    yield "Seccomp:\t0"
    yield "Seccomp_filters:\t0"


# -- stat and statm ----------------------------------------------------------------------------------


def _ticks(ledger: Ledger) -> int:
    return ledger.blocks * NS_PER_BLOCK // _NS_PER_TICK


def _times(process: ProcessView) -> tuple[int, ...]:
    """Faults and times of the process and of the children it waited for: fields 10 to 17."""
    mine, theirs = process.ledger, process.children_ledger
    return sum(mine.faults.values()), sum(theirs.faults.values()), 0, 0, _ticks(mine), 0, _ticks(theirs), 0


def stat(subject: Subject) -> bytes:
    """/proc/PID/stat: 52 fields, proc_pid_stat(5). What is not kept (start time, code addresses) is 0."""
    subject.system.sched.credit()
    process, mm = subject.process, subject.mm
    total, resident = (mm.total_pages() << PAGE_SHIFT, resident_pages(mm)) if mm else (0, 0)
    pending, _shared, blocked, ignored, caught = signal_masks(subject)
    arguments, environment = (mm.arguments, mm.environment) if mm else ((0, 0), (0, 0))
    numbers = [
        subject.parent_id, process.pgid, process.sid, 0, -1, 0, *_times(process),
        20, 0, len(process.tasks) or 1, 0, 0,
        total, resident, mm.limits.address_space if mm else 0, 0, 0, STACK_TOP if mm else 0, 0, 0,
        pending, blocked, ignored, caught, 0, 0, 0, process.exit_signal, 0, 0, 0, 0, 0, 0,
        0, 0, mm.start_brk if mm else 0, *arguments, *environment, process.exit_status or 0,
    ]  # fmt: skip
    head = b"%d (%s) %s " % (subject.number, name_of(subject), state_of(subject)[0].encode())
    return head + " ".join(map(str, numbers)).encode() + b"\n"


def statm(subject: Subject) -> bytes:
    """/proc/PID/statm: total, resident, shared, text, 0, data and stack, 0, in pages."""
    task, mm = subject.task, subject.mm
    if task is None or mm is None:
        return b"0 0 0 0 0 0 0\n"
    sizes = sizes_of(mm, task.exe_path)
    numbers = (sizes.total, sizes.resident, sizes.file + sizes.shmem, sizes.text, 0, sizes.data + sizes.stack, 0)
    return " ".join(map(str, numbers)).encode() + b"\n"


def oom_score(subject: Subject) -> bytes:
    """/proc/PID/oom_score: 667 for a process of no size, 0 for what is never killed (Linux proc_oom_score)."""
    badness = subject.system.oom.badness(subject.process)
    points = 0 if badness is None else max(0, (1000 + badness * 1000 // subject.system.frames.total) * 2 // 3)
    return b"%d\n" % points


def comm(subject: Subject) -> bytes:
    """/proc/PID/comm."""
    return name_of(subject) + b"\n"
