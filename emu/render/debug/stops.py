"""Stops and events in words."""

from functools import singledispatch

from emu.debug import events as ev
from emu.debug import stops as st
from emu.debug.events import Event
from emu.debug.points import Point
from emu.debug.stops import Stop
from emu.render import bits
from emu.render.debug.paging import changed_entries
from emu.symbols import Symbols
from mini_kernel.task import SigInfo
from mini_kernel.uapi import errno_names, syscall_names
from mini_kernel.x86 import VEC_PF


def stop_lines(stop: Stop, symbols: Symbols | None = None) -> list[str]:
    """Why the system stands still, in one line or more."""
    return _lines(stop, symbols or Symbols())


def place(address: int, symbols: Symbols) -> str:
    """`0x401000 <main+0x4> at prog.c:12`, as much as is known."""
    name, line = symbols.name(address), symbols.line(address)
    return f"{address:#x}" + (f" <{name}>" if name else "") + (f" at {line.file}:{line.line}" if line else "")


def call_text(number: int, arguments: tuple[int, ...]) -> str:
    """A system call by name."""
    return f"{syscall_names.get(number, f'syscall_{number}')}({', '.join(f'{a:#x}' for a in arguments)})"


def result_text(result: int | None) -> str:
    """What a call returned."""
    if result is None:
        return "does not return"
    name = errno_names.get(-result) if -4096 < result < 0 else None
    return f"= -1 {name}" if name else f"= {result:#x}" if abs(result) > 4096 else f"= {result}"


def status_text(status: int) -> str:
    """A wait status."""
    signo = status & 0x7F
    return f"killed by {bits.signal_name(signo)}" if signo else f"exit status {status >> 8 & 0xFF}"


def signal_text(info: SigInfo) -> str:
    """`SIGUSR1 (SI_USER)`, `SIGSEGV (SEGV_MAPERR) at 0x28`."""
    where = f" at {info.address:#x}" if info.address else ""
    return f"{bits.signal_name(info.signo)} ({bits.code_name(info.signo, info.code)}){where}"


def point_name(point: Point | None) -> str:
    """`breakpoint 1`, `watchpoint 2`; nothing for a step."""
    if point is None:
        return ""
    name = type(point).__name__
    return f"{'watchpoint' if name.endswith('Watch') else name.lower()} {point.number}"


def _who(stop: Stop) -> str:
    return f"process {stop.tgid}" if stop.tid == stop.tgid else f"thread {stop.tid} of process {stop.tgid}"


def _at(stop: Stop, symbols: Symbols) -> str:
    return f"{_who(stop)} is at {place(stop.rip, symbols)}" if stop.tid else "nothing runs any more"


@singledispatch
def _lines(stop: Stop, symbols: Symbols) -> list[str]:
    return [_at(stop, symbols)]


@_lines.register
def _(stop: st.AtBreakpoint, symbols: Symbols) -> list[str]:
    return [f"{point_name(stop.point)}: {_at(stop, symbols)}"]


@_lines.register
def _(stop: st.Watched, symbols: Symbols) -> list[str]:
    space = "physical " if stop.point.physical else ""
    verb = "was read" if stop.access == "read" else "was written"
    who = f"by the kernel for task {stop.by}" if stop.kernel else f"by task {stop.by}"
    head = f"{point_name(stop.point)}: {space}{stop.point.address:#x} {verb} {who}, at {place(stop.where, symbols)}"
    if stop.access == "read":
        return [head, f"  value {_value(stop.new)}", _at(stop, symbols)]
    return [head, f"  old {_value(stop.old)}", f"  new {_value(stop.new)}", _at(stop, symbols)]


def _value(data: bytes) -> str:
    if len(data) in (1, 2, 4, 8):
        return f"{int.from_bytes(data, 'little'):#x}"
    return data[:32].hex(" ") + (" ..." if len(data) > 32 else "") if data else "nothing there"


@_lines.register
def _(stop: st.EntryChanged, symbols: Symbols) -> list[str]:
    who = "the kernel" if stop.kernel else "the CPU"
    head = f"{point_name(stop.point)}: {who} changed the translation of {stop.point.address:#x}"
    return [head, *(f"  {line}" for line in changed_entries(stop.old, stop.new)), _at(stop, symbols)]


@_lines.register
def _(stop: st.FrameChanged, symbols: Symbols) -> list[str]:
    head = f"{point_name(stop.point)}: frame {stop.point.pfn:#x} had {stop.old} references, and has {stop.new}"
    return [head, _at(stop, symbols)]


@_lines.register
def _(stop: st.Caught, symbols: Symbols) -> list[str]:
    name = point_name(stop.point)
    return [(f"{name}: " if name else "") + event_line(stop.event), _at(stop, symbols)]


@_lines.register
def _(stop: st.BeforeCall, symbols: Symbols) -> list[str]:
    name = point_name(stop.point)
    head = (f"{name}: " if name else "") + f"about to call {call_text(stop.number, stop.arguments)}"
    return [head, _at(stop, symbols)]


@_lines.register
def _(stop: st.BeforeFault, symbols: Symbols) -> list[str]:
    name = point_name(stop.point)
    if stop.vector == VEC_PF:
        head = f"page fault at {stop.address:#x}: error code {stop.error:#x}, {bits.page_fault_words(stop.error)}"
    else:
        head = bits.vector_name(stop.vector)
    rows = [(f"{name}: " if name else "") + head, _at(stop, symbols)]
    if stop.verdict is not None:
        rows.insert(1, f"  the kernel will {bits.verdict_words(stop.verdict)}")
    return rows


@_lines.register
def _(stop: st.BeforeSignal, symbols: Symbols) -> list[str]:
    name = point_name(stop.point)
    return [(f"{name}: " if name else "") + f"about to get {signal_text(stop.info)}", _at(stop, symbols)]


def passed_line(stop: st.BeforeSignal, delivered: bool) -> str:
    """A signal that was not stopped for."""
    return f"{_who(stop)} {'gets' if delivered else 'does not get'} {signal_text(stop.info)}"


@_lines.register
def _(stop: st.TaskGone, symbols: Symbols) -> list[str]:
    return [f"task {stop.gone} is gone: {status_text(stop.status)}", _at(stop, symbols)]


@_lines.register
def _(stop: st.Ended, symbols: Symbols) -> list[str]:
    del symbols
    if stop.ending == "deadlock":
        return ["deadlock: every process waits for something that cannot happen"]
    return ["the program has ended" + (f": {status_text(stop.status)}" if stop.status is not None else "")]


@_lines.register
def _(stop: st.LimitReached, symbols: Symbols) -> list[str]:
    return [f"{stop.time.instructions} instructions have been begun", _at(stop, symbols)]


@_lines.register
def _(stop: st.AtBeginning, symbols: Symbols) -> list[str]:
    return ["this is the earliest moment that is known", _at(stop, symbols)]


@_lines.register
def _(stop: st.RecordingOver, symbols: Symbols) -> list[str]:
    return ["the recording ends here", _at(stop, symbols)]


@_lines.register
def _(stop: st.Interrupted, symbols: Symbols) -> list[str]:
    return ["interrupted", _at(stop, symbols)]


# -- events ------------------------------------------------------------------------------------------


def event_line(event: Event) -> str:
    """`[12:3] process 1: page fault at 0x405000 (cow_copy)`: instructions and entries so far, who, what."""
    who = f"process {event.tgid}" if event.tid == event.tgid else f"thread {event.tid}"
    return f"[{event.time.instructions}:{event.time.entries}] {who}: {_text(event)}"


@singledispatch
def _text(event: Event) -> str:
    return type(event).__name__


@_text.register
def _(event: ev.SyscallEntered) -> str:
    return f"calls {call_text(event.number, event.arguments)}"


@_text.register
def _(event: ev.SyscallWaits) -> str:
    return f"waits in {syscall_names.get(event.number, event.number)}"


@_text.register
def _(event: ev.SyscallReturned) -> str:
    return f"{call_text(event.number, event.arguments)} {result_text(event.result)}"


@_text.register
def _(event: ev.SignalDelivered) -> str:
    return f"gets {signal_text(event.info)}"


@_text.register
def _(event: ev.Faulted) -> str:
    changes = changed_entries(event.before, event.after)
    how = f"; {'; '.join(changes)}" if changes else ""
    return f"page fault at {event.address:#x}, error code {event.error:#x}: {event.fault_class}{how}"


@_text.register
def _(event: ev.Forked) -> str:
    kind = "thread" if event.child_tgid == event.tgid else "process"
    return f"makes {kind} {event.child} ({event.kind})"


@_text.register
def _(event: ev.Executed) -> str:
    return f"runs {event.path.decode('utf-8', 'replace')}"


@_text.register
def _(event: ev.Exited) -> str:
    return f"{'exits' if event.last else 'ends a thread'}: {status_text(event.status)}"


@_text.register
def _(event: ev.TableBroken) -> str:
    return f"table {event.old:#x} is shared: gets a copy, table {event.new:#x}"


@_text.register
def _(event: ev.TableReused) -> str:
    return f"table {event.table:#x} is nobody else's any more: takes it back as it is"


@_text.register
def _(event: ev.TablesShared) -> str:
    return f"shares {event.tables} table{'' if event.tables == 1 else 's'} with its child"


@_text.register
def _(event: ev.FrameCopied) -> str:
    return f"the page at {event.address:#x} is copied: frame {event.source:#x} -> {event.new:#x}"


@_text.register
def _(event: ev.Flushed) -> str:
    return "the TLB and all translated code are flushed" if event.code else "the TLB is flushed"


@_text.register
def _(event: ev.Switched) -> str:
    return f"task {event.to} has the CPU now" if event.to else "nobody can run"
