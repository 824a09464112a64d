"""The kernel object: everything a running system is, as plain data behind three handles (RAM, CPU, observer)."""

from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

import numpy as np

from mini_kernel import exec as loader
from mini_kernel import process as life
from mini_kernel import snapshot, syscalls
from mini_kernel.clock import Clock
from mini_kernel.console import Console
from mini_kernel.errors import SysError
from mini_kernel.fs.fdtable import FdTable
from mini_kernel.fs.hosttree import HostTree
from mini_kernel.fs.inode import Directory, RegularFile
from mini_kernel.fs.proc import facts
from mini_kernel.fs.stream import HostStream
from mini_kernel.fs.vfs import Vfs
from mini_kernel.futex import Futexes
from mini_kernel.hw import Cpu, PhysicalMemory
from mini_kernel.ipc.msg import MessageTable
from mini_kernel.ipc.sem import SemaphoreTable
from mini_kernel.ipc.shm import SegmentTable
from mini_kernel.ledger import Ledger
from mini_kernel.mm import check as mm_check
from mini_kernel.mm import kmem
from mini_kernel.mm.frame import FrameAllocator
from mini_kernel.mm.mm import Mm
from mini_kernel.mm.pagecache import PageCache
from mini_kernel.net import listing
from mini_kernel.net.network import Network
from mini_kernel.observe import FaultRecord, Observer, SignalGate
from mini_kernel.oom import OomKiller
from mini_kernel.sched import Scheduler
from mini_kernel.snapshot import Image
from mini_kernel.steer import CallFailure, Plan, Schedule, Steered
from mini_kernel.task import ODF_ACTIVE, ODF_OFF, Process, State, Task
from mini_kernel.trap import Traps
from mini_kernel.uapi.errno import EINTR, ELOOP
from mini_kernel.uapi.fcntl import O_RDONLY
from mini_kernel.uapi.signal import SIGKILL

#: Families of processes and trees of directories are as deep as the guest likes.
_NODES: Final = (Process, Task, Directory)
_HANDLE_NAMES: Final = ("ram", "cpu", "observer", "gate")
MAX_RECORDS: Final = 1000  # fault records that are kept
MAX_LEDGERS: Final = 4096  # dead processes whose costs are kept apart; the rest are only in the sum


@dataclass
class Config:
    """What is fixed at boot."""

    seed: int = 0
    fork: str = "classic"  # what plain fork(2) means at start
    root: str | HostTree | None = None  # host directory served as `/`
    checking: bool = False  # recompute the invariants after every kernel entry
    thp: str = "never"  # where huge pages come unasked: one of mm.THP_MODES
    root_writable: bool = False  # changes below it are made on the host, too


@dataclass
class Deadlock:
    """Everybody waits and nothing can wake anybody: who, and in which system call."""

    waiting: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])  # (tid, call number; -1 stopped)


class Kernel:
    """One machine's kernel. All state hangs off here; `snapshot` and `restore` rely on it."""

    def __init__(self, ram: PhysicalMemory, cpu: Cpu, reserved_frames: int, config: Config | None = None) -> None:
        self.ram = ram
        self.cpu = cpu
        self.observer: Observer | None = None
        self.gate: SignalGate | None = None
        self.plan = Plan()
        self.config = config or Config()
        self.checking = self.config.checking
        self.frames = FrameAllocator(ram, cpu, reserved_frames)
        self.random = Random(self.config.seed)
        self.clock = Clock(cpu)
        self.sched = Scheduler(cpu, self.clock)
        root = self.config.root
        tree = HostTree(root, self.config.root_writable) if isinstance(root, str) else root
        self.vfs = Vfs(self.frames, self.clock, self.random, tree, self)
        self.net = Network(self.vfs.sb, self.clock, self.sched, self.random)
        self.shm = SegmentTable(self.frames, self.clock, self.sched)
        self.sems = SemaphoreTable(self.clock, self.sched)
        self.msgs = MessageTable(self.clock, self.sched)
        self.mqueues = Directory(self.vfs.sb, 0o1777)  # POSIX message queues, by name
        self.traps = Traps(self)
        self.tasks: dict[int, Task] = {}
        self.processes: dict[int, Process] = {}
        self.main: Process | None = None
        self.last_tid = 0
        self.nodename, self.domainname = facts.NODENAME, "(none)"  # sethostname(2), setdomainname(2)
        self.records: list[FaultRecord] = []  # of killed processes, up to MAX_RECORDS
        self.fatal_faults = 0  # all of them
        self.oom = self.frames.reclaimer = OomKiller(self)
        self.deadlock: Deadlock | None = None
        self.futexes = Futexes()
        self.dead: list[tuple[int, str, Ledger]] = []  # (pid, name, costs) in the order of death
        self.dead_total = Ledger()
        self.boot_frames = self.frames.in_use  # with no process: what must be in use again after the last exit

    # -- starting -----------------------------------------------------------------------------------

    def spawn(
        self,
        path: bytes,
        argv: list[bytes],
        envp: list[bytes],
        streams: tuple[HostStream, HostStream, HostStream],
        cwd: bytes = b"/",
    ) -> Task:
        """Create the first process, running the program at `path` in the guest's file system, in directory `cwd`.

        Raises SysError (ENOENT, EACCES, ENOMEM, ...) or ElfError.
        """
        tid = self.new_tid()
        process = Process(tid, None, tid, tid)
        process.odf = ODF_ACTIVE if self.config.fork == "odf" else ODF_OFF
        files = FdTable(memory=self.frames.kmem)
        self.vfs.attach_stdio(files, *streams, Console(self))
        task = Task(tid, process, None, files, self.vfs.context(cwd), self.sched.run_queue)
        loaded = self._load(task, path, argv, envp)
        self.tasks[tid] = task
        self.processes[tid] = process
        self.frames.kmem.owe(kmem.TASK + kmem.PROCESS)
        self.main = process
        task.user_mm = loaded.mm
        life.charge(process, loaded.mm)
        loader.start(self, loaded)
        task.cpu_state = self.cpu.save()
        self.sched.add(task)
        task = self.sched.pick()
        assert task is not None
        self.sched.switch_to(task)
        return task

    def _load(self, task: Task, path: bytes, argv: list[bytes], envp: list[bytes]) -> loader.Loaded:
        """Open and load a program for `task`, following `#!` lines. Sets the task's name and path."""
        script_path = path
        for _ in range(loader.MAX_INTERPRETERS):
            file = self.vfs.open(task, path, O_RDONLY)
            try:
                life.check_executable(task, file)
                script = loader.script_interpreter(file.cache.read(0, 256))
                if script is None:
                    cred, secure = life.identity_after(task, file)
                    program = loader.Program(file, script_path, argv, envp, cred, secure)
                    loaded = loader.load(self, program, task.user_mm)
                    task.name = task.process.name = script_path.rsplit(b"/", 1)[-1].decode("utf-8", "replace")[:15]
                    task.exe_path = file.path
                    return loaded
            finally:
                file.put()
            argv = [script[0], *script[1], path, *argv[1:]]
            path = script[0]
        raise SysError(ELOOP)

    def exec(self, task: Task, path: bytes, argv: list[bytes], envp: list[bytes]) -> None:
        """Replace the program of a task (execve(2)). Raises with the task as it was."""
        loaded = self._load(task, path, argv, envp)
        life.become(self, task, loaded)

    def new_tid(self) -> int:
        """The next free thread id."""
        tid = self.last_tid
        while True:
            tid = tid + 1 if tid < life.PID_MAX - 1 else 300
            if not self.is_taken(tid):
                self.last_tid = tid
                return tid

    def is_taken(self, tid: int) -> bool:
        """True if a thread or a process has this number."""
        return tid in self.tasks or tid in self.processes

    # -- stopping -----------------------------------------------------------------------------------

    def finish(self) -> None:
        """No task can run: all are gone, all wait for ever, or a debugger holds the others. Leave user mode."""
        self.cpu.stop()
        if self.sched.held and any(t.state is State.RUNNABLE for t in self.tasks.values()):
            return
        waiting = [
            (t.tid, t.call[0] if t.call and t.state is State.WAITING else -1) for t in self.tasks.values() if t.alive
        ]
        if waiting:
            self.deadlock = Deadlock(waiting)

    @property
    def exit_status(self) -> int | None:
        """The main process's wait status, None while it lives."""
        return self.main.exit_status if self.main is not None else None

    def shutdown(self) -> None:
        """Kill whatever is left, so that every frame comes back."""
        for process in list(self.processes.values()):
            if not process.zombie:
                life.exit_group(self, process, SIGKILL)

    # -- what traps and calls ask -------------------------------------------------------------------

    def interrupted(self, task: Task, number: int, arguments: tuple[int, ...]) -> int:
        """A handler cuts a call short, which may report how far it got (nanosleep's remaining time): the errno."""
        note = syscalls.INTERRUPTED.get(number)
        if note is not None:
            try:
                note(self, task, *arguments)
            except SysError as error:
                return error.errno
        return EINTR

    def report(self, group: bytes, name: bytes) -> bytes:
        """The content of a file of /proc/net or /proc/sysvipc."""
        if group == b"net":
            return listing.FILES[name](self.net)
        return {b"shm": self.shm, b"sem": self.sems, b"msg": self.msgs}[name].listing()

    def mms(self) -> list[Mm]:
        """Every address space, once."""
        return list({id(t.user_mm): t.user_mm for t in self.tasks.values() if t.user_mm is not None}.values())

    def check(self) -> None:
        """Recompute every memory invariant (I1-I10). Raises KernelBug."""
        mm_check.check(self.frames, self.mms(), self.caches())

    def caches(self) -> list[PageCache]:
        """Every page cache that a name, an open file, a segment or a mapping reaches, once."""
        found = [*self.vfs.caches(), *self.shm.caches()]
        for task in self.tasks.values():
            found += [f.inode.cache for f in task.files.fds.values() if isinstance(f.inode, RegularFile)]
        found += [f.inode.cache for f in self.net.carried() if isinstance(f.inode, RegularFile)]
        found += [v.file.cache for mm in self.mms() for v in mm.vmas if v.file is not None]
        return list({id(cache): cache for cache in found}.values())

    def keep(self, record: FaultRecord) -> None:
        """Remember a fault that kills."""
        self.fatal_faults += 1
        if len(self.records) < MAX_RECORDS:
            self.records.append(record)

    # -- costs --------------------------------------------------------------------------------------

    def retire(self, process: Process) -> None:
        """A process ended: keep its costs."""
        self.dead_total.add(process.ledger)
        if len(self.dead) < MAX_LEDGERS:
            self.dead.append((process.tgid, process.name, process.ledger))

    def total_ledger(self) -> Ledger:
        """The costs of all processes, dead and alive."""
        total = Ledger()
        total.add(self.dead_total)
        for process in self.processes.values():
            if not process.zombie:
                total.add(process.ledger)
        return total

    # -- steering -----------------------------------------------------------------------------------

    def observe(self, observer: Observer | None) -> None:
        """Tell `observer` what happens from now on."""
        self.observer = Steered(self, observer) if self.plan else observer

    def fail_call(self, failure: CallFailure) -> None:
        """From now on count system calls towards one that fails."""
        self._steer()
        self.plan.failures.append(failure)

    def follow(self, schedule: Schedule) -> None:
        """From now on preempt tasks as this schedule says."""
        self._steer()
        self.plan.schedule = schedule
        self.cpu.slice_left = schedule.slice()

    def _steer(self) -> None:
        if not isinstance(self.observer, Steered):
            self.observer = Steered(self, self.observer)

    # -- snapshots ----------------------------------------------------------------------------------

    def snapshot(self, contents: bool = True) -> Image:
        """Everything: kernel objects, the CPU's state, the content of every frame in use.

        Without `contents` those are left to the caller, and there is no going back to the image as it is.
        """
        state = {name: value for name, value in self.__dict__.items() if name not in _HANDLE_NAMES}
        used = self.frames.used()
        objects = snapshot.dump(state, self._handles(), _NODES)
        kept = self.ram.tables[used] if contents else np.empty((0, 512), np.uint64)
        return Image(objects, self.cpu.save(), self.cpu.slice_left, used, kept)

    def restore(self, image: Image) -> None:
        """Go back to a snapshot of this very system. Afterwards `snapshot()` equals `image`."""
        state = snapshot.load(image.objects, self._handles())
        frontiers = self.frames.low.frontier, self.frames.high.frontier
        listener = self.frames.listener
        self.__dict__.update(state)
        self.frames.listener = listener
        if self.plan:
            self._steer()
        if not self.ram.recall(image, image.pfns, image.contents):
            _scrub(self.ram, self.frames, frontiers)
        self.cpu.load(image.cpu)
        self.cpu.slice_left = image.slice_left
        self.cpu.flush_code()

    def _handles(self) -> dict[str, Any]:
        """What stays outside snapshots, by name."""
        return {"ram": self.ram, "cpu": self.cpu, "kernel": self, **self.vfs.handles()}


def _scrub(ram: PhysicalMemory, frames: FrameAllocator, frontiers: tuple[int, int]) -> None:
    """Frames behind the restored frontier were used since: they must read as zero, as never-used ones do."""
    for zone, frontier in zip((frames.low, frames.high), frontiers, strict=True):
        if frontier > zone.frontier:
            ram.discard(zone.frontier, frontier)
