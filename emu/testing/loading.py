"""Programs under test, loaded once in a process of the suite, with one assembler for all of them."""

import atexit
import functools
import os
from typing import TYPE_CHECKING

from emu.program import Program, is_source, load_program, new_assembler
from emu.testing.variants import Variant

if TYPE_CHECKING:
    from emu.asm import Assembler

_FORK_CALL = "FORK_CALL"
_KEPT = 64  # programs


@functools.cache
def _assembler() -> "Assembler":
    assembler = new_assembler()
    atexit.register(assembler.close)
    return assembler


def warm_up() -> None:
    """Start the assembler, which later programs then find ready."""
    _assembler().assemble("nop", "nop.asm")


def load(path: str, assembler: str = "keystone", syntax: str = "intel", fork_call: int | None = None) -> Program:
    """A program by its path. Source that names FORK_CALL has it as a constant. Raises ProgramError, AsmError."""
    status = os.stat(path) if os.path.exists(path) else None
    stamp = (status.st_mtime_ns, status.st_size, status.st_ino) if status else None
    return _load(path, stamp, assembler, syntax, fork_call)


@functools.lru_cache(_KEPT)
def _load(path: str, stamp: object, assembler: str, syntax: str, fork_call: int | None) -> Program:
    del stamp
    prelude = ""
    if fork_call is not None and is_source(path) and syntax != "nasm" and not path.endswith(".nasm"):
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            prelude = f".equ {_FORK_CALL}, {fork_call}; " if _FORK_CALL in file.read() else ""
    worker = _assembler() if is_source(path) and assembler == "keystone" else None
    return load_program(path, assembler=assembler, syntax=syntax, worker=worker, prelude=prelude)  # type: ignore[arg-type]  # checked by the grammar


def load_variant(variant: Variant) -> Variant:
    """Give a variant its program."""
    plan = variant.plan
    variant.loaded = load(plan.program or plan.path, plan.assembler, plan.syntax, variant.fork_call)
    return variant
