"""Who is after what in a run: the goal of its plan, and what becomes of it when its task forks.

With `follow` "parent" the child runs freely; with "child" the goal goes over to it. With "both", both have it: the step
ends in the one that gets there first, and is *owed* by the other, for which the runs behind it stop as well. Steps that
count instructions count those of every task then, whoever has the CPU.
"""

from collections.abc import Iterable
from copy import copy

from emu.debug.events import Event, Exited, Forked
from emu.debug.goals import Goal
from emu.debug.plan import Follow


class Pursuit:
    """The goals of one debugger.

    goals     of this run, the plan's first
    active    of the task that has the CPU
    owed      of tasks whose other side has got there in an earlier run
    """

    def __init__(self) -> None:
        self.goals: list[Goal] = []
        self.active: Goal | None = None
        self.owed: list[Goal] = []
        self._since = 0  # instructions since boot when the active one was last charged
        self._met = False

    def begin(self, goal: Goal | None, owed: bool) -> None:
        """A run begins, in which what is owed counts or not. A task that is given a new goal owes no other."""
        if owed and goal is not None:
            self.owed = [other for other in self.owed if not goal.is_of(other.tid)]
        self.goals = ([] if goal is None else [goal]) + (self.owed if owed else [])
        self.active, self._met = None, False

    def begin_one(self, goal: Goal, now: int) -> None:
        """The same for a goal whose task has the CPU, where nothing is owed."""
        self.goals, self.active, self._since, self._met = [goal], goal, now, False

    def charge(self, now: int) -> None:
        """Count what the task of the active goal has begun."""
        if self.active is not None:
            self.active.ran(now - self._since)
        self._since = now

    def turn(self, tid: int | None, now: int) -> Goal | None:
        """A task has the CPU, or none: its goal."""
        if not self.goals:
            return None
        self.charge(now)
        self.active = next((goal for goal in self.goals if tid is not None and goal.is_of(tid)), None)
        return self.active

    def meet(self, goal: Goal) -> None:
        """It is reached."""
        self.goals.remove(goal)
        self._met = True

    def after(self, events: Iterable[Event], follow: Follow) -> list[Exited]:
        """What a kernel entry did to them; the exits of tasks that will not get there, unless they owed it only."""
        gone: list[Exited] = []
        for event in events:
            if isinstance(event, Forked):
                self._forked(event, follow)
            elif isinstance(event, Exited):
                left = [goal for goal in self.goals if goal.tid == event.tid]
                gone += [event] if any(goal not in self.owed for goal in left) else []
                self.goals = [goal for goal in self.goals if goal not in left]
        return gone

    def interrupted(self, tid: int, rip: int, stack: int) -> None:
        """A task got a signal when it was here."""
        for goal in self.goals:
            if goal.tid == tid:
                goal.interrupted(rip, stack)

    def _forked(self, event: Forked, follow: Follow) -> None:
        for goal in [goal for goal in self.goals if goal.tid == event.tid]:
            if follow == "child":
                goal.tid = event.child
            elif follow == "both":
                other = copy(goal)
                other.tid = event.child
                self.goals.append(other)

    def end(self, owed: bool) -> None:
        """The run is over. If one side has got there, others owe it."""
        if owed:
            self.owed = self.goals if self._met else [goal for goal in self.owed if goal in self.goals]
        self.goals, self.active = [], None
