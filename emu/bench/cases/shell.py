"""A real program's loop: busybox sh runs a program 200 times, each with a fork, an exec, an exit and a wait."""

import shutil
import subprocess
from collections.abc import Iterator
from functools import partial
from time import perf_counter_ns
from typing import Final

from emu.bench.cases.lab import Lab, Measurement, one
from emu.boot import Options, System
from emu.errors import EmuError
from emu.program import Program, load_program

ROUNDS: Final = 200
_LOOP: Final = 'i=0; while [ $i -lt {rounds} ]; do "$0" true; i=$((i+1)); done'


def shell_loop(lab: Lab) -> Iterator[Measurement]:
    """Milliseconds from start to end; here without the interpreter's own start-up (that is `startup`)."""
    path = shutil.which("busybox")
    program = load_program(path) if path else None
    if path is None or program is None or b"\0/lib64/ld-" in program.data[:4096]:
        lab.skipped.append("shell-loop: no static busybox")
        return
    rounds = lab.scaled(ROUNDS)
    row = partial(one, "shell-loop", unit="ms")
    for policy in ("classic", "odf"):
        case = {"loop": f"{ROUNDS} x true", "policy": policy, "where": "emu"}
        yield row(case, value=partial(_in_lab, program, rounds, policy))
    case = {"loop": f"{ROUNDS} x true", "policy": "classic", "where": "host"}
    yield row(case, value=partial(_natively, path, rounds))


def _in_lab(program: Program, rounds: int, policy: str) -> float:
    began = perf_counter_ns()
    arguments = ("sh", "-c", _LOOP.format(rounds=rounds), f"/bin/{program.name}")
    with System(program, arguments, Options(fork=policy)) as system:
        outcome = system.run()
        forks = system.ledger().forks
    if outcome.status or sum(forks.values()) != rounds:
        raise EmuError(f"bench: shell-loop ended with status {outcome.status} after {sum(forks.values())} forks")
    return (perf_counter_ns() - began) / 1e6


def _natively(path: str, rounds: int) -> float:
    command = [path, "sh", "-c", _LOOP.format(rounds=rounds), path]
    began = perf_counter_ns()
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise EmuError(f"bench: host shell-loop: {error}") from None
    return (perf_counter_ns() - began) / 1e6
