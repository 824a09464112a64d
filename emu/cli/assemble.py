"""`emu asm`: source to an ELF file or a listing."""

import argparse
import os
import sys

from emu.asm import listing
from emu.cli.arguments import assembler_of
from emu.errors import EmuError, ProgramError
from emu.program import is_source, load_program


def assemble(arguments: argparse.Namespace) -> int:
    """Assemble as the options say."""
    if not is_source(arguments.prog):
        raise ProgramError("is not source (.asm, .s, .S, or - for stdin)", file=arguments.prog)
    assembler, syntax = assembler_of(arguments)
    program = load_program(arguments.prog, assembler=assembler, syntax=syntax)
    if arguments.listing:
        if program.image is None:
            raise EmuError("--listing needs source for the built-in assembler (--assembler keystone)")
        sys.stdout.write(listing(program.image))
        sys.stdout.flush()
    if arguments.output is not None or not arguments.listing:
        _write(arguments.output or _default(arguments.prog), program.data)
    return 0


def _default(prog: str) -> str:
    """In the working directory, as compilers do."""
    return "a.elf" if prog == "-" else os.path.splitext(os.path.basename(prog))[0] + ".elf"


def _write(path: str, data: bytes) -> None:
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o777)
        with open(fd, "wb") as file:
            file.write(data)
    except OSError as error:
        raise EmuError(f"-o {path}: {error.strerror}") from None
