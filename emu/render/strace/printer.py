"""The Observer that prints: one line per system call, cut in two when another process's line comes between.

A line is held until the call returns, so that what the guest writes meanwhile does not end up in the middle of it; when
the call has to wait, what is known so far is shown.
"""

from collections.abc import Callable
from typing import Final

from emu.render.strace import signatures
from emu.render.strace.call import Call, quote
from emu.render.strace.selection import Selection
from emu.render.strace.structs import signal_info
from mini_kernel.signal import default_action
from mini_kernel.task import SigInfo, Task
from mini_kernel.uapi import signal_names
from mini_kernel.uapi.errno import EINTR
from mini_kernel.uapi.signal import SIG_DFL
from mini_kernel.x86 import U64

_COLUMN: Final = 40  # where the results stand, strace's -a
_SYSCALL_LENGTH: Final = 2  # bytes of the instruction, which is behind the program when the kernel runs


class Strace:
    """An observer (mini_kernel.observe.Observer) that writes strace lines through `write`.

    With `where`, a row ` > loop+0x4 at prog.asm:12` follows each call that has ended and each signal: where the program
    called, or was. It is given a task and how many bytes before its instruction pointer the place is ("": unknown).

    Invariant: `_line` is the unfinished last line, begun by task `_owner`; its first `_shown` characters are written.
    """

    def __init__(
        self,
        write: Callable[[str], object],
        selection: Selection | None = None,
        where: Callable[[Task, int], str] | None = None,
    ) -> None:
        self._write = write
        self._selection = selection or Selection()
        self._where = where
        self._callers: dict[int, str] = {}  # where the unfinished calls come from, by tid
        self._tasks: set[int] = set()
        self._calls: dict[int, Call] = {}  # begun and not yet ended, by tid
        self._cut_short: set[int] = set()  # tids whose call was ended by a signal's line
        self._line = ""
        self._owner = 0
        self._shown = 0

    # -- lines --------------------------------------------------------------------------------------

    def _begin(self, task: Task, text: str) -> None:
        """Start a line; one that another call left open is marked as unfinished."""
        self._interrupt()
        self._tasks.add(task.tid)
        self._owner = task.tid
        self._line = (f"[pid {task.tid}] " if len(self._tasks) > 1 else "") + text

    def _interrupt(self) -> None:
        if self._line:
            self._end(" <unfinished ...>")

    def _end(self, text: str) -> None:
        """Complete the line that is open."""
        self._write(self._line[self._shown :] + text + "\n")
        self._line, self._shown = "", 0

    def _show(self) -> None:
        """Write what there is of an open line."""
        self._write(self._line[self._shown :])
        self._shown = len(self._line)

    def _message(self, task: Task, text: str) -> None:
        self._begin(task, text)
        self._end("")

    def _place(self, place: str) -> None:
        if place:
            self._write(f" > {place}\n")

    def close(self) -> None:
        """The run is over: end a line that is still open."""
        self._interrupt()

    # -- system calls -------------------------------------------------------------------------------

    def started(self, task: Task, path: bytes, argv: list[bytes], variables: int) -> None:
        """The first program was loaded, which no system call of the guest did."""
        self._tasks.add(task.tid)
        if "execve" in self._selection:
            arguments = ", ".join(quote(argument) for argument in argv)
            text = f"execve({quote(path, None)}, [{arguments}], /* {variables} vars */)"
            self._message(task, _with_result(text, "0"))

    def syscall_enter(self, task: Task, number: int, arguments: tuple[int, ...]) -> None:
        """Start a line with the arguments that are known now."""
        call = Call(task, number, arguments)
        self._cut_short.discard(task.tid)
        if call.name not in self._selection:
            return
        self._calls[task.tid] = call
        if self._where is not None:
            self._callers[task.tid] = self._where(task, _SYSCALL_LENGTH)
        kind = signatures.signature(call.name, len(arguments))
        text = ", ".join(signatures.render(call, kind.early))
        self._begin(task, f"{call.name}({text}{', ' if text and kind.late else ''}")

    def syscall_wait(self, task: Task, number: int) -> None:
        """Show how far it got."""
        if self._line and self._owner == task.tid:
            self._show()

    def syscall_exit(self, task: Task, number: int, arguments: tuple[int, ...], result: int | None) -> None:
        """End the line, or go on with it where another came between."""
        call = self._calls.pop(task.tid, None)
        if call is None:
            if task.tid in self._cut_short and result == -EINTR:
                self._cut_short.discard(task.tid)  # said already
                return
            call = Call(task, number, arguments)
            if call.name not in self._selection:
                return
            self.syscall_enter(task, number, arguments)
            del self._calls[task.tid]
        call.result = None if result is None else _signed(result)
        self._finish(call, signatures.outcome(call))

    def _finish(self, call: Call, outcome: str) -> None:
        """Print the arguments that are known only now, and the result."""
        kind = signatures.signature(call.name, len(call.arguments))
        late = signatures.render(call, kind.late)
        if not self._line or self._owner != call.task.tid:
            self._begin(call.task, f"<... {call.name} resumed>")
        elif not late:
            self._line = self._without_comma()
        text = self._line + ", ".join(late) + ")"
        self._line = text
        self._end(_with_result(text, outcome)[len(text) :])
        self._place(self._callers.pop(call.task.tid, ""))

    def _without_comma(self) -> str:
        """The open line for a call whose late arguments are all left out."""
        return self._line if self._shown else self._line.removesuffix(", ")

    # -- other events -------------------------------------------------------------------------------

    def signal(self, task: Task, info: SigInfo) -> None:
        """A signal's line; a call that it interrupts ends first."""
        call = self._calls.pop(task.tid, None)
        if call is not None:
            self._finish(call, signatures.interruption(call))
            self._cut_short.add(task.tid)
        name = signal_names.get(info.signo, str(info.signo))
        details = signal_info(info.signo, info.code, info.pid, info.uid, info.address, info.value, info.value)
        self._message(task, f"--- {name} {details} ---")
        if self._where is not None:
            self._place(self._where(task, 0))
        if task.process.action(info.signo).handler == SIG_DFL and default_action(info.signo) == "stop":
            self._message(task, f"--- stopped by {name} ---")

    def fault(self, task: Task, address: int, error: int, fault_class: str) -> None:
        """Not strace's business."""

    def forked(self, task: Task, child: Task, kind: str) -> None:
        """From now on lines say whose they are."""
        self._tasks.update((task.tid, child.tid))

    def exited(self, task: Task, status: int) -> None:
        """The last line of a task."""
        call = self._calls.pop(task.tid, None)
        if call is not None:
            self._finish(call, "?")
        self._cut_short.discard(task.tid)
        signo = status & 0x7F
        if signo:
            core = " (core dumped)" if status & 0x80 else ""
            self._message(task, f"+++ killed by {signal_names.get(signo, str(signo))}{core} +++")
        else:
            self._message(task, f"+++ exited with {status >> 8 & 0xFF} +++")
        self._tasks.discard(task.tid)


def _with_result(text: str, outcome: str) -> str:
    """The result in its column, or behind one space where the text is too long."""
    return f"{text + ' ':<{_COLUMN}}= {outcome}"


def _signed(value: int) -> int:
    """RAX as a signed number."""
    value &= U64
    return value - (1 << 64) if value >> 63 else value
