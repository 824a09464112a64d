"""A run by a schedule is the same run under the debugger, forward and back, and in a recording."""

import io
from pathlib import Path
from random import Random
from typing import Any

import pytest
from debug_lab import debugged, ending, fingerprint, random_forks, run_to_end, stripped

from emu.boot import Options, System
from emu.debug import Debugger, Ended
from emu.debug.events import Switched
from emu.listeners import Silent
from emu.program import Program
from emu.recording import Recorder, Recording
from mini_kernel.fs.stream import BytesStream
from mini_kernel.task import Task

#: Three threads of straight code add to one cell, without a lock; the sum is the exit status.
RACE = """
_start:
    mov ebp, 2
spawn:
    xor edi, edi
    mov esi, 8192
    mov edx, 3
    mov r10d, 0x22
    mov r8, -1
    xor r9d, r9d
    mov eax, SYS_mmap
    syscall
    lea rsi, [rax + 8192]
    mov edi, 0x50f00
    xor edx, edx
    xor r10d, r10d
    xor r8d, r8d
    mov eax, SYS_clone
    syscall
    test eax, eax
    jz work
    dec ebp
    jnz spawn
work:
    mov r12d, 30
again:
    mov rcx, [rip + cell]
    inc rcx
    mov [rip + cell], rcx
    dec r12d
    jnz again
    lock inc dword ptr [rip + ready]
wait:
    mov eax, SYS_sched_yield
    syscall
    cmp dword ptr [rip + ready], 3
    jb wait
    mov edi, dword ptr [rip + cell]
    mov eax, SYS_exit_group
    syscall
.data
cell: .quad 0
ready: .long 0
"""
SEEDS = (1, 4, 7, 11)


class Calls(Silent):
    """Every call that begins, with whose it is and after how many instructions."""

    def __init__(self, system: System) -> None:
        self._system = system
        self.seen: list[tuple[int, int, int]] = []

    def syscall_enter(self, task: Task, number: int, arguments: tuple[int, ...]) -> None:
        self.seen.append((self._system.machine.instructions(), task.tid, number))


@pytest.fixture(scope="module")
def race() -> Program:
    return stripped(RACE)


def plain(program: Program, seed: int, record: bool = False, into: Any = None) -> tuple[Any, ...]:
    """A run without a debugger: how it ended, and the order of its calls."""
    options = Options(memory=64 << 20, schedule=seed, record=record)
    with System(program, (), options, (BytesStream(), BytesStream(), BytesStream())) as system:
        calls = Calls(system)
        system.observe(calls)
        recorder = Recorder(system, []) if record else None
        outcome = system.run()
        if recorder is not None:
            recorder.save(into, outcome)
        costs = system.stats()["total"]
        del costs["fork_us"], costs["instructions"]
        return (system.kernel.exit_status, system.stdout, system.stderr, costs), calls.seen


def followed(d: Debugger) -> tuple[Any, ...]:
    """The same of a run in the debugger, with stops at every switch."""
    calls = Calls(d.system)
    d.system.observe(calls)
    d.tap.before = None
    while not isinstance(d.step_event(Switched), Ended):
        pass
    return ending(d), calls.seen


@pytest.mark.parametrize("seed", SEEDS)
def test_the_debugger_follows_a_seed(race: Program, seed: int) -> None:
    """Calls of all threads in the same order, after as many instructions, whatever it is stopped for."""
    expected = plain(race, seed)
    with debugged(race, schedule=seed) as d:
        assert followed(d) == expected
        assert expected[0][0] is not None
        end = fingerprint(d)
        middle = d.now.instructions // 2
        d.go(middle)
        there = fingerprint(d)
        d.step(40)
        d.back(7)
        for _ in range(25):
            d.step()
        d.go(middle)
        assert fingerprint(d) == there
        d.cont()
        assert fingerprint(d) == end


def test_some_seeds_lose_an_update_and_where_is_found_going_back(race: Program) -> None:
    statuses = {seed: plain(race, seed)[0][0] >> 8 for seed in range(8)}
    assert min(statuses.values()) < 90
    assert len(set(statuses.values())) > 2


@pytest.mark.parametrize("number", range(3))
def test_random_programs_that_fork_do_not_know_of_the_debugger(number: int) -> None:
    program = stripped(random_forks(Random(number)))
    expected = plain(program, number)
    with debugged(program, schedule=number) as d:
        run_to_end(d)
        assert ending(d) == expected[0]
        d.go(d.now.instructions // 3)
        d.cont()
        assert ending(d) == expected[0]


def test_a_recording_by_a_schedule_is_that_run(race: Program, tmp_path: Path) -> None:
    file = io.BytesIO()
    recorded = plain(race, 4, True, file)
    assert recorded == plain(race, 4)
    path = tmp_path / "run.rec"
    path.write_bytes(file.getvalue())
    recording = Recording(str(path))
    assert recording.options.schedule == 4
    with recording.boot() as system:
        d = Debugger(system, recording)
        assert followed(d) == recorded
        d.go(100)
        d.cont()
        assert ending(d) == recorded[0]
