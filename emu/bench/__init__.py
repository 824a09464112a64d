"""The measurements behind `emu bench`, as a library.

cases/      what is measured, the bars, and what was reported elsewhere
guest.py    guest programs, timed by their laps; watch.py what is read from the kernel meanwhile
raw.py      the bare engine; host.py the same work natively
debugged.py the debugger
whole.py    whole processes: start-up, boot, idle memory; suite.py suites of guest tests
report.py   rows, yardsticks, verdicts; JSON and the table
plot.py     SVG; page.py HTML
programs/   the sources: guest assembly, and host.c

Everything is timed on the host. Runs of one bench are interleaved (emu, raw, host, emu, raw, host, ...) after a
first round that does not count, so that a busy moment of the host hits all of them. What takes seconds, or always comes
out the same, is done less often and has no such round.
"""

import gc
import os
import platform
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

from emu.bench.cases import ABOUT, BARS, BENCHES, HOST_FORK_MIB, SEEDS, Lab, Measurement
from emu.bench.guest import Guests
from emu.bench.host import Host, available_memory, find_memory
from emu.bench.page import to_html
from emu.bench.plot import to_svg
from emu.bench.report import Report, Row, row, to_json, to_table
from emu.errors import EmuError

__all__ = ["NAMES", "Report", "Row", "run", "to_html", "to_json", "to_svg", "to_table"]

NAMES: Final = tuple(BENCHES)
Progress = Callable[[str], None]


def run(
    names: Sequence[str] | None = None,
    *,
    runs: int = 7,
    quick: bool = False,
    host_fork_mib: int = HOST_FORK_MIB,
    progress: Progress | None = None,
) -> Report:
    """Measure what `names` names (all if None), each `runs` times.

    `quick` takes tiny loops: to see that everything works, not to know how fast. The host forks processes of up to
    `host_fork_mib` MiB (never more than half of what is free). `progress` is told the name of each bench as it
    begins. Raises EmuError for an unknown name, or a program that fails.
    """
    wanted = list(NAMES) if names is None else list(dict.fromkeys(names))
    unknown = [name for name in wanted if name not in BENCHES]
    if unknown:
        raise EmuError(f"no such measurement: {', '.join(unknown)}; there are {', '.join(NAMES)}")
    if runs < 1:
        raise EmuError(f"at least one run is needed, not {runs}")
    rows: list[Row] = []
    with Guests() as guests, Host() as host:
        lab = Lab(guests, host, quick, host_fork_mib)
        before = _load()
        for name in wanted:
            if progress is not None:
                progress(name)
            rows += _measure(list(BENCHES[name](lab)), runs)
    facts = {**machine(), "load_before": before, "load_after": _load(), "quick": quick}
    return Report(facts, rows, lab.skipped, BARS, SEEDS, ABOUT)


def _measure(measurements: Sequence[Measurement], runs: int) -> list[Row]:
    """Interleaved samples of these, one round of them unmeasured first."""
    found = [_Samples(measurement, runs) for measurement in measurements]
    for number in range(runs + 1):
        for samples in found:
            samples.take(number)
    return [row for samples in found for row in samples.rows()]


class _Samples:
    """What one measurement gave so far."""

    def __init__(self, measurement: Measurement, runs: int) -> None:
        self.measurement = measurement
        self.runs = min(runs, measurement.most or runs)
        self.values: list[list[float]] = [[] for _ in measurement.series]

    def take(self, number: int) -> None:
        """Sample number `number`; 0 is the one that does not count."""
        if number > self.runs or (self.measurement.most and not number):
            return
        find_memory(self.measurement.memory)
        gc.collect()  # systems are cyclic garbage; here, rather than in the middle of the next
        for values, value in zip(self.values, self.measurement.sample(), strict=True):
            if not number:
                continue
            if isinstance(value, Sequence):
                values.extend(value)
            else:
                values.append(value)

    def rows(self) -> list[Row]:
        """One per series."""
        series = zip(self.measurement.series, self.values, strict=True)
        return [row(self.measurement.bench, case, unit, values, self.runs) for (case, unit), values in series]


def machine() -> dict[str, Any]:
    """What the figures depend on: the host, and the versions."""
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count() or 0,
        "memory_mib": available_memory() >> 20,
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in ("unicorn", "numpy", "cr3lab")},
        "host_pages": "4 KiB",
    }


def _load() -> float:
    """Processes that wanted a CPU over the last minute: figures of a busy host are worth less."""
    return round(os.getloadavg()[0], 2)


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _cpu_model() -> str:
    if sys.platform == "linux":
        try:
            with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
                return next((line.split(":", 1)[1].strip() for line in file if line.startswith("model name")), "")
        except OSError:
            pass
    return platform.processor()
