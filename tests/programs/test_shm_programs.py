"""System V and POSIX shared memory, memory files: the same C program on the host and in the lab prints the same.

The first line of each file in shm/ is its question. Left out is what is known to differ: there are no huge pages here.
"""

from pathlib import Path

import pytest
from program_lab import NOT_NATIVE, compile_c, compiler_missing, runs_as_on_the_host
from test_snapshot import same_future

HERE = Path(__file__).parent
PROGRAMS = sorted((HERE / "shm").glob("*.c"))

pytestmark = pytest.mark.skipif(bool(NOT_NATIVE), reason=NOT_NATIVE)


@pytest.mark.parametrize("compiler", ["gcc", pytest.param("musl-gcc", marks=pytest.mark.long)])
@pytest.mark.parametrize("source", PROGRAMS, ids=lambda path: path.stem)
def test_program_runs_in_the_lab_as_on_the_host(source: Path, compiler: str, tmp_path: Path) -> None:
    """F66, F67: shared memory stays shared and counted, whichever way fork works."""
    runs_as_on_the_host(source, tmp_path, compiler)


@pytest.mark.parametrize("name", ["lifecycle", "places"])
def test_a_snapshot_taken_anywhere_has_the_same_future(name: str, tmp_path: Path) -> None:
    """Segments, their pages, attaches and removals in waiting are part of it."""
    missing = compiler_missing("gcc")
    if missing:
        pytest.skip(missing)
    path = compile_c(HERE / "shm" / f"{name}.c", tmp_path / name)
    same_future(path.read_bytes(), (30, 45, 60, 75, 90))


def test_every_program_asks_a_question() -> None:
    """The first line of each says what it is for."""
    for path in PROGRAMS:
        first = path.read_text().splitlines()[0]
        assert first.startswith("/* "), path.name
        assert "?" in first, path.name
    assert len(PROGRAMS) >= 7
