"""An image as text for people: the source with addresses and bytes, and the table of symbols. Nothing else reads it."""

from collections.abc import Iterator
from typing import Final

from emu.asm.image import Image, Inclusion, Line

_PER_ROW: Final = 8
_MOST_ROWS: Final = 4  # of one statement's bytes
_SAME: Final = 16  # from so many equal bytes on, they are counted instead of shown
_RIGHTS: Final = {4: "r--", 5: "r-x", 6: "rw-", 7: "rwx"}


def listing(image: Image) -> str:
    """Every source line; in front of it, for those that made bytes, address and bytes in hexadecimal (rows of eight).

    Data of more than 32 bytes is folded. Behind a line that expands a macro stand the statements it made, marked with
    `>`. Where the lines of another file begin, a row with its name comes before them.
    """
    return "".join(f"{row}\n" for row in _Lister(image).rows())


class _Lister:
    """Walks the statements in source order and shows what stands between them, file by file.

    Invariant: `_open` are the files being read, each included by the one before; of file f the first `_shown[f]` lines
    are shown.
    """

    def __init__(self, image: Image) -> None:
        self._image = image
        self._texts = image.texts()
        self._open = [image.file]
        self._shown = dict.fromkeys(self._texts, 0)
        self._heading = False  # the file's name is due before its next row

    def rows(self) -> Iterator[str]:
        events: list[Line | Inclusion] = [*self._image.inclusions, *self._image.lines]
        for event in sorted(events, key=lambda e: e.sequence):  # stable: an inclusion stands in front of what it brings
            yield from self._back_to(event.file)
            if isinstance(event, Inclusion):
                yield from self._plain(event.file, event.line)
                self._open.append(event.included)
                self._shown[event.included] = 0
                self._heading = True
            else:
                yield from self._line(event)
        while self._open:
            yield from self._rest()
            self._open.pop()
            self._heading = True

    def _back_to(self, file: str) -> Iterator[str]:
        """The files that have ended when a statement of `file` comes."""
        if file not in self._open:  # linked, for a name that is external to the program
            self._open.append(file)
            self._heading = True
        while self._open[-1] != file:
            yield from self._rest()
            self._open.pop()
            self._heading = True

    def _rest(self) -> Iterator[str]:
        file = self._open[-1]
        text = self._texts[file]
        yield from self._plain(file, len(text) - (text[-1] == ""))

    def _plain(self, file: str, to: int) -> Iterator[str]:
        """The lines up to and with `to` that are not shown yet, without bytes."""
        for number in range(self._shown[file] + 1, to + 1):
            yield from self._named()
            yield _row("", "", number, self._texts[file][number - 1])
            self._shown[file] = number

    def _line(self, line: Line) -> Iterator[str]:
        yield from self._plain(line.file, line.line if line.expansion else line.line - 1)
        self._shown[line.file] = max(self._shown[line.file], line.line)
        yield from self._named()
        text = f"> {line.expansion}" if line.expansion else self._texts[line.file][line.line - 1]
        first, *more = _folded(line, self._image.at(line.address, line.length))
        yield _row(f"{line.address:x}", first[1], line.line, text)
        yield from (f"{line.address + offset:8x}  {shown}" for offset, shown in more)

    def _named(self) -> Iterator[str]:
        if self._heading:
            yield f"{self._open[-1]}:"
        self._heading = False


def _row(address: str, shown: str, number: int, text: str) -> str:
    return f"{address:>8}  {shown:<{_PER_ROW * 3}} {number:5}  {text}".rstrip()


def _folded(line: Line, data: bytes) -> list[tuple[int, str]]:
    """(offset, text) of the rows that show `data`; at least one."""
    if not data:
        return [(0, f"{line.length} zero bytes")]
    if len(data) > _SAME and data.count(data[0]) == len(data):
        return [(0, f"{data[0]:02x} x {len(data)}")]
    rows = [(at, data[at : at + _PER_ROW].hex(" ")) for at in range(0, min(len(data), _PER_ROW * _MOST_ROWS), _PER_ROW)]
    left = len(data) - _PER_ROW * _MOST_ROWS
    return [*rows, (len(data) - left, f"... {left} more bytes")] if left > 0 else rows


def symbol_table(image: Image) -> str:
    """One row per label by address (address, size, binding, type, section and its rights, name, place), then constants.

    A size or type that the source does not tell is `-`.
    """
    rows: list[tuple[str, ...]] = []
    for name, address in sorted(image.symbols.items(), key=lambda entry: (entry[1], entry[0])):
        index = image.section_of(address)
        section = image.sections[index] if index is not None else None
        place = image.definitions.get(name)
        rows.append(
            (
                f"{address:x}",
                str(image.sizes.get(name, "-")),
                "global" if name in image.globals or name == "_start" else "local",
                image.types.get(name) or "-",
                f"{section.name} {_RIGHTS.get(section.flags, '---')}" if section else "-",
                name,
                f"{place.file}:{place.line}" if place else "",
            )
        )
    rows += [(f"{value & (1 << 64) - 1:x}", "-", "local", "constant", "-", name, "") for name, value in _sorted(image)]
    return "".join(f"{row}\n" for row in _columns(rows))


def _sorted(image: Image) -> list[tuple[str, int]]:
    return sorted(image.constants.items())


def _columns(rows: list[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for address, size, *words in rows:
        cells = [f"{address:>{widths[0]}}", f"{size:>{widths[1]}}"]
        cells += [f"{word:<{width}}" for word, width in zip(words, widths[2:], strict=True)]
        yield "  ".join(cells).rstrip()
