"""Input and output: a byte through a pipe, a small file from open to close, large reads and writes."""

from collections.abc import Iterator
from functools import partial
from typing import Final

from emu.bench.cases.lab import MIB, Lab, Measurement, first, one, per, split
from emu.bench.guest import Guests

PIECE: Final = 1 << 16  # bytes of one large read or write
TOTAL: Final = 64 * MIB
READS: Final = 4  # of the whole file
SERIES: Final = ("write", "read")


def pipe_byte(lab: Lab) -> Iterator[Measurement]:
    """One byte into a pipe and out again, by one process; microseconds a call, write or read."""
    count = lab.scaled(20_000)
    row = partial(one, "pipe-byte", unit="us")
    case = {"call": "write or read"}
    value = partial(per, 2000 * count, split, lab.guests, "pipe_byte.asm", COUNT=count)
    yield row({**case, "where": "emu"}, value=value)
    if lab.native("pipe-byte"):
        yield row({**case, "where": "host"}, value=partial(per, 2000 * count, first, lab.host, "pipe-byte", count))


def file_open(lab: Lab) -> Iterator[Measurement]:
    """open, fstat, read, close of a file of 200 bytes; microseconds for the four."""
    count = lab.scaled(10_000)
    row = partial(one, "file-open", unit="us")
    case = {"calls": "open+fstat+read+close"}
    value = partial(per, 1000 * count, split, lab.guests, "file_open.asm", COUNT=count)
    yield row({**case, "where": "emu"}, value=value)
    if lab.native("file-open"):
        yield row({**case, "where": "host"}, value=partial(per, 1000 * count, first, lab.host, "file-open", count))


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
