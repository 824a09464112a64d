"""The debugger as a library: verbs over a booted system. Prints nothing; emu.render turns its values into text."""

from emu.debug.debugger import Debugger
from emu.debug.events import KINDS, Event, Time
from emu.debug.log import Divergence
from emu.debug.plan import DebugError, Follow
from emu.debug.points import Breakpoint, Catchpoint, EntryWatch, FrameWatch, Point, Points, Watchpoint
from emu.debug.signals import Handling, Signals
from emu.debug.stops import (
    AtBeginning,
    AtBreakpoint,
    BeforeCall,
    BeforeFault,
    BeforeSignal,
    Caught,
    Ended,
    EntryChanged,
    FrameChanged,
    Interrupted,
    LimitReached,
    RecordingOver,
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
    "BeforeSignal",
    "Breakpoint",
    "Catchpoint",
    "Caught",
    "DebugError",
    "Debugger",
    "Divergence",
    "Ended",
    "EntryChanged",
    "EntryWatch",
    "Event",
    "Follow",
    "FrameChanged",
    "FrameWatch",
    "Handling",
    "Interrupted",
    "LimitReached",
    "Point",
    "Points",
    "RecordingOver",
    "Signals",
    "Stepped",
    "Stop",
    "TaskGone",
    "Time",
    "Watched",
    "Watchpoint",
]
