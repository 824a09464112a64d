"""Traces as text: one line an event, stable columns, so that two of them can be compared with diff."""

from collections.abc import Iterable
from typing import cast

from emu.boot import System
from emu.render.strace import signatures
from emu.render.strace.call import Call
from emu.trace import Event, Filter, Names, Recorder
from emu.trace.recorder import Wording
from mini_kernel.task import Task


def lines(events: Iterable[Event]) -> list[str]:
    """`p1 syscall mmap(NULL, 4096, ...) = map0 < main+0x12`."""
    return [line(event) for event in events]


def line(event: Event) -> str:
    """One event."""
    if event.kind == "syscall":
        body = f"{event.name}({event.text}) = {event.result}"
    else:
        body = f"{event.name} {event.text}".rstrip()
    place = f"  < {event.place}" if event.place else ""
    return f"{event.who} {event.kind:<7} {body}{place}"


def recorder(system: System, chosen: Filter | str = "") -> Recorder:
    """A recorder that listens to a system from now on. `insns` needs one with Options.traced."""
    chosen = Filter(chosen) if isinstance(chosen, str) else chosen
    names = Names(system.symbols.at(system.exe_path), system.exe_path)
    made = Recorder(names, chosen, Wording(_begin, _end), lambda: system.kernel.cpu.regs)
    system.observe(made)
    if chosen.functions() and system.options.traced:
        system.observe_blocks(lambda address, size: made.block(system.kernel.sched.current, address, size))
    if chosen.kinds() & {"table", "frame"}:
        system.kernel.frames.listener = made
    return made


def _begin(task: Task, number: int, arguments: tuple[int, ...]) -> tuple[object, str]:
    call = Call(task, number, arguments)
    early = signatures.render(call, signatures.signature(call.name, len(arguments)).early)
    return call, ", ".join(early)


def _end(begun: object, result: int | None) -> tuple[str, str]:
    call = cast(Call, begun)
    call.result = result
    late = signatures.render(call, signatures.signature(call.name, len(call.arguments)).late)
    return ", ".join(late), signatures.outcome(call).partition(" (")[0]
