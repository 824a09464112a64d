"""Programs under test, loaded once in a process of the suite, with one assembler for all of them."""

import atexit
import functools
import os
from pathlib import Path
from typing import TYPE_CHECKING

from emu.errors import ProgramError
from emu.program import Program, is_source, load_program, new_assembler
from emu.testing.kept import Kept
from emu.testing.variants import Variant

if TYPE_CHECKING:
    from emu.asm import Assembler

_FORK_CALL = "FORK_CALL"
_LATELY = 64  # programs


class _Here:
    """Where programs are kept, if anywhere."""

    kept: Kept | None = None


@functools.cache
def _assembler() -> "Assembler":
    assembler = new_assembler()
    atexit.register(assembler.close)
    return assembler


def keep_in(directory: Path | None) -> None:
    """Keep assembled programs in this directory, from now on; None: in memory only."""
    _Here.kept = Kept(directory) if directory is not None else None


def warm_up() -> None:
    """Start the assembler, which later programs then find ready."""
    _assembler().assemble("nop", "nop.asm")


def load(path: str, assembler: str = "keystone", syntax: str = "intel", fork_call: int | None = None) -> Program:
    """A program by its path; source can use FORK_CALL as a constant. Raises ProgramError, AsmError."""
    status = os.stat(path) if os.path.exists(path) else None
    stamp = (status.st_mtime_ns, status.st_size, status.st_ino) if status else None
    return _load(path, stamp, assembler, syntax, fork_call)


@functools.lru_cache(_LATELY)
def _load(path: str, stamp: object, assembler: str, syntax: str, fork_call: int | None) -> Program:
    del stamp
    source = _text(path) if is_source(path) and assembler == "keystone" else ""
    constants = {} if fork_call is None else {_FORK_CALL: fork_call}
    kept = _Here.kept if source else None
    found = kept.find(path, source, syntax, constants) if kept else None
    if found is None:
        worker = _assembler() if source else None
        found = load_program(path, assembler=assembler, syntax=syntax, worker=worker, constants=constants)  # type: ignore[arg-type]  # checked by the grammar
        if kept:
            kept.keep(path, found, syntax, constants)
    return found


def _text(path: str) -> str:
    """A source; "" for what is no file, about which `load_program` says more."""
    if not os.path.isfile(path):
        return ""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape", newline="") as file:
            return file.read()
    except OSError:
        return ""


def load_variant(variant: Variant) -> Variant:
    """Give a variant its program. Raises ProgramError, AsmError; also which line names a program that is not there."""
    plan = variant.plan
    try:
        variant.loaded = load(plan.program or plan.path, plan.assembler, plan.syntax, variant.fork_call)
    except ProgramError as error:
        file, line = plan.program_where
        if not file:
            raise
        raise ProgramError(f"{plan.program}: {error.message}", file=file, line=line) from None
    return variant
