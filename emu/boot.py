"""Composition root: a machine, a kernel and a program become a running system."""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from importlib import import_module
from types import ModuleType, TracebackType
from typing import TYPE_CHECKING, Any, Final, Literal, Self

from emu.errors import EmuError, ProgramError
from emu.listeners import Listeners
from emu.machine import (
    DEFAULT_QUANTUM,
    RESERVED_FRAMES,
    DebugMachine,
    JumpMachine,
    Machine,
    RecordMachine,
    scheduled_machine,
)
from emu.program import Program
from emu.tape import Tape
from emu.watchdog import WATCHDOG
from mini_kernel.elf import ElfError
from mini_kernel.errors import SysError
from mini_kernel.fs.hosttree import HostTree
from mini_kernel.fs.stream import BytesStream, HostStream
from mini_kernel.kernel import Config, Image, Kernel
from mini_kernel.ledger import Ledger
from mini_kernel.mm.mm import THP_MODES
from mini_kernel.observe import FaultRecord, Observer, Sharer
from mini_kernel.oom import OomRecord
from mini_kernel.report import sharing
from mini_kernel.steer import CallFailure, Schedule
from mini_kernel.task import Task
from mini_kernel.uapi import syscall_names
from mini_kernel.x86 import RIP

if TYPE_CHECKING:  # what is not reported needs no symbols
    from emu.symbols import GuestSymbols

FORKS: Final = ("classic", "odf")  # what plain fork(2) can mean
DEFAULT_MEMORY: Final = 4 << 30
MAX_MEMORY: Final = 1 << 40
DEFAULT_ENVIRONMENT: Final = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/root", "LANG": "C"}

Ending = Literal["exited", "deadlock", "timeout", "max-insns", "interrupted"]
Streams = tuple[HostStream, HostStream, HostStream]


@dataclass(frozen=True)
class Options:
    """How a system is made. Sizes in bytes, times in seconds."""

    memory: int = DEFAULT_MEMORY
    fork: str = "classic"
    seed: int = 0
    root: str | HostTree | None = None
    root_writable: bool = False  # changes below `root` are made on the host, too
    cwd: str = "/"  # where the program starts, in the guest's tree
    check: bool = False
    thp: str = "never"  # transparent huge pages
    max_insns: int | None = None  # exact: counts every instruction, at a tenth of the speed
    timeout: float | None = None
    exact: bool = False
    debug: bool = False  # on a DebugMachine, for emu.debug
    record: bool = False  # on a RecordMachine (if not by a schedule), with everything that comes from outside on tape
    quantum: int = DEFAULT_QUANTUM
    schedule: int | None = None  # seed of an interleaving; preempts between any two instructions, so it implies exact
    traced: bool = False  # the machine has `on_block`
    slice_method: Literal["native", "python"] | None = None
    environment: Mapping[str, str] = field(default_factory=lambda: dict(DEFAULT_ENVIRONMENT))


@dataclass(frozen=True)
class Outcome:
    """How a run ended."""

    ending: Ending
    wait_status: int | None  # of the main process, as wait4 reports it; None if it did not end

    @property
    def status(self) -> int:
        """The exit status for a shell: the guest's, 128 + signal, 124 for a spent limit, 130 for Ctrl-C."""
        if self.ending in ("timeout", "max-insns"):
            return 124
        if self.ending == "interrupted":
            return 130
        if self.wait_status is None:
            return 124
        signo = self.wait_status & 0x7F
        return 128 + signo if signo else self.wait_status >> 8 & 0xFF


class System:
    """A booted system. A context manager; `close` gives all host memory back."""

    def __init__(
        self,
        program: Program,
        arguments: Sequence[str] = (),
        options: Options | None = None,
        streams: Streams | None = None,
        argv0: str | None = None,
        tapes: tuple[Tape, ...] = (),
        machine: Machine | None = None,
    ) -> None:
        """Boot and load `program`, ready to run its first instruction.

        `arguments` are those behind argv[0], which is the program's path in the guest if not given. Without
        `streams` input is empty and output is kept (`stdout`, `stderr`). `tapes` are in front of them where the input
        of a recording is to be given again. `machine` is one that `detach` gave, of a system with as much RAM and the
        same kind of machine.
        Raises ProgramError for what cannot be loaded, EmuError for impossible options.
        """
        self.options = options or Options()
        self.program = program
        self.streams = streams or (BytesStream(), BytesStream(), BytesStream())
        taped = self.options.debug or self.options.record
        self.tapes = tapes or (tuple(Tape(stream) for stream in self.streams) if taped else ())
        self._listeners = Listeners()
        self.machine = machine or _machine(self.options)
        try:
            o = self.options
            config = Config(o.seed, o.fork, o.root, o.check, o.thp, o.root_writable)
            self.kernel = _kernel(self.machine, config)
            self.machine.attach(self.kernel.traps)
            self.path = self.install(program)
            self.argv = [_encode(argument) for argument in (argv0 or _decode(self.path), *arguments)]
            self._spawn()
            if o.schedule is not None:
                self.kernel.follow(Schedule(o.schedule))
        except BaseException:
            self.machine.close()
            raise

    def _spawn(self) -> None:
        envp = [_encode(f"{k}={v}") for k, v in self.options.environment.items()]
        cwd = _encode(self.options.cwd)
        try:
            self.kernel.vfs.context(cwd)
        except SysError as error:
            raise EmuError(f"--cwd {self.options.cwd}: {error}") from None
        try:
            stdin, stdout, stderr = self.tapes or self.streams
            self.exe_path = self.kernel.spawn(self.path, self.argv, envp, (stdin, stdout, stderr), cwd).exe_path
        except ElfError as error:
            raise ProgramError(str(error), file=self.program.path or self.program.name) from None
        except SysError as error:
            raise ProgramError(f"cannot be run: {error}", file=self.program.path or self.program.name) from None

    def install(self, program: Program) -> bytes:
        """Put a program into the guest's file system; its path there."""
        path = b"/bin/" + _encode(program.name.strip("<>"))
        try:
            self.kernel.vfs.write_file(path, program.data, 0o755)
        except SysError as error:
            raise ProgramError(f"does not fit into memory: {error}", file=program.path or program.name) from None
        return path

    @cached_property
    def symbols(self) -> "GuestSymbols":
        """The names of the programs in the guest; read with the first question."""
        from emu.symbols import GuestSymbols

        return GuestSymbols(self.program, self.exe_path, self.kernel.vfs)

    def put_file(self, path: str, data: bytes, mode: int = 0o644) -> None:
        """Create or replace a file of the guest's, with the directories on the way. Raises EmuError."""
        try:
            self.kernel.vfs.write_file(_encode(path), data, mode)
        except SysError as error:
            raise EmuError(f"the guest's file {path}: {error}") from None

    # -- running ------------------------------------------------------------------------------------

    def run(self) -> Outcome:
        """Run until everything has exited or a limit is spent. Raises KernelBug, MachineError (our mistakes)."""
        if self.kernel.sched.current is None:
            self.kernel.traps.dispatch()  # everybody waited when an earlier run was interrupted
        if self.kernel.sched.current is None:
            return self._outcome("stopped")  # it came to its end in an earlier run
        if self.options.timeout is None:
            return self._outcome(self._run(self.options.max_insns))
        expired: list[bool] = []
        with WATCHDOG.limit(self.options.timeout, partial(self._expire, expired)):
            outcome = self._outcome(self._run(self.options.max_insns))
        return Outcome("timeout", None) if outcome.ending == "interrupted" and expired else outcome

    def step(self, count: int = 1) -> Outcome | None:
        """Run `count` instructions of whichever tasks have the CPU, with the kernel entries they cause; then None.

        The Outcome if everything ended before, or `max_insns` is spent. An instruction that faults is done when it has
        been restarted or its task is gone. Raises EmuError without Options.exact, and as `run` does.
        """
        if not self.machine.exact:
            raise EmuError("only a system booted with exact=True counts instructions")
        if count < 1:
            raise EmuError(f"a number of steps from 1 on, not {count}")
        if self.kernel.sched.current is None:
            return self.run()
        goal, most = self.machine.instructions() + count, self.options.max_insns
        reason = self._run(goal if most is None else min(goal, most))
        if reason == "budget" and self.machine.instructions() == goal and goal != most:
            return None
        return self._outcome(reason)

    def _run(self, most: int | None) -> str:
        """Run the machine to its end or `most` instructions; with a schedule, in slices, where the machine has none."""
        machine, kernel = self.machine, self.kernel
        while True:
            schedule = kernel.plan.schedule if machine.exact and not isinstance(machine, JumpMachine) else None
            left = None if most is None else max(0, most - machine.instructions())
            length = left if schedule is None else schedule.slice()
            if left is not None and length is not None:
                length = min(left, length)
            if machine.exact:
                machine.set_instruction_budget(length)
            reason = machine.run()
            if reason != "budget" or length == left:
                return reason
            if machine.on_block is not None:
                machine.on_block(machine.regs[RIP], 0)
            kernel.traps.tick()
            if kernel.sched.current is None:
                return "stopped"

    def _expire(self, expired: list[bool]) -> None:
        expired.append(True)
        self.interrupt()

    def _outcome(self, reason: str) -> Outcome:
        self.kernel.sched.credit()
        status = self.kernel.exit_status
        if reason == "budget":
            return Outcome("max-insns", status)
        if reason == "interrupted":
            return Outcome("interrupted", status)
        if self.kernel.deadlock is not None and status is None:
            return Outcome("deadlock", None)
        return Outcome("exited", status)

    def interrupt(self) -> None:
        """Make `run` come back soon, from a read that waits for the outside world too. From any thread or handler."""
        self.machine.interrupt()
        for stream in self.streams:
            stream.cancel()

    def observe(self, observer: Observer | None) -> None:
        """Tell `observer` too what happens from now on."""
        if observer is not None:
            self._listeners.add(observer)
            self.kernel.observe(self._listeners.only())

    def ignore(self, observer: Observer) -> None:
        """Undo `observe`."""
        self._listeners.remove(observer)
        self.kernel.observe(self._listeners.only())

    def observe_blocks(self, listener: Callable[[int, int], object]) -> None:
        """Tell `listener` too of every basic block, as Machine.on_block. Raises EmuError without Options.traced."""
        if not self.options.traced:
            raise EmuError("blocks are seen on a traced machine alone")
        first = self.machine.on_block

        def both(address: int, size: int) -> None:
            assert first is not None
            first(address, size)
            listener(address, size)

        self.machine.on_block = listener if first is None else both

    # -- steering -----------------------------------------------------------------------------------

    def refuse_frames(self, nth: int = 1, count: int = -1) -> None:
        """Let the `nth` frame asked for from now on not be there, and the `count` - 1 after it; -1: no more at all.

        An allocation of several frames at once is refused as a whole. The guest sees ENOMEM, or is killed by a fault.
        """
        frames = self.kernel.frames
        frames.refuse_after, frames.refusals = nth - 1, count

    def fail_syscall(self, errno: int, call: str | None = None, nth: int = 1, every: bool = False) -> None:
        """Let the `nth` system call from now on (of this name, or of any) fail with `errno`, doing nothing.

        It fails once; `every` makes the later ones fail too. Raises EmuError for a name that is no call's.
        """
        number = None
        if call is not None:
            number = next((n for n, name in syscall_names.items() if name == call), None)
            if number is None:
                raise EmuError(f"no system call is named {call}")
        self.kernel.fail_call(CallFailure(errno, nth, number, every))

    # -- looking ------------------------------------------------------------------------------------

    def task(self, tid: int) -> Task:
        """A live task. Raises KeyError."""
        return self.kernel.tasks[tid]

    def sharing(self, address: int, pid: int = 1) -> tuple[Sharer, ...]:
        """Which other processes reach the same frame, or the same table, at an address of a process."""
        return sharing(self.kernel, self.task(pid).mm, address)

    @property
    def stdout(self) -> bytes:
        """What the guest wrote to standard output, when it was not sent elsewhere."""
        return _written(self.streams[1])

    @property
    def stderr(self) -> bytes:
        """The same for standard error."""
        return _written(self.streams[2])

    @property
    def records(self) -> list[FaultRecord]:
        """Fatal faults, in order."""
        return self.kernel.records

    @property
    def oom_records(self) -> list[OomRecord]:
        """Whom the OOM killer chose and why, in order."""
        return self.kernel.oom.records

    def ledger(self) -> Ledger:
        """The costs of all processes so far."""
        self.kernel.sched.credit()
        return self.kernel.total_ledger()

    def stats(self) -> dict[str, Any]:
        """The ledger of `--stats-json`: all processes in sum, each process, frames."""
        frames = self.kernel.frames
        alive = [(p.tgid, p.name, p.ledger) for p in self.kernel.processes.values() if not p.zombie]
        processes = [
            {"pid": pid, "name": name, **ledger.as_dict()} for pid, name, ledger in (*self.kernel.dead, *alive)
        ]
        totals = self.ledger().as_dict()
        if self.machine.exact:
            totals["instructions"] = self.machine.instructions()
        return {
            "schema": 1,
            "total": totals,
            "processes": processes,
            "frames": {
                "allocated": frames.allocated,
                "in_use": frames.in_use,
                "peak": frames.peak,
                "total": frames.total,
            },
            "tlb_flushes": self.machine.tlb_flushes,
            "code_flushes": self.machine.code_flushes,
        }

    # -- time travel --------------------------------------------------------------------------------

    def snapshot(self) -> Image:
        """The whole system as a value."""
        return self.kernel.snapshot()

    def restore(self, image: Image) -> None:
        """Go back to a snapshot of this system."""
        self.kernel.restore(image)

    def close(self) -> None:
        """Free RAM and engine. The system cannot be used afterwards."""
        self.machine.close()

    def detach(self) -> Machine:
        """Take the machine out, as it was before boot, for another system. This one is at its end, as after `close`."""
        machine = self.machine
        machine.recycle()
        self.machine = Machine.closed()
        return machine

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()


def _encode(text: str) -> bytes:
    """As the host's command line and environment come to Python."""
    return text.encode("utf-8", "surrogateescape")


def _decode(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _machine(options: Options) -> Machine:
    if not 1 << 20 <= options.memory <= MAX_MEMORY:
        raise EmuError(f"--mem must be between 1 MiB and 1 TiB, not {options.memory} bytes")
    if options.fork not in FORKS:
        raise EmuError(f"--fork must be one of {', '.join(FORKS)}, not {options.fork}")
    if options.root_writable and options.root is None:
        raise EmuError("--root-writable needs --root")
    if options.thp not in THP_MODES:
        raise EmuError(f"--thp must be one of {', '.join(THP_MODES)}, not {options.thp}")
    if options.debug:
        return DebugMachine(options.memory & -4096, options.quantum, by_instructions=options.schedule is not None)
    if options.record:
        if options.exact or options.max_insns is not None:
            raise EmuError("only a run at full speed can be recorded: without --max-insns")
        if options.traced:
            raise EmuError("only a run at full speed can be recorded: without coverage and traces of instructions")
        if options.root_writable:
            raise EmuError("a run that changes the host's files cannot be recorded: without --root-writable")
        if options.schedule is None:
            return RecordMachine(options.memory & -4096, options.quantum)
    if options.schedule is not None and options.slice_method != "python":
        return scheduled_machine(options.memory & -4096, options.quantum, options.traced)
    exact = options.exact or options.max_insns is not None or options.schedule is not None
    return Machine(options.memory & -4096, options.quantum, options.slice_method, exact, traced=options.traced)


def _kernel(machine: Machine, config: Config) -> Kernel:
    try:
        return Kernel(machine.ram, machine, RESERVED_FRAMES, config)
    except OSError as error:
        raise EmuError(f"--root {config.root}: {error.strerror}") from None


def _written(stream: HostStream) -> bytes:
    if not isinstance(stream, BytesStream):
        raise EmuError("this system's output went elsewhere")
    return bytes(stream.written)


class _CallableModule(ModuleType):
    """The package's interface has a function `emu.boot`, which this module's name hides: so it can be called too."""

    def __call__(self, *arguments: Any, **options: Any) -> System:
        """emu.api.boot."""
        return import_module("emu.api").boot(*arguments, **options)


sys.modules[__name__].__class__ = _CallableModule
