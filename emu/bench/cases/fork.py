"""Fork by policy: how long it takes, what the faults after it cost, and when both together are worth it."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Final

from emu.bench.cases.lab import HOST_FORK_MIB, MIB, PAGE, TABLE, Lab, Measurement, Sample, first, microseconds, one, per
from emu.bench.cases.lab import split as nanoseconds
from emu.bench.guest import Guests
from emu.bench.host import Host, available_memory
from emu.bench.report import Case
from emu.bench.watch import Births
from mini_kernel.uapi.mman import CHILD_WRITE, PARENT_WRITE, SFORK_POPULATE
from mini_kernel.uapi.numbers import SYS_fork, SYS_odfork

#: What plain, private memory can be forked by: name -> system call.
POLICIES: Final[Mapping[str, int]] = {"classic": SYS_fork, "odf": SYS_odfork}
#: What makes shared memory and forks in one call: name -> flags of sfork.
SFORKS: Final[Mapping[str, int]] = {
    "sfork-populate": CHILD_WRITE | PARENT_WRITE | SFORK_POPULATE,
    "sfork-lazy": CHILD_WRITE | PARENT_WRITE,
}

_MIB: Final = (16, 64, 256, 1024, 2048, 8192, 51200)
_SFORK_MIB: Final = (16, 64, 256, 1024)
_ACCOUNTS_MIB: Final = 1024
_HOST_BYTES_PER_PAGE: Final = (
    40  # of host memory, per guest page present in a parent and a child: tables, counts, copies
)
_HOST_MIB_MAX: Final = 8192
_FORKS: Final = 3  # of one process, the mean of which is a sample


# -- fork --------------------------------------------------------------------------------------------


def fork(lab: Lab) -> Iterator[Measurement]:
    """Fork by memory present: microseconds in the kernel, of the whole call, of exit and wait, together and apart."""
    free = available_memory()
    for mib in (16,) if lab.quick else _MIB:
        need = mib * MIB // PAGE * _HOST_BYTES_PER_PAGE
        if free and need > free // 2:
            lab.skipped.append(f"fork {mib} MiB: needs {need // MIB} MiB of the host's {free // MIB}")
            continue
        yield from _fork_emu(lab, mib)
        limit = min(lab.host_fork_mib, _HOST_MIB_MAX, free // MIB // 2 if free else HOST_FORK_MIB)
        if mib > limit:
            lab.skipped.append(f"fork {mib} MiB on the host: more than {limit} MiB")
        elif lab.native(f"fork {mib} MiB"):
            yield Measurement("fork", _host_fork_series(mib), partial(_fork_host, lab.host, mib))
    yield from _fork_touched(lab)
    yield from _accounts(lab)


def _fork_emu(lab: Lab, mib: int) -> Iterator[Measurement]:
    for policy, number in POLICIES.items():
        yield Measurement("fork", _fork_series(policy, mib), partial(_fork_guest, lab.guests, policy, number, mib))
    if mib in _SFORK_MIB:
        for policy, flags in SFORKS.items():
            series = _fork_series(policy, mib, ("call", "exit+wait"))
            memory = mib * MIB if flags & SFORK_POPULATE else 0  # frames that come back are cleared
            yield Measurement("fork", series, partial(_sfork_guest, lab.guests, flags, mib), memory=memory)


def _fork_series(
    policy: str, mib: int, parts: Sequence[str] = ("call", "exit+wait", "exit", "wait")
) -> list[tuple[Case, str]]:
    case = {"policy": policy, "mib": mib}
    return [({**case, "where": "emu"}, "us"), *(({**case, "what": what, "where": "emu"}, "us") for what in parts)]


def _host_fork_series(mib: int) -> list[tuple[Case, str]]:
    """The host's call stands beside the kernel's part as well as beside the call."""
    case = {"policy": "classic", "mib": mib}
    parts = [({**case, "what": what, "where": "host"}, "us") for what in ("call", "exit+wait", "exit", "wait")]
    return [({**case, "where": "host"}, "us"), *parts]


def _fork_guest(guests: Guests, policy: str, number: int, mib: int) -> Sample:
    constants = {"BYTES": mib * MIB, "COUNT": _FORKS, "FORK": number}
    run = guests.run("fork.asm", constants=constants, memory=mib * MIB, laps=5 * _FORKS + 1)
    together, apart = run.splits[: 2 * _FORKS], run.splits[2 * _FORKS :]
    inside = float(run.ledger.fork_us[policy]) / (2 * _FORKS)
    return [inside, *(_mean(part) for part in (together[::2], together[1::2], apart[1::3], apart[2::3]))]


def _sfork_guest(guests: Guests, flags: int, mib: int) -> Sample:
    constants = {"BYTES": mib * MIB, "COUNT": _FORKS, "FLAGS": flags}
    run = guests.run("fork_sfork.asm", constants=constants, memory=mib * MIB, laps=3 * _FORKS)
    inside = float(run.ledger.fork_us["sfork"]) / _FORKS
    return [inside, _mean(run.splits[::3]), _mean(run.splits[1::3])]


def _fork_host(host: Host, mib: int) -> Sample:
    together = host.run("fork", mib * MIB, _FORKS)
    apart = host.run("apart", mib * MIB, _FORKS)
    call = _mean(together[::2])
    return [call, call, _mean(together[1::2]), _mean(apart[::2]), _mean(apart[1::2])]


def _mean(values: Sequence[int]) -> float:
    """Of nanoseconds, in microseconds."""
    return sum(values) / len(values) / 1000


def _fork_touched(lab: Lab) -> Iterator[Measurement]:
    mib, count = 4 if lab.quick else 64, lab.scaled(2000) // 100 or 2
    for policy, number in POLICIES.items():
        case = {"policy": policy, "mib": mib, "what": "touched+fork+exit+wait"}
        constants = {"BYTES": mib * MIB, "COUNT": count, "FORK": number}
        value = partial(per, count * 1000, nanoseconds, lab.guests, "fork_touched.asm", **constants)
        yield one("fork", {**case, "where": "emu"}, "us", value)
        if policy == "classic" and lab.native("fork touched"):
            value = partial(per, count * 1000, first, lab.host, "forks", mib * MIB, count)
            yield one("fork", {**case, "where": "host"}, "us", value)


_ACCOUNTS: Final = ("VmPTE", "VmRSS", "parent VmPTE", "parent VmRSS")


def _accounts(lab: Lab) -> Iterator[Measurement]:
    """What the kernel charges child and parent for, right after the fork."""
    mib = 16 if lab.quick else _ACCOUNTS_MIB
    for policy, number in POLICIES.items():
        case = {"policy": policy, "mib": mib}
        series = [({**case, "what": what, "where": "emu"}, "kB") for what in _ACCOUNTS]
        yield Measurement("fork", series, partial(_account, lab.guests, number, mib), most=1)


def _account(guests: Guests, number: int, mib: int) -> Sample:
    births = Births()
    constants = {"BYTES": mib * MIB, "COUNT": 1, "FORK": number}
    guests.run("fork.asm", constants=constants, memory=mib * MIB, laps=6, watch=births)
    return [births.figures[what] for what in _ACCOUNTS]


# -- fork-fault --------------------------------------------------------------------------------------

_TABLES, _HALF, _LATER = 32, 16, 4  # see fork_fault.asm
_KINDS: Final = ("first-write", "first-write-new-table", "later-write", "reuse-write", "read", "nothing", "worst-write")


def fork_fault(lab: Lab) -> Iterator[Measurement]:
    """Single accesses after a fork; microseconds each, the lap behind it (`nothing` alone) included."""
    tables, half, rounds = (4, 2, 2) if lab.quick else (_TABLES, _HALF, 9)
    for policy, number in POLICIES.items():
        series = [({"policy": policy, "kind": kind, "where": "emu"}, "us") for kind in _KINDS]
        sample = partial(_fault_guest, lab.guests, number, tables, half, rounds)
        yield Measurement("fork-fault", series, sample, memory=2 * tables * TABLE)
    if lab.native("fork-fault"):
        series = [({"policy": "classic", "kind": kind, "where": "host"}, "us") for kind in _KINDS]
        yield Measurement("fork-fault", series, partial(_fault_host, lab.host, tables, half, rounds))


def _fault_guest(guests: Guests, number: int, tables: int, half: int, rounds: int) -> Sample:
    size = (tables + 1) * TABLE
    constants = {"BYTES": size, "TABLES": tables, "HALF": half, "LATER": _LATER, "COUNT": rounds, "FORK": number}
    laps = rounds * _laps(tables, half)
    return kinds(guests.run("fork_fault.asm", constants=constants, memory=2 * size, laps=laps).splits, tables, half)


def _fault_host(host: Host, tables: int, half: int, rounds: int) -> Sample:
    return kinds(host.run("faults", tables, half, _LATER, rounds), tables, half)


def _laps(tables: int, half: int) -> int:
    """Laps of one round of fork_fault.asm: child, then parent."""
    return 1 + (2 + _LATER) * half + 1 + half + tables - half


def kinds(splits: Sequence[int], tables: int, half: int) -> Sample:
    """The splits of all rounds but the first, by _KINDS: that one is the first to use its frames.

    The child's part of a round is followed by a split that ends in the parent.
    """
    found: dict[str, list[int]] = {kind: [] for kind in _KINDS}
    lengths = ("first-write", 1), ("first-write-new-table", half - 1), ("later-write", _LATER * half), ("read", half)
    parent = ("", 1), ("nothing", half), ("reuse-write", tables - half), ("", 1)
    at = _laps(tables, half)
    while at < len(splits):
        for kind, length in (*lengths, *parent):
            if kind:
                found[kind] += splits[at : at + length]
            at += length
    found["worst-write"] = [max(value for kind in _KINDS if kind.endswith(("write", "table")) for value in found[kind])]
    return [microseconds(found[kind]) for kind in _KINDS]


# -- fork-total --------------------------------------------------------------------------------------

SHARES: Final = (0, 1, 5, 10, 25, 50, 75, 100)  # per cent, as in fork_total.asm
_STEPS: Final = {"sequential": PAGE, "spread": TABLE}
_TOTAL_RUNS: Final = 3
_NOISE: Final = 0.02


def fork_total(lab: Lab) -> Iterator[Measurement]:
    """Fork, a child that writes to a share of the pages, exit, wait; microseconds. Sequential, or spread: to one page
    of each 2 MiB before the second of any. `break-even` is the share from which on-demand fork takes longer, per cent.
    """
    for mib in (4,) if lab.quick else (64, 256):
        for order, step in _STEPS.items():
            case = {"mib": mib, "order": order}
            series = [
                ({"policy": policy, **case, "touched": share, "where": "emu"}, "us")
                for policy in POLICIES
                for share in SHARES
            ]
            end = {"policy": "odf", **case, "what": "break-even", "where": "emu"}
            sample = partial(_total_guest, lab.guests, mib, step)
            yield Measurement("fork-total", [*series, (end, "%")], sample, most=_TOTAL_RUNS, memory=2 * mib * MIB)


def _total_guest(guests: Guests, mib: int, step: int) -> Sample:
    size = mib * MIB + TABLE
    constants = {"BYTES": size, "TABLES": mib * MIB // TABLE, "STEP": step}
    times: dict[str, list[float]] = {}
    for policy, number in POLICIES.items():
        laps = 2 * len(SHARES)
        run = guests.run("fork_total.asm", constants={**constants, "FORK": number}, memory=2 * size, laps=laps)
        times[policy] = microseconds(run.splits[::2])
    return [*times["classic"], *times["odf"], break_even(times["classic"], times["odf"])]


def break_even(classic: Sequence[float], odf: Sequence[float]) -> float:
    """The share (per cent, between two of SHARES linearly) from which `odf` takes longer than `classic`, 100 if none.

    Longer means by more than _NOISE: with many pages touched both spend their time on the same copies of pages.
    """
    ahead = [(1 + _NOISE) * c - o for c, o in zip(classic, odf, strict=True)]
    behind = next((i for i, gain in enumerate(ahead) if gain < 0), None)
    if behind is None:
        return 100.0
    if not behind:
        return 0.0
    before, after = ahead[behind - 1], ahead[behind]
    return SHARES[behind - 1] + (SHARES[behind] - SHARES[behind - 1]) * before / (before - after)
