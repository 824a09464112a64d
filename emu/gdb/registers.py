"""Registers of a task by gdb's numbers (description.py), read and written through the debugger."""

from typing import Any, Final, NamedTuple

from emu.debug import state
from emu.debug.debugger import Debugger
from emu.debug.events import SyscallReturned
from emu.debug.stops import BeforeCall, Caught
from emu.gdb import description
from mini_kernel.task import Interrupted, Task
from mini_kernel.trap import ENDED_BY_STOP
from mini_kernel.uapi.errno import EINTR
from mini_kernel.uapi.numbers import (
    SYS_clock_nanosleep,
    SYS_futex,
    SYS_io_pgetevents,
    SYS_msgrcv,
    SYS_msgsnd,
    SYS_nanosleep,
    SYS_pause,
    SYS_poll,
    SYS_ppoll,
    SYS_pselect6,
    SYS_rt_sigsuspend,
    SYS_select,
)

U64: Final = (1 << 64) - 1
_ORIG_RAX: Final = description.NUMBERS["orig_rax"]
_RAX: Final = description.NUMBERS["rax"]
ERESTARTSYS, ERESTARTNOHAND, ERESTART_RESTARTBLOCK = 512, 514, 516  # Linux include/linux/errno.h
#: Calls by what they leave in RAX when a signal comes (Linux: the return statements of each).
_RESTARTED_WITHOUT_HANDLER: Final = frozenset((
    SYS_pause, SYS_rt_sigsuspend, SYS_select, SYS_pselect6, SYS_ppoll, SYS_msgsnd, SYS_msgrcv, SYS_io_pgetevents,
))  # fmt: skip
_GO_ON: Final = frozenset((SYS_nanosleep, SYS_clock_nanosleep, SYS_poll, SYS_futex))


def values_of(d: Debugger, task: Task) -> list[bytes]:
    """The bytes of all registers of a task, by gdb's numbers."""
    general = state.registers(d, task.tid)
    values = description.values(general, state.vector_state(d, task.tid), _call_of(d, task))
    if task.interrupted is not None:
        values[_RAX] = _cut_short(task, task.interrupted).to_bytes(8, "little", signed=True)
    return values


def _cut_short(task: Task, call: Interrupted) -> int:
    """What Linux has in RAX of a call that a signal interrupts, before it is known what becomes of the call."""
    if done := task.restart.get("done", 0):
        return done
    if call.number in ENDED_BY_STOP:
        return -EINTR
    if call.number in _RESTARTED_WITHOUT_HANDLER:
        return -ERESTARTNOHAND
    if call.restartable:
        return -ERESTARTSYS
    return -ERESTART_RESTARTBLOCK if call.number in _GO_ON else -EINTR


def _call_of(d: Debugger, task: Task) -> int:
    """orig_rax: the system call that the task is in, or stands before or behind; else -1."""
    if task.call is not None:
        return task.call[0]
    if task.interrupted is not None:
        return task.interrupted.number
    for stop in d.stops:
        if isinstance(stop, BeforeCall) and stop.tid == task.tid:
            return stop.number
        if isinstance(stop, Caught) and isinstance(stop.event, SyscallReturned) and stop.event.tid == task.tid:
            return stop.event.number
    for event in d.log.before(d.now):
        if event.time.instructions < d.now.instructions:
            break
        if isinstance(event, SyscallReturned) and event.tid == task.tid:
            return event.number
    return U64


class Aside(NamedTuple):
    """A system call that a task was in when gdb took it elsewhere, to call a function: to go on with afterwards."""

    call: Interrupted
    restart: dict[str, Any]


def assign(d: Debugger, task: Task, number: int, data: bytes, aside: dict[int, Aside]) -> bool:
    """Change one; True also for those that cannot differ. Raises DebugError. `aside` is by tid."""
    if len(data) != description.REGISTERS[number].size:
        return False
    if number == _ORIG_RAX:
        _take_elsewhere(d, task, int.from_bytes(data, "little", signed=True), aside)
        return True
    name = description.general_name(number)
    if name is not None:
        state.set_register(d, name, int.from_bytes(data, "little"), task.tid)
        return True
    image = description.patched_image(state.vector_state(d, task.tid), number, data)
    if image is not None:
        state.set_vector_state(d, image, task.tid)
    return True


def _take_elsewhere(d: Debugger, task: Task, number: int, aside: dict[int, Aside]) -> None:
    """orig_rax -1: the task is in no system call any more; the call's number: it is in the same one again."""
    call = task.interrupted
    if call is None and task.call is not None:
        call = Interrupted(*task.call, restartable=True)
    if number < 0 and call is not None:
        d.intervene()
        aside[task.tid] = Aside(call, dict(task.restart))
        task.call = task.interrupted = None
        task.restart.clear()
        task.wake()
    elif number >= 0 and task.tid in aside and aside[task.tid].call.number == number:
        d.intervene()
        task.interrupted, restart = aside.pop(task.tid)
        task.restart.update(restart)
        task.attention = True
