"""Forward and back: every command that lets the system run."""

import shlex
from collections.abc import Callable
from typing import Final

from emu.debug import KINDS, Event, Stepped, Stop, state
from emu.prompt.errors import PromptError
from emu.prompt.frames import shown
from emu.prompt.registry import command, one_of
from emu.prompt.shell import Shell
from mini_kernel.x86 import RAX, REGISTER_NAMES

_RUNNING: Final = "running"
_BACK: Final = "going back"


def count_of(s: Shell, text: str) -> int:
    """How often; once if not said."""
    count = s.value(text) if text else 1
    if not 0 < count < 1 << 40:
        raise PromptError(f"{text} times cannot be")
    return count


def kind_of(word: str) -> type[Event]:
    """A kind of events by name. Raises PromptError."""
    return KINDS[one_of(word, list(KINDS), "kind of event")]


def times(s: Shell, text: str, verb: Callable[[], Stop]) -> list[str]:
    """A step so often, as long as it is only that."""
    left = count_of(s, text)

    def run() -> Stop:
        stop = verb()
        for _ in range(left - 1):
            if not isinstance(stop, Stepped):
                break
            stop = verb()
        return stop

    return s.going(run, stepping=True)


# -- forward -----------------------------------------------------------------------------------------


@command("run", "r", usage="[ARGS...]", says="run, from the beginning", family=_RUNNING)
def run(s: Shell, text: str) -> list[str]:
    _begin(s, text)
    return s.going(lambda: s.d.cont(s.d.system.options.max_insns))


@command("start", usage="[ARGS...]", says="run to main, or to the first instruction", family=_RUNNING)
def start(s: Shell, text: str) -> list[str]:
    _begin(s, text)
    main = s.symbols().addresses().get("main")
    if main is None:
        return s.stopped(s.d.stand(Stepped))
    return s.going(lambda: s.d.until(main))


@command("starti", usage="[ARGS...]", says="to the first instruction", family=_RUNNING)
def starti(s: Shell, text: str) -> list[str]:
    _begin(s, text)
    return s.stopped(s.d.stand(Stepped))


def _begin(s: Shell, text: str) -> None:
    """At the first instruction: by a new start, unless it is there."""
    arguments = words(text) or s.arguments
    if arguments is not None or s.d.now != (0, 0) or s.d.history.frontier > s.d.now:
        s.restart(arguments)


def words(text: str) -> list[str]:
    """Arguments of a program as a shell splits them. Raises PromptError."""
    try:
        return shlex.split(text)
    except ValueError as error:
        raise PromptError(str(error)) from None


@command(
    "continue",
    "c",
    "cont",
    "fg",
    usage="[N]",
    says="run on; N: past the point it stands at N - 1 times",
    family=_RUNNING,
    repeats=True,
)
def continue_(s: Shell, text: str) -> list[str]:
    passes = count_of(s, text) - 1
    points = [point for stop in s.d.stops if (point := getattr(stop, "point", None)) is not None]
    if passes:
        if not points:
            raise PromptError("it stands at no breakpoint")
        points[0].ignore = passes
    return s.going(lambda: s.d.cont(s.d.system.options.max_insns))


@command("stepi", "si", usage="[N]", says="N instructions of this task", family=_RUNNING, repeats=True)
def stepi(s: Shell, text: str) -> list[str]:
    count = count_of(s, text)
    return s.going(lambda: s.d.step(count), stepping=True)


@command("nexti", "ni", usage="[N]", says="N instructions, calls as one", family=_RUNNING, repeats=True)
def nexti(s: Shell, text: str) -> list[str]:
    return times(s, text, s.d.next)


@command("step", "s", usage="[N]", says="to another source line, into functions", family=_RUNNING, repeats=True)
def step(s: Shell, text: str) -> list[str]:
    return times(s, text, s.d.step_line)


@command("next", "n", usage="[N]", says="to another source line, over functions", family=_RUNNING, repeats=True)
def next_(s: Shell, text: str) -> list[str]:
    return times(s, text, s.d.next_line)


@command("finish", "fin", says="until the function of the chosen frame returns", family=_RUNNING, repeats=True)
def finish(s: Shell, text: str) -> list[str]:
    frame = s.frame_number
    stop = s.go(lambda: s.d.finish(frame), stepping=True)
    value = [f"it returned rax = {s.d.machine.regs[RAX]:#x}"] if isinstance(stop, Stepped) else []
    return [*s.stopped(stop), *value]


@command(
    "until",
    "u",
    usage="[PLACE]",
    says="to a place; without one, like next",
    family=_RUNNING,
    completes="place",
    repeats=True,
)
def until(s: Shell, text: str) -> list[str]:
    return advance(s, text) if text else next_(s, "")


@command(
    "advance", usage="PLACE", says="until this task is at a place", family=_RUNNING, completes="place", repeats=True
)
def advance(s: Shell, text: str) -> list[str]:
    address = s.place(text)
    return s.going(lambda: s.d.until(address), stepping=True)


@command("jump", "j", usage="PLACE", says="go on at another place", family=_RUNNING, completes="place")
def jump(s: Shell, text: str) -> list[str]:
    address = s.place(text)
    state.set_register(s.d, "rip", address, s.task().tid)
    return continue_(s, "")


@command("return", usage="[VALUE]", says="leave the chosen frame at once, as if it had returned", family=_RUNNING)
def return_(s: Shell, text: str) -> list[str]:
    value = s.value(text) if text else None
    caller, tid = s.frame_at(s.frame_number + 1), s.task().tid
    for register, known in caller.registers.items():
        state.set_register(s.d, REGISTER_NAMES[register], known, tid)
    if value is not None:
        state.set_register(s.d, "rax", value, tid)
    s.frame_number = 0
    return shown(s.frame())


@command(
    "step-block", "sb", usage="[N]", says="to the next instruction that is jumped to", family=_RUNNING, repeats=True
)
def step_block(s: Shell, text: str) -> list[str]:
    return times(s, text, s.d.step_block)


@command(
    "step-call", "sc", "nextsyscall", says="before the next system call of any task", family=_RUNNING, repeats=True
)
def step_call(s: Shell, text: str) -> list[str]:
    return s.going(s.d.step_call)


@command("step-fault", "sf", says="before the kernel handles the next fault of any task", family=_RUNNING, repeats=True)
def step_fault(s: Shell, text: str) -> list[str]:
    return s.going(s.d.step_fault)


@command("step-fork", says="behind the next fork", family=_RUNNING, repeats=True)
def step_fork(s: Shell, text: str) -> list[str]:
    return s.going(s.d.step_fork)


@command(
    "step-event",
    usage="KIND",
    says="behind the next event of a kind",
    family=_RUNNING,
    completes=tuple(KINDS),
    repeats=True,
)
def step_event(s: Shell, text: str) -> list[str]:
    kind = kind_of(text)
    return s.going(lambda: s.d.step_event(kind))


# -- back --------------------------------------------------------------------------------------------


@command("reverse-stepi", "rsi", usage="[N]", says="undo N instructions of this task", family=_BACK, repeats=True)
def reverse_stepi(s: Shell, text: str) -> list[str]:
    count = count_of(s, text)
    return s.going(lambda: s.d.back(count))


@command("reverse-nexti", "rni", usage="[N]", says="undo N instructions, calls as one", family=_BACK, repeats=True)
def reverse_nexti(s: Shell, text: str) -> list[str]:
    return times(s, text, s.d.back_over)


@command("reverse-step", "rs", usage="[N]", says="to the source line before", family=_BACK, repeats=True)
def reverse_step(s: Shell, text: str) -> list[str]:
    return times(s, text, s.d.back_line)


@command(
    "reverse-next", "rn", usage="[N]", says="to the source line before, over functions", family=_BACK, repeats=True
)
def reverse_next(s: Shell, text: str) -> list[str]:
    return times(s, text, lambda: s.d.back_line(over=True))


@command("reverse-finish", "rfin", says="to the call that led into the chosen frame", family=_BACK, repeats=True)
def reverse_finish(s: Shell, text: str) -> list[str]:
    frame = s.frame_number
    return s.going(lambda: s.d.back_out(frame))


@command(
    "reverse-continue",
    "rc",
    says="to the stop before: a breakpoint, a watch hit, a fatal fault",
    family=_BACK,
    repeats=True,
)
def reverse_continue(s: Shell, text: str) -> list[str]:
    return s.going(s.d.back_cont)


@command(
    "reverse-event",
    "re",
    usage="KIND",
    says="to the last event of a kind: call, fault, fork, ...",
    family=_BACK,
    completes=tuple(KINDS),
    repeats=True,
)
def reverse_event(s: Shell, text: str) -> list[str]:
    kind = kind_of(text)
    return s.going(lambda: s.d.back_to(kind))


@command(
    "goto",
    usage="TIME",
    says="to a moment: instructions[:entries], a mark, start, end, hit",
    family=_BACK,
    completes="mark",
)
def goto(s: Shell, text: str) -> list[str]:
    moment = s.moment(text)
    return s.going(lambda: s.d.go(moment))


@command("mark", usage="NAME [TIME]", says="give this moment, or another one, a name", family=_BACK)
def mark(s: Shell, text: str) -> list[str]:
    name, _space, when = text.partition(" ")
    if not name.replace("-", "_").isidentifier() or name in ("start", "end"):
        raise PromptError(f"{name!r} cannot be the name of a mark")
    s.marks[name] = s.moment(when.strip()) if when else s.d.now
    return [f"{name} is {time_text(s.marks[name])}"]


@command("checkpoint", says="give this moment a number, for `restart`", family=_BACK)
def checkpoint(s: Shell, text: str) -> list[str]:
    number = max((int(name) for name in s.marks if name.isdecimal()), default=0) + 1
    s.marks[str(number)] = s.d.now
    return [f"checkpoint {number} is {time_text(s.d.now)}: restart {number}"]


@command("restart", usage="N", says="to a checkpoint", family=_BACK, completes="mark")
def restart(s: Shell, text: str) -> list[str]:
    if text not in s.marks:
        raise PromptError(f"there is no checkpoint {text}" if text else "which checkpoint? `marks` lists them")
    moment = s.marks[text]
    return s.going(lambda: s.d.go(moment))


@command("marks", says="the moments that have names", family=_BACK)
def marks(s: Shell, text: str) -> list[str]:
    return [f"{name}: {time_text(time)}" for name, time in s.marks.items()] or ["there are no marks"]


def time_text(time: tuple[int, int]) -> str:
    """`12:3`, as `goto` takes it."""
    return f"{time[0]}:{time[1]}"
