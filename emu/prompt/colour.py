"""The prompt's lines on a terminal: what catches the eye, in colour. Nothing is added or left out."""

import re
from typing import Final

_RESET: Final = "\x1b[0m"
_RULES: Final = (
    (re.compile(r"^-- \w+ -+$"), "\x1b[34m"),  # headings of the context
    (re.compile(r"^error: .*|^\S+:\d+: error: .*"), "\x1b[31m"),
    (re.compile(r"^=>.*"), "\x1b[1m"),
    (re.compile(r"\*(?:[a-z]\w* *0x[0-9a-f]+)(?: \[[^]]*\])?"), "\x1b[33m"),  # registers that changed
    (re.compile(r"^\s+(?:access|instruction|walk|mapping|sharing|decision|outlook)(?= )"), "\x1b[36m"),
    (re.compile(r"SIG[A-Z]+(?: \(\w+\))?|not present|(?<=: )page fault at .*"), "\x1b[31m"),
)


def paint(line: str) -> str:
    """The line with colours: the first rule that fits."""
    for pattern, colour in _RULES:
        if pattern.search(line):
            return pattern.sub(lambda match, colour=colour: f"{colour}{match[0]}{_RESET}", line)
    return line
