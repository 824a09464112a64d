"""C programs, one question each, built with glibc and musl: the host and the lab must print the same and end the same.

The first line of each file in c/ is its question. Some leave out what is known to differ:

- pipes hold 65,536 bytes here, 16 slots of up to a page in Linux; a copy into or out of a pipe that meets a bad
  address reports what was moved before it, where Linux reports EFAULT if that was less than a page;
- the first process has the number 1, so that kill(-getpid()) means "everybody" there;
- `rseq` is not there (the C libraries do without).
"""

from pathlib import Path

import pytest
from program_lab import NOT_NATIVE, compile_c, compiler_missing, in_lab, natively

HERE = Path(__file__).parent
PROGRAMS = sorted((HERE / "c").glob("*.c"))
EXAMPLE = HERE.parent.parent / "examples" / "generations.c"
#: Many faults: the invariants are recomputed once at the end instead of after each.
CHECKED_ONCE = {"stack_growth", "large_copy", "malloc_stress"}
#: As static-pie: where relocation, the load base and exec matter.
PIE = ("start_up", "exec_args", "self_modifying", "threads", "vfork_exec")

pytestmark = pytest.mark.skipif(bool(NOT_NATIVE), reason=NOT_NATIVE)


def agree(source: Path, directory: Path, compiler: str, *flags: str) -> None:
    missing = compiler_missing(compiler)
    if missing:
        pytest.skip(missing)
    path = compile_c(source, directory / source.stem, compiler, *flags)
    expected = natively(path)
    found = in_lab(path.read_bytes(), name=source.stem, check=source.stem not in CHECKED_ONCE)
    assert found.stdout.decode(errors="replace") == expected.stdout.decode(errors="replace")
    assert found.status == expected.status
    assert found.stderr == expected.stderr


@pytest.mark.parametrize("compiler", ["gcc", pytest.param("musl-gcc", marks=pytest.mark.long)])
@pytest.mark.parametrize("source", PROGRAMS, ids=lambda path: path.stem)
def test_program_runs_in_the_lab_as_on_the_host(source: Path, compiler: str, tmp_path: Path) -> None:
    agree(source, tmp_path, compiler)


@pytest.mark.parametrize("name", PIE)
def test_position_independent_program_runs_as_on_the_host(name: str, tmp_path: Path) -> None:
    agree(HERE / "c" / f"{name}.c", tmp_path, "gcc", "-static-pie")


def test_every_program_asks_a_question() -> None:
    for path in PROGRAMS:
        first = path.read_text().splitlines()[0]
        assert first.startswith("/* "), path.name
        assert "?" in first, path.name
    assert len(PROGRAMS) >= 40


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
