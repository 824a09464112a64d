"""What one run of a debugged system is for, and why it may not come about."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from emu.debug.events import Event, Time
from emu.debug.goals import Goal
from emu.debug.points import Point
from emu.errors import EmuError

Follow = Literal["parent", "child", "both"]


class DebugError(EmuError):
    """The debugger was asked for something that cannot be."""


class ReplayInterrupted(Exception):
    """The user does not want to wait for the end of a replay."""


@dataclass(frozen=True)
class Plan:
    """What one run is for.

    goal        what a step is to reach
    limit       instructions since boot to stop at
    event       stop for events of this kind (before the kernel, for calls and faults)
    points      look at these points, not at all there are
    quiet       stop for nothing
    until       a replay of the known past, up to this moment; hits count for nothing
    below       of what stops at `until` itself, only kinds with a Stop.order below this
    """

    goal: Goal | None = None
    limit: int | None = None
    event: type[Event] | None = None
    points: Sequence[Point] | None = None
    quiet: bool = False
    until: Time | None = None
    below: int = 0

    @property
    def is_usual(self) -> bool:
        """True if it looks at all points and nothing else, as most do."""
        return not self.quiet and self.points is None and self.event is None
