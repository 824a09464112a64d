"""Signals: what is done about them before they are delivered, sending them, and how the task stands to them."""

from collections.abc import Iterable
from typing import Final

from emu.debug import Handling
from emu.prompt.errors import PromptError
from emu.prompt.registry import command, numbered
from emu.prompt.shell import Shell
from emu.render import bits
from mini_kernel.task import SigInfo
from mini_kernel.uapi import signal_names
from mini_kernel.uapi.signal import SIG_DFL, SIG_IGN, SIGKILL, SIGRTMAX

_SIGNALS: Final = "signals"
#: What `handle` can be told, as fields of Handling. As in gdb, who stops also tells, and who is silent does not stop.
_WORDS: Final = {
    "stop": {"stop": True, "tell": True},
    "nostop": {"stop": False},
    "print": {"tell": True},
    "noprint": {"tell": False, "stop": False},
    "pass": {"deliver": True},
    "nopass": {"deliver": False},
}


def signal_of(word: str) -> int:
    """A signal by number or name, with or without SIG. Raises PromptError."""
    if word.isdecimal():
        if not 0 < int(word) <= SIGRTMAX:
            raise PromptError(f"there is no signal {word}")
        return int(word)
    upper = word.upper()
    return numbered(upper if upper.startswith("SIG") else f"SIG{upper}", signal_names, "signal")


@command(
    "handle",
    usage="SIGNAL... [stop|nostop] [print|noprint] [pass|nopass]",
    says="what to do before a signal is delivered; `all` for every one",
    family=_SIGNALS,
    completes=(*_WORDS, *signal_names.values(), "all"),
)
def handle(s: Shell, text: str) -> list[str]:
    words = text.split()
    chosen = [word for word in words if word not in _WORDS]
    if not chosen:
        raise PromptError("handle which signal?")
    numbers: list[int] = []
    for word in chosen:
        numbers += [n for n in signal_names if n != SIGKILL] if word == "all" else [signal_of(word)]
    if SIGKILL in numbers:
        raise PromptError("SIGKILL cannot be stopped before")
    for word in words:
        for number in numbers if word in _WORDS else ():
            s.d.signals.handling[number] = s.d.signals.handling.get(number, Handling())._replace(**_WORDS[word])
    return _table(s, numbers)


def _table(s: Shell, numbers: Iterable[int]) -> list[str]:
    rows = ["signal        stop   print  pass"]
    for number in numbers:
        how = s.d.signals.handling.get(number, Handling())
        answers = ("yes" if answer else "no" for answer in how)
        rows.append(f"{bits.signal_name(number):<14}{''.join(f'{answer:<7}' for answer in answers)}".rstrip())
    return rows


@command(
    "signal",
    usage="SIGNAL | 0",
    says="go on with this signal, in place of one stood before; 0: with none",
    family=_SIGNALS,
    completes=tuple(signal_names.values()),
)
def signal(s: Shell, text: str) -> list[str]:
    queue_signal(s, text)
    return s.going(lambda: s.d.cont(s.d.system.options.max_insns))


@command(
    "queue-signal",
    usage="SIGNAL | 0",
    says="the same, when the task goes on",
    family=_SIGNALS,
    completes=tuple(signal_names.values()),
)
def queue_signal(s: Shell, text: str) -> list[str]:
    if not text:
        raise PromptError("a signal is missing; 0 is none")
    s.d.send(0 if text == "0" else signal_of(text), s.selected)
    return []


# -- info --------------------------------------------------------------------------------------------------


def info_handling(s: Shell, text: str) -> list[str]:
    """What `handle` has set, or of the signals that are named."""
    numbers = [signal_of(word) for word in text.split()] or sorted(s.d.signals.handling)
    return _table(s, numbers) if numbers else ["every signal is delivered without a stop"]


def info_signals(s: Shell, _text: str) -> list[str]:
    """Blocked, pending, and what the process does about them."""
    task = s.task()
    blocked = [n for n in range(1, 65) if task.blocked >> n - 1 & 1]
    rows = [f"blocked: {_names(blocked)}", f"pending: {_pending(task.pending)}"]
    rows.append(f"pending for the process: {_pending(task.process.pending)}")
    for number, action in sorted(task.process.actions.items()):
        does = {SIG_DFL: "its default", SIG_IGN: "nothing: it is ignored"}.get(action.handler)
        name = s.symbols().name(action.handler)
        does = does or f"handler {action.handler:#x}" + (f" <{name}>" if name else "")
        rows.append(f"{bits.signal_name(number)}: {does}")
    return rows


def _names(numbers: list[int]) -> str:
    return " ".join(map(bits.signal_name, numbers)) or "none"


def _pending(pending: list[SigInfo]) -> str:
    return _names([info.signo for info in pending])
