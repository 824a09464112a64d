"""A report as one self-contained HTML page: machine, table, picture."""

from collections.abc import Sequence
from html import escape
from typing import Final, cast

from emu.bench.plot import to_svg
from emu.bench.report import HEADER, Report, cells

_STYLE: Final = """
body { font: 14px/1.5 sans-serif; max-width: 72em; margin: 2em auto; padding: 0 1em; color: #1f2328 }
table { border-collapse: collapse; font-size: 13px }
th, td { padding: 2px 10px; text-align: left; border-bottom: 1px solid #d0d7de; white-space: nowrap }
td.number { text-align: right; font-variant-numeric: tabular-nums }
td.pass { color: #1a7f37 } td.over { color: #cf222e }
dt { float: left; clear: left; width: 9em; color: #57606a } dd { margin-left: 9em }
"""


def to_html(report: Report) -> str:
    """The page. Needs no network and runs no script."""
    facts = "".join(f"<dt>{escape(str(k))}</dt><dd>{escape(_flat(v))}</dd>" for k, v in report.machine.items())
    skipped = "".join(f"<li>{escape(what)}</li>" for what in report.skipped)
    return "\n".join([
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8"><title>emu bench</title>',
        f"<style>{_STYLE}</style></head><body>",
        "<h1>emu bench</h1>",
        f"<dl>{facts}</dl>",
        _table(cells(report)),
        f"<h2>Skipped</h2><ul>{skipped}</ul>" if skipped else "",
        to_svg(report),
        "</body></html>",
    ]) + "\n"  # fmt: skip


def _flat(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{k} {v}" for k, v in cast("dict[str, object]", value).items())
    return str(value)


def _table(rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(text)}</th>" for text in HEADER)
    lines = [f"<table><thead><tr>{head}</tr></thead><tbody>"]
    lines += ["<tr>" + "".join(_cell(i, text) for i, text in enumerate(row)) + "</tr>" for row in rows]
    return "\n".join([*lines, "</tbody></table>"])


def _cell(column: int, text: str) -> str:
    kind = ""
    if column in (3, 4, 5):
        kind = "number"
    elif column == len(HEADER) - 1 and text:
        kind = "pass" if text == "PASS" else "over"
    return f'<td class="{kind}">{escape(text)}</td>' if kind else f"<td>{escape(text)}</td>"
