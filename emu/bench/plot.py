"""A report as a picture: fork over memory as lines, everything else as groups of bars, on logarithmic scales.

Plain SVG 1.1 without scripts or external fonts, for light and dark surroundings. Each bench is a panel for each unit;
panels are stacked.
"""

import math
from collections.abc import Sequence
from html import escape
from typing import Final

from emu.bench.report import Report, Row, case_text, number

_WIDTH: Final = 620
_LEFT, _RIGHT = 170, 70  # room for labels and values of bars
_AXIS, _LEGEND = 60, 120  # room beside lines
_BAR, _LINES_HEIGHT, _TITLE = 16, 220, 30
_SWEPT: Final = "fork"  # the bench whose cases are points of curves over memory
_PALETTE: Final = (
    ("#0072b2", "#56b4e9"), ("#d55e00", "#f08c3a"), ("#008a66", "#2fbf95"), ("#a8558b", "#d68fbe"),
    ("#8a6d00", "#e0b000"), ("#4b4bb8", "#9a9af0"),
)  # fmt: skip
#: What a colour stands for, in the order of _PALETTE; the rest of the machine is drawn in the first one.
_POLICIES: Final = ("classic", "odf", "sfork-populate", "sfork-lazy", "sfork-file", "shm")
_DASHES: Final = {"host": "6 3", "raw": "2 3"}

Point = tuple[float, float]


class Scale:
    """A logarithmic axis: values [low, high], widened to whole decades, onto positions [start, end]."""

    def __init__(self, values: Sequence[float], start: float, end: float) -> None:
        positive = [value for value in values if value > 0] or [1.0]
        self.low = math.floor(math.log10(min(positive)))
        self.high = max(self.low + 1, math.ceil(math.log10(max(positive))))
        self.start, self.end = start, end

    def at(self, value: float) -> float:
        """Where a value is; what is not positive is at the low end."""
        if value <= 0:
            return self.start
        share = (math.log10(value) - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)

    def ticks(self) -> list[float]:
        """The decades."""
        return [10.0**n for n in range(self.low, self.high + 1)]


def to_svg(report: Report) -> str:
    """The whole report as one SVG document."""
    return drawing(report, 'xmlns="http://www.w3.org/2000/svg" ')


def drawing(report: Report, attributes: str = "") -> str:
    """The same as an element of a page."""
    body: list[str] = []
    top = 10.0
    for title, unit, rows in _panels(report.rows):
        body.append(_text(10, top + 16, f"{title}, {unit}", "start", "t"))
        draw = _lines if _is_curve(rows) else _bars
        top = draw(body, rows, top + _TITLE) + 14
    return "\n".join([
        f'<svg {attributes}width="{_WIDTH}" height="{top:.0f}" viewBox="0 0 {_WIDTH} {top:.0f}" '
        'font-family="sans-serif" font-size="11" role="img">',
        "<title>emu bench</title>",
        f"<style>{_style()}</style>",
        '<rect class="back" width="100%" height="100%"/>',
        *body,
        "</svg>",
    ]) + "\n"  # fmt: skip


def _style() -> str:
    """The classes: surroundings, then for each colour `fN` to fill and `sN` to draw with it."""
    light, dark = (_colours([pair[i] for pair in _PALETTE]) for i in (0, 1))
    return (
        ".back{fill:#ffffff}text{fill:#1f2328}.t{font-weight:bold;font-size:13px}.g{stroke:#d0d7de}.w{stroke:#1f2328}"
        f".f9{{fill:#8c959f}}.s9{{stroke:#6e7781}}{light}"
        "@media(prefers-color-scheme:dark){.back{fill:#0d1117}text{fill:#e6edf3}.g{stroke:#30363d}.w{stroke:#e6edf3}"
        f".f9{{fill:#6e7781}}.s9{{stroke:#8c959f}}{dark}}}"
    )


def _colours(palette: Sequence[str]) -> str:
    return "".join(f".f{i}{{fill:{colour}}}.s{i}{{stroke:{colour}}}" for i, colour in enumerate(palette))


def _panels(rows: Sequence[Row]) -> list[tuple[str, str, list[Row]]]:
    """(title, unit, rows): one panel per unit of a bench, and of `fork` per part of it that has a curve."""
    panels: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        part = f" {row.case['what']}" if row.bench == _SWEPT and "what" in row.case and row.unit == "us" else ""
        panels.setdefault((row.bench + part, row.unit), []).append(row)
    return [(title, unit, found) for (title, unit), found in panels.items()]


def _is_curve(rows: Sequence[Row]) -> bool:
    return rows[0].bench == _SWEPT and len({row.case["mib"] for row in rows}) > 1


def _series(row: Row) -> str:
    """What a row is called among those of the same group: its policy, and where, if not here."""
    words = [str(row.case.get("policy", "")), row.where if row.where != "emu" or "policy" not in row.case else ""]
    return " ".join(word for word in words if word)


def _colour(row: Row) -> int:
    """Its number in the palette; 9 for what is not ours."""
    policy = str(row.case.get("policy", ""))
    return 9 if row.where != "emu" else _POLICIES.index(policy) if policy in _POLICIES else 0


def _lines(body: list[str], rows: Sequence[Row], top: float) -> float:
    """Value over MiB, a line for each policy and place. Returns the lower end."""
    x = Scale([float(row.case["mib"]) for row in rows], _AXIS, _WIDTH - _LEGEND)
    y = Scale([value for row in rows for value in (row.min, row.max)], top + _LINES_HEIGHT, top)
    for tick in y.ticks():
        body.append(_line((x.start, y.at(tick)), (x.end, y.at(tick)), "g"))
        body.append(_text(x.start - 6, y.at(tick) + 4, number(tick), "end"))
    for mib in sorted({int(row.case["mib"]) for row in rows}):
        body.append(_line((x.at(mib), y.start), (x.at(mib), y.start + 4), "w"))
        body.append(_text(x.at(mib), y.start + 16, f"{mib} MiB" if mib < 1024 else f"{mib >> 10} GiB", "middle"))
    labels: list[float] = []
    for name in dict.fromkeys(_series(row) for row in rows):
        mine = sorted((row for row in rows if _series(row) == name), key=lambda row: int(row.case["mib"]))
        _curve(body, mine, x, y)
        height = _free(y.at(mine[-1].median) + 4, labels)
        body.append(_text(x.at(float(mine[-1].case["mib"])) + 8, height, name, "start", f"f{_colour(mine[0])}"))
    return y.start + 20


def _free(wanted: float, taken: list[float]) -> float:
    """A height near `wanted` for a label that does not write over those `taken` already."""
    places = sorted((wanted + 6 * n for n in range(-20, 21)), key=lambda place: abs(place - wanted))
    found = next((p for p in places if all(abs(p - other) >= 12 for other in taken)), wanted)
    taken.append(found)
    return found


def _curve(body: list[str], rows: Sequence[Row], x: Scale, y: Scale) -> None:
    colour, dash = _colour(rows[0]), _DASHES.get(rows[0].where, "")
    points = [(x.at(float(row.case["mib"])), y.at(row.median)) for row in rows]
    path = " ".join(f"{px:.1f},{py:.1f}" for px, py in points)
    body.append(f'<polyline points="{path}" fill="none" class="s{colour}" stroke-width="2" stroke-dasharray="{dash}"/>')
    for row, (px, py) in zip(rows, points, strict=True):
        body.append(_line((px, y.at(row.min)), (px, y.at(row.max)), f"s{colour}"))
        note = f"<title>{escape(_series(row))} {row.case['mib']} MiB: {number(row.median)} {row.unit}</title>"
        body.append(f'<circle cx="{px:.1f}" cy="{py:.1f}" r="3" class="f{colour}">{note}</circle>')


def _bars(body: list[str], rows: Sequence[Row], top: float) -> float:
    """A bar per row, with a whisker from the best run to the worst; rows of a case together. Returns the lower end."""
    x = Scale([value for row in rows for value in (row.min, row.max)], _LEFT, _WIDTH - _RIGHT)
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(case_text({k: v for k, v in row.subject().items() if k != "policy"}), []).append(row)
    for name, group in groups.items():
        apart = len(group) > 1 and name
        if apart:
            body.append(_text(10, top + 12, name, "start"))
            top += _BAR
        for row in group:
            label = _series(row) if apart else " ".join(filter(None, (name, _series(row))))
            _bar(body, row, label, x, top)
            top += _BAR
        top += 4
    return top


def _bar(body: list[str], row: Row, label: str, x: Scale, top: float) -> None:
    middle = top + _BAR / 2
    length = max(1.0, x.at(row.median) - x.start)
    body.append(_text(x.start - 6, middle + 4, label, "end"))
    shape = f'x="{x.start}" y="{top + 2:.1f}" width="{length:.1f}" height="{_BAR - 4}"'
    body.append(f'<rect {shape} class="f{_colour(row)}"/>')
    body.append(_line((x.at(row.min), middle), (x.at(row.max), middle), "w"))
    body.append(_text(x.at(max(row.max, row.median)) + 6, middle + 4, number(row.median), "start"))


def _line(a: Point, b: Point, kind: str) -> str:
    return f'<line x1="{a[0]:.1f}" y1="{a[1]:.1f}" x2="{b[0]:.1f}" y2="{b[1]:.1f}" class="{kind}"/>'


def _text(x: float, y: float, text: str, anchor: str, kind: str = "") -> str:
    more = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{more}>{escape(text)}</text>'
