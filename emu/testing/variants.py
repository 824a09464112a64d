"""The tests that one plan makes: every combination of fork policy, schedule and RAM."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from emu.program import Program
from emu.testing.grammar import Plan
from mini_kernel.uapi.numbers import SYS_fork, SYS_odfork, SYS_sfork

#: What `FORK_CALL` is in assembly sources and in the guest's environment: the call that makes this kind of child.
FORK_CALLS: Final = {"classic": SYS_fork, "odf": SYS_odfork, "sfork": SYS_sfork}

NO_SFORK: Final = "no child was made by sfork, which fork(2) never is: let the program make its children by FORK_CALL"


@dataclass
class Variant:
    """One test. `fork`, `seed` and `memory` are None where the plan does not say."""

    plan: Plan
    fork: str | None = None
    seed: int | None = None
    memory: int | None = None
    loaded: Program | None = None

    @property
    def program(self) -> Program:
        """The program; whoever runs a variant sets it first."""
        assert self.loaded is not None
        return self.loaded

    @property
    def as_written(self) -> bool:
        """False if the command line has chosen what changes a trace: the order of events, or the kind of fork."""
        return (self.seed is None or bool(self.plan.seeds)) and (self.fork is None or bool(self.plan.forks))

    @property
    def policy(self) -> str:
        """What plain fork(2) means. A program calls sfork by itself, as it says what is to be shared."""
        return "odf" if self.fork == "odf" else "classic"

    @property
    def fork_call(self) -> int:
        """The number of the system call that makes this kind of child."""
        return FORK_CALLS[self.fork or "classic"]

    @property
    def environment(self) -> dict[str, str]:
        """What the variant adds to the guest's environment."""
        return {"FORK_CALL": str(self.fork_call)} if self.fork is not None else {}

    @property
    def id(self) -> str:
        """`odf-64M-seed3`; "" where there is only one."""
        parts = [self.fork or "", size(self.memory) if self.memory else ""]
        return "-".join(part for part in (*parts, f"seed{self.seed}" if self.seed is not None else "") if part)


def size(count: int) -> str:
    """Bytes as `64M`."""
    for letter, shift in (("G", 30), ("M", 20), ("K", 10)):
        if not count & (1 << shift) - 1:
            return f"{count >> shift}{letter}"
    return str(count)


def variants(
    plan: Plan, seeds: Sequence[int] = (), forks: Sequence[str] = (), memories: Sequence[int] = ()
) -> Iterator[Variant]:
    """All combinations, in the order of the lines. The arguments are for plans that do not say."""
    kinds: Sequence[str | None] = plan.forks or forks or (None,)
    sizes: Sequence[int | None] = plan.memories or memories or (None,)
    chosen: Sequence[int | None] = plan.seeds or seeds or (None,)
    for fork, memory, seed in itertools.product(kinds, sizes, chosen):
        yield Variant(plan, fork, seed, memory)
