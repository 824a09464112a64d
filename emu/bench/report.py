"""What was measured, and how it compares: rows, yardsticks, bars; as JSON and as a table."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from statistics import median
from typing import Any, Final

SCHEMA: Final = 1

Case = Mapping[str, str | int]

#: policy -> the one it is compared with.
BASELINES: Final = {
    "odf": "classic",
    **dict.fromkeys(("sfork-populate", "sfork-lazy", "sfork-file"), "shm"),
}


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


def row(bench: str, case: Case, unit: str, samples: Sequence[float], runs: int = 0) -> Row:
    """The row of these samples (at least one), which `runs` runs gave (each one, if not told)."""
    return Row(bench, dict(case), unit, median(samples), min(samples), max(samples), runs or len(samples))


@dataclass(frozen=True)
class Bar:
    """What an emu row must reach: a limit in its unit, or a factor of a yardstick's.

    `against` names the yardstick: a place (host or raw: the same case there), or what is different about the case
    (`{"policy": "classic"}`: measured in the same run, here). With `at_least` the value must not be below, else not
    above. With `faster` the limit says how many times less than the yardstick's the value must be.
    """

    bench: str
    subject: Case
    limit: float
    against: str | Case = ""
    at_least: bool = False
    faster: bool = False

    def applies(self, row: Row) -> bool:
        """True for the one row this is about."""
        return row.where == "emu" and row.bench == self.bench and row.subject() == self.subject

    def text(self, unit: str) -> str:
        """As the table shows it."""
        if not self.against:
            return f"{'>=' if self.at_least else '<='} {number(self.limit)} {unit}"
        name = self.against if isinstance(self.against, str) else case_text(self.against)
        if self.faster:
            return f">= {number(self.limit)}x faster than {name}"
        return f"{'>=' if self.at_least else '<='} {number(self.limit)}x {name}"

    def reached(self, value: float, yardstick: float) -> bool:
        """Whether a value does, given the yardstick's (1 if there is none)."""
        if self.faster:
            return value * self.limit <= yardstick
        bound = self.limit * yardstick
        return value >= bound if self.at_least else value <= bound


@dataclass(frozen=True)
class Seed:
    """What the work that this project retraces reports for a case: shown beside our figure, never judged."""

    bench: str
    subject: Case
    text: str
    source: str


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
    bars: Sequence[Bar] = ()
    seeds: Sequence[Seed] = ()
    about: Mapping[str, str] = field(default_factory=dict[str, str])  # bench -> what is measured

    def find(self, bench: str, subject: Case, where: str) -> Row | None:
        """The row of this case in this place."""
        for row in self.rows:
            if row.bench == bench and row.where == where and row.subject() == subject:
                return row
        return None

    def part(self, bench: str) -> "Report":
        """The same report with the rows of one bench only."""
        return replace(self, rows=[row for row in self.rows if row.bench == bench])

    def benches(self) -> list[str]:
        """The names of what was measured, in order."""
        return list(dict.fromkeys(row.bench for row in self.rows))

    def yardsticks(self, row: Row) -> list[Row]:
        """The same case on the bare engine and on the host, as far as measured; nothing for rows that are not emu's."""
        if row.where != "emu":
            return []
        found = (self.find(row.bench, row.subject(), where) for where in ("raw", "host"))
        return [other for other in found if other is not None]

    def baseline(self, row: Row) -> Row | None:
        """The same case by the policy that this row's is an alternative to."""
        other = BASELINES.get(str(row.case.get("policy", "")))
        return self.find(row.bench, {**row.subject(), "policy": other}, row.where) if other else None

    def seed(self, row: Row) -> Seed | None:
        """What was reported for an emu row's case."""
        if row.where != "emu":
            return None
        return next((s for s in self.seeds if s.bench == row.bench and s.subject == row.subject()), None)

    def verdicts(self, row: Row) -> list[Verdict]:
        """How an emu row stands to its bars. A bar whose yardstick was not measured says nothing."""
        return [v for bar in self.bars if bar.applies(row) and (v := self._judge(row, bar)) is not None]

    def _judge(self, row: Row, bar: Bar) -> Verdict | None:
        yardstick = self._yardstick(row, bar)
        if bar.against and yardstick is None:
            return None
        passed = bar.reached(row.median, yardstick.median if yardstick else 1)
        best = bar.reached(_best(row, bar), _best(yardstick, bar) if yardstick else 1)
        return Verdict(bar, bar.text(row.unit), passed, best)

    def _yardstick(self, row: Row, bar: Bar) -> Row | None:
        if isinstance(bar.against, str):
            return self.find(row.bench, row.subject(), bar.against) if bar.against else None
        return self.find(row.bench, {**row.subject(), **bar.against}, row.where)


def _best(row: Row, bar: Bar) -> float:
    return row.max if bar.at_least else row.min


def ratio(row: Row, yardstick: Row) -> float:
    """How many times the yardstick's median this row's is; 0 for a yardstick of 0."""
    return row.median / yardstick.median if yardstick.median else 0.0


def times(value: float, name: str) -> str:
    """A ratio to something, in words; a small one as a fraction."""
    return f"1/{number(1 / value)} of {name}" if 0 < value < 0.1 else f"{number(value)}x {name}"


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
    return " ".join(_word(key, value) for key, value in subject.items())


def _word(key: str, value: str | int) -> str:
    if key in ("mib", "gib"):
        return f"{value} {'MiB' if key == 'mib' else 'GiB'}"
    return f"{value}%" if key == "touched" else str(value)


HEADER: Final = ("bench", "case", "where", "median", "min", "max", "unit", "ratio", "seed", "bar", "")
NUMBERS: Final = frozenset({3, 4, 5})  # columns of HEADER


def cells(report: Report) -> list[tuple[str, ...]]:
    """The table's rows as text, one cell per HEADER entry."""
    return [_cells(report, row) for row in report.rows]


def _cells(report: Report, row: Row) -> tuple[str, ...]:
    verdicts = report.verdicts(row)
    seed = report.seed(row)
    return (
        row.bench, case_text(row.subject()), row.where,
        number(row.median), number(row.min), number(row.max), row.unit,
        _ratios(report, row), seed.text if seed else "", ", ".join(v.text for v in verdicts), judgement(verdicts),
    )  # fmt: skip


def _ratios(report: Report, row: Row) -> str:
    """To the same case in other places, and by the policy this one is an alternative to."""
    found = [times(ratio(row, other), other.where) for other in report.yardsticks(row)]
    baseline = report.baseline(row)
    if baseline is not None:
        found.append(times(ratio(row, baseline), str(baseline.case["policy"])))
    return ", ".join(found)


def judgement(verdicts: Sequence[Verdict]) -> str:
    """PASS, over, or over with a best run that passes (a host that others use as well); nothing without bars."""
    if not verdicts:
        return ""
    if all(v.passed for v in verdicts):
        return "PASS"
    return "over (best run passes)" if all(v.best_passed for v in verdicts) else "over"


def to_table(report: Report) -> str:
    """The report for a terminal: a table for each bench, one line per row, with ratios, seed's figure and bars."""
    parts = [_table(report, bench) for bench in report.benches()] or [_lines([HEADER])]
    if report.skipped:
        parts.append([f"skipped: {what}" for what in report.skipped])
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


def _table(report: Report, bench: str) -> list[str]:
    rows = [_cells(report, row) for row in report.rows if row.bench == bench]
    return _lines([HEADER, *rows])


def _lines(table: Sequence[Sequence[str]]) -> list[str]:
    """Columns lined up, and a rule under the first line."""
    widths = [max(len(line[i]) for line in table) for i in range(len(HEADER))]
    lines = [
        "  ".join(
            text.rjust(w) if i in NUMBERS else text.ljust(w)
            for i, (text, w) in enumerate(zip(line, widths, strict=True))
        )
        for line in table
    ]
    lines.insert(1, "  ".join("-" * w for w in widths))
    return [line.rstrip() for line in lines]
