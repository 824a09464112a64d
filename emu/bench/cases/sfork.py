"""Memory that processes share: made by System V calls, by a file, by sfork at once, by sfork on first touch."""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Final

from emu.bench.cases.lab import MIB, SEED, Lab, Measurement, Sample, first, one, per
from emu.bench.guest import Guests
from emu.bench.host import available_memory
from emu.bench.report import Case
from emu.bench.watch import SharedFaults
from mini_kernel.uapi.mman import MAP_POPULATE, MAP_SFORK

#: policy -> (the source of `region`, flags of its mmap)
REGIONS: Final[Mapping[str, tuple[str, int]]] = {
    "shm": ("region_shm.asm", 0),
    "sfork-file": ("region_file.asm", 0),
    "sfork-lazy": ("region_mmap.asm", MAP_SFORK),
    "sfork-populate": ("region_mmap.asm", MAP_SFORK | MAP_POPULATE),
}
#: access -> (the source of `touch`, processes)
ACCESSES: Final[Mapping[str, tuple[str, int]]] = {
    "abundant": ("touch_all.asm", 2),
    "sparse": ("touch_sparse.asm", 2),
    "random": ("touch_random.asm", 2),
    "five": ("touch_random.asm", 5),
}
_MIB: Final = (32, 128, 512, 1024)
_RUNS: Final = 2  # half a million faults take seconds


def sfork(lab: Lab) -> Iterator[Measurement]:
    """From before the memory is made to after the last wait, in milliseconds; and the page faults on that memory.

    abundant: two processes write to every page; sparse: to three pages each; random: each to a quarter of the pages,
    drawn with replacement, the same draws; five: the same with five processes. Powers of two only, for the draws.
    """
    free = available_memory()
    for access in ACCESSES:
        for mib in (4,) if lab.quick else _MIB:
            if free and mib > free // MIB // 4:
                lab.skipped.append(f"sfork {mib} MiB: more than a quarter of the host's {free // MIB}")
                continue
            for policy in REGIONS:
                yield from _policy(lab, {"policy": policy, "mib": mib, "access": access})
            if lab.native(f"sfork {access} {mib} MiB"):
                yield _shm_host(lab, mib, access)


def _policy(lab: Lab, case: Mapping[str, str | int]) -> Iterator[Measurement]:
    """Its time, and, watched and therefore not timed, its faults."""
    series = [({**case, "where": "emu"}, "ms")]
    size = int(case["mib"]) * MIB
    yield Measurement("sfork", series, partial(_time, lab.guests, case), most=_RUNS, memory=size)
    series = [({**case, "what": "faults", "where": "emu"}, "faults")]
    yield Measurement("sfork", series, partial(_faults, lab.guests, case), most=1)


def _time(guests: Guests, case: Case) -> Sample:
    return [run(guests, case) / 1e6]


def _faults(guests: Guests, case: Case) -> Sample:
    watch = SharedFaults()
    run(guests, case, watch)
    return [watch.count]


def run(guests: Guests, case: Case, watch: SharedFaults | None = None) -> int:
    """Nanoseconds of one run of a case (policy, mib, access)."""
    size = int(case["mib"]) * MIB
    region, flags = REGIONS[str(case["policy"])]
    touch, processes = ACCESSES[str(case["access"])]
    constants = {"BYTES": size, "FLAGS": flags, "PROCESSES": processes, "SEED": SEED}
    return guests.run("sfork.asm", region, touch, constants=constants, memory=size, watch=watch).splits[0]


def _shm_host(lab: Lab, mib: int, access: str) -> Measurement:
    case = {"policy": "shm", "mib": mib, "access": access, "where": "host"}
    processes = ACCESSES[access][1]
    word = "random" if access == "five" else access
    value = partial(per, 1e6, first, lab.host, f"shm-{word}", mib * MIB, processes)
    return one("sfork", case, "ms", value, most=_RUNS, memory=mib * MIB)
