"""The ledger as a table: what `--stats` prints."""

from collections.abc import Mapping
from typing import Any, Final

_MAX_PROCESSES: Final = 32
_WIDTH: Final = 100
_LABEL: Final = 18
_TABLE_EVENTS: Final = ("allocated", "shared", "broken", "reused")


def stats_table(stats: Mapping[str, Any]) -> str:
    """The text of System.stats(), ending in a newline: totals, then one line per process."""
    total, frames = stats["total"], stats["frames"]
    rows = [
        ("user code", _user_code(total)),
        ("context switches", _count(total["context_switches"])),
        ("system calls", _breakdown(total["syscalls"])),
        ("unknown calls", _breakdown(total["unknown"])),
        ("page faults", _breakdown(total["faults"])),
        ("forks", _forks(total)),
        ("PTE tables", ", ".join(f"{_count(total[f'tables_{what}'])} {what}" for what in _TABLE_EVENTS)),
        ("copied", f"{_count(total['ptes_copied'])} PTEs, {_count(total['pages_copied'])} pages"),
        *_huge(total),
        ("signals", _breakdown(total["signals"])),
        ("frames", _frames(frames)),
        ("TLB flushes", f"{_count(stats['tlb_flushes'])}; of translated code {_count(stats['code_flushes'])}"),
    ]
    lines = ["ledger"]
    for label, text in rows:
        lines += [f"  {label if i == 0 else '':<{_LABEL}}{line}" for i, line in enumerate(_wrap(text))]
    return "\n".join(lines + _processes(stats["processes"])) + "\n"


def _huge(total: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What became of pages of 2 MiB, if there were any."""
    counts = [(what, total[f"huge_{what}"]) for what in ("allocated", "copied", "split")]
    text = ", ".join(f"{_count(n)} {what}" for what, n in counts)
    return [("huge pages", text)] if any(n for _what, n in counts) else []


def _count(n: int) -> str:
    return f"{n:,}"


def _user_code(total: Mapping[str, Any]) -> str:
    blocks = f"{_count(total['blocks'])} blocks"
    return f"{blocks}, {_count(total['instructions'])} instructions" if "instructions" in total else blocks


def _breakdown(counts: Mapping[str, int]) -> str:
    """The sum, then what it is made of, the most frequent first."""
    if not counts:
        return "0"
    parts = sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))
    return f"{_count(sum(counts.values()))}: {', '.join(f'{name} {_count(n)}' for name, n in parts)}"


def _forks(total: Mapping[str, Any]) -> str:
    forks, microseconds = total["forks"], total["fork_us"]
    if not forks:
        return "0"
    kinds = (f"{kind} {_count(n)} ({microseconds.get(kind, 0):,.1f} us)" for kind, n in forks.items())
    return f"{_count(sum(forks.values()))}: {', '.join(kinds)}"


def _frames(frames: Mapping[str, int]) -> str:
    return (
        f"{_count(frames['allocated'])} allocated, {_count(frames['in_use'])} in use, peak {_count(frames['peak'])}, "
        f"of {_count(frames['total'])}"
    )


def _wrap(text: str) -> list[str]:
    """Break at commas, so that lines stay within the width."""
    lines = [""]
    for part in text.split(", "):
        if lines[-1] and len(lines[-1]) + len(part) + 2 > _WIDTH - _LABEL:
            lines[-1] += ","
            lines.append("")
        lines[-1] += (", " if lines[-1] else "") + part
    return lines


def _processes(processes: list[Mapping[str, Any]]) -> list[str]:
    """A table in the order of their end; the first ones only where there are very many."""
    if not processes:
        return []
    lines = [f"  {'process':>7}{'blocks':>14}{'switches':>10}{'syscalls':>10}{'faults':>8}{'forks':>7}  name"]
    for process in processes[:_MAX_PROCESSES]:
        sums = (sum(process[key].values()) for key in ("syscalls", "faults", "forks"))
        syscalls, faults, forks = sums
        lines.append(
            f"  {process['pid']:>7}{process['blocks']:>14,}{process['context_switches']:>10,}{syscalls:>10,}"
            f"{faults:>8,}{forks:>7,}  {process['name']}"
        )
    if len(processes) > _MAX_PROCESSES:
        lines.append(f"  and {len(processes) - _MAX_PROCESSES:,} more")
    return lines
