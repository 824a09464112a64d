"""A program from what the operator named: source, an ELF file, or `-`.

Whatever it was, the result is ELF bytes: an assembled program is loaded the way any other is.
"""

import os
import stat
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from emu.errors import ProgramError

if TYPE_CHECKING:  # a program that is an ELF file runs without the assembler
    from emu.asm import Assembler, Image, Syntax

AssemblerName = Literal["keystone", "gas", "nasm"]
ASSEMBLERS: Final[tuple[AssemblerName, ...]] = ("keystone", "gas", "nasm")
SOURCE_SUFFIXES: Final = (".asm", ".nasm", ".s", ".S")
MAX_SIZE: Final = 1 << 30  # bytes of a program file


@dataclass(frozen=True, slots=True)
class Program:
    """What to run. `path` is absolute, or "" for stdin; `data` is what execve finds: ELF, or a script with `#!`.

    `image` has symbols and source lines when the program was assembled by Keystone, else None.
    """

    name: str
    path: str
    data: bytes
    image: "Image | None"


def new_assembler() -> "Assembler":
    """An Assembler whose encodings are checked by Capstone. `start` it early: its worker loads in the background."""
    from emu import disasm
    from emu.asm import Assembler

    return Assembler(disasm.one)


def is_source(path_or_dash: str) -> bool:
    """True if this program needs an assembler."""
    return path_or_dash == "-" or path_or_dash.endswith(SOURCE_SUFFIXES)


def locate(name: str) -> str:
    """The file that a command line means: one of that name, else as in a shell the first on PATH, else `name`."""
    if "/" in name or is_source(name) or os.path.exists(name):
        return name
    for directory in os.get_exec_path():
        path = os.path.join(directory, name)
        if os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    return name


def load_program(
    path_or_dash: str,
    *,
    assembler: AssemblerName = "keystone",
    syntax: "Syntax" = "intel",
    worker: "Assembler | None" = None,
    constants: Mapping[str, int] | None = None,
    warn: Callable[[str], object] | None = None,
) -> Program:
    """Reads, and where it is source assembles, a program.

    A name that is no file here is looked for on PATH. A file called *.nasm is read as NASM source. `worker` is an
    Assembler already started (it stays open); without one, one is made and closed when needed. `constants` are
    known by name, as those of the system interface are. `warn` is given the warnings of the assembler, a line each.
    Raises ProgramError for what cannot be read or run, AsmError for what does not assemble.
    """
    path_or_dash = locate(path_or_dash)
    data = sys.stdin.buffer.read() if path_or_dash == "-" else _read(path_or_dash)
    name = "<stdin>" if path_or_dash == "-" else os.path.basename(path_or_dash)
    path = "" if path_or_dash == "-" else os.path.abspath(path_or_dash)
    if data.startswith((b"\x7fELF", b"#!")):
        return Program(name, path, data, None)
    if not is_source(path_or_dash):
        kinds = ", ".join(SOURCE_SUFFIXES)
        raise ProgramError(f"neither an ELF file, a #! script nor source ({kinds})", file=path_or_dash)
    source = _text(data, path_or_dash)
    named = constants or {}
    shown = name if path_or_dash == "-" else path_or_dash
    image = None
    if assembler == "keystone":
        if path.endswith(".nasm") and syntax == "intel":
            syntax = "nasm"
        from emu.asm import to_elf

        if worker is not None:
            image = worker.assemble(source, shown, syntax=syntax, path=path or None, warn=warn, constants=named)
        else:
            with new_assembler() as own:
                image = own.assemble(source, shown, syntax=syntax, path=path or None, warn=warn, constants=named)
        data = to_elf(image)
    else:
        from emu.asm import external  # not before it is needed: brings subprocess and tempfile along

        if assembler == "gas":
            data = external.gas(source, shown, syntax=syntax, path=path, warn=warn, constants=named)
        else:
            data = external.nasm(source, shown, path=path, warn=warn, constants=named)
    return Program(name, path, data, image)


def _read(path: str) -> bytes:
    """The bytes of a regular file; a pipe or device named as a program could block for ever."""
    try:
        status = os.stat(path)
        if stat.S_ISDIR(status.st_mode):
            raise ProgramError("is a directory", file=path)
        if not stat.S_ISREG(status.st_mode):
            raise ProgramError("is not a regular file", file=path)
        if status.st_size > MAX_SIZE:
            raise ProgramError(f"is larger than {MAX_SIZE >> 20} MiB", file=path)
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError as error:
        where = "" if "/" in path or is_source(path) else " here, nor such a program on PATH"
        raise ProgramError(f"cannot be read: {error.strerror}{where}", file=path) from error
    except OSError as error:
        raise ProgramError(f"cannot be read: {error.strerror}", file=path) from error
    except ValueError as error:  # a NUL byte in the name
        raise ProgramError(f"cannot be read: {error}", file=repr(path)) from error


def _text(data: bytes, shown: str) -> str:
    at = data.find(b"\0")
    if at >= 0:
        raise ProgramError("is not text: a NUL byte in the source", file=shown, line=data.count(b"\n", 0, at) + 1)
    return data.decode("utf-8", "surrogateescape")
