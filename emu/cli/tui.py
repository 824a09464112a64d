"""`emu debug --tui`: the prompt with code, registers, tables, processes, stack and events around it (Textual)."""

import asyncio
import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual import events
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.widgets import Footer, Input, RichLog, Static

from emu.prompt.colour import paint
from emu.prompt.fit import fit
from emu.prompt.panes import panes
from mini_kernel.fs.stream import BytesStream

if TYPE_CHECKING:
    from emu.prompt import Answer, Shell


_CHOICES = 30  # words that are shown of those that a word could become
_LOW = 36  # rows of a screen on which not everything has a place


class Pane(VerticalScroll):
    """A frame with a title around lines, which may be more than fit."""

    def __init__(self, name: str) -> None:
        super().__init__(id=name)
        self.border_title = name
        self.lines: list[str] = []
        self._text = Static(markup=False)

    def compose(self) -> ComposeResult:
        yield self._text

    def show(self, lines: list[str], at_end: bool = False) -> None:
        """These lines from now on; the view stays where it is, or follows their end, or the next instruction."""
        self.lines = lines
        self._text.update(_text(self._fitted()))
        here = next((i for i, line in enumerate(lines) if line.startswith("=>")), None)
        if at_end:
            self.scroll_end(animate=False)
        elif here is not None and self.size.height:
            self.scroll_to(y=max(0, here - self.size.height // 2), animate=False)

    def on_resize(self) -> None:
        """The same lines in another width."""
        self.show(self.lines, at_end=self.id == "events")

    def _fitted(self) -> list[str]:
        """Instructions are cut to the pane's width; of other lines the rest can be scrolled to."""
        width = self.scrollable_content_region.width
        return [row for line in self.lines for row in fit(line, width)] if self.id == "code" and width else self.lines


class Command(Input):
    """The line that is typed: up and down bring back earlier ones, tab completes."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "recall(-1)", show=False),
        Binding("down", "recall(1)", show=False),
        Binding("tab", "complete", show=False, priority=True),
    ]

    def __init__(self, complete: Callable[[str], list[str]], tell: Callable[[list[str]], None]) -> None:
        """`tell` shows what a word could become."""
        super().__init__(placeholder="a command; help lists them", id="command")
        self._complete, self._tell = complete, tell
        self._typed: list[str] = []
        self._at = 0

    def remember(self, line: str) -> None:
        """It was run."""
        if line and line != (self._typed or [""])[-1]:
            self._typed.append(line)
        self._at = len(self._typed)

    def action_recall(self, step: int) -> None:
        """An earlier line, or a later one; behind the last there is an empty one."""
        self._at = min(max(self._at + step, 0), len(self._typed))
        self.value = self._typed[self._at] if self._at < len(self._typed) else ""
        self.cursor_position = len(self.value)

    def action_complete(self) -> None:
        """The last word, as far as it is clear; what it could be, where it is not."""
        found = self._complete(self.value)
        last = self.value.rpartition(" ")[2]
        more = os.path.commonprefix(found)  # noqa: RUF071  # of words, not of paths
        if len(more) > len(last):
            self.value += more[len(last) :] + (" " if len(found) == 1 else "")
            self.cursor_position = len(self.value)
        elif len(found) > 1:
            self._tell(["  ".join(found[:_CHOICES]) + (" ..." if len(found) > _CHOICES else "")])


class DebugApp(App[None]):
    """The full-screen view over a shell. Every key is a command that could be typed."""

    CSS = """
    Pane { border: round $primary; height: 1fr; }
    #left { width: 3fr; } #right { width: 2fr; }
    #code { height: 3fr; } #registers { height: 13; } #tables { height: 2fr; }
    #output { height: 9; border: round $primary; } Static { width: auto; }
    .low #stack { display: none; } .low #output { height: 6; } .low #command { border: none; height: 1; }
    .low #registers { height: 2fr; } .low #processes { height: 4; } .low #events { height: 4; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f4", "type('reverse-continue')", "back"),
        Binding("f5", "type('continue')", "continue"),
        Binding("f6", "type('reverse-stepi')", "step back"),
        Binding("f7", "type('stepi')", "step"),
        Binding("f8", "type('nexti')", "next"),
        Binding("f9", "type('why')", "why"),
        Binding("ctrl+c", "interrupt", "stop", priority=True),
        Binding("pageup", "scroll(-1)", show=False, priority=True),
        Binding("pagedown", "scroll(1)", show=False, priority=True),
        Binding("f10", "quit", "quit"),
    ]

    def __init__(self, shell: "Shell", streams: Iterable[BytesStream] = ()) -> None:
        """`streams`: the guest's output, which is shown between that of commands."""
        super().__init__()
        self._shell = shell
        self._streams = tuple(streams)
        self._shown = [0] * len(self._streams)  # bytes of each
        self._busy = False

    def compose(self) -> ComposeResult:
        with Horizontal():
            with Vertical(id="left"):
                yield Pane("code")
                yield Pane("stack")
                yield Pane("events")
            with Vertical(id="right"):
                yield Pane("registers")
                yield Pane("tables")
                yield Pane("processes")
        yield RichLog(id="output", wrap=False)
        yield Command(self._shell.complete, self._write)
        yield Footer()

    def on_mount(self) -> None:
        self._refresh()
        self.query_one(Input).focus()

    def on_resize(self, event: events.Resize) -> None:
        """On a low screen the stack gives its place to the others."""
        self.screen.set_class(event.size.height < _LOW, "low")

    async def on_input_submitted(self, event: Input.Submitted) -> None:
        """A line was typed. While another command runs it stays where it is."""
        if self._busy:
            return
        event.input.value = ""
        self.query_one(Command).remember(event.value)
        await self.action_type(event.value)

    def action_scroll(self, pages: int) -> None:
        """Through what commands have said."""
        log = self.query_one(RichLog)
        log.scroll_relative(y=pages * max(1, log.size.height - 1), animate=False)

    async def action_type(self, line: str) -> None:
        """Run a command; keys go on working meanwhile, so that ctrl+c can stop it."""
        if self._busy:
            return
        self._busy = True
        self._write([f"{self._shell.prompt}{line}"])
        self.run_worker(self._run(line), exclusive=False)

    async def _run(self, line: str) -> None:
        try:
            answer: Answer = await asyncio.to_thread(self._shell.execute, line)
        finally:
            self._busy = False
        self._guest()
        self._write(answer.lines)
        self._refresh()
        if self._shell.done:
            self.exit()

    def action_interrupt(self) -> None:
        """Stop what runs."""
        if self._busy:
            self._shell.d.interrupt()

    def _guest(self) -> None:
        """What the guest has written since."""
        for i, stream in enumerate(self._streams):
            new = bytes(stream.written[self._shown[i] :])
            self._shown[i] += len(new)
            self._write(new.decode("utf-8", "replace").splitlines())

    def _write(self, lines: list[str]) -> None:
        log = self.query_one(RichLog)
        width = log.scrollable_content_region.width
        for row in (row for line in lines for row in (fit(line, width) if width else [line])):
            log.write(_text([row]))

    def _refresh(self) -> None:
        for name, lines in panes(self._shell).items():
            self.query_one(f"#{name}", Pane).show(lines, at_end=name == "events")


def _text(lines: list[str]) -> Text:
    return Text.from_ansi("\n".join(map(paint, lines)))
