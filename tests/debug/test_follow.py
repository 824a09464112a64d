"""Whom a step goes along with when the task forks: the parent, the child, or both."""

import pytest
from debug_lab import debugged, example, source

from emu.debug import Debugger, Ended, Stepped, TaskGone
from emu.debug.plan import Follow
from emu.debug.steps import steps
from mini_kernel.x86 import RAX, RIP

FORKS = """.text
_start:
    call work
behind:
    mov edi, 0
    mov eax, SYS_exit_group
    syscall
work:
    mov eax, SYS_fork
    syscall
    test eax, eax
    jnz parent
    mov ecx, 50
spin: loop spin
    ret
parent:
    ret
"""


@pytest.mark.parametrize(("follow", "sides"), [("parent", [1]), ("child", [2]), ("both", [1, 2])])
def test_a_step_over_a_call_that_forks(follow: Follow, sides: list[int]) -> None:
    """It ends behind the call in those that are followed, in each when it gets there, whatever verb runs meanwhile."""
    with debugged(source(FORKS)) as d:
        d.follow = follow
        stops = [d.next()]
        while not isinstance(stops[-1], Ended):
            stops.append(d.cont())
        assert [(type(s), s.tid, s.rip) for s in stops[:-1]] == [(Stepped, tid, d.locate("behind")) for tid in sides]


def test_a_child_that_is_gone_owes_nothing() -> None:
    """Only the parent comes back from the call: the child's end is no stop; a parent that ends is one."""
    text = FORKS.replace("spin: loop spin", "mov edi, 0\n    mov eax, SYS_exit_group\n    syscall")
    with debugged(source(text)) as d:
        d.follow = "both"
        assert isinstance(d.next(), Stepped)
        assert isinstance(d.cont(), Ended)
    text = text.replace("jnz parent", "jz parent")
    with debugged(source(text)) as d:
        d.follow = "both"
        assert isinstance(d.next(), TaskGone)


def test_what_is_owed_is_not_when_the_past_is_changed_or_another_step_is_made() -> None:
    with debugged(source(FORKS)) as d:
        d.follow = "both"
        first = d.next()
        d.back()
        d.go(first.time)
        assert isinstance(d.cont(), Ended)
        d.go(first.time)
        d.back_over()
        assert isinstance(d.next(), Stepped)
        while d.current is None or d.current.tid == 1:
            d.step()
        assert isinstance(d.next(), Stepped) and isinstance(d.cont(), Ended)


def test_steps_of_both_are_of_all_that_runs_and_are_undone_by_steps_back() -> None:
    """One after the other they are the steps made in bulk; back from each is where it began."""
    with debugged(example("fork_cow.asm"), quantum=3) as d:
        bulk = steps(d, 200)
        d.go(0)
        d.follow = "both"
        told: list[tuple[int, int, int]] = []
        while d.current is not None:
            told.append(_where(d))
            d.step()
        assert told == [
            (tid, row[RIP], row[RAX]) for tid, row in zip(bulk.tids.tolist(), bulk.rows.tolist(), strict=True)
        ]
        assert {tid for tid, _rip, _rax in told} == {1, 2}
        after = d.now.instructions
        for count in (1, 1, 1, 7, 20):
            after -= count
            d.back(count)
            assert _where(d) == told[after]


def _where(d: Debugger) -> tuple[int, int, int]:
    return d.current.tid if d.current else 0, d.machine.regs[RIP], d.machine.regs[RAX]
