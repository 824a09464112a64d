"""Source to image: the steps in order, and the one place where mistakes become errors with file and line."""

from collections.abc import Callable, Mapping
from functools import cache, partial
from types import MappingProxyType, TracebackType
from typing import Final, Literal, Self

from emu.asm.engine import Engine
from emu.asm.errors import SourceError
from emu.asm.frontend import Draft, FrontEnd
from emu.asm.image import Definition, Image, Inclusion, Line, Section
from emu.asm.items import SIZE, Label, Unit
from emu.asm.layout import Layout
from emu.asm.parser import Parser
from emu.asm.report import remarks, report
from emu.asm.sources import Place, Sources
from emu.asm.verify import Decode

Syntax = Literal["intel", "att", "nasm"]
NONE: Final[Mapping[str, int]] = MappingProxyType({})


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

    def assemble(
        self,
        source: str,
        filename: str,
        *,
        syntax: Syntax = "intel",
        path: str | None = None,
        warn: Callable[[str], object] | None = None,
        constants: Mapping[str, int] = NONE,
    ) -> Image:
        """The image of `source`; `syntax` holds until a .intel_syntax or .att_syntax says otherwise.
        "nasm" is a dialect of its own, for the whole program.

        `path` is the absolute path of the source, in whose directory .include looks first; None if it has none.
        `warn` is given what GNU as would read otherwise, a line each. `constants` are known by name as those of the
        system interface are.
        Raises AsmError with every mistake of the files, or EmuError when Keystone cannot be used at all.
        """
        known = partial(_known, constants) if constants else system_constants
        draft = Draft(Sources(source, filename, path), known)
        front_end(draft, syntax).parse()
        if draft.stopped:
            raise report(draft, (), syntax)
        layout = Layout(draft.unit, self._engine, self._decode, known)
        layout.settle()
        image = None if draft.mistakes or layout.mistakes else _image(draft.unit, layout, draft.sources)
        if image is None:
            raise report(draft, layout.mistakes, syntax)
        if warn is not None:
            for text in remarks(layout.remarks, draft.sources):
                warn(text)
        return image


def front_end(draft: Draft, syntax: Syntax) -> FrontEnd:
    """The reader of a dialect."""
    if syntax == "nasm":
        from emu.asm.nasm import NasmParser  # most sources are not

        return NasmParser(draft)
    return Parser(draft, syntax == "att")


def system_constants(name: str) -> int | None:
    """The value of a constant of the system interface, or None."""
    return _constants().get(name)


def _known(constants: Mapping[str, int], name: str) -> int | None:
    return constants[name] if name in constants else system_constants(name)


@cache
def _constants() -> dict[str, int]:
    from mini_kernel import uapi

    return uapi.constants()


def _image(unit: Unit, layout: Layout, sources: Sources) -> Image | None:
    """The finished image, or None when a value turned out not to fit (noted in `layout.mistakes`)."""
    names = sources.names
    contents: dict[str, list[bytes]] = {s.name: [] for s in unit.sections}
    order = {id(item): number for number, item in enumerate(unit.items)}
    lines: list[Line] = []
    for item, data in layout.emit():
        assert item.section.zero or len(data) == item.size, f"{item.place}: {len(data)} bytes, not {item.size}"
        contents[item.section.name].append(data)
        file, line, _ = item.place.origin
        text = item.place.expansion.text.strip() if item.place.expansion else ""
        lines.append(Line(item.address, item.size, names[file], line, item.is_code, order[id(item)], text))
    entry = _entry(unit, layout)
    if layout.mistakes or entry is None:
        return None
    sections = [
        Section(s.name, s.base, b"".join(contents[s.name]), s.size, s.flags)
        for s in unit.sections
        if s.size and not s.discard
    ]
    return Image(
        file=names[0],
        source=sources.texts[0],
        sections=tuple(sorted(sections, key=lambda s: s.vaddr)),
        entry=entry,
        symbols={name: address for name, address in layout.labels.items() if "#" not in name},
        globals=frozenset(unit.globals),
        lines=tuple(sorted(lines, key=lambda line: line.address)),
        includes=dict(zip(names[1:], sources.texts[1:], strict=True)),
        types={name: kind for name, kind in unit.types.items() if kind},
        sizes={n.removeprefix(SIZE): v.number for n, v in layout.values.items() if n.startswith(SIZE)},
        constants={name: value.number for name, value in layout.values.items() if "#" not in name},
        definitions=_definitions(unit, sources),
        inclusions=_inclusions(unit, names),
        directory=sources.directory,
        paths=sources.elsewhere(),
    )


def _inclusions(unit: Unit, names: list[str]) -> tuple[Inclusion, ...]:
    found = ((n.item, n.place.origin, names[n.file]) for n in unit.inclusions)
    return tuple(Inclusion(item, names[place.file], place.line, file) for item, place, file in found)


def _definitions(unit: Unit, sources: Sources) -> dict[str, Definition]:
    labels = [(item.what.name, item.place.origin) for item in unit.items if isinstance(item.what, Label)]
    return {name: Definition(sources.names[place.file], place.line) for name, place in labels if "#" not in name}


def _entry(unit: Unit, layout: Layout) -> int | None:
    """_start, else the first instruction."""
    if "_start" in layout.labels:
        return layout.labels["_start"]
    first = next((item for item in unit.items if item.is_code and not item.section.discard), None)
    if first is None:
        layout.mistakes.append((Place(0, 1), SourceError("nothing to run: neither a label _start nor an instruction")))
        return None
    return first.address
