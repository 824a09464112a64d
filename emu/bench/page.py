"""A report as one self-contained HTML page: the machine, and for each bench its table, picture and sources."""

from html import escape
from typing import Final, cast

from emu.bench.plot import drawing
from emu.bench.report import HEADER, NUMBERS, Report, cells

_STYLE: Final = """
:root { color-scheme: light dark; --ink: #1f2328; --back: #ffffff; --rule: #d0d7de; --dim: #57606a; --good: #1a7f37;
  --bad: #cf222e }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --back: #0d1117; --rule: #30363d; --dim: #9198a1;
  --good: #3fb950; --bad: #f85149 } }
body { font: 15px/1.5 sans-serif; max-width: 76em; margin: 1.5em auto; padding: 0 1em; color: var(--ink);
  background: var(--back) }
.wide { overflow-x: auto }
table { border-collapse: collapse; font-size: 13px }
th, td { padding: 2px 9px; text-align: left; border-bottom: 1px solid var(--rule); white-space: nowrap }
.number { text-align: right; font-variant-numeric: tabular-nums }
td.pass { color: var(--good) } td.over { color: var(--bad) }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 0 1em } dt, .dim { color: var(--dim) }
dd { margin: 0; overflow-wrap: anywhere }
nav { display: flex; flex-wrap: wrap; gap: .3em 1em }
svg { max-width: 100%; height: auto; min-width: 480px }
@media (max-width: 640px) { .extreme { display: none } th, td { padding: 2px 5px } body { padding: 0 .6em } }
"""
_EXTREMES: Final = frozenset({4, 5})  # columns of HEADER that a narrow screen does without


def to_html(report: Report) -> str:
    """The page. Needs no network and runs no script."""
    facts = "".join(f"<dt>{escape(str(k))}</dt><dd>{escape(_flat(v))}</dd>" for k, v in report.machine.items())
    names = [escape(name) for name in report.benches()]
    skipped = "".join(f"<li>{escape(what)}</li>" for what in report.skipped)
    return "\n".join([
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8"><title>emu bench</title>',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<style>{_STYLE}</style></head><body>",
        "<h1>emu bench</h1>",
        "<nav>" + " ".join(f'<a href="#{name}">{name}</a>' for name in names) + "</nav>",
        *(_section(report, name) for name in report.benches()),
        f"<h2>Skipped</h2><ul>{skipped}</ul>" if skipped else "",
        f"<h2>Measured on</h2><dl>{facts}</dl>",
        "</body></html>",
    ]) + "\n"  # fmt: skip


def _flat(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{k} {v}" for k, v in cast("dict[str, object]", value).items())
    return str(value)


def _section(report: Report, bench: str) -> str:
    part = report.part(bench)
    about = report.about.get(bench, "")
    return "\n".join([
        f'<section id="{escape(bench)}"><h2>{escape(bench)}</h2>',
        f"<p>{escape(about)}</p>" if about else "",
        f'<div class="wide">{_table(part)}</div>',
        _sources(part),
        f'<div class="wide">{drawing(part)}</div>',
        "</section>",
    ])  # fmt: skip


def _sources(part: Report) -> str:
    """Where the column `seed` comes from."""
    found = [seed.source for row in part.rows if (seed := part.seed(row)) is not None]
    if not found:
        return ""
    text = "; ".join(dict.fromkeys(found))
    return f'<p class="dim">seed: as reported in {escape(text)}. Other machines, the same shape.</p>'


def _table(part: Report) -> str:
    """Every column but the bench, and without those that stay empty."""
    rows = cells(part)
    columns = [i for i in range(1, len(HEADER)) if any(line[i] for line in rows)]
    head = "".join(f"<th{_class(i, '')}>{escape(HEADER[i])}</th>" for i in columns)
    lines = [f"<table><thead><tr>{head}</tr></thead><tbody>"]
    lines += [
        "<tr>" + "".join(f"<td{_class(i, row[i])}>{escape(row[i])}</td>" for i in columns) + "</tr>" for row in rows
    ]
    return "\n".join([*lines, "</tbody></table>"])


def _class(column: int, text: str) -> str:
    kinds = ["number"] if column in NUMBERS else []
    if column in _EXTREMES:
        kinds.append("extreme")
    if column == len(HEADER) - 1 and text:
        kinds.append("pass" if text == "PASS" else "over")
    return f' class="{" ".join(kinds)}"' if kinds else ""
