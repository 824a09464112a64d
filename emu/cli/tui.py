"""`emu debug --tui`: the prompt with code, registers, tables, processes, stack and events around it (Textual)."""

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.widgets import Footer, Input, RichLog, Static

from emu.prompt.colour import paint
from emu.prompt.panes import panes
from mini_kernel.fs.stream import BytesStream

if TYPE_CHECKING:
    from emu.prompt import Answer, Shell


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
        """These lines from now on; the view stays where it is, or follows their end."""
        self.lines = lines
        self._text.update(_text(lines))
        if at_end:
            self.scroll_end(animate=False)


class DebugApp(App[None]):
    """The full-screen view over a shell. Every key is a command that could be typed."""

    CSS = """
    Pane { border: round $primary; height: 1fr; }
    #left { width: 3fr; } #right { width: 2fr; }
    #code { height: 3fr; } #registers { height: 13; } #tables { height: 2fr; }
    #output { height: 9; border: round $primary; } Static { width: auto; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f4", "type('reverse-continue')", "back"),
        Binding("f5", "type('continue')", "continue"),
        Binding("f6", "type('reverse-stepi')", "step back"),
        Binding("f7", "type('stepi')", "step"),
        Binding("f8", "type('nexti')", "next"),
        Binding("f9", "type('why')", "why"),
        Binding("ctrl+c", "interrupt", "stop", priority=True),
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
        yield Input(placeholder="a command; help lists them", id="command")
        yield Footer()

    def on_mount(self) -> None:
        self._refresh()
        self.query_one(Input).focus()

    async def on_input_submitted(self, event: Input.Submitted) -> None:
        """A line was typed."""
        event.input.value = ""
        await self.action_type(event.value)

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
        for line in lines:
            log.write(_text([line]))

    def _refresh(self) -> None:
        for name, lines in panes(self._shell).items():
            self.query_one(f"#{name}", Pane).show(lines, at_end=name == "events")


def _text(lines: list[str]) -> Text:
    return Text.from_ansi("\n".join(map(paint, lines)))
