"""The C programs of c/ that fork, under on-demand fork: they print what they print on the host, and end the same.

Row F11: the same observable result as fork. Which programs, and what they leave out, is in test_c_programs.py.
"""

from pathlib import Path

import pytest
from program_lab import NOT_NATIVE, compile_c, compiler_missing, in_lab, natively
from test_c_programs import CHECKED_ONCE, PROGRAMS

FORKING = [path for path in PROGRAMS if "fork" in path.read_text()]

pytestmark = pytest.mark.skipif(bool(NOT_NATIVE), reason=NOT_NATIVE)


@pytest.mark.parametrize("source", FORKING, ids=lambda path: path.stem)
def test_F11_program_runs_the_same_under_on_demand_fork(source: Path, tmp_path: Path) -> None:
    missing = compiler_missing("gcc")
    if missing:
        pytest.skip(missing)
    path = compile_c(source, tmp_path / source.stem)
    expected = natively(path)
    found = in_lab(path.read_bytes(), name=source.stem, check=source.stem not in CHECKED_ONCE, fork="odf")
    assert found.stdout.decode(errors="replace") == expected.stdout.decode(errors="replace")
    assert (found.status, found.stderr) == (expected.status, expected.stderr)
    assert set(found.ledger["forks"]) <= {"odf", "thread", "vfork"}


def test_F11_there_are_many() -> None:
    assert len(FORKING) >= 30
