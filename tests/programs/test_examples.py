"""Do the examples do what they say? Their `# EXPECT` lines and reference output, in the lab and on the host.

`python tests/programs/test_examples.py` writes the reference outputs anew.
"""

import operator
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from program_lab import NOT_NATIVE, Run, assemble, in_lab, natively, write_executable

from mini_kernel.uapi import constants
from userland.catalogue import programs

INPUT = b"one\ntwo\n"
EXPECT = re.compile(r"^# EXPECT (\S+) (==|>=|<=) (.+)$", re.M)
COMPARE: dict[str, Callable[[Any, Any], bool]] = {"==": operator.eq, ">=": operator.ge, "<=": operator.le}
EXAMPLES = [path for path in programs().values() if path.suffix == ".asm"]
EXPECTED = [(path, *expectation) for path in EXAMPLES for expectation in EXPECT.findall(path.read_text())]


def lab(path: Path) -> Run:
    return in_lab(assemble(path.read_text(), path.name), name=path.stem, stdin=INPUT)


def value(run: Run, what: str) -> Any:
    """What an EXPECT line names, as it came out."""
    group, _, name = what.partition(".")
    if name:
        return run.ledger[group].get(name, 0)
    if what == "si_code":
        return run.records[0].code
    return {"exit": run.status, "signal": -run.status, "stdout": run.stdout}[what]


def wanted(text: str) -> Any:
    """The right-hand side of an EXPECT line."""
    if text.startswith('"'):
        return text[1:-1].encode().decode("unicode_escape").encode()
    return int(text) if text.isdigit() else constants()[text]


@pytest.mark.parametrize(("path", "what", "comparison", "text"), EXPECTED, ids=lambda v: getattr(v, "stem", str(v)))
def test_an_expectation_holds(path: Path, what: str, comparison: str, text: str) -> None:
    """Each EXPECT line, with all invariants recomputed after every kernel entry."""
    assert COMPARE[comparison](value(lab(path), what), wanted(text))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_output_is_the_reference(path: Path) -> None:
    """Standard output equals the .expected file beside the source."""
    assert lab(path).stdout == path.with_suffix(".expected").read_bytes()


@pytest.mark.skipif(bool(NOT_NATIVE), reason=NOT_NATIVE)
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_host_agrees(path: Path, tmp_path: Path) -> None:
    """The very same ELF file run natively: same output, same exit status or signal."""
    elf = write_executable(tmp_path / path.stem, assemble(path.read_text(), path.name))
    assert natively(elf, stdin=INPUT) == lab(path)


def test_every_example_asks_a_question_and_expects_something() -> None:
    """The first line of each says what it is about, and there is something to fail."""
    for path in EXAMPLES:
        text = path.read_text()
        assert text.startswith("# "), path
        assert "?" in text.partition("\n\n")[0], path
        assert EXPECT.search(text), path


if __name__ == "__main__":
    for example in EXAMPLES:
        example.with_suffix(".expected").write_bytes(lab(example).stdout)
