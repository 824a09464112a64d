"""The catalogue of bugs once more: does a real gdb come to the same diagnoses, forward and back?"""

import re
from pathlib import Path

import pytest
from gdb_lab import ROOT, in_order, needs_gdb, session

BUGS = ROOT / "examples" / "bugs"
SCRIPTS = sorted(BUGS.glob("*.gdb"))
EXPECT = re.compile(r"^# EXPECT (.+)$", re.M)


@needs_gdb
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_gdb_finds_the_bug(script: Path) -> None:
    """What the script's EXPECT lines say comes up, in this order."""
    text = script.read_text()
    commands = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    in_order(session(script.with_suffix(".asm").relative_to(ROOT), commands), *EXPECT.findall(text))


def test_gdb_is_asked_about_eight_bugs_or_more() -> None:
    assert len(SCRIPTS) >= 8
