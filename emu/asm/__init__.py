"""Assembler: `.asm`, `.s` and `.S` source to an image, and an image to an ELF file.

sources -> lexer -> parser (blocks, directives, operands, expr) -> items
        -> layout (instructions, engine, verify) -> image -> elfwriter

The installed GNU as and nasm are in emu.asm.external, imported when asked for.
"""

from emu.asm.assembler import Assembler, Syntax
from emu.asm.elfwriter import to_elf
from emu.asm.errors import AsmError
from emu.asm.image import Image, Line, Section
from emu.asm.listing import listing, symbol_table

__all__ = ["AsmError", "Assembler", "Image", "Line", "Section", "Syntax", "listing", "symbol_table", "to_elf"]
