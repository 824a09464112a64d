"""An assembled program: sections with addresses, symbols, and which source line made which bytes."""

from dataclasses import dataclass, field
from typing import NamedTuple


class Section(NamedTuple):
    """`data` is at [vaddr, vaddr + len(data)), zeros follow up to vaddr + memsz. `flags` as PF_R | PF_W | PF_X."""

    name: str
    vaddr: int
    data: bytes
    memsz: int
    flags: int


class Line(NamedTuple):
    """`length` bytes at `address` come from this line (from 1); `code` tells instructions from data.

    `sequence` orders lines as the source has them. `expansion` is the statement that a macro made of this line, "" for
    what the line itself says.
    """

    address: int
    length: int
    file: str
    line: int
    code: bool
    sequence: int = 0
    expansion: str = ""


class Inclusion(NamedTuple):
    """Line `line` of `file` brings in `included`, in front of whatever has this or a higher `sequence`."""

    sequence: int
    file: str
    line: int
    included: str


class Definition(NamedTuple):
    """The line that defines a label."""

    file: str
    line: int


@dataclass(frozen=True, slots=True)
class Image:
    """A program. Sections ascend and share no page; `lines` ascend by address."""

    file: str
    source: str
    sections: tuple[Section, ...]
    entry: int
    symbols: dict[str, int]  # labels, without numeric ones
    globals: frozenset[str]
    lines: tuple[Line, ...]
    includes: dict[str, str] = field(default_factory=dict[str, str])  # text of the files .include brought in, by name
    types: dict[str, str] = field(default_factory=dict[str, str])  # what .type says: "function" or "object"
    sizes: dict[str, int] = field(default_factory=dict[str, int])  # what .size says, in bytes
    constants: dict[str, int] = field(default_factory=dict[str, int])  # what .equ and = define, in the end
    definitions: dict[str, Definition] = field(default_factory=dict[str, Definition])  # of the labels
    inclusions: tuple[Inclusion, ...] = ()
    directory: str = ""  # absolute: what relative file names are relative to; "" if the source is no file
    paths: dict[str, str] = field(default_factory=dict[str, str])  # of the files that are not where their name says

    def texts(self) -> dict[str, list[str]]:
        """The lines of every file, by name."""
        return {name: text.split("\n") for name, text in ((self.file, self.source), *self.includes.items())}

    def at(self, address: int, n: int) -> bytes:
        """Up to `n` bytes of the image at `address`; none where the file has none."""
        for section in self.sections:
            if section.vaddr <= address < section.vaddr + len(section.data):
                return section.data[address - section.vaddr :][:n]
        return b""

    def section_of(self, address: int) -> int | None:
        """Index of the section with `address`; a label at the very end still belongs to its section."""
        for index, section in enumerate(self.sections):
            if section.vaddr <= address < section.vaddr + section.memsz:
                return index
        ends = [i for i, s in enumerate(self.sections) if address == s.vaddr + s.memsz]
        return ends[0] if ends else None
