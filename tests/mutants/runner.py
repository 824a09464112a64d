"""A process that runs killers against mutated kernels: one fork of it for each, so that imports are paid for once.

It reads one JSON request per line: {"module": dotted name, "source": its mutated text, "killers": [...]}, and answers
with one line: {"killed": name of the killer, or "", "why": text}. A killer is a pytest node id below tests/, or uniform
histories with these seeds: `model:A-B`, `huge:A-B` with huge pages. An empty module means that all tests among the
killers are run on the kernel as it is. The argument is the directory that holds mini_kernel.
"""

import importlib.abc
import importlib.machinery
import importlib.util
import io
import json
import os
import sys
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from types import ModuleType
from typing import Any

import hypothesis.stateful
import numpy as np
import pytest

TESTS = Path(__file__).resolve().parents[1]
ROOT = TESTS.parent
assert hypothesis.stateful
assert np
assert not any(name.startswith("mini_kernel") for name in sys.modules), "the kernel must come from the mutated copy"


def run_pytest(*nodes: str) -> str:
    """Why the first that fails does so, or empty. A test that does not exist is an error, not a failure."""
    out = io.StringIO()
    with redirect_stdout(out), redirect_stderr(out):
        quiet = [
            "-x",
            "-q",
            "-W",
            "ignore::pytest.PytestAssertRewriteWarning",
            "-p",
            "no:cacheprovider",
            "-p",
            "no:xdist",
        ]
        code = pytest.main(
            [*quiet, f"--rootdir={ROOT}", "-c", str(ROOT / "pyproject.toml"), *(f"{TESTS}/{node}" for node in nodes)]
        )
    if code == pytest.ExitCode.OK:
        return ""
    assert code == pytest.ExitCode.TESTS_FAILED, f"{nodes}: pytest ends with {code}\n{out.getvalue()}"
    lines = [line for line in out.getvalue().splitlines() if line.startswith("FAILED")]
    return lines[0] if lines else out.getvalue()[-300:]


def run_model(killer: str) -> str:
    """The same for the model."""
    sys.path[:0] = [str(TESTS), str(TESTS / "model")]
    import test_mm_model

    kind, _, seeds = killer.partition(":")
    first, last = map(int, seeds.split("-"))
    try:
        for seed in range(first, last):
            test_mm_model.history(seed, 50, huge=kind == "huge")
    except Exception as error:
        return f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}"
    return ""


class Patch(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    """Finds one module in a text instead of its file."""

    def __init__(self, module: str, source: str) -> None:
        self.module = module
        self.source = source
        self.used = False

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        return importlib.util.spec_from_loader(fullname, self) if fullname == self.module else None

    def get_source(self, fullname: str) -> str:
        self.used = True
        return self.source


def hunt(module: str, source: str, killers: list[str]) -> dict[str, Any]:
    """The first killer that fails on this kernel."""
    patch = Patch(module, source)
    sys.meta_path.insert(0, patch)
    if not module:
        return {"killed": run_pytest(*(k for k in killers if ".py" in k)), "why": ""}
    for killer in killers:
        why = run_pytest(killer) if ".py" in killer else run_model(killer)
        assert patch.used, f"{killer} does not use {module}"
        if why:
            return {"killed": killer, "why": why}
    return {"killed": "", "why": ""}


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Hunt in a process of its own."""
    read_end, write_end = os.pipe()
    child = os.fork()
    if not child:
        os.close(read_end)
        try:
            found = hunt(request["module"], request["source"], request["killers"])
        except BaseException as error:  # a mutant may do anything; the answer has to go out
            found = {"killed": "", "why": f"broken: {type(error).__name__}: {error}"}
        os.write(write_end, json.dumps(found)[:60000].encode())
        os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end, "rb") as pipe:
        data = pipe.read()
    os.waitpid(child, 0)
    return json.loads(data) if data else {"killed": "", "why": "broken: the process died"}


def main() -> None:
    sys.path.insert(0, sys.argv[1])
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
