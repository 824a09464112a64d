"""Systems on warm machines: when one has ended, its machine is made as new for the next of its kind.

Making an engine is most of what booting costs. What a machine remembers is little, and Machine.recycle puts it back;
the kernel is another one each time.
"""

from collections import OrderedDict
from collections.abc import Sequence
from types import TracebackType
from typing import Final, NamedTuple

from emu.boot import Options, Streams, System
from emu.machine import Machine
from emu.program import Program

_KEPT: Final = 8  # idle machines, each with up to 32 MiB of translated code


class _Kind(NamedTuple):
    """What is decided when a machine is made."""

    memory: int
    quantum: int
    slices: str | None
    exact: bool
    scheduled: bool
    traced: bool


_idle: OrderedDict[_Kind, list[Machine]] = OrderedDict()  # by kind; the kind used last is at the end


class WarmSystem(System):
    """A system for the length of a `with` statement, on a machine that another one has left behind if there is one.

    When that ends without an exception its machine is kept. Nothing of it may be used afterwards but plain values.
    """

    def __init__(
        self,
        program: Program,
        arguments: Sequence[str] = (),
        options: Options | None = None,
        streams: Streams | None = None,
    ) -> None:
        o = options or Options()
        exact = o.exact or o.max_insns is not None
        self._kind = _Kind(o.memory & -4096, o.quantum, o.slice_method, exact, o.schedule is not None, o.traced)
        plain = not (o.debug or o.record)
        super().__init__(program, arguments, o, streams, machine=_take(self._kind) if plain else None)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if error is None and self.machine.recyclable:
            _keep(self._kind, self.detach())
        else:
            self.close()


def _take(kind: _Kind) -> Machine | None:
    machines = _idle.get(kind)
    return machines.pop() if machines else None


def _keep(kind: _Kind, machine: Machine) -> None:
    _idle.setdefault(kind, []).append(machine)
    _idle.move_to_end(kind)
    while sum(map(len, _idle.values())) > _KEPT:
        oldest = next(machines for machines in _idle.values() if machines)
        oldest.pop().close()
