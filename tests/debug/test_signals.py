"""Before a signal is delivered there is a moment to stop at, to decide in, and to go back to."""

from collections.abc import Callable

import pytest
from debug_lab import debugged, ending, fingerprint, run_to_end, source

from emu.debug import BeforeSignal, Catchpoint, Caught, DebugError, Debugger, Ended, Handling, Stepped
from emu.debug.events import SignalDelivered, SyscallReturned
from emu.program import Program
from mini_kernel.uapi.numbers import SYS_kill
from mini_kernel.uapi.signal import SIGALRM, SIGKILL, SIGTERM, SIGUSR1, SIGUSR2
from mini_kernel.x86 import RIP


def program(body: str) -> Program:
    """SIGUSR1 and SIGUSR2 are counted (in `ones`, `twos`); the exit status is ones + 16 * twos."""
    return source(
        f"""
.text
_start:
    call install
{body}
done:
    mov edi, dword ptr [rip + twos]
    shl edi, 4
    add edi, dword ptr [rip + ones]
    mov eax, SYS_exit_group
    syscall
install:
    mov edi, SIGUSR1
    lea rsi, [rip + first]
    call action
    mov edi, SIGUSR2
    lea rsi, [rip + second]
action:
    xor edx, edx
    mov r10d, 8
    mov eax, SYS_rt_sigaction
    syscall
    ret
send:                       # edi: to whom, esi: what
    mov eax, SYS_kill
    syscall
sent:
    ret
on_first:
    inc dword ptr [rip + ones]
    ret
on_second:
    inc dword ptr [rip + twos]
    ret
restorer:
    mov eax, SYS_rt_sigreturn
    syscall
.data
first: .quad on_first, 0x04000000, restorer, 0
second: .quad on_second, 0x04000000, restorer, 0
ones: .long 0
twos: .long 0
both: .quad 0xA00
none: .quad 0
"""
    )


ONE = program("    mov edi, 1\n    mov esi, SIGUSR1\n    call send")
#: Both signals become due at once, when they are unblocked.
TWO = program("""
    xor edi, edi
    lea rsi, [rip + both]
    call mask
    mov edi, 1
    mov esi, SIGUSR2
    call send
    mov esi, SIGUSR1
    call send
    mov edi, 1
    lea rsi, [rip + both]
    call mask
    jmp done
mask:
    xor edx, edx
    mov r10d, 8
    mov eax, SYS_rt_sigprocmask
    syscall
    ret
""")


def catching(d: Debugger, *signals: int) -> Catchpoint:
    """Stop before these signals, or all."""
    return d.add(Catchpoint(kind=SignalDelivered, only=frozenset(signals), before=True))


def place(d: Debugger) -> str:
    """Where the current task is, by symbol."""
    return d.symbols().name(d.machine.regs[RIP]) or ""


def status(stop: object) -> int:
    """The exit status of a run that has ended."""
    assert isinstance(stop, Ended)
    assert stop.status is not None
    return stop.status >> 8


def test_the_stop_is_at_the_interrupted_code_and_before_the_handler() -> None:
    with debugged(ONE) as d:
        catching(d)
        stop = d.cont()
        assert isinstance(stop, BeforeSignal)
        assert (stop.info.signo, stop.info.pid, place(d)) == (SIGUSR1, 1, "sent")
        assert isinstance(d.step(), Stepped)
        assert place(d) == "on_first"
        assert status(d.cont()) == 1


def test_what_else_happened_in_the_call_is_told_before() -> None:
    """The call's return is one stop, the signal the next, at moments of their own."""
    with debugged(ONE) as d:
        d.add(Catchpoint(kind=SyscallReturned, only=frozenset((SYS_kill,))))
        catching(d)
        returned, signal = d.cont(), d.cont()
        assert isinstance(returned, Caught)
        assert isinstance(signal, BeforeSignal)
        assert place(d) == "sent"
        assert status(d.cont()) == 1


def test_steps_into_and_out_of_a_handler_undo_each_other() -> None:
    with debugged(ONE) as d:
        catching(d)
        d.cont()
        before = fingerprint(d)
        d.step()
        first = fingerprint(d)
        d.step()
        d.back()
        assert fingerprint(d) == first
        d.back()
        assert fingerprint(d) == before
        d.back()
        assert d.decode(d.machine.regs[RIP]).mnemonic == "syscall"  # pyright: ignore[reportOptionalMemberAccess]


@pytest.mark.parametrize("over", [True, False])
def test_steps_by_lines_run_through_handlers(over: bool) -> None:
    """From before the signal, and where it comes on the way."""
    with debugged(ONE) as d:
        point = catching(d)
        verb = d.next_line if over else d.step_line
        d.cont()
        verb()
        assert place(d) == "done"
        d.points.remove(point.number)
        d.go(0)
        d.until("send")
        seen: list[str] = []
        while place(d) != "done":
            verb()
            seen.append(place(d))
        assert seen[-2:] == ["sent", "done"]
        assert "on_first" not in seen


def test_going_back_comes_to_every_delivery_and_forward_again() -> None:
    """Two at once are two moments: the second is before the first one's handler has begun."""
    with debugged(TWO) as d:
        catching(d)
        seen = [(d.cont(), fingerprint(d)) for _ in range(2)]
        assert [s.info.signo for s, _ in seen if isinstance(s, BeforeSignal)] == [SIGUSR1, SIGUSR2]
        assert place(d) == "on_first"
        assert status(d.cont()) == 0x11
        for stop, there in reversed(seen):
            assert d.back_cont().time == stop.time
            assert fingerprint(d) == there
        assert d.cont().time == seen[1][0].time
        assert fingerprint(d) == seen[1][1]


@pytest.mark.parametrize(("sent", "result"), [((0,), 0), ((SIGUSR2,), 0x10), ((SIGUSR1,), 1), ((SIGUSR2, 0), 0)])
def test_a_signal_is_suppressed_or_replaced(sent: tuple[int, ...], result: int) -> None:
    """And nobody is asked about the one that takes its place. What was known of the other future is gone."""
    with debugged(ONE) as d:
        catching(d)
        stop = d.cont()
        for signo in sent:  # the last one counts
            d.send(signo)
        after = d.cont()
        assert status(after) == result
        d.go(0)
        assert status(d.cont()) == result
        assert d.back_cont().time <= stop.time


def test_a_signal_is_sent_where_none_is() -> None:
    with debugged(ONE) as d:
        catching(d)
        d.break_at("install")
        d.cont()
        d.send(SIGTERM)
        stop = d.cont()
        assert isinstance(stop, Ended)
        assert stop.status == SIGTERM


@pytest.mark.parametrize(
    ("handling", "told", "result"),
    [(Handling(), 0, 0x11), (Handling(tell=True), 1, 0x11), (Handling(tell=True, deliver=False), 1, 0x10),
     (Handling(deliver=False), 0, 0x10)],
)  # fmt: skip
def test_signals_that_are_not_stopped_for(handling: Handling, told: int, result: int) -> None:
    """They are told of, and delivered or not; both stay so when the run is gone through again."""
    with debugged(TWO) as d:
        d.signals.handling[SIGUSR1] = handling
        assert status(d.cont()) == result
        assert [s.info.signo for s in d.signals.passed] == [SIGUSR1] * told
        end = fingerprint(d)
        d.go(0)
        assert status(d.cont()) == result
        assert fingerprint(d)[1:] == end[1:]


def test_a_signal_that_is_stopped_for_and_not_delivered() -> None:
    with debugged(TWO) as d:
        d.signals.handling[SIGUSR2] = Handling(stop=True, deliver=False)
        stop = d.cont()
        assert isinstance(stop, BeforeSignal)
        assert stop.info.signo == SIGUSR2
        assert status(d.cont()) == 1


def _unchanged(d: Debugger) -> None:
    run_to_end(d)


def _stopping(d: Debugger) -> None:
    catching(d)
    assert sum(isinstance(stop, BeforeSignal) for stop in run_to_end(d))


@pytest.mark.parametrize("tested", [ONE, TWO], ids=["one", "two"])
def test_a_run_that_is_stopped_is_the_same_run(tested: Program) -> None:
    """Time, costs, memory and output at the end do not know of the stops."""
    ends: list[object] = []
    ways: tuple[Callable[[Debugger], None], ...] = (_unchanged, _stopping)
    for way in ways:
        with debugged(tested, quantum=7) as d:
            way(d)
            ends.append((fingerprint(d), ending(d)))
    assert ends[0] == ends[1]


GROUP = program("""
    xor edi, edi            # two pages of stack for a thread
    mov esi, 8192
    mov edx, 3
    mov r10d, 0x22
    mov r8, -1
    xor r9d, r9d
    mov eax, SYS_mmap
    syscall
    lea rsi, [rax + 8192]
    mov edi, 0x50f00        # CLONE_VM FS FILES SIGHAND THREAD SYSVSEM
    xor edx, edx
    xor r10d, r10d
    xor r8d, r8d
    mov eax, SYS_clone
    syscall
    test eax, eax
    jz thread
    xor edi, edi            # the first thread blocks both
    lea rsi, [rip + both]
    xor edx, edx
    mov r10d, 8
    mov eax, SYS_rt_sigprocmask
    syscall
    mov edi, 1
    mov esi, SIGUSR1
    call send
wait:
    mov eax, SYS_sched_yield
    syscall
    cmp dword ptr [rip + ones], 0
    je wait
    mov edi, 1
    mov esi, SIGKILL
    call send
thread:
    mov eax, SYS_sched_yield
    syscall
    jmp thread
""")


def test_a_signal_to_a_process_stops_the_thread_that_takes_it_and_sigkill_none() -> None:
    with debugged(GROUP) as d:
        catching(d)
        stop = d.cont()
        assert isinstance(stop, BeforeSignal)
        assert (stop.tid, stop.tgid, stop.info.signo) == (2, 1, SIGUSR1)
        assert d.current is not None
        assert d.current.tid == 2
        last = d.cont()
        assert isinstance(last, Ended)
        assert last.status == SIGKILL


WAITING = program("""
    xor edi, edi
    lea rsi, [rip + both]
    xor edx, edx
    mov r10d, 8
    mov eax, SYS_rt_sigprocmask
    syscall
    mov edi, 1
    mov esi, SIGUSR1
    call send
    lea rdi, [rip + both]
    xor esi, esi
    xor edx, edx
    mov r10d, 8
    mov eax, SYS_rt_sigtimedwait
    syscall
    mov dword ptr [rip + twos], eax
""")


def test_a_signal_that_is_waited_for_is_not_delivered() -> None:
    with debugged(WAITING) as d:
        catching(d)
        assert status(d.cont()) == SIGUSR1 << 4 & 0xFF


SLEEPING = program("""
    mov edi, 1
    xor esi, esi
    call alarm
    mov eax, SYS_pause
    syscall
    neg eax
    mov dword ptr [rip + twos], eax
    jmp done
alarm:
    mov eax, SYS_alarm
    syscall
    ret
""")


def test_a_call_that_a_signal_interrupts_goes_on_if_it_is_suppressed() -> None:
    """pause(2) ends with EINTR only if a handler runs; a suppressed alarm leaves it waiting for ever."""
    with debugged(SLEEPING) as d:
        catching(d, SIGALRM)
        stop = d.cont()
        assert isinstance(stop, BeforeSignal)
        d.send(SIGUSR1)
        assert status(d.cont()) == 4 << 4 | 1
    with debugged(SLEEPING) as d:
        catching(d, SIGALRM)
        d.cont()
        d.send(0)
        after = d.cont()
        assert isinstance(after, Ended)
        assert after.ending == "deadlock"


@pytest.mark.parametrize("signo", [-1, 65])
def test_signals_that_are_none_are_refused(signo: int) -> None:
    with debugged(ONE) as d, pytest.raises(DebugError):
        d.send(signo)
    with debugged(ONE) as d, pytest.raises(DebugError):
        d.send(SIGUSR2, 99)
