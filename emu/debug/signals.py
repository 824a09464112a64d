"""Signals before they are delivered: what to stop for, what to tell of, what to deliver at all."""

from typing import TYPE_CHECKING, NamedTuple

from emu.debug.events import SignalDelivered
from emu.debug.goals import Count
from emu.debug.plan import DebugError, Plan
from emu.debug.points import Catchpoint
from emu.debug.stops import BeforeSignal
from emu.debug.tap import Due
from mini_kernel.signal import due, take
from mini_kernel.task import SigInfo, Task, inject
from mini_kernel.uapi.signal import SIGRTMAX
from mini_kernel.x86 import RIP

if TYPE_CHECKING:
    from emu.debug.reasons import Reasons


class Handling(NamedTuple):
    """What to do about a signal before it is delivered: stop, tell of it (`Signals.passed`), deliver it at all."""

    stop: bool = False
    tell: bool = False
    deliver: bool = True


class Signals:
    """Decides for one debugger.

    handling    by number; signals that are not in it are delivered without a stop
    passed      those that the last run was not stopped for, but was to tell of, in order
    """

    def __init__(self, d: "Reasons") -> None:
        self._d = d
        self.handling: dict[int, Handling] = {}
        self.passed: list[BeforeSignal] = []

    def before(self, plan: Plan, catches: list[Catchpoint], signal: Due) -> bool:
        """A signal is due. True: do not deliver it now."""
        d, info = self._d, signal.info
        for point in catches:
            wanted = point.before and point.enabled and point.kind is SignalDelivered
            wanted = wanted and point.tgid in (None, signal.task.tgid) and (not point.only or info.signo in point.only)
            if wanted and d.counts(point):
                return self._stand_before(signal, point)
        if plan.event is SignalDelivered:
            return self._stand_before(signal, None)
        how = self.handling.get(info.signo)
        if how is None or plan.quiet or plan.points is not None:
            return False
        if how.stop:
            return self._stand_before(signal, None)
        if how.tell and plan.until is None:
            self.passed.append(self._stop(signal, None))
        return not how.deliver and plan.until is None

    def _stand_before(self, signal: Due, point: Catchpoint | None) -> bool:
        self._d.stops.append(self._stop(signal, point))
        self._d.tap.told(signal.task.tid, signal.info.signo)
        return True

    def _stop(self, signal: Due, point: Catchpoint | None) -> BeforeSignal:
        d, task = self._d, signal.task
        return BeforeSignal(d.now, task.tid, task.tgid, d.machine.regs[RIP], point, signal.info)

    def go_on(self, plan: Plan) -> bool:
        """From before a signal: deliver it, drop it, or stop before it. True: that was a step of the plan's goal."""
        d, task = self._d, self._d.current
        info = due(task) if task is not None else None
        if task is not None and info is not None and plan.until is None and self._is_dropped(task, info):
            d.history.change()
            take(task)
            d.tap.untold(task.tid)
            d.history.settle()
            return False
        before = d.tap.entries
        d.tap.go_on()
        goal, events = plan.goal, d.tap.events if d.tap.entries > before else []
        return isinstance(goal, Count) and any(isinstance(e, SignalDelivered) and goal.is_of(e.tid) for e in events)

    def _is_dropped(self, task: Task, info: SigInfo) -> bool:
        """True if a signal is not to be delivered; the stop before it, if there is to be one, has been."""
        how = self.handling.get(info.signo)
        if how is None or how.deliver or info.told:
            return False
        return not how.stop or self._d.tap.told_of(task.tid) == info.signo

    def send(self, signal: int | SigInfo, tid: int | None = None) -> None:
        """See Debugger.send."""
        d, info = self._d, signal if isinstance(signal, SigInfo) else SigInfo(signal)
        task = d.current if tid is None else d.kernel.tasks.get(tid)
        if task is None or not task.alive:
            raise DebugError("nothing is running any more" if tid is None else f"there is no task {tid}")
        if not 0 <= info.signo <= SIGRTMAX:
            raise DebugError(f"there is no signal {info.signo}")
        d.history.change()
        told, pending = d.tap.told_of(task.tid), due(task)
        d.tap.untold(task.tid)
        stands = task is d.current and task.attention
        if pending is not None and (stands or pending.signo == told):
            take(task)
        if info.signo:
            inject(task, info)
