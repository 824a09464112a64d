"""Whatever the source, emu.asm answers: an image, or mistakes with their lines; and nothing happens to the machine.

`python tests/asm_corpus/hostile.py` prints how long the answers take.
"""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import get_args

import pytest
from asm_directed import CORRECTED, CORRECTED_ATT, LONG, REFUSED, REFUSED_ATT
from asm_hostile import Hostile, answer
from asm_mutants import Source, programs, soups, typos

from emu import disasm
from emu.asm import Assembler, Syntax
from emu.asm.engine import Engine
from emu.asm.worker import MEMORY_LIMIT


@pytest.fixture(scope="module")
def assembler() -> Iterator[Assembler]:
    with Assembler(disasm.one) as made:
        yield made


def bad(hostile: Hostile, sources: Iterator[Source], syntax: Syntax = "intel") -> list[str]:
    """What is wrong with the answers; empty when all are as they should be."""
    return [
        f"{source.name}: {fault}" for source in sources if (fault := hostile.fault(source.text, syntax)) is not None
    ]


def test_a_sample_of_typos_is_answered(assembler: Assembler) -> None:
    """Real programs with one typo each: an image, or mistakes that have lines."""
    assert bad(Hostile(assembler), typos(60, 1)) == []


@pytest.mark.full
def test_1500_typos_are_answered(assembler: Assembler) -> None:
    """Real programs with one typo each: an image, or mistakes that have lines."""
    assert bad(Hostile(assembler), typos(1500, 3)) == []


@pytest.mark.parametrize("syntax", get_args(Syntax))
def test_300_token_soups_are_answered(assembler: Assembler, syntax: Syntax) -> None:
    """Random tokens: an image, or mistakes that have lines."""
    assert bad(Hostile(assembler), soups(300, 4), syntax) == []


@pytest.mark.parametrize(("statements", "syntax"), [(REFUSED, "intel"), (REFUSED_ATT, "att")], ids=["intel", "att"])
def test_what_means_nothing_is_refused_in_its_line(
    assembler: Assembler, statements: tuple[str, ...], syntax: Syntax
) -> None:
    """Torn, impossible and forbidden statements: the mistake is reported where it is."""
    unrefused = [s for s in statements if 3 not in answer(assembler, f"nop\nnop\n{s}\nnop\n", syntax)]
    assert len(REFUSED) + len(LONG) >= 160
    assert unrefused == []


def test_sources_that_grow_or_nest_without_end_are_answered(assembler: Assembler) -> None:
    """Recursion, repetition, long lines: bounded work, and no way into the recursion limit of Python."""
    assert bad(Hostile(assembler), (Source(name, text) for name, text in LONG.items())) == []


@pytest.mark.parametrize(("table", "syntax"), [(CORRECTED, "intel"), (CORRECTED_ATT, "att")], ids=["intel", "att"])
def test_what_keystone_gets_wrong_is_corrected(assembler: Assembler, table: dict[str, str], syntax: Syntax) -> None:
    """The bytes are those of GNU as, stored here."""
    images = {s: assembler.assemble(f"_start: {s}", "t.asm", syntax=syntax) for s in table}
    assert {s: image.sections[0].data.hex(" ") for s, image in images.items()} == table


def test_no_host_file_is_read(assembler: Assembler, tmp_path: Path) -> None:
    """Neither a directive of ours nor one of Keystone's opens what is outside of the source's directory."""
    (tmp_path / "secret").write_text("mov eax, 0x5ec4e7")
    source = tmp_path / "below" / "prog.asm"
    source.parent.mkdir()
    (source.parent / "link").symlink_to(tmp_path / "secret")
    forms = (
        f'{word} "{name}"' for word in (".incbin", ".include") for name in ("../secret", tmp_path / "secret", "link")
    )
    opened = _opened(lambda form: answer(assembler, f"nop\n{form}", path=str(source)), list(forms))
    assert [name for name in opened if "secret" in name or "link" in name] == []


_watched: list[list[str]] = []


def _audit(event: str, arguments: tuple[object, ...]) -> None:
    if event == "open" and _watched:
        _watched[-1].append(os.path.realpath(str(arguments[0])))


sys.addaudithook(_audit)  # for the life of the process; it does nothing unless somebody watches


def _opened(run: Callable[[str], list[int]], forms: list[str]) -> list[str]:
    """The files that are opened while all forms are assembled; each form must be refused."""
    _watched.append([])
    try:
        assert all(run(form) for form in forms)
    finally:
        opened = _watched.pop()
    return opened


def test_the_worker_cannot_have_more_than_a_gibibyte() -> None:
    """The limit of the running worker, as the kernel has it."""
    engine = Engine()
    assert engine.encode(["nop"]) == [b"\x90"]
    process = engine._process  # pyright: ignore[reportPrivateUsage]
    assert process is not None
    limits = Path(f"/proc/{process.pid}/limits").read_text().splitlines()
    engine.close()
    assert MEMORY_LIMIT == 1 << 30
    assert [row.split()[3:5] for row in limits if row.startswith("Max address space")] == [[str(1 << 30)] * 2]
    assert [row.split()[3:5] for row in limits if row.startswith("Max open files")] == [["3", "3"]]


def test_the_programs_that_typos_are_made_of_are_right(assembler: Assembler) -> None:
    """Without a typo they assemble: what is tested is the typos."""
    right = [name for name, text in programs().items() if not answer(assembler, text)]
    assert right == list(programs())
    assert len(right) >= 40
