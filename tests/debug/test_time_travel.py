"""Going back and forth: every moment is the same whichever way one comes to it, and nothing is changed by looking."""

import itertools
from random import Random
from types import SimpleNamespace

import pytest
from debug_lab import debugged, ending, example, fingerprint, random_forks, run_to_end, source, stripped

from emu.debug import (
    AtBeginning,
    AtBreakpoint,
    BeforeFault,
    Breakpoint,
    Catchpoint,
    Caught,
    Ended,
    EntryWatch,
    Stepped,
    Watched,
    Watchpoint,
    history,
)
from emu.debug.events import Exited, FrameCopied, SyscallReturned, TableBroken
from mini_kernel.x86 import RIP


@pytest.mark.parametrize("seed", range(6))
def test_every_moment_is_the_same_from_both_sides(seed: int) -> None:
    """Random forking programs, preempted every few instructions: n steps on and k back are n - k steps on."""
    random = Random(seed)
    program = stripped(random_forks(random))
    with debugged(program, quantum=random.choice((7, 23, 100))) as d:
        d.history.interval = 50
        moments = [fingerprint(d)]
        while d.current is not None:
            d.cont(limit=d.now.instructions + random.randrange(1, 40))
            moments.append(fingerprint(d))
        d.kernel.check()
        end = ending(d)
        for _ in range(25):
            wanted = random.choice(moments)
            d.go(wanted[0])
            assert fingerprint(d) == wanted
            d.kernel.check()
        d.go(moments[0][0])
        run_to_end(d)
        assert ending(d) == end and fingerprint(d) == moments[-1]


@pytest.mark.parametrize("options", [{"quantum": 11}, {"schedule": 3}], ids=["slices", "schedule"])
@pytest.mark.parametrize("seed", range(4))
def test_steps_back_undo_steps(seed: int, options: dict[str, int]) -> None:
    """Single steps of one task, k forward and k back, come to the same state, with other tasks running in between.

    By a schedule the CPU is lost in calls, too, and comes back when another task's slice is over.
    """
    random = Random(100 + seed)
    with debugged(stripped(random_forks(random)), **options) as d:
        d.step(random.randrange(1, 60))
        tid = d.current.tid if d.current else 0
        before = [fingerprint(d)]
        for _ in range(30):
            stop = d.step()
            if not isinstance(stop, Stepped) or stop.tid != tid:
                break
            before.append(fingerprint(d))
        for state in reversed(before[:-1]):
            d.back()
            assert fingerprint(d) == state


@pytest.mark.parametrize("name", ["fork_cow.asm", "odf_first_write.asm", "signal_repair.asm", "sfork_ping_pong.asm"])
def test_looking_changes_nothing(name: str) -> None:
    """Points of every kind everywhere, and going back after each stop: the same end, the same costs."""
    program = example(name)
    with debugged(program) as plain:
        plain.fatal = False
        run_to_end(plain)
        expected = ending(plain)
    with debugged(program) as d:
        d.fatal = False
        for address in list(d.symbols().addresses().values())[:6]:
            d.add(Breakpoint(address=address))
            d.add(Watchpoint(address=address, kind="access"))
            d.add(EntryWatch(address=address))
        d.add(Catchpoint(kind=FrameCopied))
        stops = 0
        while d.current is not None and stops < 150:
            stops += 1
            forward = d.cont()
            here = fingerprint(d)
            d.back()
            d.go(forward.time)
            assert fingerprint(d) == here
        for point in d.points:
            d.points.remove(point.number)
        run_to_end(d)
        assert ending(d) == expected
        d.kernel.check()


def test_breakpoints_are_met_in_the_same_places_backwards() -> None:
    """Running back from the end meets every stop of the way there, in reverse, then the beginning."""
    with debugged(example("fork_cow.asm")) as d:
        d.break_at("print")
        d.add(Watchpoint(address=d.locate("cell"), length=1))
        there = run_to_end(d)
        back = [d.back_cont() for _ in there]
        assert [(type(s), s.time, s.rip) for s in reversed(back[:-1])] == [(type(s), s.time, s.rip) for s in there[:-1]]
        assert isinstance(back[-1], AtBeginning)
        assert [(s.time, s.rip) for s in run_to_end(d)] == [(s.time, s.rip) for s in there]


FAULTS_AT_ONCE = """.text
_start:
    xor ebx, ebx
    lea rdi, [rip + ends]
    mov eax, SYS_pipe
    syscall
at: mov al, [rbx]
.data
ends: .quad 0
"""


def test_a_breakpoint_at_the_instruction_that_one_stands_before_is_passed_backwards() -> None:
    """As forward, whatever stopped there: it leads to the hit before."""
    with debugged(source(FAULTS_AT_ONCE)) as d:
        d.break_at("at")
        reached, fault = d.cont(), d.cont()
        assert isinstance(reached, AtBreakpoint) and isinstance(fault, BeforeFault)
        assert isinstance(d.back_cont(), AtBeginning) and d.cont() == reached


@pytest.mark.parametrize("what", ["watch", "catch", "both"])
def test_all_that_stops_at_one_moment_is_met_backwards(what: str) -> None:
    """Behind a call, then before a fatal fault: two stops at one moment, and in reverse."""
    with debugged(source(FAULTS_AT_ONCE)) as d:
        watch = Watchpoint(address=d.locate("ends"), kind="change")
        if what in ("watch", "both"):
            d.add(watch)
        if what in ("catch", "both"):
            d.add(Catchpoint(kind=SyscallReturned))
        first, fault = d.cont(), d.cont()
        assert isinstance(first, Watched if what == "watch" else Caught)
        assert isinstance(fault, BeforeFault) and first.time == fault.time
        assert d.back_cont() == first and d.cont() == fault
        assert d.back_cont() == first and isinstance(d.back_cont(), AtBeginning)
        assert d.cont() == first and d.cont() == fault
        found = d.last(Watchpoint(address=watch.address))
        assert isinstance(found, Watched) and found.kernel and found.time == first.time
        assert d.stops == [fault] and isinstance(d.cont(), Ended)


def test_the_end_of_a_process_is_met_backwards_from_the_end() -> None:
    with debugged(example("hello.asm")) as d:
        d.add(Catchpoint(kind=Exited))
        caught, end = d.cont(), d.cont()
        assert isinstance(caught, Caught) and isinstance(end, Ended) and caught.time == end.time
        assert d.back_cont() == caught and isinstance(d.cont(), Ended)


def test_output_is_written_once() -> None:
    """Going back over a write and on again does not write again."""
    with debugged(example("hello.asm")) as d:
        run_to_end(d)
        d.back(4)
        run_to_end(d)
        assert d.system.stdout == b"Hello, world!\n"


def test_input_is_given_again() -> None:
    """A program that has read its input reads the same when it is taken back before that."""
    with debugged(example("echo.asm"), stdin=b"once\n") as d:
        run_to_end(d)
        expected = d.system.stdout
        d.go(0)
        run_to_end(d)
        assert d.system.stdout == expected and b"once" in expected


def test_who_broke_the_table() -> None:
    """The last change of a translation is found from afterwards, and the system stays where it is."""
    with debugged(example("odf_first_write.asm"), fork="odf") as d:
        broken = d.step_event(TableBroken)
        run_to_end(d)
        d.back()
        here = fingerprint(d)
        d.go(broken.time)
        tgid = broken.tgid
        address = 1 << 40
        d.step(3)
        found = d.last(EntryWatch(address=address, tgid=tgid))
        assert found is not None and found.time == broken.time
        wrote = d.last(Watchpoint(address=address, length=1, tgid=tgid))
        assert wrote is not None and wrote.time.instructions == broken.time.instructions + 1
        d.go(here[0])
        assert fingerprint(d) == here


def test_snapshots_that_cost_much_are_taken_less_often_while_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each look at the clock is a second later: a snapshot costs as much as all that was run since the last one."""
    seconds = itertools.count()
    monkeypatch.setattr(history, "time", SimpleNamespace(perf_counter=lambda: float(next(seconds))))
    with debugged(stripped("_start: jmp _start")) as d:
        first = d.history.interval
        d.cont(limit=4 * first)
        assert d.history.interval > 5 * first
        assert len(d.history.shelf.all) == 2  # the beginning, and after the first interval


OVERWRITTEN = """
_start:
    lea rdi, [rip + _start]
    and rdi, -4096
    mov esi, 4096
    mov edx, PROT_READ | PROT_WRITE | PROT_EXEC
    mov eax, SYS_mprotect
    syscall
    lea rbx, [rip + next + 1]
    mov ecx, 30
again:
    mov eax, ecx
    mov [rbx], cl                   # the number in the next instruction: this block begins anew
next:
    mov edx, 0x99
    add r8d, edx
    dec ecx
    jnz again
    push rbx
    mov edi, r8d
    mov eax, SYS_exit_group
    syscall
"""


def test_an_instruction_that_stores_into_its_own_block_is_one_instruction() -> None:
    """However it is come to: by steps, from a stop before or behind it, at a breakpoint, or running through."""
    program = stripped(OVERWRITTEN)
    with debugged(program) as d:
        run_to_end(d)
        whole = ending(d), d.now
    with debugged(program, quantum=5) as d:
        moments = [fingerprint(d)]
        d.history.interval = 20
        while d.current is not None:
            at = d.machine.regs[RIP]
            assert isinstance(d.step(), Stepped) is (d.current is not None)
            assert d.current is None or d.machine.regs[RIP] != at
            moments.append(fingerprint(d))
        assert (ending(d)[0], d.now.instructions) == (whole[0][0], whole[1].instructions)
        random = Random(1)
        for wanted in random.sample(moments[:-1], 30):
            d.go(wanted[0])
            assert fingerprint(d) == wanted
            d.cont(limit=d.now.instructions + random.randrange(1, 9))
        store = next(m for m in moments if m[0].instructions == 9)
        d.go(store[0])
        point = d.break_at(d.machine.regs[RIP])
        hits = 0
        while isinstance(d.cont(), AtBreakpoint):
            hits += 1
        assert hits == point.hits == 29
