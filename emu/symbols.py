"""Which label an address belongs to, and which source line made the instruction there.

Symbols
  ImageSymbols   of a program that was assembled here: everything is known
  ElfSymbols     of an ELF file, what its symbol table and its line numbers say: read with the first question
GuestSymbols     those of every program in a guest's file system
"""

import os
import stat
from bisect import bisect_right
from collections import deque
from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Final, NamedTuple

from emu.peek import content
from emu.program import MAX_SIZE, Program
from mini_kernel import elf
from mini_kernel.elf import PF_X
from mini_kernel.errors import SysError
from mini_kernel.fs.inode import RegularFile

if TYPE_CHECKING:
    from emu.asm import Image
    from emu.cfi import CallFrames
    from emu.elf_symbols import ElfTables
    from mini_kernel.fs.vfs import Vfs
    from mini_kernel.task import Task

MAX_SOURCE: Final = 1 << 24  # bytes of a source file that a line is shown of


class SourceLine(NamedTuple):
    """Where an instruction was written. Lines count from 1; `text` is "" where the source cannot be shown."""

    file: str
    line: int
    text: str


class Symbols:
    """The names of one program. Make it with `of`."""

    @staticmethod
    def of(program: Program) -> "Symbols":
        """Those of an assembled program, else what the ELF file tells (nothing, if it is stripped or moves about)."""
        if program.image:
            return ImageSymbols(program.image)
        for known in _LATELY:
            if known.program is program:
                return known
        _LATELY.append(ElfSymbols(program))
        return _LATELY[-1]

    @cached_property
    def names(self) -> dict[int, tuple[str, int]]:
        """Address -> (name, end); an address at or behind `end` is outside."""
        return {}  # of a program of which nothing is known

    @cached_property
    def _starts(self) -> list[int]:
        return sorted(self.names)

    def name(self, address: int) -> str | None:
        """`label`, `label+0x12`, or None where no label reaches."""
        found = self.label(address)
        if found is None:
            return None
        name, start = found
        return f"{name}+{address - start:#x}" if address > start else name

    def label(self, address: int) -> tuple[str, int] | None:
        """The nearest label at or before `address` that reaches there, with its own address."""
        return next(self.labels(address, 1), None)

    def labels(self, address: int, most: int) -> Iterator[tuple[str, int]]:
        """The same of up to `most`, the nearest first."""
        last = bisect_right(self._starts, address) - 1
        for i in range(last, max(-1, last - most), -1):
            start = self._starts[i]
            name, end = self.names[start]
            if address < end:
                yield name, start
            elif i == last:
                return

    @property
    def call_frames(self) -> "CallFrames":
        """What its compiler says about the frames of functions."""
        from emu.cfi import CallFrames

        return CallFrames()

    @cached_property
    def code(self) -> list[tuple[int, bytes]]:
        """(address, bytes) of what may be executed, as the program's file has it."""
        return []

    def line(self, address: int) -> SourceLine | None:
        """The source line whose bytes include `address`."""
        del address
        return None

    def extent(self, address: int) -> tuple[int, int] | None:
        """The instructions [low, high) around `address` that come from the same line, as far as one piece goes."""
        del address
        return None

    def lines_from(self, file: str, line: int) -> dict[int, int]:
        """The first instructions of a line of `file` and of those behind it that have any, by line.

        The file may be named by its name's end; "" is the program's own.
        """
        del file, line
        return {}

    def source(self, file: str) -> list[str]:
        """All lines of a file that `line` has named; none where it cannot be shown."""
        del file
        return []

    def place(self, address: int) -> str | None:
        """`loop+0x4 at prog.asm:12`, or as much of it as is known."""
        name, line = self.name(address), self.line(address)
        known = [name] if name else []
        return " ".join([*known, f"at {line.file}:{line.line}"] if line else known) or None

    def addresses(self) -> dict[str, int]:
        """Every name with its address."""
        return {name: address for address, (name, _end) in self.names.items()}


class ImageSymbols(Symbols):
    """Of an assembled program."""

    def __init__(self, image: "Image") -> None:
        self._image = image
        self._line_starts = [line.address for line in image.lines]
        self._texts = image.texts()

    @cached_property
    def names(self) -> dict[int, tuple[str, int]]:
        """A label reaches to the end of its section; of several at one address a global wins, else the first."""
        image = self._image
        names: dict[int, tuple[str, int]] = {}
        for name, address in sorted(image.symbols.items(), key=lambda entry: entry[0] not in image.globals):
            end = next((s.vaddr + s.memsz for s in image.sections if s.vaddr <= address < s.vaddr + s.memsz), None)
            if end is not None:
                names.setdefault(address, (name, end))
        return names

    @cached_property
    def code(self) -> list[tuple[int, bytes]]:
        return [(section.vaddr, section.data) for section in self._image.sections if section.flags & PF_X]

    def addresses(self) -> dict[str, int]:
        return {**self._image.symbols, **super().addresses()}

    def line(self, address: int) -> SourceLine | None:
        i = bisect_right(self._line_starts, address) - 1
        if i < 0 or address >= self._image.lines[i].address + max(1, self._image.lines[i].length):
            return None
        line = self._image.lines[i]
        return SourceLine(line.file, line.line, line.expansion or _row(self._texts.get(line.file, []), line.line))

    def source(self, file: str) -> list[str]:
        return self._texts.get(file, [])

    def lines_from(self, file: str, line: int) -> dict[int, int]:
        image = self._image
        wanted = file or (image.lines[0].file if image.lines else "")
        found: dict[int, int] = {}
        for at in image.lines:
            if at.line >= line and is_end(at.file, wanted):
                found[at.line] = min(at.address, found.get(at.line, at.address))
        return found

    def extent(self, address: int) -> tuple[int, int] | None:
        i = bisect_right(self._line_starts, address) - 1
        if self.line(address) is None:
            return None
        line = self._image.lines[i]
        return line.address, line.address + max(1, line.length)


class ElfSymbols(Symbols):
    """Of an ELF file. Lines of its sources are shown if these are below its own or the present directory."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self._texts: dict[str, list[str]] = {}

    @cached_property
    def _tables(self) -> "ElfTables":
        from emu.elf_symbols import ElfTables  # pyelftools takes 60 ms to load

        return ElfTables(self.program.data)

    @cached_property
    def names(self) -> dict[int, tuple[str, int]]:
        return self._tables.names

    def addresses(self) -> dict[str, int]:
        return {**self._tables.addresses, **super().addresses()}

    @cached_property
    def code(self) -> list[tuple[int, bytes]]:
        data = self.program.data
        try:
            image = elf.parse_bytes(data)
        except elf.ElfError:
            return []
        executable = [s for s in image.segments if s.flags & PF_X and image.type is elf.ElfType.EXEC]
        return [(s.vaddr, data[s.file_offset : s.file_offset + s.filesz]) for s in executable]

    @property
    def call_frames(self) -> "CallFrames":
        return self._tables.call_frames

    def line(self, address: int) -> SourceLine | None:
        row = self._tables.row(address)
        if row is None:
            return None
        path = os.path.join(row.directory, row.file)
        if path not in self._texts:
            self._texts[path] = self._read(path)
        return SourceLine(row.file, row.line, _row(self._texts[path], row.line))

    def source(self, file: str) -> list[str]:
        for path, rows in self._texts.items():
            if is_end(path, file):
                return rows
        return []

    def lines_from(self, file: str, line: int) -> dict[int, int]:
        return self._tables.lines_from(file, line)

    def extent(self, address: int) -> tuple[int, int] | None:
        row = self._tables.row(address)
        return (row.start, row.end) if row else None

    def _read(self, path: str) -> list[str]:
        """The lines of a source file; none of one that is elsewhere, for an ELF file may name any file it likes."""
        real = os.path.realpath(path)
        folders = [os.path.realpath(folder) for folder in (os.path.dirname(self.program.path), os.curdir) if folder]
        if not any(real.startswith(folder.rstrip("/") + "/") for folder in folders):
            return []
        try:
            status = os.stat(real)
            if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_SOURCE:
                return []
            with open(real, encoding="utf-8", errors="replace") as file:
                return file.read().split("\n")
        except (OSError, ValueError):
            return []


#: Reading the tables of a C program takes 50 ms; many systems run the same one.
_LATELY: Final[deque[ElfSymbols]] = deque(maxlen=8)


class GuestSymbols:
    """Of the programs in a guest: the one that was booted, and others as the guest's files have them."""

    def __init__(self, program: Program, exe_path: bytes, vfs: "Vfs") -> None:
        """`exe_path` is where the guest has the program."""
        self._vfs = vfs
        self._programs: dict[bytes, Program | None] = {exe_path: program}
        self._known: dict[bytes, Symbols] = {}

    def of(self, task: "Task") -> Symbols:
        """Of the program that a task runs, whatever it calls itself."""
        return self.at(task.exe_path)

    def at(self, exe_path: bytes) -> Symbols:
        """Of a program by its path in the guest. None are known of a file that is not there (any more)."""
        known = self._known.get(exe_path)
        if known is None:
            program = self.program(exe_path)
            known = self._known[exe_path] = Symbols.of(program) if program else Symbols()
        return known

    def program(self, exe_path: bytes) -> Program | None:
        """The program itself; None if there is no such file (any more)."""
        if exe_path not in self._programs:
            self._programs[exe_path] = self._read(exe_path)
        return self._programs[exe_path]

    def _read(self, exe_path: bytes) -> Program | None:
        try:
            inode = self._vfs.lookup(self._vfs.boot, exe_path)
        except SysError:
            return None
        if not isinstance(inode, RegularFile) or inode.cache.size > MAX_SIZE:
            return None
        name = exe_path.rsplit(b"/", 1)[-1].decode(errors="replace")
        return Program(name, "", content(inode.cache), None)


def is_end(path: str, name: str) -> bool:
    """True if `name` is the path, or its last parts."""
    return path == name or path.endswith("/" + name)


def _row(rows: list[str], line: int) -> str:
    return rows[line - 1].strip() if 0 < line <= len(rows) else ""
