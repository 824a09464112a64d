"""The calls that led here: seen, chosen among; what is looked at is then seen from the chosen one."""

from typing import Final

from emu.prompt.errors import PromptError
from emu.prompt.registry import command
from emu.prompt.shell import MAX_FRAMES, Shell
from emu.render import debug as text_of
from emu.unwind import Backtrace, Frame
from mini_kernel.x86 import REGISTER_NAMES, RSP

_FRAMES: Final = "frames"
_USUAL: Final = 32


@command("backtrace", "bt", "where", usage="[N | -N]", says="the calls that led here", family=_FRAMES)
def backtrace(s: Shell, text: str) -> list[str]:
    words = [word for word in text.split() if word != "full"]
    outer = bool(words) and words[0].startswith("-")
    limit = s.value(" ".join(words).removeprefix("-")) if words else _USUAL
    found = s.frames(MAX_FRAMES if outer else min(limit, MAX_FRAMES) + 1)
    frames = found.frames[-limit:] if outer else found.frames[:limit]
    rows = text_of.backtrace_lines(Backtrace(frames, found.broken if frames[-1:] == found.frames[-1:] else None))
    return rows if outer or len(found.frames) <= limit else [*rows, f"(more frames follow: backtrace {limit * 2})"]


@command(
    "frame",
    "f",
    usage="[N | function NAME]",
    says="look at frame N of the backtrace, or the innermost of a function",
    family=_FRAMES,
    completes=("function",),
)
def frame(s: Shell, text: str) -> list[str]:
    word, _space, rest = text.partition(" ")
    if word in ("function", "level"):
        return _select(s, _of_function(s, rest.strip()) if word == "function" else s.value(rest))
    return _select(s, s.value(text)) if text else shown(s.frame())


def _of_function(s: Shell, name: str) -> int:
    for found in s.frames(MAX_FRAMES).frames:
        if found.name is not None and found.name.partition("+")[0] == name:
            return found.number
    raise PromptError(f"there is no frame of {name!r} in the backtrace")


@command("up", usage="[N]", says="to the frame of the caller", family=_FRAMES, repeats=True)
def up(s: Shell, text: str) -> list[str]:
    number = s.frame_number + (s.value(text) if text else 1)
    last = s.frames(min(number, MAX_FRAMES) + 1).frames[-1].number
    if s.frame_number == last:
        raise PromptError("this is the outermost frame that is known")
    return _select(s, min(number, last))


@command("down", "dow", usage="[N]", says="to the frame that was called", family=_FRAMES, repeats=True)
def down(s: Shell, text: str) -> list[str]:
    if not s.frame_number:
        raise PromptError("this is the innermost frame")
    return _select(s, max(0, s.frame_number - (s.value(text) if text else 1)))


def _select(s: Shell, number: int) -> list[str]:
    chosen = s.frame_at(number)
    s.frame_number, s.listed = number, None
    return shown(chosen)


def shown(frame: Frame) -> list[str]:
    """A frame, and its source line."""
    rows = text_of.backtrace_lines(Backtrace([frame], None))
    return [*rows, f"{frame.source.line:>5}  {frame.source.text}".rstrip()] if frame.source is not None else rows


def info_frame(s: Shell, text: str) -> list[str]:
    """Where the frame is, who is around it, where the caller's registers are."""
    found = s.frame_at(s.value(text)) if text else s.frame()
    frames = s.frames(found.number + 2).frames
    rows = shown(found)[:1]
    rows.append(f"  the stack pointer is {found.registers[RSP]:#x}")
    if found.cfa is not None:
        rows.append(f"  the frame ends at {found.cfa:#x}, the caller's stack pointer")
    if len(frames) > found.number + 1:
        caller = frames[found.number + 1]
        rows.append(f"  called by frame {caller.number} at {caller.rip:#x}, found by {text_of.FOUND[caller.found]}")
    else:
        rows.append("  the outermost frame that is known")
    if found.number:
        rows.append(f"  caller of frame {found.number - 1} at {frames[found.number - 1].rip:#x}")
    places = [f"{REGISTER_NAMES[r]} at {at:#x}" for r, at in sorted(found.saved.items(), key=lambda item: item[1])]
    return [*rows, f"  saved registers: {', '.join(places)}" if places else "  no registers are saved in it"]
