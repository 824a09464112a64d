"""What was measured, and how it compares: rows, yardsticks, bars; as JSON and as a table."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any, Final

SCHEMA: Final = 1

Case = Mapping[str, str | int]


@dataclass(frozen=True)
class Row:
    """One measurement. `case` says of what; its `where` is emu, host (natively) or raw (the bare engine)."""

    bench: str
    case: Case
    unit: str
    median: float
    min: float
    max: float
    runs: int

    @property
    def where(self) -> str:
        """emu, host or raw."""
        return str(self.case["where"])

    def subject(self) -> dict[str, str | int]:
        """The case without the place: what rows to compare have in common."""
        return {key: value for key, value in self.case.items() if key != "where"}


def row(bench: str, case: Case, unit: str, samples: Sequence[float]) -> Row:
    """The row of these samples (at least one)."""
    return Row(bench, dict(case), unit, median(samples), min(samples), max(samples), len(samples))


@dataclass(frozen=True)
class Bar:
    """What an emu row must reach: a limit in its unit, or a factor of the same case elsewhere.

    With `at_least` the value must not be below, else not above.
    """

    bench: str
    subject: Case
    limit: float
    against: str = ""  # host or raw: `limit` is a factor
    at_least: bool = False

    def applies(self, row: Row) -> bool:
        """True for the one row this is about."""
        return row.where == "emu" and row.bench == self.bench and row.subject() == self.subject

    def text(self, unit: str) -> str:
        """As the table shows it."""
        sign = ">=" if self.at_least else "<="
        return f"{sign} {number(self.limit)}{'x ' + self.against if self.against else ' ' + unit}"


@dataclass(frozen=True)
class Verdict:
    """A bar, and whether the median reaches it (or, on a host with others on it, at least the best run)."""

    bar: Bar
    text: str
    passed: bool
    best_passed: bool


@dataclass(frozen=True)
class Report:
    """All rows, in the order measured. `skipped` names what was left out, and why."""

    machine: Mapping[str, Any]
    rows: Sequence[Row]
    skipped: Sequence[str] = ()
    bars: Sequence[Bar] = field(default=())

    def find(self, bench: str, subject: Case, where: str) -> Row | None:
        """The row of this case in this place."""
        for row in self.rows:
            if row.bench == bench and row.where == where and row.subject() == subject:
                return row
        return None

    def yardsticks(self, row: Row) -> list[Row]:
        """The same case on the bare engine and on the host, as far as measured; nothing for rows that are not emu's."""
        if row.where != "emu":
            return []
        found = (self.find(row.bench, row.subject(), where) for where in ("raw", "host"))
        return [other for other in found if other is not None]

    def verdicts(self, row: Row) -> list[Verdict]:
        """How an emu row stands to its bars. A bar whose yardstick was not measured says nothing."""
        return [v for bar in self.bars if bar.applies(row) and (v := self._judge(row, bar)) is not None]

    def _judge(self, row: Row, bar: Bar) -> Verdict | None:
        yardstick = self.find(row.bench, row.subject(), bar.against) if bar.against else None
        if bar.against and yardstick is None:
            return None
        limit = bar.limit * yardstick.median if yardstick else bar.limit
        best_limit = bar.limit * (_best(yardstick, bar) if yardstick else 1)
        values = (row.median, limit), (_best(row, bar), best_limit)
        passed, best = (value >= bound if bar.at_least else value <= bound for value, bound in values)
        return Verdict(bar, bar.text(row.unit), passed, best)


def _best(row: Row, bar: Bar) -> float:
    return row.max if bar.at_least else row.min


def ratio(row: Row, yardstick: Row) -> float:
    """How many times the yardstick's median this row's is; 0 for a yardstick of 0."""
    return row.median / yardstick.median if yardstick.median else 0.0


def number(value: float) -> str:
    """Three significant digits, in full."""
    if value >= 100 or value == int(value):
        return f"{value:.0f}"
    return f"{value:.3g}"


def to_json(report: Report) -> str:
    """`emu bench --json`: schema, machine, rows, skipped."""
    document = {
        "schema": SCHEMA,
        "machine": dict(report.machine),
        "rows": [{**asdict(row), "case": dict(row.case)} for row in report.rows],
        "skipped": list(report.skipped),
    }
    return json.dumps(document, indent=2) + "\n"


def case_text(subject: Case) -> str:
    """A case in words: values alone where they speak for themselves."""
    return " ".join(f"{value} {key.upper().replace('IB', 'iB')}" if key in ("mib", "gib") else str(value)
                    for key, value in subject.items())  # fmt: skip


HEADER: Final = ("bench", "case", "where", "median", "min", "max", "unit", "ratio", "bar", "")


def cells(report: Report) -> list[tuple[str, ...]]:
    """The table's rows as text, one cell per HEADER entry."""
    table: list[tuple[str, ...]] = []
    for row in report.rows:
        ratios = ", ".join(f"{number(ratio(row, y))}x {y.where}" for y in report.yardsticks(row))
        verdicts = report.verdicts(row)
        bars = ", ".join(v.text for v in verdicts)
        values = (number(row.median), number(row.min), number(row.max))
        table.append(
            (row.bench, case_text(row.subject()), row.where, *values, row.unit, ratios, bars, judgement(verdicts))
        )
    return table


def judgement(verdicts: Sequence[Verdict]) -> str:
    """PASS, over, or over with a best run that passes (a host that others use as well); nothing without bars."""
    if not verdicts:
        return ""
    if all(v.passed for v in verdicts):
        return "PASS"
    return "over (best run passes)" if all(v.best_passed for v in verdicts) else "over"


def to_table(report: Report) -> str:
    """The report for a terminal: one line per row, the ratio to the yardsticks, and the bar where there is one."""
    table = [HEADER, *cells(report)]
    widths = [max(len(line[i]) for line in table) for i in range(len(HEADER))]
    right = {3, 4, 5}
    lines = [
        "  ".join(
            text.rjust(w) if i in right else text.ljust(w) for i, (text, w) in enumerate(zip(line, widths, strict=True))
        )
        for line in table
    ]
    lines.insert(1, "  ".join("-" * w for w in widths))
    lines += [f"skipped: {what}" for what in report.skipped]
    return "\n".join(line.rstrip() for line in lines) + "\n"
