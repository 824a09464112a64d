"""Registers of a task by gdb's numbers (description.py), read and written through the debugger."""

from typing import Final

from emu.debug import state
from emu.debug.debugger import Debugger
from emu.debug.events import SyscallReturned
from emu.debug.stops import BeforeCall, Caught
from emu.gdb import description
from mini_kernel.task import Task

U64: Final = (1 << 64) - 1


def values_of(d: Debugger, task: Task) -> list[bytes]:
    """The bytes of all registers of a task, by gdb's numbers."""
    general = state.registers(d, task.tid)
    return description.values(general, state.vector_state(d, task.tid), _call_of(d, task))


def _call_of(d: Debugger, task: Task) -> int:
    """orig_rax: the system call that the task is in, or stands before or behind; else -1."""
    if task.call is not None:
        return task.call[0]
    for stop in d.stops:
        if isinstance(stop, BeforeCall) and stop.tid == task.tid:
            return stop.number
        if isinstance(stop, Caught) and isinstance(stop.event, SyscallReturned) and stop.event.tid == task.tid:
            return stop.event.number
    return U64


def assign(d: Debugger, task: Task, number: int, data: bytes) -> bool:
    """Change one; True also for those that cannot differ. Raises DebugError."""
    if len(data) != description.REGISTERS[number].size:
        return False
    name = description.general_name(number)
    if name is not None:
        state.set_register(d, name, int.from_bytes(data, "little"), task.tid)
        return True
    image = description.patched_image(state.vector_state(d, task.tid), number, data)
    if image is not None:
        state.set_vector_state(d, image, task.tid)
    return True
