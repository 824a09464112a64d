"""What every task is doing: one line each, for when a run was stopped or nobody can go on."""

from collections.abc import Iterator

from emu.boot import System
from emu.render.strace import signatures
from emu.render.strace.call import Call
from mini_kernel.task import State, Task
from mini_kernel.x86 import RIP


def task_lines(system: System) -> Iterator[str]:
    """The tasks in the order of their ids: `process 1 (hello.asm) waits in read(0, 0x402000, 10)`."""
    for tid in sorted(system.kernel.tasks):
        task = system.task(tid)
        if task.alive:
            yield f"{_who(task)} {_doing(system, task)}"


def _who(task: Task) -> str:
    name = f"({task.name})" if task.name else ""
    return f"process {task.tgid} {name}" if task.tid == task.tgid else f"thread {task.tid} of {task.tgid} {name}"


def _doing(system: System, task: Task) -> str:
    if task.state is State.STOPPED:
        return "is stopped by a signal"
    if task.state is State.WAITING and task.call is not None:
        return f"waits in {signatures.whole(Call(task, *task.call))}"
    if system.kernel.sched.loaded is not task:
        return "can run"
    rip = system.kernel.cpu.regs[RIP]
    place = system.symbols.of(task).place(rip)
    return f"is at {rip:#x}" + (f", {place}" if place else "")
