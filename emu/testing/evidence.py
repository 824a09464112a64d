"""One run of a program under test, and what it left behind: also what only the moment of its end knows."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from emu.api import boot
from emu.boot import System
from emu.listeners import Silent
from emu.origin import origin
from emu.peek import peek
from emu.program import Program
from emu.symbols import GuestSymbols, Symbols
from emu.testing.warm import WarmSystem
from mini_kernel.observe import FaultRecord
from mini_kernel.signal import default_action
from mini_kernel.task import SigInfo, Task
from mini_kernel.uapi.numbers import SYS_exit, SYS_exit_group, SYS_mmap, SYS_mremap
from mini_kernel.uapi.signal import SIG_DFL
from mini_kernel.x86 import RIP, RSP

if TYPE_CHECKING:
    from emu.testing.variants import Variant

REGISTERS: Final = (
    "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "rip",
)  # fmt: skip
_SYSCALL_LENGTH: Final = 2
Wanted = tuple[str, int, int]  # symbol, offset, size
Cover = Callable[[System], object]


class Area(NamedTuple):
    """An area that was there at the end. `made_by` is the place of its mmap call, "" for what there was at first."""

    start: int
    end: int
    name: str
    made_by: str


@dataclass
class Evidence:
    """What a run left behind. `exit`, `signal`: of the first process, one of them None."""

    program: Program
    ending: str = ""
    exit: int | None = None
    signal: int | None = None
    si_code: int | None = None
    stdout: bytes = b""
    stderr: bytes = b""
    ledger: Mapping[str, Any] = field(default_factory=dict[str, Any])
    records: Sequence[FaultRecord] = ()
    symbols: GuestSymbols | None = None  # if there are records
    registers: Mapping[str, int] = field(default_factory=dict[str, int])
    mappings: Sequence[Area] = ()
    memory: Mapping[Wanted, bytes] = field(default_factory=dict[Wanted, bytes])
    ended_at: str = ""  # `function+0x4 at prog.asm:12`
    preemptions: Sequence[tuple[int, int]] = ()  # of a schedule: which task lost the CPU, and its RIP

    @property
    def forks(self) -> Mapping[str, int]:
        """How many children, by kind."""
        return self.ledger["total"]["forks"]

    @property
    def leaks(self) -> list[Area]:
        """Areas that the program mapped and did not unmap."""
        return [area for area in self.mappings if area.made_by]


class AtEnd(Silent):
    """An observer that looks at the first process just before it ends."""

    def __init__(self, system: System, wanted: Sequence[Wanted]) -> None:
        self._system = system
        self._wanted = wanted
        self._symbols: Symbols | None = None
        self._made: list[tuple[int, int, int]] = []  # start, end and place of mappings
        self.registers: dict[str, int] = {}
        self.mappings: list[Area] = []
        self.memory: dict[Wanted, bytes] = {}
        self.ended_at = ""
        self.si_code: int | None = None

    @property
    def symbols(self) -> Symbols:
        """Read when first needed."""
        if self._symbols is None:
            self._symbols = Symbols.of(self._system.program)
        return self._symbols

    def syscall_enter(self, task: Task, number: int, arguments: tuple[int, ...]) -> None:
        """Exits of the first process; it has not gone yet."""
        if task.tgid == 1 and (number == SYS_exit_group or (number == SYS_exit and self._is_last())):
            self._look(task, _SYSCALL_LENGTH)

    def _is_last(self) -> bool:
        return sum(task.tgid == 1 and task.alive for task in self._system.kernel.tasks.values()) == 1

    def syscall_exit(self, task: Task, number: int, arguments: tuple[int, ...], result: int | None) -> None:
        """Who made which mapping."""
        if number in (SYS_mmap, SYS_mremap) and task.tgid == 1 and result is not None and result > 0:
            length = arguments[1] if number == SYS_mmap else arguments[2]
            self._made.append((result, result + length, self._origin(task, _SYSCALL_LENGTH)))

    def signal(self, task: Task, info: SigInfo) -> None:
        """Signals that kill the first process."""
        is_default = task.process.action(info.signo).handler == SIG_DFL
        if task.tgid == 1 and is_default and default_action(info.signo) in ("core", "terminate"):
            self.si_code = info.code
            self._look(task, 0)

    def _origin(self, task: Task, back: int) -> int:
        regs = self._system.kernel.cpu.regs
        return origin(self.symbols, task.mm, regs[RIP] - back, regs[RSP])

    def _look(self, task: Task, back: int) -> None:
        regs, mm = self._system.kernel.cpu.regs, task.mm
        self.registers = {name: regs[i] for i, name in enumerate(REGISTERS)}
        at = self._origin(task, back)
        self.ended_at = self.symbols.place(at) or f"{at:#x}"
        self.mappings = [Area(v.start, v.end, v.name, self._maker(v.start, v.end)) for v in mm.vmas]
        if self._wanted:
            addresses = self.symbols.addresses()
            for wanted in self._wanted:
                symbol, offset, size = wanted
                data = peek(mm, addresses[symbol] + offset, size) if symbol in addresses else b""
                if len(data) == size:
                    self.memory[wanted] = data

    def _maker(self, start: int, end: int) -> str:
        for first, last, rip in reversed(self._made):
            if first < end and start < last:
                return self.symbols.place(rip) or f"{rip:#x}"
        return ""


def boot_variant(variant: "Variant", traced: bool = False) -> System:
    """A system as the variant says, before its first instruction; on a traced machine for coverage."""
    plan = variant.plan
    system = boot(
        variant.program,
        plan.args,
        stdin=plan.stdin,
        fork=variant.policy,
        memory=variant.memory or plan.default_memory,
        env={**plan.env, **variant.environment},
        check=plan.check,
        max_insns=plan.max_insns,
        timeout=plan.timeout,
        exact=plan.exact,
        schedule=variant.seed,
        traced=traced,
        files=plan.files,
        kind=WarmSystem,
    )
    for errno, call, nth in plan.failures:
        system.fail_syscall(errno, call or None, nth)
    if plan.refused:
        system.refuse_frames(*plan.refused)
    return system


def run_variant(variant: "Variant", wanted: Sequence[Wanted] = (), cover: Cover | None = None) -> Evidence:
    """Run it to its end; `cover` is given the system before. Raises EmuError where it cannot be run."""
    with boot_variant(variant, cover is not None) as system:
        if cover is not None:
            cover(system)
        end = AtEnd(system, wanted)
        system.observe(end)
        schedule = system.kernel.plan.schedule
        if schedule is not None:
            schedule.log = []
        outcome = system.run()
        status = outcome.wait_status
        signo = None if status is None else status & 0x7F
        return Evidence(
            program=variant.program,
            ending=outcome.ending,
            exit=None if status is None or signo else status >> 8,
            signal=signo or None,
            si_code=end.si_code,
            stdout=system.stdout,
            stderr=system.stderr,
            ledger=system.stats(),
            records=tuple(system.records),
            symbols=system.symbols if system.records else None,
            registers=end.registers,
            mappings=end.mappings,
            memory=end.memory,
            ended_at=end.ended_at,
            preemptions=schedule.log or () if schedule else (),
        )
