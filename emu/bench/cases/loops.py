"""What fork is used for: a fork server that runs one input per child, a store that is saved while it serves."""

from collections.abc import Iterator, Sequence
from functools import partial
from statistics import median
from typing import Final

from emu.bench.cases.fork import POLICIES
from emu.bench.cases.lab import MIB, SEED, Lab, Measurement, Sample, first, one, rate, split
from emu.bench.guest import Guests
from emu.bench.host import Host
from emu.bench.report import Case


def snapshot(lab: Lab) -> Iterator[Measurement]:
    """A fork server, as fuzzers use one: fork, the child parses one input, exit, wait; executions a second."""
    mib, count = (16, 16) if lab.quick else (256, 200)
    row = partial(one, "snapshot", unit="/s")
    for policy, number in POLICIES.items():
        constants = {"BYTES": mib * MIB, "COUNT": count, "FORK": number}
        value = partial(rate, count * 1e9, split, lab.guests, "snapshot.asm", **constants)
        yield row({"policy": policy, "mib": mib, "where": "emu"}, value=value, memory=mib * MIB)
    if lab.native("snapshot"):
        value = partial(rate, count * 1e9, first, lab.host, "snapshot", mib * MIB, count)
        yield row({"policy": "classic", "mib": mib, "where": "host"}, value=value, memory=mib * MIB)


_PAUSES: Final = ("longest pause", "fork", "slowest burst", "median burst")
_BATCH: Final = 4  # writes in a burst
_WALK: Final = 4096  # slots that the child reads in a turn
_NO_PREEMPTION: Final = 1 << 40  # blocks: the child's turns stay out of the parent's bursts


def redis_like(lab: Lab) -> Iterator[Measurement]:
    """A hash table, a quarter full, saved by fork while it is written to: how long the parent is held up, microseconds.

    A burst is four writes to random keys. On the host the child has a CPU of its own; here it has its turns in between.
    """
    bits, bursts = (14, 8) if lab.quick else (22, 512)
    mib = (64 << bits) // MIB
    memory = 2 * mib * MIB
    for policy, number in POLICIES.items():
        series = _pause_series(policy, mib, "emu")
        yield Measurement("redis-like", series, partial(_pauses_guest, lab.guests, number, bits, bursts), memory=memory)
    if lab.native("redis-like"):
        series = _pause_series("classic", mib, "host")
        yield Measurement("redis-like", series, partial(_pauses_host, lab.host, bits, bursts), memory=memory)


def _pause_series(policy: str, mib: int, where: str) -> list[tuple[Case, str]]:
    return [({"policy": policy, "mib": mib, "what": what, "where": where}, "us") for what in _PAUSES]


def _pauses_guest(guests: Guests, number: int, bits: int, bursts: int) -> Sample:
    constants = {
        "BYTES": 64 << bits, "BITS": bits, "KEYS": 1 << bits - 2, "BURSTS": bursts, "BATCH": _BATCH, "WALK": _WALK,
        "SEED": SEED, "FORK": number,
    }  # fmt: skip
    memory, laps = 2 * constants["BYTES"], 2 + 2 * bursts
    run = guests.run("redis_like.asm", constants=constants, memory=memory, laps=laps, quantum=_NO_PREEMPTION)
    return _pauses(run.splits[0], run.splits[2::2])


def _pauses_host(host: Host, bits: int, bursts: int) -> Sample:
    call, *rest = host.run("redis", bits, bursts, _BATCH)
    return _pauses(call, rest)


def _pauses(call: int, bursts: Sequence[int]) -> Sample:
    """By _PAUSES, from nanoseconds."""
    return [value / 1000 for value in (max(call, *bursts), call, max(bursts), median(bursts))]
