"""A trace of instructions as text: one line each, with what the instruction before changed."""

from collections.abc import Iterator
from typing import Final

import numpy as np

from emu import disasm
from emu.debug.runner import Runner
from emu.debug.steps import Steps
from emu.disasm import MAX_INSTRUCTION
from emu.peek import peek
from mini_kernel.x86 import REGISTER_NAMES, RIP

_WIDTH: Final = 44


def step_lines(d: Runner, steps: Steps) -> Iterator[str]:
    """`1234 pid 1 0x401000 <main+0x4> add rax, rcx    rax=0x5`: registers are those that differ from the line before.

    Instructions are read from memory as it is now.
    """
    texts: dict[tuple[int, int], str] = {}
    rows, tids = steps.rows[:, :RIP], steps.tids.tolist()
    rips: list[int] = steps.rows[:, RIP].tolist()
    changed = np.zeros(rows.shape, np.bool_)
    changed[1:] = rows[1:] != rows[:-1]
    columns: list[list[int]] = [[] for _ in rips]
    where, which = (part.tolist() for part in np.nonzero(changed))
    row: int
    column: int
    for row, column in zip(where, which, strict=True):
        columns[row].append(column)
    values = rows.tolist()
    for i, (rip, tid) in enumerate(zip(rips, tids, strict=True)):
        text = texts.get((tid, rip))
        if text is None:
            text = texts[tid, rip] = _text(d, tid, rip)
        here = values[i]
        registers = " ".join([f"{REGISTER_NAMES[c]}={here[c]:#x}" for c in columns[i]])
        yield f"{steps.first + i} pid {tid} {text} {registers}".rstrip()


def _text(d: Runner, tid: int, rip: int) -> str:
    task = d.kernel.tasks.get(tid)
    code = peek(task.mm, rip, MAX_INSTRUCTION) if task is not None and task.user_mm is not None else b""
    instruction = disasm.one(code, rip)
    name = d.symbols(task).name(rip) if task is not None else None
    where = f"{rip:#x}" + (f" <{name}>" if name else "")
    return f"{where} {instruction.text if instruction else '(gone)'}".ljust(_WIDTH)
