"""The full-screen view: do its panes follow every step, forward and back? As text, against a snapshot of the screen.

`python tests/cli/test_tui.py` writes the snapshot anew.
"""

import asyncio
import html
import os
import re
import sys
from pathlib import Path

import pytest
from cli_lab import Cli

pytest.importorskip("textual", reason="Textual is not installed")

from textual.widgets import Input, RichLog

from emu.boot import Options, System
from emu.cli.tui import Command, DebugApp, Pane
from emu.program import load_program
from emu.prompt import Shell
from emu.prompt.panes import NAMES
from mini_kernel.fs.stream import BytesStream

ROOT = Path(__file__).parents[2]
SNAPSHOT = Path(__file__).with_suffix(".snapshot")
SIZE = (160, 50)


async def session(*keys_or_commands: str) -> dict[str, str]:
    """What the panes show after function keys and commands."""
    streams = (BytesStream(), BytesStream(), BytesStream())
    program = load_program("examples/fork_cow.asm")
    options = Options(debug=True, memory=64 << 20)
    shell = Shell(lambda arguments: System(program, (), options, streams), ())
    app = DebugApp(shell, streams[1:])
    try:
        async with app.run_test(size=SIZE) as pilot:
            for item in keys_or_commands:
                if re.fullmatch(r"f\d+", item):
                    await pilot.press(item)
                else:
                    app.query_one(Input).value = item
                    await pilot.press("enter")
                await app.workers.wait_for_complete()
                await pilot.pause()
            found = {pane.id or "": "\n".join(pane.lines) for pane in app.query(Pane)}
            found["screen"] = html.unescape("".join(re.findall(r"<text[^>]*>(.*?)</text>", app.export_screenshot())))
            found["output"] = "\n".join(line.text.rstrip() for line in app.query_one(RichLog).lines)
    finally:
        shell.close()
    return found


def screen() -> str:
    """All panes, in the child before its first write."""
    found = asyncio.run(session("break child", "f5", "f7"))
    return "".join(f"== {name}\n{text}\n" for name, text in found.items() if name != "screen")


def test_the_screen_shows_the_panes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Titles, the instruction that comes next, where each process is, the keys."""
    monkeypatch.chdir(ROOT)
    found = asyncio.run(session("break child", "f5"))
    shown = found["screen"].replace("\xa0", " ")
    for text in (*NAMES, "=> 0x40104c", "process 2 fork_cow.asm", "rsp 0x00007ffff", "PGD table", "step back"):
        assert text in shown, text


def test_without_textual_it_says_so(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "emu.cli.tui")
    monkeypatch.setitem(sys.modules, "textual.app", None)
    ended = cli("debug", "--tui", "exit7.asm")
    assert (ended.status, ended.out) == (2, b"")
    assert ended.err.endswith("pip install 'cr3lab[tui]'\n")
    assert len(ended.lines) == 1


def test_the_panes_are_as_in_the_snapshot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert screen() == SNAPSHOT.read_text()


def test_the_panes_follow_steps_forward_and_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step and its way back leave the same code, tables, processes and stack; at the end the events are left."""
    monkeypatch.chdir(ROOT)
    here = asyncio.run(session("f7", "f7"))
    back = asyncio.run(session("f7", "f7", "f8", "stepi 3", "reverse-stepi 3", "f6"))
    assert "=>" in here["code"]
    for name in ("code", "processes", "stack"):
        assert back[name] == here[name]
    ended = asyncio.run(session("f5"))
    assert ended["code"] == "nothing runs"
    assert "exit status 0" in ended["events"]
    assert "parent, after both:      A" in ended["output"]


def test_the_keys_of_the_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Up and down bring lines back, tab completes or says what a word could be; page up shows older answers."""
    monkeypatch.chdir(ROOT)

    async def run() -> None:
        streams = (BytesStream(), BytesStream(), BytesStream())
        program = load_program("examples/fork_cow.asm")
        shell = Shell(lambda arguments: System(program, (), Options(debug=True, memory=64 << 20), streams), ())
        app = DebugApp(shell, streams[1:])
        try:
            async with app.run_test(size=SIZE) as pilot:
                typed, log = app.query_one(Command), app.query_one(RichLog)
                for line in ("print 1", "help"):
                    typed.value = line
                    await pilot.press("enter")
                    await app.workers.wait_for_complete()
                await pilot.press("up", "up")
                assert typed.value == "print 1"
                await pilot.press("down", "down")
                assert typed.value == ""
                await pilot.press(*"disab", "tab")
                assert typed.value == "disable "
                typed.value = ""
                await pilot.press(*"reverse-s", "tab", "tab")
                assert typed.value == "reverse-step"
                assert "reverse-step  reverse-stepi" in log.lines[-1].text
                bottom = log.scroll_y
                await pilot.press("pageup")
                assert log.scroll_y < bottom
                await pilot.press("pagedown")
                assert log.scroll_y == bottom
        finally:
            shell.close()

    asyncio.run(run())


@pytest.mark.parametrize("size", [(40, 15), (80, 24), (200, 60)])
def test_on_any_screen_the_next_instruction_is_seen(size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Also after the screen has become another; with its frame, after `up`."""
    monkeypatch.chdir(ROOT)

    async def run() -> None:
        streams = (BytesStream(), BytesStream(), BytesStream())
        program = load_program("examples/bugs/deep_recursion.asm")
        shell = Shell(lambda arguments: System(program, (), Options(debug=True, memory=64 << 20), streams), ())
        app = DebugApp(shell, streams[1:])
        try:
            async with app.run_test(size=SIZE) as pilot:
                for line in ("continue", "up 3"):
                    app.query_one(Input).value = line
                    await pilot.press("enter")
                    await app.workers.wait_for_complete()
                    await pilot.resize_terminal(*size)
                    await pilot.pause()
                    code = app.query_one("#code", Pane)
                    row = next(i for i, text in enumerate(code.lines) if text.startswith("=>"))
                    assert code.scroll_y <= row < code.scroll_y + max(1, code.scrollable_content_region.height)
                assert "=> 0x40102d" in code.lines[row]
                assert "<not saved>" in "".join(app.query_one("#registers", Pane).lines)
        finally:
            shell.close()

    asyncio.run(run())


def test_ctrl_c_stops_what_runs(tmp_path: Path) -> None:
    """And the command that is typed meanwhile is not lost."""
    source = tmp_path / "spin.asm"
    source.write_text("_start: jmp _start\n")

    async def run() -> None:
        streams = (BytesStream(), BytesStream(), BytesStream())
        program = load_program(str(source))
        shell = Shell(lambda arguments: System(program, (), Options(debug=True, memory=64 << 20), streams), ())
        app = DebugApp(shell, streams[1:])
        try:
            async with app.run_test(size=SIZE) as pilot:
                await app.action_type("continue")
                typed = app.query_one(Input)
                typed.value = "print"
                await app.on_input_submitted(Input.Submitted(typed, "print"))
                assert typed.value == "print"
                while list(app.workers):  # until it has begun to run, and stops
                    await pilot.press("ctrl+c")
                assert "interrupted" in "".join(line.text for line in app.query_one(RichLog).lines)
        finally:
            shell.close()

    asyncio.run(run())


if __name__ == "__main__":
    os.chdir(ROOT)
    SNAPSHOT.write_text(screen())
