"""The debugger as a library: verbs over a booted system. Prints nothing; emu.render turns its values into text."""

from emu.debug.debugger import DebugError, Debugger, Follow
from emu.debug.events import KINDS, Event, Time
from emu.debug.points import Breakpoint, Catchpoint, EntryWatch, Point, Points, Watchpoint
from emu.debug.stops import (
    AtBeginning,
    AtBreakpoint,
    BeforeCall,
    BeforeFault,
    Caught,
    Ended,
    EntryChanged,
    Interrupted,
    LimitReached,
    Stepped,
    Stop,
    TaskGone,
    Watched,
)

__all__ = [
    "KINDS",
    "AtBeginning",
    "AtBreakpoint",
    "BeforeCall",
    "BeforeFault",
    "Breakpoint",
    "Catchpoint",
    "Caught",
    "DebugError",
    "Debugger",
    "Ended",
    "EntryChanged",
    "EntryWatch",
    "Event",
    "Follow",
    "Interrupted",
    "LimitReached",
    "Point",
    "Points",
    "Stepped",
    "Stop",
    "TaskGone",
    "Time",
    "Watched",
    "Watchpoint",
]
