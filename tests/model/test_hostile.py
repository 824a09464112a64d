"""Random hostile programs cannot hurt the kernel, the machine or the host: see hostile.py, which runs them.

In processes of their own: code that kills the process the engine lives in is then a failed test.
"""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

DRIVER = Path(__file__).with_name("hostile.py")
#: Against a hang that the driver's own watchdog cannot end.
TIMEOUT_S = 600


def survive(directory: Path, ranges: Sequence[tuple[int, int]]) -> None:
    """Run these ranges of seeds side by side; `directory` is where a program could leave something behind."""
    before = sorted(directory.rglob("*"))
    command = [sys.executable, "-X", "faulthandler", str(DRIVER)]
    runs = [
        subprocess.Popen(
            [*command, str(first), str(count)], cwd=directory, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        for first, count in ranges
    ]
    for (first, count), run in zip(ranges, runs, strict=True):
        try:
            stdout, stderr = run.communicate(timeout=TIMEOUT_S)
        except subprocess.TimeoutExpired:
            run.kill()
            stdout, stderr = run.communicate()
        report = stderr.decode(errors="replace")[-4000:]
        assert run.returncode == 0, f"seeds {first} to {first + count - 1}: status {run.returncode}\n{report}"
        assert stdout == f"{count} programs\n".encode()
        assert stderr == b""
    assert sorted(directory.rglob("*")) == before, "a program left something on the host"


def test_three_hundred_hostile_programs_leave_everything_in_order(tmp_path: Path) -> None:
    survive(tmp_path, [(0, 300)])


def test_counting_machine_survives_hostile_programs(tmp_path: Path) -> None:
    """Seeds 3000 to 3999 run with exact instruction counts, which is another path through the machine."""
    survive(tmp_path, [(3000, 100)])


@pytest.mark.full
def test_ten_thousand_hostile_programs_leave_everything_in_order(tmp_path: Path) -> None:
    survive(tmp_path, [(10_000, 5_000), (15_000, 5_000)])
