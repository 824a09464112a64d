"""Open files of /proc in snapshots: half read, about the living, about zombies, about those who are gone."""

from pathlib import Path

import pytest
from program_lab import compile_c, compiler_missing, in_lab
from test_snapshot import same_future

SOURCE = Path(__file__).parent / "proc" / "hold_open.c"


@pytest.fixture
def program(tmp_path: Path) -> bytes:
    missing = compiler_missing("gcc")
    if missing:
        pytest.skip(missing)
    return compile_c(SOURCE, tmp_path / "program").read_bytes()


def test_open_files_of_proc_have_the_same_future_from_every_snapshot(program: bytes) -> None:
    """What was read stays read, and what is read next is the same after going back."""
    seen = same_future(program, tuple(range(100, 400, 9)))
    assert {"zombie", "2 processes", "waiting"} <= seen


def test_open_files_follow_whom_they_are_about(program: bytes) -> None:
    """Half-read ones go on; a zombie's show what is left; those of the gone fail with ESRCH."""
    lines = in_lab(program).stdout.decode().splitlines()
    own, rest = lines[:8], lines[8:]
    assert [line.split()[2] for line in own] == ["64"] * 4 + ["8", "2", "64", "13"]
    zombie = {line.split()[1]: line.split()[2:4] for line in rest if line.startswith("zombie's")}
    assert zombie == {
        "status": ["64", "0"], "maps": ["64", "0"], "smaps": ["64", "0"], "stat": ["64", "0"], "comm": ["0", "0"],
        "use_odf": ["-1", "3"], "pagemap": ["0", "0"], "cmdline": ["0", "0"],
    }  # fmt: skip
    gone = {line.split()[1]: line.split()[2:4] for line in rest if line.startswith("gone")}
    assert gone["use_odf"] == ["-1", "3"]
    assert gone["pagemap"] == ["0", "0"]
    assert lines[-2:] == ['open("0", O_RDONLY): errno 2', 'chdir(".."): 0']
