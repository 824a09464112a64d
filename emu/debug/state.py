"""What a task has at a stop: registers, memory, stack, code, areas. And changing it, without breaking fork's rules.

A task that does not have the CPU keeps its state in `task.cpu_state`; it is brought in to be looked at and put back.
"""

from collections.abc import Generator
from contextlib import contextmanager
from typing import NamedTuple

from emu import disasm
from emu.debug.runner import DebugError, Runner
from emu.disasm import MAX_INSTRUCTION
from emu.peek import peek
from emu.symbols import SourceLine
from mini_kernel.errors import SysError
from mini_kernel.mm.poke import poke
from mini_kernel.observe import AreaInfo
from mini_kernel.report import describe
from mini_kernel.task import State, Task
from mini_kernel.x86 import REGISTER_NAMES, RIP, RSP, U64

WORD = 8


class Registers(NamedTuple):
    """The user registers of a task; `general` in the order of x86.RAX .. x86.RIP."""

    general: tuple[int, ...]
    rflags: int
    fs_base: int
    gs_base: int
    cr3: int

    def named(self) -> dict[str, int]:
        """By name: rax .. r15, rip, rflags, fs_base, gs_base."""
        names = dict(zip(REGISTER_NAMES, self.general, strict=True))
        return {**names, "rflags": self.rflags, "fs_base": self.fs_base, "gs_base": self.gs_base}

    def changed(self, before: "Registers | None") -> frozenset[str]:
        """Names of those that are not what they were."""
        if before is None:
            return frozenset()
        old = before.named()
        return frozenset(name for name, value in self.named().items() if old[name] != value)


class StackWord(NamedTuple):
    """Eight bytes of stack. `value` is None where nothing can be read; `name` is the symbol it points into."""

    address: int
    value: int | None
    name: str | None


class CodeLine(NamedTuple):
    """One instruction, or a byte that begins none (`instruction` None)."""

    address: int
    data: bytes
    instruction: disasm.Instruction | None
    label: str | None  # a symbol that starts here
    source: SourceLine | None  # where the line begins, else None
    current: bool


class TaskInfo(NamedTuple):
    """A task in a list."""

    tid: int
    tgid: int
    parent: int
    name: str
    state: State
    current: bool
    call: tuple[int, tuple[int, ...]] | None  # what it waits in
    rip: int
    place: str | None


@contextmanager
def loaded(d: Runner, task: Task) -> Generator[None]:
    """The task's state in the CPU, whoever's was there; changes to it are kept."""
    cpu = d.machine
    if d.kernel.sched.loaded is task:
        yield
        return
    ours = cpu.save()
    cpu.load(task.cpu_state)
    try:
        yield
    finally:
        task.cpu_state = cpu.save()
        cpu.load(ours)


def task_of(d: Runner, tid: int | None) -> Task:
    """A live task, the current one if None. Raises DebugError."""
    task = d.current if tid is None else d.kernel.tasks.get(tid)
    if task is None or task.user_mm is None:
        raise DebugError("nothing is running any more" if tid is None else f"there is no task {tid}")
    return task


def registers(d: Runner, tid: int | None = None) -> Registers:
    """Raises DebugError for a task that is gone."""
    task = task_of(d, tid)
    with loaded(d, task):
        cpu = d.machine
        return Registers(tuple(cpu.regs), cpu.rflags, cpu.fs_base, cpu.gs_base, task.mm.cr3)


def vector_state(d: Runner, tid: int | None = None) -> bytes:
    """x87, SSE and MXCSR as a 512-byte FXSAVE image (SDM vol. 1 10.5.1)."""
    with loaded(d, task_of(d, tid)):
        return d.machine.fxsave()


def set_vector_state(d: Runner, image: bytes, tid: int | None = None) -> None:
    """The inverse of `vector_state`."""
    task = task_of(d, tid)
    d.intervene()
    with loaded(d, task):
        d.machine.fxrstor(image)


def set_register(d: Runner, name: str, value: int, tid: int | None = None) -> None:
    """Change one register of `Registers.named`. Raises DebugError for another name."""
    task = task_of(d, tid)
    d.intervene()
    with loaded(d, task):
        if name in REGISTER_NAMES:
            d.machine.regs[REGISTER_NAMES.index(name)] = value & U64
        elif name in ("rflags", "fs_base", "gs_base"):
            setattr(d.machine, name, value & U64)
        else:
            raise DebugError(f"there is no register {name!r}")


# -- memory ------------------------------------------------------------------------------------------


def read(d: Runner, address: int, n: int, tid: int | None = None) -> bytes:
    """Up to `n` bytes as the program would find them, short at the first page that cannot be read. Changes nothing."""
    return peek(task_of(d, tid).mm, address, n)


def read_physical(d: Runner, address: int, n: int) -> bytes:
    """Bytes of RAM. Raises DebugError behind its end."""
    if not 0 <= address <= address + n <= d.kernel.ram.size:
        raise DebugError(f"RAM ends at {d.kernel.ram.size:#x}")
    return bytes(d.kernel.ram.data[address : address + n])


def write(d: Runner, address: int, data: bytes, tid: int | None = None) -> None:
    """Store bytes whatever the rights of the area (mm/poke.py). No other process sees it, unless it is shared memory.

    Raises DebugError for the first page where that cannot be, bytes before it being written.
    """
    task = task_of(d, tid)
    d.intervene()
    try:
        poke(task.mm, address, data)
    except SysError as error:
        raise DebugError(f"{address:#x} cannot be written: {error}") from None


# -- stack and code -----------------------------------------------------------------------------------


def stack(d: Runner, words: int = 8, tid: int | None = None, start: int | None = None) -> list[StackWord]:
    """The top of the stack, RSP (or `start`) first."""
    task = task_of(d, tid)
    start = registers(d, tid).general[RSP] if start is None else start
    data = read(d, start, words * WORD, tid)
    names = d.symbols(task)
    found: list[StackWord] = []
    for i in range(words):
        piece = data[i * WORD : (i + 1) * WORD]
        value = int.from_bytes(piece, "little") if len(piece) == WORD else None
        found.append(StackWord(start + i * WORD & U64, value, names.name(value) if value else None))
    return found


def code(
    d: Runner, address: int | None = None, count: int = 8, tid: int | None = None, rip: int | None = None
) -> list[CodeLine]:
    """Instructions from an address on (RIP if None). A byte that begins no instruction is a line of its own.

    `rip`: the current one, if that is not RIP but one in an outer frame.
    """
    task = task_of(d, tid)
    rip = registers(d, tid).general[RIP] if rip is None else rip
    at = rip if address is None else address
    data = read(d, at, count * MAX_INSTRUCTION, tid)
    names = d.symbols(task)
    lines: list[CodeLine] = []
    while len(lines) < count and data:
        instruction = disasm.one(data, at)
        size = instruction.size if instruction else 1
        name = names.name(at)
        extent = names.extent(at)
        source = names.line(at) if extent and extent[0] == at else None
        label = name if name and "+0x" not in name else None
        lines.append(CodeLine(at, data[:size], instruction, label, source, at == rip))
        at, data = at + size, data[size:]
    return lines


def code_around(
    d: Runner, before: int = 4, after: int = 8, tid: int | None = None, rip: int | None = None
) -> list[CodeLine]:
    """Instructions before and after RIP. Those before are found by decoding from ever farther back until it fits."""
    rip = registers(d, tid).general[RIP] if rip is None else rip
    area = task_of(d, tid).mm.find(rip)
    for back in range(min(before * MAX_INSTRUCTION, rip - area.start if area is not None else 0), 0, -1):
        lines = [line for line in code(d, rip - back, back, tid, rip) if line.address < rip]
        if lines and lines[-1].address + len(lines[-1].data) == rip and all(line.instruction for line in lines):
            return lines[-before:] + code(d, rip, after, tid, rip)
    return code(d, rip, after, tid, rip)


# -- lists -------------------------------------------------------------------------------------------


def areas(d: Runner, tid: int | None = None) -> list[AreaInfo]:
    """The VMAs of a task, in order."""
    return [info for vma in task_of(d, tid).mm.vmas if (info := describe(vma)) is not None]


def tasks(d: Runner) -> list[TaskInfo]:
    """Every live task, by tid."""
    found: list[TaskInfo] = []
    for tid in sorted(d.kernel.tasks):
        task = d.kernel.tasks[tid]
        if not task.alive or task.user_mm is None:
            continue
        rip = registers(d, tid).general[RIP]
        parent = task.process.parent.tgid if task.process.parent else 0
        call = task.call if task.state is State.WAITING else None
        place = d.symbols(task).place(rip)
        found.append(TaskInfo(tid, task.tgid, parent, task.name, task.state, task is d.current, call, rip, place))
    return found
