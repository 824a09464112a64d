"""A run on a time line: the Trace Event Format that Perfetto and chrome://tracing show.

A track for each process, with a row for each thread. A row is a slice for each program that ran there, from its start
to its end; the slices of system calls lie in it, waits included. Faults and signals are instants; an arrow leads from a
fork to its child (Perfetto drops arrows that do not begin and end in a slice). Times are the guest's own, in
microseconds since boot: inside the kernel they stand still.
"""

import json
from collections.abc import Callable
from typing import Any, Final

from emu.errors import EmuError
from emu.listeners import Silent
from emu.trace.event import KINDS, access_name, call_name
from emu.trace.filter import Filter
from mini_kernel.task import SigInfo, Task
from mini_kernel.uapi import signal_names
from mini_kernel.uapi.numbers import SYS_execve, SYS_execveat

Entry = dict[str, Any]
_EXECS: Final = frozenset((SYS_execve, SYS_execveat))
SHOWN: Final = ("syscall", "fault", "signal", "fork", "exit")


def checked(chosen: Filter) -> Filter:
    """A filter that a time line can follow. Raises EmuError for one that asks for other events by name."""
    others = [f"{kind}s" for kind in KINDS if kind in chosen.named() and kind not in SHOWN]
    if others:
        raise EmuError(f"--trace-filter: a time line (.json) has no {' or '.join(others)}")
    return chosen


class Timeline(Silent):
    """An observer (mini_kernel.observe.Observer) that keeps `entries`. `now_ns` is the guest's clock.

    Tracks and rows are named whatever the filter leaves of what is in them.
    """

    def __init__(self, now_ns: Callable[[], int], first: Task, chosen: Filter | None = None) -> None:
        self.entries: list[Entry] = []
        self._filter = chosen or Filter()
        self._now_ns = now_ns
        self._calls: dict[int, tuple[float, int, int]] = {}  # begin, number and tgid, by tid
        self._arrows = 0
        self._alive: dict[int, Task] = {}
        self._thread(first)

    def text(self) -> str:
        """The file. What never ended lasts until now."""
        open_calls = [
            {**_call(number, began, self._now() - began), "pid": tgid, "tid": tid}
            for tid, (began, number, tgid) in self._calls.items()
        ]
        ends = [{**self._end(), "pid": task.tgid, "tid": tid} for tid, task in self._alive.items()]
        body = ",\n".join(json.dumps(entry) for entry in (*self.entries, *open_calls, *ends))
        return f'{{"displayTimeUnit": "ns", "traceEvents": [\n{body}\n]}}\n'

    def _now(self) -> float:
        return self._now_ns() / 1000

    def _add(self, task: Task, entry: Entry) -> None:
        self.entries.append({**entry, "pid": task.tgid, "tid": task.tid})

    def _instant(self, task: Task, category: str, name: str, **values: object) -> None:
        if self._filter.wants(category, name):
            self._add(task, {"ph": "i", "s": "t", "cat": category, "name": name, "ts": self._now(), "args": values})

    def _thread(self, task: Task) -> None:
        """Names for the track and the row, and the slice of the program that runs there."""
        for what in ("process_name", "thread_name"):
            self._add(task, {"ph": "M", "name": what, "args": {"name": f"{task.name} {task.tid}"}})
        self._alive[task.tid] = task
        path = task.exe_path.decode(errors="backslashreplace")
        self._add(task, {"ph": "B", "cat": "program", "name": task.name, "ts": self._now(), "args": {"exe": path}})

    def _end(self) -> Entry:
        return {"ph": "E", "ts": self._now()}

    # -- observer -----------------------------------------------------------------------------------

    def syscall_enter(self, task: Task, number: int, arguments: tuple[int, ...]) -> None:
        """A call begins."""
        if self._filter.wants("syscall", call_name(number)):
            self._calls[task.tid] = self._now(), number, task.tgid

    def syscall_exit(self, task: Task, number: int, arguments: tuple[int, ...], result: int | None) -> None:
        """A call ends."""
        if number in _EXECS and result == 0:
            self._add(task, self._end())
            self._thread(task)
        if not self._filter.wants("syscall", call_name(number)):
            return
        began, number, _tgid = self._calls.pop(task.tid, (self._now(), number, task.tgid))
        shown = {f"a{i}": hex(value) for i, value in enumerate(arguments)}
        entry = _call(number, began, self._now() - began)
        self._add(task, {**entry, "args": {**shown, "result": result}})

    def signal(self, task: Task, info: SigInfo) -> None:
        """A signal is delivered."""
        self._instant(task, "signal", signal_names.get(info.signo, str(info.signo)), code=info.code)

    def fault(self, task: Task, address: int, error: int, fault_class: str) -> None:
        """A page fault, by its class."""
        self._instant(task, "fault", fault_class, address=hex(address), access=access_name(error))

    def forked(self, task: Task, child: Task, kind: str) -> None:
        """A new task, with an arrow to it."""
        self._arrows += 1
        arrow = {"cat": "fork", "name": kind, "id": self._arrows, "ts": self._now()}
        self._thread(child)
        if self._filter.wants("fork", kind):
            self._add(task, {"ph": "s", **arrow})
            self._add(child, {"ph": "f", "bp": "e", **arrow})

    def exited(self, task: Task, status: int) -> None:
        """A task is gone."""
        began = self._calls.pop(task.tid, None)
        if began is not None:
            self._add(task, _call(began[1], began[0], self._now() - began[0]))
        self._instant(task, "exit", "exit", status=status)
        self._add(task, self._end())
        self._alive.pop(task.tid, None)


def _call(number: int, began: float, length: float) -> Entry:
    return {"ph": "X", "cat": "syscall", "name": call_name(number), "ts": began, "dur": length}
