"""Measurements, and what they share: the assembled guests, the host's program, small arithmetic."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from emu.bench.guest import Guests
from emu.bench.host import Host
from emu.bench.report import Case

MIB: Final = 1 << 20
PAGE: Final = 4096
TABLE: Final = 2 * MIB  # what one PTE table maps
HOST_FORK_MIB: Final = 2048  # how much the host forks by default; its pages, unlike the guest's, must really be there
SEED: Final = 88172645463325252  # of every xorshift generator (Marsaglia 2003)

Sample = Sequence[float | Sequence[float]]


@dataclass(frozen=True)
class Measurement:
    """One thing that is done, and the rows it gives: `sample` does it once, and returns for each series a value, or
    several to go into the same median.

    `most` limits how often: for what takes seconds, or comes out the same each time. It needs no warm-up then.
    `memory` is how many bytes of the host's memory it writes to, to be found before.
    """

    bench: str
    series: Sequence[tuple[Case, str]]  # case and unit
    sample: Callable[[], Sample]
    most: int = 0
    memory: int = 0


@dataclass
class Lab:
    """What measurements need, and a list of those that cannot be made here."""

    guests: Guests
    host: Host
    quick: bool = False
    host_fork_mib: int = HOST_FORK_MIB
    skipped: list[str] = field(default_factory=list[str])

    def scaled(self, count: int) -> int:
        """A loop count: a hundredth of it in a quick run."""
        return max(1, count // 100) if self.quick else count

    def native(self, bench: str) -> bool:
        """True if the host can do the same work; else that is noted."""
        if self.host.missing:
            self.skipped.append(f"{bench} on the host: {self.host.missing}")
        return not self.host.missing


def one(bench: str, case: Case, unit: str, value: Callable[[], float], most: int = 0, memory: int = 0) -> Measurement:
    """A measurement with one row."""
    return Measurement(bench, [(case, unit)], lambda: [value()], most, memory)


def split(guests: Guests, *names: str, **constants: int) -> int:
    """Nanoseconds between the two laps of a guest program."""
    return guests.run(*names, constants=constants, memory=constants.get("BYTES", 0)).splits[0]


def first(host: Host, *arguments: str | int) -> int:
    """The first figure of the host's program."""
    return host.run(*arguments)[0]


def per(divisor: float, function: Callable[..., int], *arguments: Any, **parameters: Any) -> float:
    """What a function measures, divided."""
    return function(*arguments, **parameters) / divisor


def rate(work: float, function: Callable[..., float], *arguments: Any, **parameters: Any) -> float:
    """Work per nanosecond measured."""
    return work / function(*arguments, **parameters)


def microseconds(nanoseconds: Sequence[int]) -> list[float]:
    """Each in microseconds."""
    return [value / 1000 for value in nanoseconds]
