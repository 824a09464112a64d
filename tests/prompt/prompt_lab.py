"""A shell over a program, with its output kept; sessions as text."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from emu.boot import Options, System
from emu.program import Program, load_program
from emu.prompt import Shell
from mini_kernel.fs.stream import BytesStream

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"


@contextmanager
def shell(program: Program, context: Sequence[str] = (), **options: Any) -> Iterator[Shell]:
    """A shell at the program's first instruction."""
    chosen = Options(**{"memory": 64 << 20, "debug": True, **options})

    def boot(arguments: list[str] | None) -> System:
        return System(program, arguments or (), chosen, (BytesStream(), BytesStream(), BytesStream()))

    session = Shell(boot, context)
    try:
        yield session
    finally:
        session.close()


@contextmanager
def example(name: str, context: Sequence[str] = ()) -> Iterator[Shell]:
    """A shell over one of the examples."""
    with shell(load_program(str(EXAMPLES / name)), context) as session:
        yield session


def say(session: Shell, *commands: str) -> str:
    """What commands print, all together."""
    return "\n".join(line for command in commands for line in session.execute(command).lines)
