"""One step is prepared for, and does what the general loop does: both are put through the same, and compared."""

from pathlib import Path
from random import Random
from typing import Any

import pytest
from debug_lab import debugged, ending, example, fingerprint, random_forks, run_to_end, source, stripped

from emu.boot import Options, System
from emu.debug import (
    BeforeFault,
    Breakpoint,
    Catchpoint,
    Caught,
    Debugger,
    EntryWatch,
    FrameWatch,
    Point,
    Stepped,
    Stop,
    Time,
    Watched,
    Watchpoint,
)
from emu.debug.events import Event, Exited, Faulted, Forked, SignalDelivered, Switched, SyscallEntered, SyscallReturned
from emu.debug.goals import Count
from emu.debug.plan import Plan
from emu.debug.runner import Runner
from emu.debug.state import set_register, write
from emu.machine.jumps import JumpMachine
from emu.program import Program
from emu.recording import Recorder, Recording
from mini_kernel.fs.stream import BytesStream
from mini_kernel.x86 import RAX, RBX, RCX


class Plodder(Debugger):
    """A debugger that prepares everything anew each time, and whose machine takes no short cut."""

    def __init__(self, system: System, recording: Recording | None = None) -> None:
        super().__init__(system, recording)
        self.machine.run = self._run_machine

    def _run_machine(self) -> Any:
        self.machine.accesses.clear()
        return JumpMachine.run(self.machine)

    def run(self, plan: Plan) -> Stop:
        self.unprepare()
        self.history.wake = 0
        return super().run(plan)

    def step_one(self) -> Stop:
        return self.run(Plan(Count(self.stepper(), 1)))


def run_both(program: Program, play: Any, stdin: bytes = b"", **options: Any) -> list[Any]:
    """What `play` notes of both kinds, which must be the same."""
    notes: list[list[Any]] = []
    for kind in (Debugger, Plodder):
        streams = (BytesStream(stdin), BytesStream(), BytesStream())
        with System(program, (), Options(**{"memory": 64 << 20, "debug": True, **options}), streams) as system:
            notes.append(play(kind(system)))
    for i, (quick, slow) in enumerate(zip(*notes, strict=True)):
        assert quick == slow, f"note {i}"
    return notes[0]


def note(d: Debugger) -> tuple[Any, ...]:
    """What can be told of a stop, of the past, and of the points."""
    machine = d.machine
    return (
        repr(d.stops), d.now, d.history.frontier, len(d.log), d.tap.last_entry, list(machine.regs), machine.rflags,
        machine.jumps, machine.begun_last, [(p.number, p.hits, p.ignore, p.enabled) for p in d.points],
    )  # fmt: skip


def end_note(d: Debugger) -> tuple[Any, ...]:
    return repr(d.log[:]), fingerprint(d), ending(d)


LOOP = ".text\n_start: mov ecx, 100000\nagain: loop again\n mov eax, SYS_exit_group\n syscall\n"
NAMES = ["fork_cow", "signal_repair", "odf_first_write", "echo", "self_modifying", "vfork_exec", "divide_error"]


@pytest.mark.parametrize("name", NAMES)
def test_every_step_of_an_example_is_the_same(name: str) -> None:
    """Forks, faults, signals, input, code that changes itself, in slices of a few jumps; fatal faults pass."""

    def play(d: Debugger) -> list[Any]:
        notes: list[Any] = []
        d.fatal = False
        while d.current is not None and len(notes) < 700:
            d.step()
            notes.append(note(d))
        return [*notes, end_note(d)]

    notes = run_both(example(f"{name}.asm"), play, b"some\ninput\n", quantum=7)
    assert any("Stepped" in line[0] for line in notes[:-1])


@pytest.mark.parametrize("seed", range(5))
def test_whatever_is_done_between_steps(seed: int) -> None:
    """Points of all kinds that come, change and go, changes by hand, other verbs, steps back: always the same."""
    program = source(random_forks(Random(200 + seed)))

    def play(d: Debugger) -> list[Any]:
        random, notes = Random(seed), []
        d.history.interval = 60
        add_points(d, random)
        for _ in range(220):
            if d.current is None:
                d.back(random.randrange(1, 30))
            random.choice((step, step, step, step, other_verb, change_points, change_state, go_back))(d, random)
            notes.append(note(d))
        return [*notes, end_note(d)]

    notes = run_both(program, play, quantum=random_quantum(seed))
    kinds = {
        word for line in notes[:-1] for word in ("Stepped(", "AtBreakpoint(", "Watched(", "Caught(") if word in line[0]
    }
    assert len(kinds) > 2


def random_quantum(seed: int) -> int:
    return (7, 11, 40, 200_000)[seed % 4]


def add_points(d: Debugger, random: Random) -> None:
    places = sorted(d.symbols().addresses().values())
    data = d.locate("data")
    points: list[Point] = [
        Breakpoint(address=random.choice(places), ignore=random.randrange(3)),
        Breakpoint(address=random.choice(places), condition=rax_is_odd),
        Breakpoint(address=random.choice(places), temporary=True),
        Watchpoint(
            address=data + random.choice((0, 8, 4096)), kind=random.choice(("read", "write", "access", "change"))
        ),
        Watchpoint(address=data, kind="read", ignore=2),
        Catchpoint(kind=random.choice((Faulted, Forked, Exited, Switched, SignalDelivered, SyscallReturned))),
        Catchpoint(kind=random.choice((Faulted, SyscallEntered)), before=True, ignore=3),
        FrameWatch(pfn=random.randrange(1, 600)),
    ]
    if random.randrange(2):
        points.append(EntryWatch(address=data))
    for point in random.sample(points, random.randrange(2, len(points))):
        d.add(point)


def rax_is_odd(d: Runner) -> bool:
    return bool(d.machine.regs[RAX] & 1)


def step(d: Debugger, random: Random) -> None:
    for _ in range(random.randrange(1, 9)):
        if d.current is None or not isinstance(d.step(), Stepped):
            return


def other_verb(d: Debugger, random: Random) -> None:
    verbs = [
        d.next,
        d.step_block,
        d.finish,
        d.step_call,
        d.step_fault,
        lambda: d.step(5),
        lambda: d.cont(d.now[0] + 20),
    ]
    random.choice(verbs)()


def change_points(d: Debugger, random: Random) -> None:
    points = list(d.points)
    what = random.randrange(6)
    if what == 0 or not points:
        add_points(d, random)
    elif what == 1:
        d.points.remove(random.choice(points).number)
    elif what == 2:
        point = random.choice(points)
        d.points.enable(point.number, not point.enabled)
    elif what == 3:
        random.choice(points).enabled ^= True
    elif what == 4:
        d.fatal = not d.fatal
    else:
        d.follow = random.choice(("parent", "child", "both"))


def change_state(d: Debugger, random: Random) -> None:
    if random.randrange(8):
        return
    if random.randrange(2):
        set_register(d, "rcx", d.machine.regs[RCX] % 7 + 1)
    else:
        write(d, d.locate("data") + 8, bytes([random.randrange(256)]))


def go_back(d: Debugger, random: Random) -> None:
    if random.randrange(3):
        d.back(random.randrange(1, 12))
    elif random.randrange(2):
        d.back_cont()
    else:
        first, last = d.history.beginning.instructions, d.history.frontier.instructions
        d.go(random.randrange(first, last + 1))


def test_a_recording_is_stepped_through(tmp_path: Path) -> None:
    """The replay of a preempted run, step by step to its end: the same, and what was recorded."""
    path = str(tmp_path / "recording")
    streams = (BytesStream(b"some\ninput\n"), BytesStream(), BytesStream())
    options = Options(memory=64 << 20, record=True, quantum=7)
    with System(example("echo.asm"), (), options, streams) as system:
        recorder = Recorder(system, ())
        recorder.save(path, system.run())
    notes: list[list[Any]] = []
    for kind in (Debugger, Plodder):
        recording = Recording(path)
        with recording.boot() as system:
            d = kind(system, recording)
            taken: list[Any] = []
            while d.current is not None:
                d.step()
                taken.append(note(d))
            notes.append([*taken, end_note(d)])
            assert d.tap.last_entry.traps == len(recording.digests)
    assert notes[0] == notes[1]


def test_a_read_watch_tells_what_was_stored_meanwhile() -> None:
    """Values of a watched range are those before the step, also where nobody was to be told of the store."""
    text = """
.text
_start:
    lea rbx, [rip + cell]
    mov qword ptr [rbx], 7
    mov rax, [rbx]
    mov edi, 0
    mov eax, SYS_exit_group
    syscall
.data
cell: .quad 1
"""

    def play(d: Debugger) -> list[Any]:
        d.add(Watchpoint(address=d.locate("cell"), kind="read"))
        return [(d.step(), note(d))[1] for _ in range(4)]

    notes = run_both(source(text), play)
    assert "old=b'\\x07" in notes[3][0] or "old=b'\\x07" in notes[2][0]


def test_steps_take_snapshots() -> None:
    """A long walk step by step leaves snapshots to go back to, like any run."""
    with debugged(stripped(LOOP)) as d:
        d.history.interval = 100
        for _ in range(1_000):
            d.step()
        assert 8 <= len(d.history.shelf.all) <= 11
        assert d.back(500).time.instructions == 500
        assert d.machine.regs[RCX] == 100_000 - 499


@pytest.mark.parametrize("before", [SyscallEntered, Faulted])
def test_stops_before_the_kernel_move_no_tick(before: type[Event]) -> None:
    """Standing before every call, or every fault, changes neither when slices end nor what happens then."""
    program = stripped(random_forks(Random(204)))
    logs: list[str] = []
    for stops in (False, True):
        with debugged(program, quantum=5) as d:
            d.fatal = False
            if stops:
                d.add(Catchpoint(kind=before, before=True))
            met = run_to_end(d)
            assert (len(met) > 3) == stops
            logs.append(repr(d.log[:]))
    assert logs[0] == logs[1]


def test_a_change_at_the_beginning_is_come_back_to() -> None:
    """What was changed by hand at a moment is there again, going back to it or stepping into it, also at the first."""
    with debugged(stripped(LOOP)) as d:
        set_register(d, "rbx", 5)
        d.step(4)
        set_register(d, "rbx", 9)
        d.go(d.now)
        set_register(d, "rbx", 6)
        d.step(3)
        for moment, value in ((0, 5), (3, 5), (4, 6), (6, 6)):
            d.back(d.now.instructions - moment)
            assert (d.now.instructions, d.machine.regs[RBX]) == (moment, value)
            d.go(0)
            d.step(moment)
            assert (d.now.instructions, d.machine.regs[RBX]) == (moment, value)
            d.go(7)


def test_a_moment_before_a_fetch_can_be_gone_to() -> None:
    """At a jump to a page that is not there yet, the moment before its fault is one to stand at."""
    text = """.text
_start:
    xor edi, edi
    mov esi, 4096
    mov edx, 7
    mov r10d, 0x22
    mov r8, -1
    xor r9d, r9d
    mov eax, SYS_mmap
    syscall
    mov rbx, rax
    lea rax, [rip + cell]
    jmp rbx    # zeroes: add byte ptr [rax], al
.data
cell: .quad 0
"""
    with debugged(stripped(text)) as d:
        before = d.cont(limit=10)
        arrived = d.step()
        assert arrived.time == Time(11, before.time.entries) and arrived.rip & 0xFFF == 0
        fault = d.step_event(Faulted)
        assert isinstance(fault, BeforeFault) and fault.time == arrived.time and fault.address == arrived.rip
        d.step(5)
        assert d.go(arrived.time).time == arrived.time and d.step_event(Faulted) == fault


def test_a_change_is_there_whatever_stops_at_its_moment() -> None:
    """A watch hit or a caught call at the very moment of a change by hand: the system stands as it was left."""
    text = """.text
_start:
    lea rcx, [rip + cell]
    mov [rcx], rcx
    mov eax, SYS_getpid
    syscall
    nop
    mov eax, SYS_exit_group
    syscall
.data
cell: .quad 0
"""
    with debugged(source(text)) as d:
        for moment, value in ((2, 5), (4, 6)):
            d.step(moment - d.now.instructions)
            set_register(d, "rbx", value)
        d.add(Watchpoint(address=d.locate("cell")))
        d.add(Catchpoint(kind=SyscallReturned))
        d.go(0)
        for moment, value in ((2, 5), (4, 6)):
            stop = d.cont()
            assert isinstance(stop, Watched | Caught)
            assert (stop.time.instructions, d.machine.regs[RBX]) == (moment, value)


@pytest.mark.parametrize("seed", range(60, 64))
def test_every_moment_stays_what_it_was(seed: int) -> None:
    """However one comes to a moment, among stops, ticks and changes by hand, all that is there is as it was left."""
    random = Random(seed)
    with debugged(source(random_forks(random)), quantum=random_quantum(seed)) as d:
        d.history.interval = 60
        known: dict[Time, Any] = {}
        verbs = step, step, step, other_verb, change_points, add_points, change_state, go_back, look_back
        for _ in range(120):
            verb = random.choice(verbs)
            if d.current is None and verb in (step, other_verb):
                continue
            before = fingerprint(d)
            verb(d, random)
            here = fingerprint(d)
            if verb is change_state and here != before:
                known = {time: state for time, state in known.items() if time < d.now}
            assert known.setdefault(d.now, here) == here
            time = random.choice([time for time in known if time <= max(d.history.frontier, d.now)])
            if random.randrange(6) == 0:
                d.go(time)
                assert fingerprint(d) == known[time]


def look_back(d: Debugger, random: Random) -> None:
    data = d.locate("data")
    points = Watchpoint(address=data, kind="access"), EntryWatch(address=data), Catchpoint(kind=Faulted)
    what = random.randrange(5)
    if what < 3:
        (d.back_over, d.back_out, d.back_line)[what]()
    elif what == 3:
        d.back_to(random.choice((Faulted, Forked, SyscallEntered, Exited)))
    else:
        here = fingerprint(d)
        d.last(random.choice(points))
        assert fingerprint(d) == here
