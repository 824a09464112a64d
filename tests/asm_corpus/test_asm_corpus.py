"""The instruction shapes of real programs (shapes.txt) through emu.asm, against GNU as.

`python tests/asm_corpus/report.py` prints the counts.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from asm_corpus import Answers, att_forms, gnu, ours, shapes, verdicts
from asm_shapes import shape_of

from emu import disasm
from emu.asm import Assembler

BINUTILS = pytest.mark.skipif(
    not all(shutil.which(tool) for tool in ("as", "nm", "objcopy", "objdump")),
    reason="binutils (as, nm, objcopy, objdump) is not installed",
)


@pytest.fixture(scope="module")
def assembler() -> Iterator[Assembler]:
    with Assembler(disasm.one) as made:
        yield made


def wrong(answers: Answers) -> list[str]:
    """The lines that are encoded as something else, and those refused for another reason than a missing feature."""
    return [
        f"{v.source}: {v.kind} {v.found.hex(' ') if isinstance(v.found, bytes) else v.found}"
        for v in verdicts(answers)
        if v.kind == "wrong" or (v.kind == "refused" and "is not available in this machine" not in str(v.found))
    ]


def test_the_corpus_is_what_it_says() -> None:
    """At least 8,000 lines, each a shape of its own."""
    assert len({shape_of(source) for source in shapes()}) == len(shapes()) >= 8000


def test_every_shape_that_the_machine_can_run_is_encoded_as_gnu_as_does(assembler: Assembler) -> None:
    """The same bytes, or bytes that disassemble to the same; refused is only what the emulated CPU does not have."""
    sources = list(shapes())
    answers = Answers(sources, list(shapes().values()), ours(assembler, sources))
    assert wrong(answers) == []
    assert sum(v.kind != "refused" for v in verdicts(answers)) >= 8300


@BINUTILS
def test_every_shape_in_att_syntax_is_encoded_as_gnu_as_does(assembler: Assembler, tmp_path: Path) -> None:
    """The same corpus as objdump writes it in AT&T syntax."""
    sources = att_forms(list(shapes().values()), tmp_path)
    assert len(sources) >= 9000
    assert wrong(Answers(sources, gnu(sources, "att", tmp_path), ours(assembler, sources, "att"))) == []


@BINUTILS
def test_the_stored_bytes_are_those_of_gnu_as(tmp_path: Path) -> None:
    """The corpus can be trusted where binutils is not installed."""
    differing = {
        s: b for s, b in zip(shapes(), gnu(list(shapes()), "intel", tmp_path), strict=True) if b != shapes()[s]
    }
    assert differing == {}
