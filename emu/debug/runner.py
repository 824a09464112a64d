"""The loop under the debugger's verbs: run, look at why the machine stopped, go on or say so."""

from typing import Final

from emu.boot import System
from emu.debug.events import Time
from emu.debug.goals import ANYONE, Count
from emu.debug.history import History
from emu.debug.plan import DebugError, Plan, ReplayInterrupted
from emu.debug.points import Point
from emu.debug.reasons import Reasons
from emu.debug.stops import Ended, EntryChanged, Stepped, Stop, stepped
from emu.recording import Recording
from mini_kernel.x86 import RIP

__all__ = ["DebugError", "Plan", "ReplayInterrupted", "Runner"]

_QUIET: Final = Plan(quiet=True)


class Runner(Reasons):
    """One debugged system, and how it runs. For its attributes see Reasons."""

    def __init__(self, system: System, recording: Recording | None = None) -> None:
        """`recording` is what the system was made from (Recording.boot).

        Raises DebugError for a system that was not made with Options(debug=True).
        """
        super().__init__(system)
        self._one = Count(0, 1)
        self._one_step = Plan(goal=self._one)
        self.history = History(self)
        self.tap.tapes = self.history.tapes
        if recording is not None:
            self.tap.digests = recording.digests
            if recording.ending in ("interrupted", "timeout"):
                self.machine.set_end(recording.jumps)

    def stepper(self) -> int:
        """Whose instructions a step counts. Raises DebugError where nothing runs."""
        if self.current is None:
            raise DebugError("nothing is running any more")
        return ANYONE if self.follow == "both" else self.current.tid

    def intervene(self) -> None:
        """To be called before anything is changed by hand: what was known of the future does not hold any more."""
        self.history.change()

    # -- one step -------------------------------------------------------------------------------------

    def step_one(self) -> Stop:
        """One instruction of the current task.

        What `run` does for a Count of 1, a tenth as long where nothing has changed since it last prepared a run, and
        nothing happens but the instruction. All else is left to it.
        """
        task, machine, tap = self.kernel.sched.current, self.machine, self.tap
        began = machine.instructions()
        if (
            task is None
            or task.attention
            or began + 1 >= self.history.wake
            or self._prepared != self._points.version
            or self._watches.walks
            or self.pursuit.owed
        ):
            if task is None:
                raise DebugError("nothing is running any more")
            return self.run(Plan(Count(self.stepper(), 1)))
        if self._watches.any:
            self._watches.refresh()
        goal, entries = self._one, tap.entries
        goal.tid, goal.left = ANYONE if self.follow == "both" else task.tid, 1
        self._plan = self._one_step
        self.pursuit.begin_one(goal, began)
        self.stops = []
        self.signals.passed.clear()
        machine.mark(self._marked)
        tap.bound = self.history.bound
        done = False
        try:
            reason = machine.run_one()
            rip = machine.regs[RIP]
            done = reason == "budget" and tap.entries == entries and rip not in self._marked
            if not done:
                self._judge(reason)
                while not self.stops:
                    self._turn()
        finally:
            if not done:
                self._finish()
        if not done:
            return self._stopped()
        now = Time(began + 1, entries)
        if now > self.history.frontier:
            self.history.frontier = now
        self._plan = _QUIET
        stop = stepped(now, task.tid, task.tgid, rip)
        self.stops.append(stop)
        return stop

    # -- the loop -----------------------------------------------------------------------------------

    def run(self, plan: Plan) -> Stop:
        """Run as planned; the first reason to stop."""
        self._begin(plan)
        self.signals.passed.clear()
        if self.current is None:
            self.kernel.traps.dispatch()  # everybody waited for a key when an earlier run was interrupted
        if self.current is None:
            self._finish()
            self.stops = [self._ended()]
            return self.stops[0]
        self.machine.let_pass(self.machine.regs[RIP])
        try:
            while not self._turn():
                pass
        finally:
            self._finish()
        return self._stopped()

    def run_quietly(self, until: Time) -> None:
        """Replay to a moment of the known past, stopping for nothing. Raises Divergence, ReplayInterrupted."""
        self._begin(Plan(quiet=True, until=until))
        try:
            while self.now < until and self.current is not None:
                self._turn()
        finally:
            self._finish()

    def collect(self, plan: Plan) -> list[Stop]:
        """Replay to `plan.until`: the last stop before it (or at it, if its `order` is below `plan.below`).

        Behind it also what the CPU may have changed before and is noticed at `plan.until` only. Raises as before.
        """
        assert plan.until is not None
        self._begin(plan)
        hits: list[Stop] = []
        try:
            while self.now < plan.until and self.current is not None:
                if self._turn():
                    self.machine.let_pass(self.machine.regs[RIP])
                    hits = self._last_of(plan, hits)
        finally:
            self._finish()
        return hits

    def _last_of(self, plan: Plan, hits: list[Stop]) -> list[Stop]:
        """The hits of a collection after this stop."""
        found = [s for s in self.stops if (s.time, s.order) < (plan.until, plan.below) and not isinstance(s, Ended)]
        late = [s for s in self.stops if not found and isinstance(s, EntryChanged) and not s.kernel]
        return [*(found[:1] or hits), *late]

    def _begin(self, plan: Plan) -> None:
        self.history.settle()
        self._plan, self.stops = plan, []
        self.pursuit.begin(plan.goal, self._owed_counts())
        self._prepare()
        self.history.started()

    def _finish(self) -> None:
        self.history.stopped()
        self.pursuit.end(self._owed_counts())
        self._plan = _QUIET
        self.machine.stop_anywhere()
        self.machine.set_instruction_budget(None)

    def _owed_counts(self) -> bool:
        """True for runs that may stop for what a task owes: those forward over all points there are."""
        return not self._plan.quiet and self._plan.until is None and self._plan.points is None

    def _turn(self) -> bool:
        """Let the machine run until it stops; True if there is a reason that counts."""
        self.stops = []
        if self.history.reached(take=False):
            self._prepare()
        self.rearm()
        if self.tap.is_before_signal:
            self._pass_signal()
        else:
            self._judge(self.machine.run())
        return bool(self.stops)

    def _pass_signal(self) -> None:
        """On from before a signal, or stop before it."""
        goal, into_handler = self.pursuit.active, self.signals.go_on(self._plan)
        if self.current is None and not self.stops:
            self.stops.append(self._ended())
        if goal is not None and into_handler:
            goal.ran(1)
            if not self.stops and goal.reached(self):
                self.pursuit.meet(goal)
                self.stops.append(self._here(Stepped))

    def rearm(self) -> None:
        """Tell the machine what the goal wants now."""
        machine, current = self.machine, self.current
        now = machine.instructions()
        machine.stop_anywhere()
        budget = self._own_budget(now)
        self.tap.bound = self._bound()
        goal = self.pursuit.turn(None if current is None else current.tid, now)
        if goal is None:
            machine.mark(self._marked)
        else:
            machine.mark(self._marked | goal.addresses)
            goal.arm(machine)
            its_own = goal.budget()
            budget = budget if its_own is None else min(budget, its_own)
        machine.set_instruction_budget(budget)

    def _own_budget(self, now: int) -> int:
        """Instructions until the plan, or the history, is to be looked at."""
        plan, due = self._plan, self.history.budget()
        if plan.until is not None:
            return max(1, min(due, plan.until.instructions - now))  # 1: it begins, and enters the kernel instead
        return due if plan.limit is None else max(0, min(due, plan.limit - now))

    def _bound(self) -> Time | None:
        """The moment at which to come back whatever is going on."""
        until, bound = self._plan.until, self.history.bound
        return min(until, bound) if until is not None and bound is not None else until or bound

    def holds(self, point: Point) -> bool:
        return point.condition is None or point.condition(self)

    def _stopped(self) -> Stop:
        """The reason to stop; the system as it was left at this moment, if it was changed there by hand."""
        self.history.reached(take=False)
        for stop in self.stops:
            point = getattr(stop, "point", None)
            if point is not None and point.temporary and point in list(self.points):
                self.points.remove(point.number)
        return self.stops[0]

    def stand(self, kind: type[Stop]) -> Stop:
        """A stop of this kind here and now."""
        self.stops = [self._here(kind)]
        self.signals.passed.clear()
        return self.stops[0]
