"""The report of the OOM killer: who asked for memory, who had it, who was killed and why, as dmesg tells it."""

from collections.abc import Iterator

from mini_kernel.oom import OomRecord, OomRow
from mini_kernel.x86 import PAGE_SHIFT


def oom_report(record: OomRecord) -> str:
    """The report, ending in a newline. Sizes in the table are in pages, as in Linux's."""
    return "\n".join(_lines(record)) + "\n"


def _kib(pages: int) -> str:
    return f"{pages << PAGE_SHIFT - 10}kB"


def _lines(record: OomRecord) -> Iterator[str]:
    tid, name, adjustment = record.asker
    yield f"{name} invoked oom-killer: thread {tid}, order=0, oom_score_adj={adjustment}"
    yield (
        f"Mem-Info: total:{_kib(record.total)} free:{_kib(record.free)} page tables:{_kib(record.tables)} "
        f"files and shared memory:{_kib(record.cached)}"
    )
    yield "Tasks state (memory values in pages):"
    yield "[  pid  ] total_vm      rss rss_anon rss_file   tables oom_score_adj  badness name"
    yield from map(_row, record.rows)
    if record.more:
        yield f"and {record.more} smaller process{'' if record.more == 1 else 'es'}"
    yield from _verdict(record)


def _row(row: OomRow) -> str:
    badness = "-" if row.badness is None else str(row.badness)
    return (
        f"[{row.tgid:7}] {row.total:8} {row.anon + row.file:8} {row.anon:8} {row.file:8} {row.tables:8} "
        f"{row.adjustment:13} {badness:>8} {row.name}"
    )


def _verdict(record: OomRecord) -> Iterator[str]:
    victim = record.victim
    if victim is None:
        yield f"Out of memory and no killable processes: process of thread {record.asker[0]} ends as it cannot go on"
        return
    yield (
        f"Out of memory: Killed process {victim.tgid} ({victim.name}) total-vm:{_kib(victim.total)}, "
        f"anon-rss:{_kib(victim.anon)}, file-rss:{_kib(victim.file)}, pgtables:{_kib(victim.tables)} "
        f"oom_score_adj:{victim.adjustment}"
    )
    when = f"{_kib(record.freed)} came free at once" if record.freed else "its memory comes free when it ends"
    yield f"why: no process has more resident pages, page tables and adjustment ({victim.badness}); {when}"
