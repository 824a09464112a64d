"""Does the README tell the truth? Every console block in it is run, and every Python block.

`python tests/cli/test_readme.py` writes the outputs anew.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
CONSOLE = re.compile(r"```console\n(.*?)```", re.S)
PYTHON = re.compile(r"```python\n(.*?)```", re.S)
#: Host microseconds are the one thing that differs from run to run.
VARIES = re.compile(r"\b\d[\d,]*(\.\d+)? us\b")


def run(command: str) -> str:
    """What a console line prints on both streams, in the repository's root, with `emu` being this interpreter's."""
    words = shlex.split(command)
    if words[0] == "emu":
        words = [sys.executable, "-m", "emu.cli.main", *words[1:]]
    environment = {**os.environ, "NO_COLOR": "1"}
    done = subprocess.run(
        words,
        check=False,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
        timeout=60,
    )
    return done.stdout


def blocks(text: str) -> list[list[tuple[str, str]]]:
    """For each console block its (command, output) pairs."""
    found: list[list[tuple[str, str]]] = []
    for body in CONSOLE.findall(text):
        parts = re.split(r"^\$ (.*)\n", body, flags=re.M)[1:]
        found.append(list(zip(parts[::2], parts[1::2], strict=True)))
    return found


@pytest.mark.parametrize("block", blocks(README.read_text()), ids=lambda block: block[0][0])
def test_console_blocks_print_what_the_readme_shows(block: list[tuple[str, str]]) -> None:
    """Every command of the README gives the output printed under it."""
    if any("busybox" in command for command, _shown in block) and shutil.which("busybox") is None:
        pytest.skip("busybox is not installed")
    for command, shown in block:
        assert VARIES.sub("N us", run(command)) == VARIES.sub("N us", shown)


@pytest.mark.parametrize("code", PYTHON.findall(README.read_text()))
def test_python_blocks_run(code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every Python block of the README runs, and its assertions hold."""
    monkeypatch.chdir(ROOT)
    exec(compile(code, "README.md", "exec"), {})


def test_the_readme_has_both_kinds() -> None:
    """The two patterns above do find something."""
    text = README.read_text()
    assert blocks(text)
    assert PYTHON.findall(text)


def update() -> None:
    """Write the outputs anew."""

    def renew(match: re.Match[str]) -> str:
        commands = [command for command, _ in blocks(match.group(0))[0]]
        return "```console\n" + "".join(f"$ {command}\n{run(command)}" for command in commands) + "```"

    README.write_text(CONSOLE.sub(renew, README.read_text()))


if __name__ == "__main__":
    update()
