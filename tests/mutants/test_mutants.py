"""Is the suite any good? Each mutant of the kernel brings one bug back, and a test has to notice.

Mutants exist in memory only, in processes of their own (runner.py).
"""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from mutant import Mutant
from mutants import BLIND, HUGE_PAGES, MUTANTS
from seeds import SEEDS

import mini_kernel

TESTS = Path(__file__).resolve().parents[1]
KERNEL = Path(mini_kernel.__file__).parent
Ask = Callable[[str, str, list[str]], dict[str, Any]]


@contextmanager
def asking() -> Iterator[Ask]:
    """Module, its source, killers -> which of them killed, and why."""
    command = [sys.executable, "-W", "error", str(Path(__file__).with_name("runner.py")), str(KERNEL.parent)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        stdin, stdout = process.stdin, process.stdout

        def asked(module: str, source: str, killers: list[str]) -> dict[str, Any]:
            print(json.dumps({"module": module, "source": source, "killers": killers}), file=stdin, flush=True)
            return json.loads(stdout.readline())

        yield asked
        stdin.close()


@pytest.fixture(scope="module")
def ask() -> Iterator[Ask]:
    """One runner for all."""
    with asking() as asked:
        yield asked


def mutate(mutant: Mutant) -> tuple[str, str]:
    """The name and the mutated text of the module."""
    source = (KERNEL / mutant.file).read_text()
    assert source.count(mutant.old) == 1, (
        f"stale: {mutant.file} has the text to change {source.count(mutant.old)} times"
    )
    return "mini_kernel." + mutant.file.removesuffix(".py").replace("/", "."), source.replace(mutant.old, mutant.new)


def node_ids() -> dict[str, str]:
    """Where each test function of the suite is: the killers are named without, as tests move."""
    found: dict[str, str] = {}
    for path in sorted(TESTS.glob("*/test_*.py")):
        for name in re.findall(r"^def (test_\w+)", path.read_text(), re.MULTILINE):
            found[name] = f"{path.relative_to(TESTS)}::{name}"
    return found


NODES = node_ids()


def model_of(mutant: Mutant) -> str:
    """All histories that the model may take to find it."""
    return "huge:5000-5100" if mutant in HUGE_PAGES else "model:0-400"


def located(killers: Iterable[str]) -> list[str]:
    """Killers as the runner wants them. A test that does not exist is an error."""
    return [NODES[killer] if killer.startswith("test_") else killer for killer in killers]


def test_mutants_are_told_apart() -> None:
    """Every name is used once, and no mutant is another's."""
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)
    assert len({(mutant.file, mutant.old, mutant.new) for mutant in MUTANTS}) == len(MUTANTS)


def test_the_kernel_as_it_is_survives_all_killers(ask: Ask) -> None:
    """What kills a mutant must not kill the original. (The model's own tests see to the rest.)"""
    killers = sorted({killer for mutant in MUTANTS for killer in mutant.killers if killer.startswith("test_")})
    assert ask("", "", located(killers)) == {"killed": "", "why": ""}


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_the_suite_notices(ask: Ask, mutant: Mutant) -> None:
    """One of its killers fails; for a bug of the 2021 patch the test that bears its number."""
    found = ask(*mutate(mutant), located(mutant.killers))
    assert found["killed"], f"{mutant.name} survives {mutant.killers}: {found['why']}"
    bug = re.match(r"B\d+", mutant.name)
    assert bug is None or f"test_{bug[0]}_" in found["killed"], f"{bug[0]} is found, but not by its own test: {found}"
    print(f"killed by {found['killed']}: {found['why']}")


@pytest.mark.long
@pytest.mark.parametrize("mutant", [m for m in MUTANTS if m.name not in BLIND], ids=lambda mutant: mutant.name)
def test_the_model_alone_notices(ask: Ask, mutant: Mutant) -> None:
    """Random histories find the bug without being told where it is; the search begins at one that did before."""
    everything = model_of(mutant)
    seed = SEEDS.get(mutant.name)
    before = [] if seed is None else [f"{everything.partition(':')[0]}:{seed}-{seed + 1}"]
    found = ask(*mutate(mutant), [*before, everything])
    assert found["killed"], f"{mutant.name} survives the model: {found['why']}"
