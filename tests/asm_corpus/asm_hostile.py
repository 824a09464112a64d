"""Assembling what may be anything, and how the answers are judged."""

import signal
from types import FrameType
from typing import Final

from emu.asm import Assembler, Syntax
from emu.asm.errors import AsmError

CPU_LIMIT: Final = 10.0  # seconds of this process for one answer: no measurement, but the end of a hang
CHECK: Final = ("mov rax, 60\nmovsd\n", bytes.fromhex("48c7c03c000000a5"))


class Endless(Exception):
    """An answer takes longer than CPU_LIMIT."""


def answer(assembler: Assembler, source: str, syntax: Syntax = "intel", path: str | None = None) -> list[int]:
    """The lines of the mistakes; none when there is an image."""
    try:
        assembler.assemble(source, "t.asm", syntax=syntax, path=path)
    except AsmError as mistakes:
        return [mistake.line for mistake in mistakes.errors if mistake.message]
    return []


class Hostile:
    """Judges answers; uses one assembler for all, and looks after each refusal whether that still works."""

    def __init__(self, assembler: Assembler) -> None:
        self._assembler = assembler

    def fault(self, source: str, syntax: Syntax = "intel") -> str | None:
        """What is wrong with the answer to `source`, or None."""
        before = signal.signal(signal.SIGVTALRM, _endless)
        signal.setitimer(signal.ITIMER_VIRTUAL, CPU_LIMIT)
        try:
            lines = answer(self._assembler, source, syntax)
        except Exception as error:
            return f"{type(error).__name__}: {error}"
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
            signal.signal(signal.SIGVTALRM, before)
        if any(not 1 <= line <= max(1, source.count("\n") + 1) for line in lines):
            return f"mistakes in lines {lines}"
        return None if not lines or self._works() else "the assembler does not work any more"

    def _works(self) -> bool:
        image = self._assembler.assemble(CHECK[0], "t.asm")
        return image.sections[0].data == CHECK[1]


def _endless(signo: int, frame: FrameType | None) -> None:
    raise Endless(f"no answer within {CPU_LIMIT} s of CPU")
