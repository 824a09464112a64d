"""What the debugger's values (emu.debug) look like as text: lines without colour, each function a list of lines.

stops.py     why the system stands still; one event of the log
state.py     registers, stack, code, areas, tasks
paging.py    walks, trees, differences, who maps a frame, who shares what
steps.py     a trace, an instruction a line
why.py       everything about one address
"""

from emu.render.debug.paging import difference_lines, frame_lines, sharing_lines, tree_lines, walk_lines
from emu.render.debug.state import (
    FOUND,
    area_lines,
    backtrace_lines,
    code_lines,
    memory_lines,
    point_lines,
    register_lines,
    stack_lines,
    task_lines,
)
from emu.render.debug.steps import step_lines
from emu.render.debug.stops import event_line, passed_line, stop_lines
from emu.render.debug.why import why_lines

__all__ = [
    "FOUND",
    "area_lines",
    "backtrace_lines",
    "code_lines",
    "difference_lines",
    "event_line",
    "frame_lines",
    "memory_lines",
    "passed_line",
    "point_lines",
    "register_lines",
    "sharing_lines",
    "stack_lines",
    "step_lines",
    "stop_lines",
    "task_lines",
    "tree_lines",
    "walk_lines",
    "why_lines",
]
