"""Threads preempted anywhere: with slices of a few blocks every race that a program has is lost sooner or later."""

import pytest
from program_lab import NOT_NATIVE, compile_c, compiler_missing, in_lab, natively
from test_c_programs import C

pytestmark = pytest.mark.skipif(bool(NOT_NATIVE), reason=NOT_NATIVE)


@pytest.mark.parametrize("quantum", [7, 61, 1000])
@pytest.mark.parametrize("name", ["message_passing", "robust_mutex", "futex_wake_order"])
def test_programs_end_alike_however_they_are_sliced(
    name: str, quantum: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    missing = compiler_missing("gcc")
    if missing:
        pytest.skip(missing)
    directory = tmp_path_factory.mktemp(name)
    path = compile_c(C / "threads" / f"{name}.c", directory / name, "gcc", f"-I{C}")
    expected = natively(path)
    found = in_lab(path.read_bytes(), name=name, check=False, quantum=quantum, seed=quantum)
    assert (found.stdout, found.status) == (expected.stdout, expected.status)
