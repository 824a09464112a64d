"""What the debugger costs."""

from collections.abc import Iterator
from functools import partial

from emu.bench import debugged
from emu.bench.cases.lab import Lab, Measurement, one


def debug(lab: Lab) -> Iterator[Measurement]:
    """Steps and trace lines a second, a million instructions back, a fault explained, a run recorded."""
    elf = lab.guests.elf("debugged.asm")
    row = partial(one, "debug")
    many = lab.scaled(1_000_000)
    yield row({"what": "single steps", "where": "emu"}, "/s", partial(debugged.step_rate, elf, many // 10))
    yield row({"what": "steps in bulk", "where": "emu"}, "/s", partial(debugged.bulk_rate, elf, many))
    yield row({"what": "trace lines", "where": "emu"}, "/s", partial(debugged.trace_rate, elf, lab.scaled(200_000)))
    yield row({"what": "1,000,000 steps back", "where": "emu"}, "ms", partial(debugged.back_ms, elf, many))
    yield row({"what": "a fault explained", "where": "emu"}, "ms", partial(debugged.report_ms, elf))
    yield row({"what": "recorded / plain run", "where": "emu"}, "x", partial(debugged.recording_factor, elf))
