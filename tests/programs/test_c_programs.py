"""C programs, one question each, built with glibc and musl: the host and the lab must print the same and end the same.

The first line of each file in c/ and the folders in it is its question; `say.h` is found from all of them. A line
`/* not musl: why */` leaves a program to gcc, `/* checked once: why */` is for many faults (see runs_as_on_the_host).
Some leave out what is known to differ:

- pipes hold 65,536 bytes here, 16 slots of up to a page in Linux; a copy into or out of a pipe that meets a bad
  address reports what was moved before it, where Linux reports EFAULT if that was less than a page;
- the first process has the number 1, so that kill(-getpid()) means "everybody" there;
- `rseq` is not there (the C libraries do without).
"""

from pathlib import Path

import pytest
from program_lab import NOT_NATIVE, compile_c, compiler_missing, in_lab, natively, runs_as_on_the_host

HERE = Path(__file__).parent
C = HERE / "c"
PROGRAMS = sorted(C.rglob("*.c"))
FORKING = [path for path in PROGRAMS if "fork" in path.read_text()]
EXAMPLE = HERE.parent.parent / "examples" / "generations.c"
#: As static-pie: where relocation, the load base and exec matter.
PIE = ("start_up", "exec_args", "self_modifying", "threads", "vfork_exec")

pytestmark = pytest.mark.skipif(bool(NOT_NATIVE), reason=NOT_NATIVE)


@pytest.mark.parametrize("compiler", ["gcc", pytest.param("musl-gcc", marks=pytest.mark.long)])
@pytest.mark.parametrize("source", PROGRAMS, ids=lambda path: str(path.relative_to(C).with_suffix("")))
def test_F11_program_runs_in_the_lab_as_on_the_host(source: Path, compiler: str, tmp_path: Path) -> None:
    """Programs that fork do so under both meanings of fork: the same observable result (row F11)."""
    runs_as_on_the_host(source, tmp_path, compiler, f"-I{C}")


@pytest.mark.parametrize("name", PIE)
def test_position_independent_program_runs_as_on_the_host(name: str, tmp_path: Path) -> None:
    runs_as_on_the_host(C / f"{name}.c", tmp_path, "gcc", "-static-pie")


def test_every_program_asks_a_question() -> None:
    for path in PROGRAMS:
        first = path.read_text().splitlines()[0]
        assert first.startswith("/* "), path.name
        assert "?" in first, path.name
    assert len(PROGRAMS) >= 40
    assert len(FORKING) >= 30


@pytest.mark.long
def test_three_generations_of_100_mib_stay_apart(tmp_path: Path) -> None:
    """malloc 100 MiB, fork three deep, each writing its own value everywhere: all see their own, as on the host."""
    missing = compiler_missing("gcc")
    if missing:
        pytest.skip(missing)
    path = compile_c(EXAMPLE, tmp_path / "generations")
    expected = natively(path)
    found = in_lab(path.read_bytes(), name="generations", check=False, memory=1 << 30)
    assert (found.stdout, found.status) == (expected.stdout, expected.status) == (EXPECTED_GENERATIONS, 40)
    pages = (100 << 20) >> 12
    assert found.ledger["faults"]["demand_zero"] >= pages
    assert found.ledger["faults"]["cow_copy"] >= 3 * pages
    assert found.ledger["forks"] == {"classic": 3}


EXPECTED_GENERATIONS = (HERE.parent.parent / "examples" / "generations.expected").read_bytes()
