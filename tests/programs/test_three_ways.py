"""One program, three assemblers: ours, GNU as and nasm make executables that behave alike, in lab and host."""

import functools
import re
import shutil
from pathlib import Path

import pytest
from program_lab import NOT_NATIVE, Run, in_lab, natively, write_executable
from test_examples import EXAMPLES, INPUT

from emu import bench
from emu.program import AssemblerName, Program, load_program, new_assembler
from mini_kernel.uapi import constants
from userland.catalogue import programs

NASM = list(programs(Path(__file__).parent / "nasm").values())
BENCH = Path(bench.__file__).parent / "programs"
WHOLE = [BENCH / "hello.asm", *programs(Path(__file__).parent / "gnu").values()]
GNU = [*EXAMPLES, *WHOLE]
#: The others are pieces that a measurement puts together: here with little work.
PIECES = ("cpu", "fault_cow", "fault_touch", "fault_zero", "fork", "fork_touched", "snapshot", "switch", "syscall")
CONSTANTS = f".equ BYTES, 1 << 21\n.equ COUNT, 2\n.equ FORK, {constants()['SYS_fork']}\n"
EXPECT = re.compile(r"^[;#] EXPECT (exit|signal) == (\d+)$", re.M)


def by_name(path: Path) -> str:
    return path.stem


def missing(*tools: str) -> str:
    """Why a comparison cannot be made, or ""."""
    absent = [tool for tool in tools if not shutil.which(tool)]
    return f"{' and '.join(absent)} not installed" if absent else ""


@functools.cache
def made(path: Path, assembler: AssemblerName = "keystone") -> Program:
    """The program, assembled in the dialect of its folder."""
    if assembler != "keystone":
        return load_program(str(path), assembler=assembler)
    with new_assembler() as worker:
        return load_program(str(path), syntax="nasm" if path in NASM else "intel", worker=worker)


@functools.cache
def lab(path: Path, assembler: AssemblerName = "keystone") -> Run:
    return in_lab(made(path, assembler).data, name=path.stem, stdin=INPUT, check=False)


@pytest.mark.skipif(bool(missing("as", "ld")), reason=missing("as", "ld"))
@pytest.mark.parametrize("path", GNU, ids=by_name)
def test_gnu_as_makes_the_same_program(path: Path) -> None:
    """Same output, same exit status or signal, and the same forks."""
    ours, theirs = lab(path), lab(path, "gas")
    assert theirs == ours
    assert theirs.ledger["forks"].keys() == ours.ledger["forks"].keys()


@pytest.mark.skipif(bool(missing("as", "ld")), reason=missing("as", "ld"))
@pytest.mark.parametrize("piece", PIECES)
def test_gnu_as_makes_the_same_measurement(piece: str, tmp_path: Path) -> None:
    """The programs of `emu bench`, put together: both end well, with the same laps and the same faults."""
    names = (piece, "cpu_loop", "common") if piece == "cpu" else (piece, "common")
    path = tmp_path / f"{piece}.asm"
    path.write_text(CONSTANTS + "".join((BENCH / f"{name}.asm").read_text() for name in names))
    ours, theirs = lab(path), lab(path, "gas")
    assert theirs == ours
    assert ours.status == 0
    assert ours.stdout.strip(b".") == b""
    assert theirs.ledger["syscalls"] == ours.ledger["syscalls"]


@pytest.mark.skipif(bool(missing("nasm", "as", "ld")), reason=missing("nasm", "as", "ld"))
@pytest.mark.parametrize("path", NASM, ids=by_name)
def test_nasm_makes_the_same_program(path: Path) -> None:
    """Same output, same exit status or signal."""
    assert lab(path, "nasm") == lab(path)


@pytest.mark.parametrize("path", [*NASM, *WHOLE[1:]], ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_program_does_what_it_says(path: Path) -> None:
    """Its EXPECT line and its reference output, with our own assembler."""
    expected = EXPECT.search(path.read_text())
    assert expected is not None
    status = int(expected[2]) if expected[1] == "exit" else -int(expected[2])
    assert lab(path) == Run(path.with_suffix(".expected").read_bytes(), status)


@pytest.mark.skipif(bool(NOT_NATIVE), reason=NOT_NATIVE)
@pytest.mark.parametrize("path", [*NASM, *WHOLE], ids=by_name)
def test_our_executable_runs_on_the_host(path: Path, tmp_path: Path) -> None:
    """The same file natively: same output, same exit status or signal. (test_examples has the examples.)"""
    assert natively(write_executable(tmp_path / path.stem, made(path).data), stdin=INPUT) == lab(path)
