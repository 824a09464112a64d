"""A report as a picture: fork time over memory as lines, everything else as bars, both on logarithmic scales.

Plain SVG 1.1 without scripts or external fonts. Each bench is a panel; panels are stacked.
"""

import math
from collections.abc import Sequence
from html import escape
from typing import Final

from emu.bench.report import Report, Row, case_text, number

_WIDTH: Final = 760
_LEFT, _RIGHT = 190, 90  # room for labels and values
_BAR, _LINES_HEIGHT, _TITLE = 18, 260, 34
_COLOURS: Final = {"emu": "#1f6feb", "raw": "#9a6700", "host": "#6e7781"}
_DASHES: Final = ("", "6 3", "2 3", "8 3 2 3")

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
    body: list[str] = []
    top = 10.0
    for title, unit, rows in _panels(report.rows):
        swept = [row for row in rows if _is_sweep(row)]
        draw, part = (_lines, swept) if len({row.case["mib"] for row in swept}) > 1 else (_bars, rows)
        body.append(_text(10, top + 18, f"{title}, {unit}", "start", 'font-weight="bold" font-size="14"'))
        top = draw(body, part, top + _TITLE) + 16
        if draw is _lines and len(part) < len(rows):
            top = _bars(body, [row for row in rows if row not in part], top) + 16
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{top:.0f}" viewBox="0 0 {_WIDTH} {top:.0f}" '
        'font-family="sans-serif" font-size="11" role="img">',
        "<title>emu bench</title>",
        '<rect width="100%" height="100%" fill="#ffffff"/>',
        *body,
        "</svg>",
    ]) + "\n"  # fmt: skip


def _panels(rows: Sequence[Row]) -> list[tuple[str, str, list[Row]]]:
    """(bench, unit, rows): one panel per unit of a bench, in order."""
    keys = list(dict.fromkeys((row.bench, row.unit) for row in rows))
    return [(bench, unit, [r for r in rows if (r.bench, r.unit) == (bench, unit)]) for bench, unit in keys]


def _is_sweep(row: Row) -> bool:
    return set(row.subject()) == {"policy", "mib"}


def _lines(body: list[str], rows: Sequence[Row], top: float) -> float:
    """Value over MiB, a line for each policy and place. Returns the lower end."""
    x = Scale([float(row.case["mib"]) for row in rows], _LEFT, _WIDTH - _RIGHT)
    y = Scale([value for row in rows for value in (row.min, row.max)], top + _LINES_HEIGHT, top)
    for tick in y.ticks():
        body.append(_line((x.start, y.at(tick)), (x.end, y.at(tick)), "#d0d7de"))
        body.append(_text(x.start - 6, y.at(tick) + 4, number(tick), "end"))
    for mib in sorted({int(row.case["mib"]) for row in rows}):
        body.append(_line((x.at(mib), y.start), (x.at(mib), y.start + 4), "#57606a"))
        body.append(_text(x.at(mib), y.start + 16, f"{mib} MiB", "middle"))
    policies = list(dict.fromkeys(str(row.case["policy"]) for row in rows))
    for policy, where in dict.fromkeys((str(row.case["policy"]), row.where) for row in rows):
        mine = [row for row in rows if (row.case["policy"], row.where) == (policy, where)]
        dash = _DASHES[policies.index(policy) % len(_DASHES)]
        _line_of(body, sorted(mine, key=lambda row: int(row.case["mib"])), x, y, f"{policy} {where}", dash)
    return y.start + 20


def _line_of(body: list[str], rows: Sequence[Row], x: Scale, y: Scale, label: str, dash: str) -> None:
    colour = _colour(rows[0])
    points = [(x.at(float(row.case["mib"])), y.at(row.median)) for row in rows]
    path = " ".join(f"{px:.1f},{py:.1f}" for px, py in points)
    body.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2" stroke-dasharray="{dash}"/>')
    for row, (px, py) in zip(rows, points, strict=True):
        body.append(_line((px, y.at(row.min)), (px, y.at(row.max)), colour))
        body.append(
            f'<circle cx="{px:.1f}" cy="{py:.1f}" r="3" fill="{colour}"><title>{number(row.median)}</title></circle>'
        )
    body.append(_text(points[-1][0] + 8, points[-1][1] + 4, label, "start", f'fill="{colour}"'))


def _bars(body: list[str], rows: Sequence[Row], top: float) -> float:
    """A bar per row, with a whisker from the best run to the worst. Returns the lower end."""
    x = Scale([value for row in rows for value in (row.min, row.max)], _LEFT, _WIDTH - _RIGHT)
    for i, row in enumerate(rows):
        y, middle, colour = top + i * _BAR, top + (i + 0.5) * _BAR, _colour(row)
        length = max(1.0, x.at(row.median) - x.start)
        body.append(_text(x.start - 6, middle + 4, f"{case_text(row.subject())} {row.where}", "end"))
        body.append(f'<rect x="{x.start}" y="{y + 2:.1f}" width="{length:.1f}" height="{_BAR - 4}" fill="{colour}"/>')
        body.append(_line((x.at(row.min), middle), (x.at(row.max), middle), "#000000"))
        body.append(_text(x.at(max(row.max, row.median)) + 6, middle + 4, number(row.median), "start"))
    return top + len(rows) * _BAR


def _colour(row: Row) -> str:
    return _COLOURS.get(row.where, "#000000")


def _line(a: Point, b: Point, colour: str) -> str:
    return f'<line x1="{a[0]:.1f}" y1="{a[1]:.1f}" x2="{b[0]:.1f}" y2="{b[1]:.1f}" stroke="{colour}"/>'


def _text(x: float, y: float, text: str, anchor: str, more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" {more}>{escape(text)}</text>'
