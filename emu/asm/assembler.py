"""Source to image: the steps in order, and the one place where mistakes become errors with file and line."""

from functools import cache
from types import TracebackType
from typing import Literal, Self

from emu.asm.engine import Engine
from emu.asm.errors import AsmError, SourceError
from emu.asm.image import Image, Line, Section
from emu.asm.items import Unit
from emu.asm.layout import Layout
from emu.asm.parser import Parser
from emu.asm.sources import Place, Sources
from emu.asm.verify import Decode
from emu.errors import EmuError

Syntax = Literal["intel", "att"]


class Assembler:
    """Assembles with Keystone in a worker process. A context manager; `close` ends the worker.

    `decode` is a disassembler (emu.disasm.one) that checks every instruction. The constants of the system interface
    (SYS_write, PROT_READ, ...) are known by name unless the source defines the name itself.
    """

    def __init__(self, decode: Decode) -> None:
        self._decode = decode
        self._engine = Engine()

    def start(self) -> None:
        """Spawns the worker and returns at once, so that it loads while something else is done. Optional."""
        self._engine.start()

    def close(self) -> None:
        """Ends the worker; the next `assemble` starts another."""
        self._engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def assemble(self, source: str, filename: str, *, syntax: Syntax = "intel", path: str | None = None) -> Image:
        """The image of `source`; `syntax` holds until a .intel_syntax or .att_syntax says otherwise.

        `path` is the absolute path of the source, in whose directory .include looks first; None if it has none.
        Raises AsmError with every mistake of the files, or EmuError when Keystone cannot be used at all.
        """
        sources = Sources(source, filename, path)
        parser = Parser(syntax == "att", sources, system_constants)
        parser.parse()
        if parser.mistakes:
            raise _errors(parser.mistakes, sources)
        layout = Layout(parser.unit, self._engine, self._decode, system_constants)
        layout.settle()
        image = None if layout.mistakes else _image(parser.unit, layout, sources)
        if layout.mistakes or image is None:
            raise _errors(layout.mistakes, sources)
        return image


def system_constants(name: str) -> int | None:
    """The value of a constant of the system interface, or None."""
    return _constants().get(name)


@cache
def _constants() -> dict[str, int]:
    from mini_kernel import uapi

    return uapi.constants()


def _errors(mistakes: list[tuple[Place, SourceError]], sources: Sources) -> AsmError:
    """In the order of the places, each once however often its file is included."""
    found = {(place, m.column, m.message): None for place, m in mistakes}
    return AsmError(
        [
            EmuError(
                message, file=sources.names[place.file], line=place.line, column=column, source=sources.line(place)
            )
            for place, column, message in sorted(found)
        ]
    )


def _image(unit: Unit, layout: Layout, sources: Sources) -> Image | None:
    """The finished image, or None when a value turned out not to fit (noted in `layout.mistakes`)."""
    contents: dict[str, list[bytes]] = {s.name: [] for s in unit.sections}
    lines: list[Line] = []
    for item, data in layout.emit():
        assert item.section.zero or len(data) == item.size, f"{item.place}: {len(data)} bytes, not {item.size}"
        contents[item.section.name].append(data)
        lines.append(Line(item.address, item.size, sources.names[item.place.file], item.place.line, item.is_code))
    entry = _entry(unit, layout)
    if layout.mistakes or entry is None:
        return None
    sections = [
        Section(s.name, s.base, b"".join(contents[s.name]), s.size, s.flags)
        for s in unit.sections
        if s.size and not s.discard
    ]
    return Image(
        file=sources.names[0],
        source=sources.texts[0],
        sections=tuple(sorted(sections, key=lambda s: s.vaddr)),
        entry=entry,
        symbols={name: address for name, address in layout.labels.items() if "#" not in name},
        globals=frozenset(unit.globals),
        lines=tuple(sorted(lines, key=lambda line: line.address)),
        includes=dict(zip(sources.names[1:], sources.texts[1:], strict=True)),
    )


def _entry(unit: Unit, layout: Layout) -> int | None:
    """_start, else the first instruction."""
    if "_start" in layout.labels:
        return layout.labels["_start"]
    first = next((item for item in unit.items if item.is_code and not item.section.discard), None)
    if first is None:
        layout.mistakes.append((Place(0, 1), SourceError("nothing to run: neither a label _start nor an instruction")))
        return None
    return first.address
