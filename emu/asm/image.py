"""An assembled program: sections with addresses, symbols, and which source line made which bytes."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Section:
    """`data` is at [vaddr, vaddr + len(data)), zeros follow up to vaddr + memsz. `flags` as PF_R | PF_W | PF_X."""

    name: str
    vaddr: int
    data: bytes
    memsz: int
    flags: int


@dataclass(frozen=True, slots=True)
class Line:
    """`length` bytes at `address` come from this line (from 1); `code` tells instructions from data."""

    address: int
    length: int
    file: str
    line: int
    code: bool


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

    def texts(self) -> dict[str, list[str]]:
        """The lines of every file, by name."""
        return {name: text.split("\n") for name, text in ((self.file, self.source), *self.includes.items())}

    def at(self, address: int, n: int) -> bytes:
        """Up to `n` bytes of the image at `address`; none where the file has none."""
        for section in self.sections:
            if section.vaddr <= address < section.vaddr + len(section.data):
                return section.data[address - section.vaddr :][:n]
        return b""


_PER_ROW = 8


def listing(image: Image) -> str:
    """One row per source line that made bytes: address, bytes in hexadecimal (rows of eight), source.

    Where the lines of another file begin, a row with its name comes before them.
    """
    texts = image.texts()
    rows: list[str] = []
    file = image.file
    for line in image.lines:
        if line.file != file:
            file = line.file
            rows.append(f"{file}:")
        data = image.at(line.address, line.length)
        shown = data[:_PER_ROW].hex(" ") if data else f"{line.length} zero bytes"
        rows.append(f"{line.address:8x}  {shown:<{_PER_ROW * 3}} {line.line:5}  {texts[file][line.line - 1].rstrip()}")
        for at in range(_PER_ROW, len(data), _PER_ROW):
            rows.append(f"{line.address + at:8x}  {data[at : at + _PER_ROW].hex(' ')}")
    return "\n".join(rows) + "\n" if rows else ""
