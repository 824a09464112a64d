"""Traces: what happened in a run, as values that do not depend on where anything was. README.md has it on one page.

event.py      an event
filter.py     which events are recorded: the language of `emu run --trace-filter` and of golden traces
names.py      addresses, frames and tasks by names that stay when the layout changes
recorder.py   the observer that records; what system calls look like is given by emu.render.trace
"""

from emu.trace.event import KINDS, Event
from emu.trace.filter import Filter
from emu.trace.names import Names
from emu.trace.recorder import Recorder

__all__ = ["KINDS", "Event", "Filter", "Names", "Recorder"]
