"""The `emulate` fixture: guest programs run from tests written in Python."""

import inspect
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from emu.api import Result, Source
from emu.api import boot as boot_system
from emu.api import result as result_of
from emu.boot import System
from emu.errors import EmuError
from emu.program import Program
from emu.render.trace import lines, recorder
from emu.testing.evidence import Cover
from emu.testing.golden import compare_golden, golden_path
from emu.testing.loading import load
from emu.testing.variants import FORK_CALLS, NO_SFORK
from emu.testing.warm import WarmSystem
from emu.trace import Filter

_OPTIONS: Final = frozenset(inspect.signature(boot_system).parameters)


@dataclass(frozen=True)
class Emulated(Result):
    """A Result that can be compared with a golden trace."""

    again: "Again | None" = field(default=None, repr=False)

    def golden(self, name: str = "trace", filter: str = "") -> None:
        """Compare this run's trace with the one kept as `golden/TEST.NAME.trace`; --emu-update keeps it.

        `filter` says what is recorded (emu.trace.Filter). Runs are repeatable: the trace is that of a second run. Under
        the fixture `fork_kind` each kind has a trace of its own, `golden/TEST.NAME.KIND.trace`; under an interleaving
        that --schedules or --emu-seed has chosen, where events come in another order, nothing is compared.
        Raises GoldenMismatch, which shows a diff.
        """
        assert self.again is not None
        self.again.golden(name, filter)


@dataclass(frozen=True)
class Again:
    """How to do the same run again."""

    emulate: "Emulate"
    prog: Source
    args: Sequence[str]
    options: dict[str, Any]

    def golden(self, name: str, chosen: str) -> None:
        """See Emulated.golden."""
        wanted = Filter(chosen)
        if self.emulate.schedule is not None:
            return
        if self.emulate.fork is not None:
            name = f"{name}.{self.emulate.fork}"
        options = {**self.options, "traced": True} if wanted.functions() else self.options
        with self.emulate.boot(self.prog, self.args, kind=WarmSystem, **options) as system:
            made = recorder(system, wanted)
            system.run()
            made.close()
            compare_golden(golden_path(self.emulate.test, name), lines(made.events), self.emulate.update, chosen)


class Emulate:
    """Runs programs; relative paths are looked for beside the test, then in the current directory."""

    def __init__(
        self, test: Path, fork: str | None, schedule: int | None, memory: int, update: bool, cover: Cover | None = None
    ) -> None:
        """`fork` and `schedule` are None where nothing chooses them."""
        self.test, self.update = test, update
        self._cover = cover
        self.fork, self.schedule, self._memory = fork, schedule, memory
        self.results: list[Result] = []

    def __call__(self, prog: Source, args: Sequence[str] = (), **options: Any) -> Emulated:
        """Run to the end. `options` are those of `emu.boot`; a fork policy may be sfork, as in `fork_kind`."""
        options.setdefault("exact", False)
        with self.boot(prog, args, kind=WarmSystem, **options) as system:
            made = result_of(system, system.run())
            found = Emulated(**vars(made), again=Again(self, prog, args, options))
        self.results.append(found)
        return found

    def unasked(self) -> str:
        """Why the runs so far say nothing about the kind of fork that they were to be under, "" if they do."""
        ran = [result for result in self.results if not result.ledger["total"]["forks"].get("sfork")]
        if self.fork != "sfork" or not ran or len(ran) < len(self.results):
            return ""
        return f"{ran[-1].program.name}: {NO_SFORK}"

    def boot(self, prog: Source, args: Sequence[str] = (), **options: Any) -> System:
        """A system before its first instruction."""
        fork = options.pop("fork", self.fork or "classic")
        call = FORK_CALLS.get(fork, FORK_CALLS["classic"])
        env: dict[str, str] = {"FORK_CALL": str(call), **(options.pop("env", None) or {})}
        chosen: dict[str, Any] = {"schedule": self.schedule, "memory": self._memory, **options}
        if unknown := sorted(chosen.keys() - _OPTIONS):
            raise EmuError(f"there is no option {unknown[0]}; emu.boot has {', '.join(sorted(_OPTIONS))}")
        assembler: str = chosen.pop("assembler", "keystone")
        syntax: str = chosen.pop("syntax", "intel")
        if not isinstance(prog, Program):
            prog = load(self._find(prog), assembler, syntax, call)
        traced = bool(chosen.pop("traced", False)) or self._cover is not None
        system = boot_system(prog, args, fork="classic" if fork == "sfork" else fork, env=env, traced=traced, **chosen)
        if self._cover is not None:
            self._cover(system)
        return system

    def _find(self, prog: str | os.PathLike[str]) -> str:
        beside = self.test.parent / os.fspath(prog)
        return str(beside) if beside.exists() else os.fspath(prog)

    def sections(self) -> Iterator[tuple[str, str]]:
        """What a failed test shows of its guests: how they ended, and the fault reports."""
        for result in self.results:
            if result.records:
                yield f"{result.program.name}: fault report", result.fault_report()
            if result.stderr:
                yield f"{result.program.name}: stderr", result.stderr.decode(errors="replace")
