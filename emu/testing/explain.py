"""Why a run is not as expected: what is different, and where that comes from.

Runs are repeatable, so the events behind a difference are recorded in a second run, after the first has failed.
"""

import difflib
from collections.abc import Iterator, Sequence
from typing import Final

from emu.render.fault import fault_report
from emu.render.trace import line as trace_line
from emu.render.trace import recorder
from emu.symbols import Symbols
from emu.testing.evidence import Evidence, boot_variant
from emu.testing.expect import Expectation
from emu.testing.variants import Variant
from emu.trace import Event, Filter
from mini_kernel.uapi import signal_names

_MOST: Final = 12  # events shown of a kind
_LAST: Final = 8  # events shown of the end
_OUTPUT: Final = ("write", "writev", "pwrite64", "sendto", "sendfile")


def explain(variant: Variant, evidence: Evidence, failed: Sequence[Expectation]) -> list[str]:
    """Lines for the failure's report: each expectation with what was found, then the fault report and the end."""
    events = _events(variant)
    places = _Places(variant)
    lines: list[str] = []
    for expectation in failed:
        lines += [f"{expectation.where}: EXPECT {expectation.text}"]
        lines += [f"    {text}" for text in _difference(expectation, evidence, events, places)]
    lines += list(_end(evidence))
    if evidence.preemptions:
        lines += ["the CPU was taken from", *_shortened([f"    {places.of(*who)}" for who in evidence.preemptions])]
    telling = [event for event in events if event.place or event.kind != "fault"]
    lines += ["the last events were", *(f"    {places(event)}" for event in telling[-_LAST:])]
    for name, data in (("stdout", evidence.stdout), ("stderr", evidence.stderr)):
        if data:
            lines += [f"{name} was", *(f"    {row}" for row in data.decode(errors="replace").splitlines()[-20:])]
    lines += _faults(evidence)
    return lines


class _Places:
    """The text of an event, with its source line where that is known."""

    def __init__(self, variant: Variant) -> None:
        self._symbols = Symbols.of(variant.program)

    def __call__(self, event: Event) -> str:
        row = self._symbols.line(event.at) if event.at else None
        text = f" at {row.file}:{row.line}" + (f": {row.text}" if row.text else "") if row else ""
        return trace_line(event) + text

    def of(self, tid: int, rip: int) -> str:
        """A task that was there."""
        return f"task {tid} at {self._symbols.place(rip) or hex(rip)}"


def _events(variant: Variant, chosen: str = "") -> list[Event]:
    wanted = Filter(chosen)
    with boot_variant(variant, traced=bool(wanted.functions())) as system:
        made = recorder(system, wanted)
        system.run()
        made.close()
        return made.events


def trace_lines(variant: Variant, chosen: str) -> list[str]:
    """The trace of a run, as text."""
    return [trace_line(event) for event in _events(variant, chosen)]


def _difference(e: Expectation, evidence: Evidence, events: Sequence[Event], places: _Places) -> Iterator[str]:
    found = e.found(evidence)
    if isinstance(e.value, bytes) and isinstance(found, bytes) and e.operator == "==":
        yield from _text_difference(e.value, found)
    elif e.subject == "exit" and found is None:
        yield f"it did not exit: {_ended(evidence)}"
    elif e.subject == "signal" and found is None:
        yield f"no signal killed it: {_ended(evidence)}"
    else:
        yield f"is {e.shown(found)}"
    group, _, name = e.subject.partition(".")
    behind: list[Event] = []
    if e.subject in ("stdout", "stderr"):
        behind = [event for event in events if event.kind == "syscall" and event.name in _OUTPUT]
    elif group in ("faults", "syscalls", "signals", "forks"):
        kind = group.removesuffix("s")
        behind = [event for event in events if event.kind == kind and event.name == name]
    yield from _shortened([f"    {places(event)}" for event in behind])
    if e.subject in ("leaks", "mappings"):
        for area in evidence.leaks if e.subject == "leaks" else evidence.mappings:
            made = f", mapped by {area.made_by}" if area.made_by else ""
            yield f"    {area.end - area.start} bytes at {area.start:#x} {area.name}{made}"


def _text_difference(expected: bytes, found: bytes) -> Iterator[str]:
    wanted, had = (data.decode(errors="backslashreplace").splitlines(keepends=True) for data in (expected, found))
    yield "is different (- expected, + found):"
    yield from (f"    {row[:1]} {row[2:]!r}" for row in difflib.ndiff(wanted, had) if not row.startswith("?"))


def _ended(evidence: Evidence) -> str:
    if evidence.signal is not None:
        code = f", si_code {evidence.si_code}" if evidence.si_code is not None else ""
        return f"killed by {signal_names.get(evidence.signal, evidence.signal)}{code}"
    return f"exit status {evidence.exit}" if evidence.exit is not None else evidence.ending


def _end(evidence: Evidence) -> Iterator[str]:
    yield f"it ended with {_ended(evidence)}" + (f", {evidence.ended_at}" if evidence.ended_at else "")


def _shortened(lines: list[str]) -> list[str]:
    if len(lines) <= _MOST:
        return lines
    return [*lines[: _MOST // 2], f"    ... {len(lines) - _MOST} more ...", *lines[-_MOST // 2 :]]


def _faults(evidence: Evidence) -> list[str]:
    lines: list[str] = []
    for record in evidence.records:
        lines += fault_report(record, evidence.symbols and evidence.symbols.at(record.exe_path)).splitlines()
    return lines
