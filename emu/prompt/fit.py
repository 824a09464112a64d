"""Lines on a terminal of a width: instructions are cut, all else goes on below where it began."""

import re
import textwrap
from typing import Final

_CODE: Final = re.compile(r"((?:=>|  )[ *]0x[0-9a-f]+  )([0-9a-f]+ *)(?= )(.*)")
_SOURCE: Final = "  # "
_NARROWEST: Final = 20


def fit(line: str, width: int) -> list[str]:
    """The line as lines of at most `width` characters."""
    if len(line) <= width or width < _NARROWEST:
        return [line]
    if line.startswith("-- ") and line.endswith("-"):
        return [line[:width]]
    code = _CODE.fullmatch(line)
    if code is not None:
        return _code(code[1], code[2], code[3].strip(), width)
    label = re.match(r"(?:#\d+ | {2,}(?:[a-z]+ {2,})?)?", line)
    indent = " " * min(len(label[0]) if label and label[0].strip() else len(line) - len(line.lstrip()) + 2, width // 2)
    return textwrap.wrap(
        line, width, subsequent_indent=indent, break_on_hyphens=False, drop_whitespace=True, replace_whitespace=False
    )  # fmt: skip


def _code(place: str, data: str, text: str, width: int) -> list[str]:
    """Address, instruction and as much as fits of the bytes and the source line; the source line goes first."""
    instruction, mark, source = text.partition(_SOURCE)
    instruction = instruction.rstrip()
    with_bytes = f"{place}{data.rstrip():<22} {instruction}"
    shown = with_bytes if len(with_bytes) <= width else f"{place}{instruction}"
    where, _space, written = source.partition("  ")
    left = width - max(len(shown), len(place) + 57 if shown is with_bytes and width > 100 else 0) - len(_SOURCE)
    if mark and left >= 12:
        number = where.rpartition(":")[2]
        sources = [f"{name}  {written}" for name in (where.rpartition("/")[2], number)]
        short = next((text for text in sources if len(text) <= left), sources[-1])
        return [f"{shown}{' ' * (width - left - len(_SOURCE) - len(shown))}{_SOURCE}{_cut(short, left)}".rstrip()]
    return [_cut(shown, width)]


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"
