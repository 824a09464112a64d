"""Do the examples do what they say? Their `# EXPECT` lines and reference output, in the lab and on the host.

`python tests/programs/test_examples.py` writes the reference outputs anew.

Two more lines that an example may have: `# FORK classic` if it must start with that policy (others run under both), and
`# LAB ONLY: why` if the host cannot run it.
"""

import functools
import re
from pathlib import Path

import pytest
from program_lab import NOT_NATIVE, Run, assemble, compile_c, compiler_missing, in_lab, natively, write_executable

from emu.program import Program
from emu.testing import parse_source
from emu.testing.evidence import Evidence
from emu.testing.expect import Expectation
from userland.catalogue import EXAMPLES as DIRECTORY
from userland.catalogue import INCLUDE, programs

INPUT = b"one\ntwo\n"
FORK = re.compile(r"^# FORK (classic)$", re.M)
LAB_ONLY = re.compile(r"^# LAB ONLY: (.+)$", re.M)
#: Those that end as they should; bugs has sessions (tests/prompt/test_catalogue.py), project a suite of its own.
EXAMPLES = [path for path in programs().values() if path.suffix == ".asm" and path.parent == DIRECTORY]
ANY_POLICY = [path for path in EXAMPLES if not FORK.search(path.read_text())]
#: These choose their forks themselves: their costs are the same whatever fork(2) is when they start.
EXPLICIT = [path for path in ANY_POLICY if path.stem.startswith(("odf_", "sfork_"))]
FORK_SERVER = programs()["fork_server"]


def expectations(paths: list[Path]) -> list[tuple[Path, Expectation]]:
    """Every EXPECT line of each."""
    return [(path, expectation) for path in paths for expectation in parse_source(path).expectations]


@functools.cache
def lab(path: Path, fork: str = "classic") -> Run:
    return in_lab(assemble(path.read_text(), path.name), name=path.stem, stdin=INPUT, fork=fork)


def evidence(run: Run) -> Evidence:
    """What expectations are about."""
    killed = run.status < 0
    return Evidence(
        program=Program("", "", b"", None),
        ending="exited",
        exit=None if killed else run.status,
        signal=-run.status if killed else None,
        si_code=run.records[0].code if run.records else None,
        stdout=run.stdout,
        ledger={"total": run.ledger},
    )


def by_name(value: object) -> str:
    return value.text if isinstance(value, Expectation) else getattr(value, "stem", str(value))


@pytest.mark.parametrize(("path", "expected"), expectations(EXAMPLES), ids=by_name)
def test_an_expectation_holds(path: Path, expected: Expectation) -> None:
    """Each EXPECT line, with all invariants recomputed after every kernel entry."""
    found = evidence(lab(path))
    assert expected.holds(found), expected.found(found)


@pytest.mark.parametrize(("path", "expected"), expectations(EXPLICIT), ids=by_name)
def test_odfork_and_sfork_cost_the_same_when_all_forks_are_on_demand(path: Path, expected: Expectation) -> None:
    """Each EXPECT line of the examples that choose their forks themselves, under --fork odf."""
    found = evidence(lab(path, "odf"))
    assert expected.holds(found), expected.found(found)


@pytest.mark.parametrize("path", EXAMPLES, ids=by_name)
def test_the_output_is_the_reference(path: Path) -> None:
    """Standard output equals the .expected file beside the source."""
    assert lab(path).stdout == path.with_suffix(".expected").read_bytes()


@pytest.mark.parametrize("path", ANY_POLICY, ids=by_name)
def test_fork_on_demand_changes_no_outcome(path: Path) -> None:
    """Under --fork odf each example writes the same and ends the same, with the same signals."""
    classic, on_demand = lab(path), lab(path, "odf")
    assert on_demand == classic
    assert on_demand.ledger["signals"] == classic.ledger["signals"]
    assert on_demand.ledger["forks"].get("classic", 0) == 0


@pytest.mark.skipif(bool(NOT_NATIVE), reason=NOT_NATIVE)
@pytest.mark.parametrize("path", [p for p in EXAMPLES if not LAB_ONLY.search(p.read_text())], ids=by_name)
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
        assert parse_source(path).expectations, path


def test_the_fork_server_survives_its_inputs_and_copies_little(tmp_path: Path) -> None:
    """Five children with a table of 64 MiB: same output as on the host, and 2 MiB are broken around what they write."""
    missing = NOT_NATIVE or compiler_missing("gcc")
    if missing:
        pytest.skip(missing)
    path = compile_c(FORK_SERVER, tmp_path / "fork_server", "gcc", f"-I{INCLUDE}")
    found = in_lab(path.read_bytes(), name="fork_server", check=False)
    assert found == natively(path)
    assert (found.stdout, found.status) == (FORK_SERVER.with_suffix(".expected").read_bytes(), 0)
    assert found.ledger["forks"] == {"odf": 5}
    assert found.ledger["tables_shared"] >= 5 * 33
    assert found.ledger["ptes_copied"] < 16384
    assert found.ledger["pages_copied"] < 100


def write_references() -> None:
    """Write every .expected file of the assembly examples anew."""
    for example in EXAMPLES:
        example.with_suffix(".expected").write_bytes(lab(example).stdout)


if __name__ == "__main__":
    write_references()
