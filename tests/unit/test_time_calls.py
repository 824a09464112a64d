"""What a program on the host cannot show: the clock set, and limits on processor time reached."""

import struct

import pytest
from fs_helpers import BUFFER, System

from mini_kernel import cputime
from mini_kernel.clock import NS_PER_BLOCK
from mini_kernel.cputime import CpuClock, CpuTimer
from mini_kernel.cred import set_uid
from mini_kernel.timer import Timer
from mini_kernel.uapi.errno import EINVAL, EPERM
from mini_kernel.uapi.resource import RLIM_INFINITY, RLIMIT_CPU
from mini_kernel.uapi.signal import SIGKILL, SIGUSR1, SIGXCPU
from mini_kernel.uapi.time import CLOCK_MONOTONIC, CLOCK_REALTIME, TIMER_ABSTIME

SECOND = 1_000_000_000


@pytest.fixture
def system() -> System:
    return System()


def now(system: System, clock: int) -> int:
    assert system.clock_gettime(clock, BUFFER) == 0
    seconds, ns = struct.unpack("<qq", system.got(16))
    return seconds * SECOND + ns


def use(system: System, seconds: float) -> None:
    """Let the process have used the processor for so long."""
    system.task.process.ledger.blocks = int(seconds * SECOND) // NS_PER_BLOCK


def test_root_sets_the_clock_and_what_waits_for_it_comes(system: System) -> None:
    """CLOCK_MONOTONIC goes on; an absolute timer on CLOCK_REALTIME fires when the clock is set past it."""
    later = now(system, CLOCK_REALTIME) // SECOND + 1000
    event = struct.pack("<Qiii44x", 5, SIGUSR1, 0, 0)
    assert system.timer_create(CLOCK_REALTIME, system.put(event), BUFFER + 100) == 0
    system.put(struct.pack("<4q", 0, 0, later, 0))
    assert system.timer_settime(0, TIMER_ABSTIME, BUFFER, 0) == 0
    monotonic = now(system, CLOCK_MONOTONIC)
    system.put(struct.pack("<qq", later + 1, 7))
    assert system.clock_settime(CLOCK_REALTIME, BUFFER) == 0
    assert now(system, CLOCK_REALTIME) == (later + 1) * SECOND + 7
    assert now(system, CLOCK_MONOTONIC) == monotonic
    assert not system.task.process.pending
    system.kernel.sched.timers.fire()
    assert [(info.signo, info.value) for info in system.task.process.pending] == [(SIGUSR1, 5)]


def test_others_do_not_set_the_clock(system: System) -> None:
    """EPERM without the right, EINVAL for times that are none."""
    system.put(struct.pack("<qq", 1 << 60, 0))
    assert system.clock_settime(CLOCK_REALTIME, BUFFER) == -EINVAL
    assert system.clock_settime(CLOCK_MONOTONIC, BUFFER) == -EINVAL
    system.task.set_cred(set_uid(system.task.cred, 1000))
    system.put(struct.pack("<qq", 2_000_000_000, 0))
    assert system.clock_settime(CLOCK_REALTIME, BUFFER) == -EPERM
    assert system.settimeofday(BUFFER, 0) == -EPERM


def test_processor_time_beyond_the_limit_is_told_once_a_second_and_then_deadly(system: System) -> None:
    """SIGXCPU from the soft limit on, SIGKILL at the hard one."""
    process = system.task.process
    process.rlimits[RLIMIT_CPU] = (1, 3)
    use(system, 0.9)
    cputime.check(process)
    assert not process.pending
    use(system, 1.1)
    cputime.check(process)
    cputime.check(process)
    assert [info.signo for info in process.pending] == [SIGXCPU]
    assert process.rlimits[RLIMIT_CPU] == (2, 3)
    use(system, 3.0)
    cputime.check(process)
    assert process.pending[-1].signo == SIGKILL
    process.pending.clear()
    process.rlimits[RLIMIT_CPU] = (RLIM_INFINITY, RLIM_INFINITY)
    cputime.check(process)
    assert not process.pending


class Note:
    """A target that counts."""

    fired = 0

    def timer_fired(self, timer: Timer) -> None:
        self.fired += 1


def test_timers_on_processor_time_fire_when_it_is_used(system: System) -> None:
    """Once per arming, and periods go on from where they were."""
    note, process = Note(), system.task.process
    timer = CpuTimer(note, CpuClock(process))
    timer.arm(SECOND, SECOND)
    cputime.check(process)
    assert (note.fired, timer.left(0)) == (0, SECOND)
    use(system, 3.5)
    cputime.check(process)
    cputime.check(process)
    assert (note.fired, process.cpu_timers) == (1, [])
    assert timer.go_on() == 3
    assert (timer.deadline_ns, timer.armed) == (4 * SECOND, True)
    timer.disarm()
    use(system, 9)
    cputime.check(process)
    assert (note.fired, process.cpu_timers) == (1, [])
