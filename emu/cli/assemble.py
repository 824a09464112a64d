"""`emu asm`: source to an ELF file, a listing, a table of symbols."""

import argparse
import contextlib
import os
import sys
from typing import TYPE_CHECKING

from emu.asm import listing, symbol_table
from emu.cli.arguments import assembler_of
from emu.cli.files import warn, writable
from emu.errors import EmuError, ProgramError
from emu.program import is_source, load_program

if TYPE_CHECKING:
    from emu.asm import Image


def assemble(arguments: argparse.Namespace) -> int:
    """Assemble as the options say."""
    if not is_source(arguments.prog):
        raise ProgramError("is not source (.asm, .nasm, .s, .S, or - for stdin)", file=arguments.prog)
    assembler, syntax = assembler_of(arguments)
    text_wanted: bool = arguments.listing or arguments.symbols or arguments.listing_out is not None
    with contextlib.ExitStack() as cleanup:
        kept = None
        if arguments.listing_out is not None:
            kept = cleanup.enter_context(writable("--listing-out", arguments.listing_out))
        program = load_program(arguments.prog, assembler=assembler, syntax=syntax, warn=warn)
        if text_wanted and program.image is None:
            raise EmuError("--listing and --symbols need source for the built-in assembler (--assembler keystone)")
        if kept is not None and program.image is not None:
            kept.write(listing(program.image))
    if program.image is not None:
        _show(arguments, program.image)
    if arguments.output is not None or not text_wanted:
        _write(arguments.output or _default(arguments.prog), program.data)
    return 0


def _show(arguments: argparse.Namespace, image: "Image") -> None:
    text = listing(image) if arguments.listing else ""
    text += symbol_table(image) if arguments.symbols else ""
    sys.stdout.write(text.encode(errors="backslashreplace").decode())  # a source need not be UTF-8
    sys.stdout.flush()


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
