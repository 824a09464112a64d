"""Why: page tables, frames, who shares them, and who did it."""

from typing import Final

from emu.debug import EntryWatch, FrameWatch, Point, Stop, Watchpoint, paging
from emu.debug.paging import Picture
from emu.debug.reverse import coming_back
from emu.debug.why import why as why_of
from emu.prompt.errors import PromptError
from emu.prompt.points import frame_of, span
from emu.prompt.registry import command
from emu.prompt.running import time_text
from emu.prompt.shell import Shell
from emu.render import debug as text_of
from mini_kernel.mm.mm import Mm

_TABLES: Final = "why and who"


@command(
    "why",
    usage="[ADDRESS]",
    says="all about an address, or the fault it stands before: walk, mapping, sharers, decision",
    family=_TABLES,
    completes="value",
)
def why(s: Shell, text: str) -> list[str]:
    address = s.value(text) if text else None
    return text_of.why_lines(why_of(s.d, address, s.task().tid), s.symbols())


@command("vtop", usage="ADDRESS", says="the page-table walk, entry by entry", family=_TABLES, completes="value")
def vtop(s: Shell, text: str) -> list[str]:
    address = s.value(text)
    return text_of.walk_lines(paging.walk(s.task().mm, address), address)


@command(
    "pt",
    usage="[tables]",
    says="the whole tree of page tables; `tables`: without entries",
    family=_TABLES,
    completes=("tables",),
)
def pt(s: Shell, text: str) -> list[str]:
    return text_of.tree_lines(paging.picture(s.task().mm), entries=text != "tables")


@command(
    "pt-diff",
    usage="[-b] A [B]",
    says="what differs between the tables of two processes or moments; -b: bits only",
    family=_TABLES,
    completes="mark",
)
def pt_diff(s: Shell, text: str) -> list[str]:
    words = text.split()
    bits_only = words[:1] == ["-b"]
    words = words[bits_only:]
    if not 1 <= len(words) <= 2:
        raise PromptError("name two processes, a moment, or two moments")
    spaces = paging.spaces(s.d.kernel)
    if len(words) == 2 and all(word.isdecimal() for word in words):
        old, new = (paging.picture(_space(spaces, word)) for word in words)
    else:
        old = _picture_at(s, words[0])
        new = _picture_at(s, words[1]) if len(words) > 1 else paging.picture(s.task().mm)
    return text_of.difference_lines(paging.differences(old, new, bits_only), (words[0], (*words, "now")[1]))


def _space(spaces: dict[int, Mm], word: str) -> Mm:
    mm = spaces.get(int(word))
    if mm is None:
        raise PromptError(f"process {word} has no address space of its own")
    return mm


def _picture_at(s: Shell, text: str) -> Picture:
    """The tables of the process that is looked at, at a moment. The system stays where it is."""
    tgid = s.task().tgid
    with coming_back(s.d):
        s.d.go(s.moment(text))
        mm = paging.spaces(s.d.kernel).get(tgid)
        if mm is None:
            raise PromptError(f"there was no process {tgid} at {text}")
        return paging.picture(mm)


@command("who-maps", "pfn", usage="PFN", says="a physical frame and everything that maps it", family=_TABLES)
def who_maps(s: Shell, text: str) -> list[str]:
    return text_of.frame_lines(paging.who_maps(s.d.kernel, frame_of(s, text)))


@command("sharing", usage="", says="what each process shares with others", family=_TABLES)
def sharing(s: Shell, text: str) -> list[str]:
    return text_of.sharing_lines(paging.sharing(s.d.kernel))


@command(
    "who-wrote",
    usage="[-p] ADDRESS[, LENGTH] [process N]",
    says="the last store there before now; `goto hit` goes behind it",
    family=_TABLES,
    completes="value",
)
def who_wrote(s: Shell, text: str) -> list[str]:
    physical = text.split()[:1] == ["-p"]
    head, tgid = _process(s, text.removeprefix("-p") if physical else text)
    address, length = span(s, head)
    return _last(s, Watchpoint(address=address, length=length, physical=physical, tgid=tgid), "was never written")


@command(
    "who-read",
    usage="ADDRESS[, LENGTH] [process N]",
    says="the last load from there before now",
    family=_TABLES,
    completes="value",
)
def who_read(s: Shell, text: str) -> list[str]:
    head, tgid = _process(s, text)
    address, length = span(s, head)
    return _last(s, Watchpoint(address=address, length=length, kind="read", tgid=tgid), "was never read")


@command(
    "who-changed-pte",
    usage="ADDRESS [process N]",
    says="the last change of an entry that translates it",
    family=_TABLES,
    completes="value",
)
def who_changed_pte(s: Shell, text: str) -> list[str]:
    head, tgid = _process(s, text)
    return _last(s, EntryWatch(address=s.value(head), tgid=tgid or s.task().tgid), "is translated as it ever was")


@command("who-took-frame", usage="PFN", says="the last change of a frame's references", family=_TABLES)
def who_took_frame(s: Shell, text: str) -> list[str]:
    return _last(s, FrameWatch(pfn=frame_of(s, text)), "is referred to as it ever was")


def _process(s: Shell, text: str) -> tuple[str, int | None]:
    head, word, number = text.partition(" process ")
    return head.strip(), s.value(number) if word else None


def _last(s: Shell, point: Point, never: str) -> list[str]:
    """Who did it, and when; the moment is the mark `hit`."""
    stop = s.d.last(point)
    if stop is None:
        start = time_text(s.d.history.beginning)
        return [f"it {never} from {start} on"]
    s.marks["hit"] = stop.time
    ago = s.d.now[0] - stop.time[0]
    since = f"{ago} instruction{'' if ago == 1 else 's'} ago" if ago else "the last thing that happened"
    return [*_told(s, stop), f"that was at {time_text(stop.time)}, {since}"]


def _told(s: Shell, stop: Stop) -> list[str]:
    """The stop without the point, which has no number, and without where the task was afterwards."""
    lines = text_of.stop_lines(stop, s.symbols())
    lines[0] = lines[0].partition(": ")[2]
    events = [event for event in s.d.log.at(stop.time) if event.tgid]
    if getattr(stop, "kernel", True) and events:
        return [*lines[:-1], "in the kernel entry of", *(f"  {text_of.event_line(event)}" for event in events)]
    return lines[:-1]
