"""Runs by plan: system calls and frames that fail, and interleavings chosen by a seed."""

from collections.abc import Iterator

import pytest
from program_lab import assemble

from emu.boot import Options, System
from emu.errors import EmuError
from emu.program import Program
from mini_kernel.uapi.errno import EINTR, ENOMEM

#: Two processes add 50 each to a shared counter, not atomically; the exit status is the sum.
RACE = """
_start:
    xor edi, edi
    mov esi, 4096
    mov edx, PROT_READ|PROT_WRITE
    mov r10d, MAP_SHARED|MAP_ANONYMOUS
    mov r8, -1
    xor r9d, r9d
    mov eax, SYS_mmap
    syscall
    mov rbx, rax
    mov eax, SYS_fork
    syscall
    mov r12, rax
    mov ecx, 50
again:
    mov rax, [rbx]
    add rax, 1
    mov [rbx], rax
    dec ecx
    jnz again
    xor edi, edi
    test r12, r12
    jz done
    mov rdi, r12
    xor esi, esi
    xor edx, edx
    xor r10d, r10d
    mov eax, SYS_wait4
    syscall
    mov rdi, [rbx]
done:
    mov eax, SYS_exit_group
    syscall
"""
#: Exits with the errno of the first getppid or mmap that fails, 0 if none of six does.
CALLS = """
_start:
    mov ebx, 3
again:
    mov eax, SYS_getppid
    syscall
    test rax, rax
    js failed
    xor edi, edi
    mov esi, 4096
    mov edx, PROT_READ
    mov r10d, MAP_PRIVATE|MAP_ANONYMOUS|MAP_POPULATE
    mov r8, -1
    xor r9d, r9d
    mov eax, SYS_mmap
    syscall
    test rax, rax
    js failed
    dec ebx
    jnz again
    xor eax, eax
failed:
    neg eax
    mov edi, eax
    mov eax, SYS_exit_group
    syscall
"""


@pytest.fixture(scope="module")
def race() -> Program:
    return Program("race", "", assemble(RACE), None)


@pytest.fixture
def calls() -> Iterator[System]:
    with System(Program("calls", "", assemble(CALLS), None)) as system:
        yield system


def interleaved(program: Program, seed: int, check: bool = False) -> tuple[int, int, int]:
    with System(program, options=Options(schedule=seed, check=check)) as system:
        status = system.run().status
        return status, system.machine.instructions(), system.kernel.sched.switches


def test_some_schedules_lose_an_update_and_the_same_seed_loses_it_again(race: Program) -> None:
    """Preemption between any two instructions: the race of straight code, too, and never without a schedule."""
    first = [interleaved(race, seed) for seed in range(30)]
    sums = [status for status, _instructions, _switches in first]
    assert min(sums) < 100 == max(sums)
    again = [seed for seed, status in enumerate(sums) if status < 100]
    assert [interleaved(race, seed, check=True) for seed in again] == [first[seed] for seed in again]
    with System(race) as system:
        assert system.run().status == 100


def test_a_schedule_goes_on_from_a_snapshot_as_it_did(race: Program) -> None:
    with System(race, options=Options(schedule=16)) as system:
        start = system.snapshot()
        end = system.run().status, system.kernel.sched.switches
        system.restore(start)
        assert (system.run().status, system.kernel.sched.switches) == end


@pytest.mark.parametrize(("call", "nth", "made"), [(None, 1, 1), (None, 4, 4), ("mmap", 3, 6), ("getppid", 2, 3)])
def test_the_nth_call_fails_with_the_errno_asked_for(calls: System, call: str | None, nth: int, made: int) -> None:
    """And none before it: so many calls were made when the program gave up."""
    calls.fail_syscall(EINTR, call, nth)
    assert calls.run().status == EINTR
    assert sum(calls.ledger().syscalls.values()) == made + 1


def test_a_failure_is_part_of_snapshots(calls: System) -> None:
    """It has been counted to when the snapshot was taken, and comes after it each time."""
    calls.fail_syscall(EINTR, "mmap", 2)
    image = calls.snapshot()
    assert calls.run().status == EINTR
    calls.restore(image)
    assert calls.run().status == EINTR


def test_a_call_that_does_not_exist_cannot_fail(calls: System) -> None:
    with pytest.raises(EmuError, match="no system call is named swim"):
        calls.fail_syscall(EINTR, "swim")


def test_frames_are_refused_as_often_as_asked(calls: System) -> None:
    """One refusal: populating goes without the page, and all else works. All refused: the program cannot even start."""
    calls.refuse_frames(1, 1)
    assert calls.run().ending == "exited"
    assert calls.kernel.frames.refuse_after == -1


def test_frames_refused_for_good_kill_the_program() -> None:
    with System(Program("calls", "", assemble(CALLS), None)) as system:
        system.refuse_frames(1)
        assert system.run().status in (128 + 9, ENOMEM)
        assert system.kernel.frames.refuse_after == 0
