"""The catalogue of bugs: does a session at the prompt come to the right diagnosis, forward and back?

Each program in examples/bugs has one bug and asks one question. Its .dbg file is a session; `# EXPECT` lines in it are
what must come up, in this order; the whole transcript is the .session file beside it. NAME-N.dbg is one of NAME's
program under the schedule of seed N. Of a program in C a transcript is without what is the compiler's and its
library's: see `layout_free`. (tests/gdb/test_gdb_catalogue.py has a real gdb come to the
diagnosis as well.)

`PYTHONPATH=tests/programs python tests/prompt/test_catalogue.py` writes the transcripts anew.
"""

import os
import re
import tempfile
from pathlib import Path

import pytest
from program_lab import compile_c, compiler_missing
from prompt_lab import ROOT, shell

from emu.program import Program, load_program
from emu.prompt.scripts import play

BUGS = ROOT / "examples" / "bugs"


def bug(session: Path) -> tuple[str, int | None]:
    """The program's name, and the seed of the schedule."""
    name, _, seed = session.stem.partition("-")
    return name, int(seed) if seed else None


SESSIONS = sorted(path for path in BUGS.glob("*.dbg") if (BUGS / f"{bug(path)[0]}.asm").exists())
C_SESSIONS = sorted(path for path in BUGS.glob("*.dbg") if path.with_suffix(".c").exists())
EXPECT = re.compile(r"^# EXPECT (.+)$", re.M)


def transcript(session: Path, program: Program) -> str:
    """The session with its commands, and at its end what the program wrote."""
    out: list[str] = []
    with shell(program, schedule=bug(session)[1]) as prompt:
        prompt.traced = True
        for answer in play(prompt, session.name, session.read_text().splitlines()):
            out += answer.lines
        written = prompt.d.system.stdout.decode()
    return "".join(f"{line}\n" for line in [*out, *written.splitlines()])


_CODE = re.compile(r"^(=>|  )[ *]0x[0-9a-f]+  ")
_LAYOUT = (
    (re.compile(r"(?<=breakpoint at )0x[0-9a-f]+ <([\w.]+?)(?:\+0x[0-9a-f]+)?>"), r"<\1>"),
    (re.compile(r"0x[0-9a-f]+ <([\w.]+?)(?:\+0x[0-9a-f]+)?>( at examples/)"), r"<\1>\2"),  # the program's own code
    (re.compile(r"0x[0-9a-f]+ <[\w.]+?(?:\+0x[0-9a-f]+)?>(?! at examples/)"), "<library>"),
    (re.compile(r"^#\d+ "), "# "),  # frames: the library has as many as it likes
    (re.compile(r"0x(?:4[0-9a-f]{5}|7ff[0-9a-f]{9})\b"), "ADDRESS"),  # the image, its heap; the stack
    (re.compile(r"(?<=\[)\d+:\d+(?=\])|(?<=that was at )\d+:\d+"), "TIME"),
    (re.compile(r"\b\d+ instructions? ago"), "some instructions ago"),
)


def layout_free(told: str) -> str:
    """A transcript without instructions, addresses, times, and what is in the C library."""
    rows: list[str] = []
    for row in told.splitlines():
        if _CODE.match(row):
            continue
        for pattern, instead in _LAYOUT:
            row = pattern.sub(instead, row)
        within = rows[-1:] == ["# <library>"] == [row]  # more of its frames
        within |= row.startswith(("  old ", "  new ")) and rows[-1].endswith("at <library>")
        if not within:
            rows.append(row)
    return "".join(f"{row}\n" for row in rows)


def compiled(session: Path, directory: Path) -> Program:
    source = session.with_suffix(".c")
    return load_program(str(compile_c(source, directory / source.stem, "gcc", "-O0", "-g")))


def assembled(session: Path) -> Program:
    return load_program(str((BUGS / f"{bug(session)[0]}.asm").relative_to(ROOT)))


def in_order(text: str, pieces: list[str]) -> None:
    """Each piece is in the text, behind the one before."""
    at = 0
    for piece in pieces:
        found = text.find(piece, at)
        assert found >= 0, f"{piece!r} does not come at this place:\n{text[at:]}\n-- all of it --\n{text}"
        at = found + len(piece)


@pytest.mark.parametrize("session", SESSIONS, ids=lambda path: path.stem)
def test_a_session_finds_the_bug(session: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The diagnosis comes up, nothing goes wrong, and the transcript is what it was."""
    monkeypatch.chdir(ROOT)
    told = transcript(session, assembled(session))
    assert "error: " not in told.replace("divide error: ", ""), told
    in_order(told, EXPECT.findall(session.read_text()))
    assert told == session.with_suffix(".session").read_text()


@pytest.mark.parametrize("session", C_SESSIONS, ids=lambda path: path.stem)
def test_a_session_finds_the_bug_in_c(session: Path, tmp_path: Path) -> None:
    """The same of programs whose code is the compiler's."""
    missing = compiler_missing("gcc")
    if missing:
        pytest.skip(missing)
    told = layout_free(transcript(session, compiled(session, tmp_path)))
    assert "error: " not in told, told
    in_order(told, EXPECT.findall(session.read_text()))
    assert told == session.with_suffix(".session").read_text()


def test_every_bug_asks_a_question_and_has_a_session() -> None:
    """At least fifteen; each program's first line asks, each session goes back, and has something to fail."""
    assert len(SESSIONS) >= 15
    programs = [path for path in BUGS.iterdir() if path.suffix in (".asm", ".c")]
    assert {p.stem for p in programs} == {bug(s)[0] for s in (*SESSIONS, *C_SESSIONS)}
    for program in programs:
        assert "?" in program.read_text().splitlines()[0], program
    back = re.compile(r"^(reverse-|rsi|goto|who-)", re.M)
    for session in (*SESSIONS, *C_SESSIONS):
        text = session.read_text()
        assert EXPECT.search(text), session
        assert back.search(text), session


def update() -> None:
    """Write every transcript anew."""
    os.chdir(ROOT)
    for session in SESSIONS:
        session.with_suffix(".session").write_text(transcript(session, assembled(session)))
    with tempfile.TemporaryDirectory() as directory:
        for session in C_SESSIONS:
            told = layout_free(transcript(session, compiled(session, Path(directory))))
            session.with_suffix(".session").write_text(told)


if __name__ == "__main__":
    update()
