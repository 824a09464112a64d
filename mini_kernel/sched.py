"""The scheduler: round robin in time slices, and the one place where the CPU changes hands."""

from typing import Any

from mini_kernel.clock import Clock
from mini_kernel.hw import Cpu
from mini_kernel.task import RunQueue, State, Task
from mini_kernel.timer import TimerQueue
from mini_kernel.wait import Block


class Scheduler:
    """Who runs now, who next, and who sleeps until when (a sleeper is a timer whose target is the task).

    Invariant: every RUNNABLE task is `current` or on the run queue, once.
    """

    def __init__(self, cpu: Cpu, clock: Clock) -> None:
        self.cpu = cpu
        self.clock = clock
        self.run_queue = RunQueue()
        self.current: Task | None = None  # may run on; None when it gave the CPU up
        self.held: frozenset[int] = frozenset()  # tids that a debugger keeps from running; they stay in the queue
        self.loaded: Task | None = None  # whose state is in the CPU
        self.switches = 0
        self._credited = cpu.blocks()  # blocks before this are on somebody's account
        self.timers = TimerQueue(clock)

    def add(self, task: Task) -> None:
        """Make a new task runnable; its state is in `cpu_state`."""
        self.run_queue.tasks.append(task)

    def yield_cpu(self) -> None:
        """The current task goes to the end of the queue."""
        task, self.current = self.current, None
        if task is not None and task.state is State.RUNNABLE:
            task.ledger.preemptions += 1
            self.run_queue.tasks.append(task)

    def suspend(self, task: Task, state: State) -> None:
        """The task cannot run until something changes its state back and queues it."""
        task.state = state
        if self.current is task:
            self.current = None

    def park(self, task: Task, block: Block, number: int, arguments: tuple[int, ...]) -> None:
        """Put a task to sleep in a system call, to be issued again when it wakes."""
        task.call = (number, arguments)
        self.suspend(task, State.WAITING)
        task.waiting_on = block.queues
        for queue in block.queues:
            queue.add(task)
        if block.deadline_ns is not None:
            self.timers.arm(task.sleep, block.deadline_ns)

    def pick(self) -> Task | None:
        """The task to run now: the current one if it still can, else the next in the queue, else None."""
        task = self.current
        if task is not None and task.state is State.RUNNABLE:
            return task
        if self.held:
            return self._pick_unheld()
        while self.run_queue.tasks:
            task = self.run_queue.tasks.popleft()
            if task.state is State.RUNNABLE:
                self.current = task
                return task
        self.current = None
        return None

    def _pick_unheld(self) -> Task | None:
        """The next in the queue that nobody holds; those who are held keep their places."""
        queue = self.run_queue.tasks
        passed: list[Task] = []
        self.current = None
        while queue:
            task = queue.popleft()
            if task.state is not State.RUNNABLE:
                continue
            if task.tid in self.held:
                passed.append(task)
                continue
            self.current = task
            break
        queue.extendleft(reversed(passed))
        return self.current

    def credit(self) -> None:
        """Charge the blocks run since the last switch to the task whose state is loaded."""
        now = self.cpu.blocks()
        if self.loaded is not None:
            ran = now - self._credited
            self.loaded.ledger.blocks += ran
            self.loaded.blocks += ran
        self._credited = now

    def switch_to(self, task: Task) -> None:
        """Bring a task's state into the CPU."""
        before = self.loaded
        if before is task:
            return
        if before is not None and before.state is not State.DEAD:
            before.cpu_state = self.cpu.save()
        self.credit()
        self.cpu.load(task.cpu_state)
        self.loaded = task
        self.switches += 1
        task.ledger.context_switches += 1

    def __setstate__(self, state: dict[str, Any]) -> None:
        """After a restore the CPU's block counter has gone on: nobody is charged for that."""
        self.__dict__.update(state)
        self._credited = self.cpu.blocks()

    def __getstate__(self) -> dict[str, Any]:
        self.credit()
        return {**self.__dict__, "_credited": 0}
