"""The debugger's prompt without a terminal: commands in, lines out. emu.cli puts a terminal in front of it.

shell.py        the session: a command in, lines out; what it is about
registry.py     the commands by name and abbreviation
expression.py   what registers, symbols and memory amount to; scope.py says what they are
context.py      what is shown after a stop
running.py points.py frames.py looking.py tables.py changing.py scripts.py    the commands, by family
colour.py       the same lines on a terminal
"""

from emu.prompt import changing, displays, frames, info, listing, looking, points, running, scripts, signals, tables
from emu.prompt.errors import PromptError
from emu.prompt.shell import PROMPT, Answer, Shell

#: Where the commands come from, in the order of `help`.
FAMILIES = (running, points, signals, frames, looking, displays, listing, info, tables, changing, scripts)

__all__ = ["FAMILIES", "PROMPT", "Answer", "PromptError", "Shell"]
