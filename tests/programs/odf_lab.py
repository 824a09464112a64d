"""Small assembly programs that fork, written by the line, and what the CPU and the kernel did while they ran.

A program tells its test where it is by a system call that does not exist (`Script.mark`): the test looks at all tables
there, or changes a bit. What a program finds wrong ends it with a status of its own (`Script.expect`).
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pytest
from program_lab import assemble

from emu.boot import Options, System
from emu.program import Program
from mini_kernel.mm.mm import Mm
from mini_kernel.observe import FaultRecord
from mini_kernel.task import SigInfo, Task
from mini_kernel.x86 import PAGE_SHIFT, PAGE_SIZE, PMD_SIZE, PTE_ADDR, PTE_W

BASE = 4 << 30  # a 1 GiB boundary: tables there hold what the program maps, and nothing else
IN_TABLE = PMD_SIZE // PAGE_SIZE
MARK = 4000  # no system call has this number
REGISTERS = ("rdi", "rsi", "rdx", "r10", "r8", "r9")
P, C = 1, 2  # process numbers of the first process and its first child
WRONG = 100  # exit statuses from here on: an `expect` failed


by_each_fork = pytest.mark.parametrize("fork", ["classic", "odf"])


def where(page: int) -> int:
    """The address of a page."""
    return BASE + page * PAGE_SIZE


class Fault(NamedTuple):
    """A page fault of user code."""

    pid: int
    page: int  # relative to BASE
    error: int
    kind: str


class Table(NamedTuple):
    """A PTE table below BASE as one process sees it."""

    at: int
    pfn: int
    ref: int
    writable: bool
    owned: bool


class Moment:
    """The system at a mark."""

    def __init__(self, system: System, task: Task) -> None:
        self.system = system
        self.task = task
        self.frames = system.kernel.frames

    def mm(self, pid: int) -> Mm:
        """A process's address space."""
        return self.system.kernel.processes[pid].tasks[0].mm

    def tables(self, pid: int, first: int = 0, last: int = 1 << 20) -> list[Table]:
        """The PTE tables over pages [first, last)."""
        mm = self.mm(pid)
        return [
            Table(
                (r.base - BASE) // PMD_SIZE,
                r.table,
                self.frames.counts[r.table],
                bool(self.frames.ram.words[r.pmd_slot] & PTE_W),
                int(self.frames.owner[r.table]) == mm.pt.pgd,
            )
            for r in mm.pt.tables_in(where(first), where(last))
        ]

    def shapes(self, pid: int) -> list[tuple[int, bool, bool]]:
        """(ref, W of the PMD entry, owned) of the tables from BASE on."""
        return [table[2:] for table in self.tables(pid)]

    def slot(self, pid: int, page: int) -> int:
        """Where a PTE is."""
        return self.mm(pid).pt.slot(where(page))

    def entry(self, pid: int, page: int) -> int:
        """A PTE."""
        return self.frames.ram.words[self.slot(pid, page)]

    def frame(self, pid: int, page: int) -> int:
        """The frame of a page."""
        return (self.entry(pid, page) & PTE_ADDR) >> PAGE_SHIFT

    def clear(self, pid: int, page: int, bits: int) -> None:
        """Take bits off a PTE, and flush."""
        self.frames.ram.words[self.slot(pid, page)] &= ~bits
        self.system.kernel.cpu.flush_tlb()


Look = Callable[[Moment], Any]


@dataclass
class Ran:
    """How it went."""

    status: int
    stdout: bytes
    faults: list[Fault]
    notes: list[Any]  # what the marks returned, in order
    ledger: dict[str, Any]
    processes: dict[int, dict[str, Any]]
    records: list[FaultRecord]
    forked: dict[int, str] = field(default_factory=dict[int, str])

    def kinds(self, pid: int, first: int = 0, last: int = 1 << 20) -> list[str]:
        """The classes of a process's faults in pages [first, last), in order."""
        return [f.kind for f in self.faults if f.pid == pid and first <= f.page < last]


class Watch:
    """An Observer that keeps faults and runs the marks."""

    def __init__(self, system: System, looks: list[Look], at_exit: Look | None) -> None:
        self.system = system
        self.looks = looks
        self.at_exit = at_exit
        self.faults: list[Fault] = []
        self.notes: list[Any] = []
        self.forked_as: dict[int, str] = {}

    def syscall_enter(self, task: Task, number: int, arguments: tuple[int, ...]) -> None:
        if number == MARK:
            self.notes.append(self.looks[arguments[0]](Moment(self.system, task)))

    def syscall_wait(self, task: Task, number: int) -> None:
        pass

    def syscall_exit(self, task: Task, number: int, arguments: tuple[int, ...], result: int | None) -> None:
        pass

    def signal(self, task: Task, info: SigInfo) -> None:
        pass

    def fault(self, task: Task, address: int, error: int, fault_class: str) -> None:
        self.faults.append(Fault(task.tgid, (address - BASE) >> PAGE_SHIFT, error, fault_class))

    def forked(self, task: Task, child: Task, kind: str) -> None:
        self.forked_as[child.tgid] = kind

    def exited(self, task: Task, status: int) -> None:
        if self.at_exit is not None:
            self.at_exit(Moment(self.system, task))


class Script:
    """A program, line by line. Values are register names or numbers; r12-r15 and rbp are the test's own."""

    def __init__(self, *lines: str) -> None:
        self.lines = [".text", "_start:", *lines]
        self.data: list[str] = []
        self.looks: list[Look] = []
        self.at_exit: Look | None = None
        self.checks = 0

    # -- writing --------------------------------------------------------------------------------------

    def asm(self, *lines: str) -> "Script":
        """Lines as they are."""
        self.lines += lines
        return self

    def label(self, name: str) -> "Script":
        """A place to jump to."""
        return self.asm(f"{name}:")

    def call(self, number: str, *arguments: str | int) -> "Script":
        """A system call; the result is in rax."""
        moves = [f"mov {register}, {value}" for register, value in zip(REGISTERS, arguments, strict=False)]
        return self.asm(*moves, f"mov eax, {number}", "syscall")

    def map(
        self, page: int, pages: int, flags: str = "MAP_PRIVATE|MAP_ANONYMOUS", prot: str = "PROT_READ|PROT_WRITE"
    ) -> "Script":
        """mmap(MAP_FIXED) of anonymous memory."""
        self.call("SYS_mmap", where(page), pages * PAGE_SIZE, prot, flags + "|MAP_FIXED", -1, 0)
        return self.expect("rax", where(page))

    def store(self, page: int, value: int, offset: int = 0) -> "Script":
        """User code writes one byte."""
        return self.asm(f"mov rbx, {where(page) + offset}", f"mov byte ptr [rbx], {value}")

    def sees(self, page: int, value: int, offset: int = 0) -> "Script":
        """User code reads one byte, which must be this."""
        return self.asm(f"mov rbx, {where(page) + offset}").expect("byte ptr [rbx]", value)

    def until(self, page: int, value: int) -> "Script":
        """Wait in a loop until another process has stored this byte."""
        self.checks += 1
        name = f"until_{self.checks}_{page}"
        return self.label(name).asm(f"mov rbx, {where(page)}", "pause", f"cmp byte ptr [rbx], {value}", f"jne {name}")

    def expect(self, operand: str, value: str | int) -> "Script":
        """Leave with a status that names this place unless the operand is `value`."""
        self.checks += 1
        if operand == "rax" and isinstance(value, int) and not -(1 << 31) <= value < 1 << 31:
            self.asm(f"mov rbx, {value}")
            value = "rbx"
        return self.asm(f"cmp {operand}, {value}", f"mov edi, {WRONG + self.checks}", "jne leave")

    def fork(self, child: str, number: str = "SYS_fork") -> "Script":
        """The child goes on at a label."""
        return self.asm(f"mov eax, {number}", "syscall", "test eax, eax", f"jz {child}")

    def wait(self, status: int = 0) -> "Script":
        """Wait for any child, which must have ended with this wait status."""
        self.call("SYS_wait4", -1, "offset status", 0, 0)
        return self.expect("dword ptr [status]", status)

    def mark(self, look: Look = lambda moment: None) -> "Script":
        """Let the test look; what it returns is kept. Its own registers are left alone but rax, rcx, rdi, r11."""
        self.looks.append(look)
        return self.asm(f"mov edi, {len(self.looks) - 1}", f"mov eax, {MARK}", "syscall")

    def exit(self, status: int = 0) -> "Script":
        """End the process."""
        return self.asm(f"mov edi, {status}", "jmp leave")

    def bytes(self, name: str, *lines: str) -> "Script":
        """Something for the data section."""
        self.data += [f"{name}:", *lines]
        return self

    def source(self) -> str:
        """The whole program."""
        tail = ["leave:", "mov eax, SYS_exit_group", "syscall", ".data", ".balign 16", "status: .quad 0", *self.data]
        return "\n".join([*self.lines, *tail]) + "\n"

    # -- running --------------------------------------------------------------------------------------

    def run(self, fork: str = "odf", status: int = 0, memory: int = 64 << 20, **options: Any) -> Ran:
        """Run it with every invariant checked after every kernel entry; it must end with `status`, all gone."""
        options.setdefault("check", True)
        chosen = Options(memory=memory, fork=fork, timeout=60, **options)
        program = Program("program", "", assemble(self.source()), None)
        with System(program, (), chosen, argv0="/bin/program") as system:
            watch = Watch(system, self.looks, self.at_exit)
            system.observe(watch)
            outcome = system.run()
            assert outcome.ending == "exited", (outcome, system.kernel.deadlock)
            system.kernel.check()
            assert not system.kernel.processes
            stats = system.stats()
            assert outcome.status == status, f"status {outcome.status}, records {system.records}"
            return Ran(
                outcome.status,
                system.stdout,
                watch.faults,
                [note for note in watch.notes if note is not None],
                stats["total"],
                {p["pid"]: p for p in stats["processes"]},
                list(system.records),
                watch.forked_as,
            )


def faults_of(ledger: dict[str, Any]) -> Counter[str]:
    """The fault classes of a ledger."""
    return Counter(ledger["faults"])


def parent_waits(*, child: Script, status: int = 0) -> Script:
    """P writes pages 0-2 of three, forks, waits, and sees its own values; `child` is what C does between."""
    s = Script().map(0, 3).store(0, 1).store(1, 2).store(2, 3).fork("child").wait(status)
    s.sees(0, 1).sees(1, 2).sees(2, 3).exit().label("child")
    s.lines += child.lines[2:]
    s.data += child.data
    s.looks += child.looks
    s.at_exit = child.at_exit
    return s.exit()
