"""Input and output: a byte through a pipe, a small file from open to close, large reads and writes."""

from collections.abc import Iterator
from functools import partial
from typing import Final

from emu.bench.cases.lab import MIB, Case, Lab, Measurement, first, one, per, split
from emu.bench.guest import Guests

PIECE: Final = 1 << 16  # bytes of one large read or write
TOTAL: Final = 64 * MIB
READS: Final = 4  # of the whole file
SERIES: Final = ("write", "read")


def pipe_byte(lab: Lab) -> Iterator[Measurement]:
    """One byte into a pipe and out again, by one process; microseconds a call, write or read."""
    return _calls(lab, "pipe-byte", "pipe_byte.asm", {"call": "write or read"}, lab.scaled(20_000), 2)


def file_open(lab: Lab) -> Iterator[Measurement]:
    """open, fstat, read, close of a file of 200 bytes; microseconds for the four."""
    return _calls(lab, "file-open", "file_open.asm", {"calls": "open+fstat+read+close"}, lab.scaled(10_000), 1)


def _calls(lab: Lab, bench: str, program: str, case: Case, count: int, parts: int) -> Iterator[Measurement]:
    """What the lab and the host take for a `parts`-th of a round, of which each does `count`."""
    row = partial(one, bench, unit="us")
    nanoseconds = 1000 * parts * count
    yield row({**case, "where": "emu"}, value=partial(per, nanoseconds, split, lab.guests, program, COUNT=count))
    if lab.native(bench):
        yield row({**case, "where": "host"}, value=partial(per, nanoseconds, first, lab.host, bench, count))


def file_read(lab: Lab) -> Iterator[Measurement]:
    """A file of 64 MiB in pieces of 64 KiB, written to new pages and read into warm memory; megabytes a second."""
    total = MIB if lab.quick else TOTAL
    work = total * 1000, total * READS * 1000  # bytes a nanosecond are thousands of megabytes a second
    for where in ("emu", "host"):
        if where == "host" and not lab.native("file-read"):
            continue
        series = [({"call": call, "piece": "64 KiB", "where": where}, "MB/s") for call in SERIES]
        measure = partial(_guest, lab.guests, total) if where == "emu" else partial(lab.host.run, "file-read", total)
        yield Measurement("file-read", series, partial(_rates, work, measure), memory=2 * total)


def _guest(guests: Guests, total: int) -> list[int]:
    """Nanoseconds for the writing, and for the reading."""
    constants = {"BYTES": PIECE, "TOTAL": total, "COUNT": READS}
    return guests.run("file_read.asm", constants=constants, memory=2 * total, laps=3).splits


def _rates(work: tuple[int, int], measure: "partial[list[int]]") -> list[float]:
    return [done / ns for done, ns in zip(work, measure(), strict=True)]
