"""What the panes of the full-screen view show: each a list of lines, made anew after every command."""

from emu.debug import Debugger, paging, state
from emu.debug.points import Breakpoint
from emu.prompt.shell import Shell
from emu.render import debug as text
from mini_kernel.x86 import RSP

_EVENTS = 40
NAMES = ("code", "registers", "tables", "processes", "stack", "events")


def panes(s: Shell) -> dict[str, list[str]]:
    """By NAMES. Where nothing runs any more, events are all that is left."""
    found = {name: ["nothing runs"] for name in NAMES} | {"events": _events(s.d)}
    task = s.d.kernel.tasks.get(s.selected or 0) or s.d.current
    if task is None or task.user_mm is None:
        return found
    tid = task.tid
    points = [p.address for p in s.d.points.active(Breakpoint)]
    before = s.before[1] if s.before is not None and s.before[0] == tid else None
    frame = s.frame() if s.frame_number else None
    rip, start = (frame.rip, frame.registers[RSP]) if frame is not None else (None, None)
    known = frame.registers if frame is not None else None
    return found | {
        "code": text.code_lines(state.code_around(s.d, 6, 20, tid, rip), points),
        "registers": text.register_lines(state.registers(s.d, tid), before, s.d.symbols(task), known),
        "tables": text.tree_lines(paging.picture(task.user_mm)),
        "processes": text.task_lines(state.tasks(s.d)),
        "stack": text.stack_lines(state.stack(s.d, 12, tid, start)),
    }


def _events(d: Debugger) -> list[str]:
    """The latest at the bottom."""
    rows: list[str] = []
    for event in d.log.before(d.now):
        if len(rows) == _EVENTS:
            break
        rows.append(text.event_line(event))
    return rows[::-1] or ["nothing has happened"]
