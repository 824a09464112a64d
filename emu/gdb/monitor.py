"""`monitor` commands: what the lab knows and gdb does not."""

import shlex
from collections.abc import Callable
from typing import Final

from emu.debug import paging, state
from emu.debug.debugger import DebugError, Debugger
from emu.debug.why import why
from emu.render import debug as text
from emu.render.stats import stats_table

_HELP: Final = """\
why [ADDR]    what an access there comes to, and why; without ADDR, the fault it stands before
vtop ADDR     the page-table walk of an address, entry by entry
pt            the whole page-table tree
maps          the areas
frame PFN     who maps a frame
sharing       what is shared with other processes
ledger        what the run has cost so far
log [N]       the last N events
tasks         every task, also those that gdb was not told of
help          this text"""

Command = Callable[[Debugger, list[str], int | None], list[str]]


def run(d: Debugger, command: str, tid: int | None) -> list[str]:
    """The lines that a command prints, for the thread `tid`. What is wrong with it is a line, too."""
    try:
        name, *words = shlex.split(command) or ["help"]
        handler = _COMMANDS.get(name)
        if handler is None:
            return [f"there is no monitor command {name!r}", *_HELP.splitlines()]
        return handler(d, words, tid)
    except (DebugError, ValueError) as error:
        return [f"monitor: {error}"]
    except IndexError:
        return [f"monitor: {command.split()[0]} needs an argument"]


def _number(d: Debugger, word: str) -> int:
    return d.locate(word)


def _why(d: Debugger, words: list[str], tid: int | None) -> list[str]:
    address = _number(d, words[0]) if words else None
    task = state.task_of(d, tid)
    return text.why_lines(why(d, address, task.tid), d.symbols(task))


def _vtop(d: Debugger, words: list[str], tid: int | None) -> list[str]:
    address, task = _number(d, words[0]), state.task_of(d, tid)
    return text.walk_lines(tuple(task.mm.pt.walk(address)), address)


def _pt(d: Debugger, _words: list[str], tid: int | None) -> list[str]:
    return text.tree_lines(paging.picture(state.task_of(d, tid).mm))


def _maps(d: Debugger, _words: list[str], tid: int | None) -> list[str]:
    return text.area_lines(state.areas(d, tid))


def _frame(d: Debugger, words: list[str], _tid: int | None) -> list[str]:
    return text.frame_lines(paging.who_maps(d.kernel, int(words[0], 0)))


def _sharing(d: Debugger, _words: list[str], _tid: int | None) -> list[str]:
    return text.sharing_lines(paging.sharing(d.kernel))


def _ledger(d: Debugger, _words: list[str], _tid: int | None) -> list[str]:
    return stats_table(d.system.stats()).splitlines()


def _log(d: Debugger, words: list[str], _tid: int | None) -> list[str]:
    count = int(words[0], 0) if words else 20
    return [text.event_line(event) for event in d.log[-count or len(d.log) :]]


def _tasks(d: Debugger, _words: list[str], _tid: int | None) -> list[str]:
    return text.task_lines(state.tasks(d))


def _help(_d: Debugger, _words: list[str], _tid: int | None) -> list[str]:
    return [*_HELP.splitlines()]


_COMMANDS: Final[dict[str, Command]] = {
    "why": _why,
    "vtop": _vtop,
    "pt": _pt,
    "maps": _maps,
    "frame": _frame,
    "sharing": _sharing,
    "ledger": _ledger,
    "log": _log,
    "tasks": _tasks,
    "help": _help,
}
