"""Is every flush needed? Each place in the kernel that asks for one has a guest program here that goes wrong without.

The program exits with 0 when all is well. It runs twice: as it is, and with the requests of that one place swallowed.
The list of places is read from the source, so a new flush without a scenario fails too.
"""

import ast
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from flush_scenarios import COMMON, RESTORED, SCENARIOS, UNSEEN

import mini_kernel
from emu.asm import to_elf
from emu.boot import Options, System
from emu.program import Program, new_assembler
from mini_kernel.errors import KernelBug
from mini_kernel.mm.tlb import Gather

RESTORE = ("kernel.py", "restore", "flush_code")
KERNEL = Path(mini_kernel.__file__).parent
REQUESTS = ("flush_tlb", "flush_code", "stale")
#: Not a place of its own: it passes on what `stale` asked for. Destroying an address space flushes nothing.
NOT_A_SITE = {("mm/tlb.py", "__exit__", "flush_tlb"), ("mm/teardown.py", "destroy", "stale")}


@pytest.fixture(scope="module")
def assemble() -> Iterator[Any]:
    with new_assembler() as assembler:
        yield lambda text: Program("flush", "", to_elf(assembler.assemble(COMMON + text, "flush.asm")), None)


def sites() -> list[tuple[str, str, str]]:
    """(file, function[#n], request) of every request in the kernel's source; #n where a function has several."""
    found: list[tuple[str, str, str]] = []
    for path in sorted(KERNEL.rglob("*.py")):
        for function in ast.walk(ast.parse(path.read_text())):
            if not isinstance(function, ast.FunctionDef):
                continue
            calls = [
                node.func.attr
                for node in ast.walk(function)
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in REQUESTS
            ]
            for request in REQUESTS:
                n = calls.count(request)
                name = str(path.relative_to(KERNEL))
                found += [(name, function.name + (f"#{i}" if n > 1 else ""), request) for i in range(n)]
    return [site for site in found if site not in NOT_A_SITE and site[0] != "hw.py"]


@contextmanager
def swallowed(system: System, site: tuple[str, str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Ignore the requests that come from one place."""
    path, function, request = site
    name, _, nth = function.partition("#")
    owner: Any = Gather if request == "stale" else system.machine
    real = getattr(owner, request)

    def filtered(*args: Any) -> None:
        frame = sys._getframe(1)
        here = Path(frame.f_code.co_filename) == KERNEL / path and frame.f_code.co_name == name
        if not (here and (not nth or frame.f_lineno == lines(site)[int(nth)])):
            real(*args)

    with monkeypatch.context() as patch:
        patch.setattr(owner, request, filtered)
        yield


def lines(site: tuple[str, str, str]) -> list[int]:
    """The source lines of a function's requests, in order."""
    path, function, request = site
    for node in ast.walk(ast.parse((KERNEL / path).read_text())):
        if isinstance(node, ast.FunctionDef) and node.name == function.partition("#")[0]:
            return sorted(
                n.lineno
                for n in ast.walk(node)
                if isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute) and n.func.attr == request
            )
    raise AssertionError(site)


def wait_status(program: Program, site: tuple[str, str, str] | None, monkeypatch: pytest.MonkeyPatch) -> int:
    with System(program, options=Options(memory=64 << 20)) as system:
        if site is None:
            return system.run().status
        with swallowed(system, site, monkeypatch):
            try:
                return system.run().status
            except KernelBug:  # the gather notices frames that are given up without a flush
                return -1


def test_every_flush_in_the_kernel_has_a_scenario() -> None:
    """A flush nobody can show to be needed is either useless or untested."""
    assert set(sites()) == {*SCENARIOS, *UNSEEN, RESTORE}


@pytest.mark.parametrize("site", UNSEEN, ids="-".join)
def test_what_no_program_can_show_is_shown_by_a_test_that_exists(site: tuple[str, str, str]) -> None:
    """The tests named as proof are there."""
    _reason, proofs = UNSEEN[site]
    tests = "".join(path.read_text() for path in Path(__file__).parents[1].glob("*/test_*.py"))
    assert [proof for proof in proofs if f"def {proof}(" not in tests] == []


@pytest.mark.parametrize("site", SCENARIOS, ids="-".join)
def test_a_program_goes_wrong_without_this_flush(
    site: tuple[str, str, str], assemble: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Right with all flushes, wrong when the requests of one place are swallowed."""
    program = assemble(SCENARIOS[site])
    assert wait_status(program, None, monkeypatch) == 0
    assert wait_status(program, site, monkeypatch) != 0


class Stopper:
    """Stops the machine at the first getpid."""

    def __init__(self, system: System) -> None:
        self.system = system

    def __getattr__(self, name: str) -> Any:
        return lambda *_args: None

    def syscall_exit(self, _task: Any, number: int, _arguments: Any, _result: Any) -> None:
        if number == 39:
            self.system.interrupt()


@pytest.mark.parametrize("stale", RESTORED)
def test_restoring_a_snapshot_needs_its_flush(stale: str, assemble: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a restore neither translations nor code of the abandoned future may be used."""
    for site in (None, RESTORE):
        with System(assemble(RESTORED[stale]), options=Options(memory=64 << 20)) as system:
            system.observe(Stopper(system))
            assert system.run().ending == "interrupted"
            image = system.snapshot()
            assert system.run().status == 0
            if site is None:
                system.restore(image)
                assert system.run().status == 0
            else:
                with swallowed(system, site, monkeypatch):
                    system.restore(image)
                assert system.run().status != 0
