"""Tests of guest programs: what is expected of them, in lines of their source, and how a run is judged.

grammar.py   EXPECT and RUN lines -> a Plan
values.py    literals and names in them
variants.py  a plan's combinations of fork policy, schedule and RAM
evidence.py  one run, and what it left behind at its end
expect.py    expectations, and what they say of the evidence
explain.py   where a difference comes from: a second run, traced
golden.py    traces kept in files
judge.py     all of these: a test's verdict
loading.py   programs, assembled once; kept.py from one session to the next
warm.py      systems on machines that others have used
emulate.py   the same for tests written in Python
cases.py     cases.toml: programs that have no source to write lines into

pytest_plugin.py collects and reports; nothing here knows pytest.
"""

from emu.testing.grammar import Plan, parse_source
from emu.testing.variants import Variant, variants

__all__ = ["Plan", "Variant", "parse_source", "variants"]
