"""Looking at values and memory."""

import re
import struct
from typing import Final, NamedTuple

from emu.debug import state
from emu.prompt.errors import PromptError
from emu.prompt.expression import Load, parse
from emu.prompt.registry import command
from emu.prompt.scope import part_of
from emu.prompt.shell import Shell
from emu.render import debug as text_of
from mini_kernel.x86 import RSP

_LOOKING: Final = "looking"
_MAX: Final = 65_536  # bytes, instructions or lines at once
_SIZES: Final = {"b": 1, "h": 2, "w": 4, "g": 8}
_FORMAT: Final = re.compile(r"(?:/(\d*)([xduotacsizf]?)([bhwg]?)([xduotacsizf]?))?\s*(.*)", re.S)


class Format(NamedTuple):
    """`/8xg`: so many, how, of which size."""

    times: int
    letter: str
    size: int
    rest: str


def format_of(text: str, letter: str = "x") -> Format:
    """What `/FMT` in front of an argument says. Raises PromptError."""
    match = _FORMAT.fullmatch(text)
    if match is None or (match[2] and match[4]) or text.startswith("/") is not (match[1] is not None):
        raise PromptError(f"{text.split()[0]!r} is no format: /COUNT, one of x z d u o t a c f s i, one of b h w g")
    count = int(match[1] or 1)
    if count * 8 > _MAX:
        raise PromptError(f"{count} are too many at once")
    kind = match[2] or match[4] or letter
    return Format(count, kind, _SIZES[match[3]] if match[3] else 1 if kind in "cs" else 8, match[5])


def number_text(value: int, letter: str, size: int = 8, name: str | None = None) -> str:
    """A number of `size` bytes as a format's letter wants it."""
    if letter == "d":
        return str(value - (1 << size * 8) if value >> (size * 8 - 1) else value)
    if letter == "c":
        return f"{value & 0xFF} {chr(value & 0xFF)!r}" if 32 <= value & 0xFF < 127 else str(value & 0xFF)
    if letter == "a":
        return f"{value:#x}" + (f" <{name}>" if name else "")
    if letter == "f":
        return repr(struct.unpack("<f" if size == 4 else "<d", value.to_bytes(8, "little")[: 4 if size == 4 else 8])[0])
    return {"u": f"{value}", "o": f"{value:#o}", "t": f"{value:#b}"}.get(letter, f"{value:#0{size * 2 + 2}x}")


@command(
    "print",
    "p",
    "inspect",
    usage="[/FMT] EXPRESSION",
    says="the value of an expression; x is hexadecimal, d signed, ...",
    family=_LOOKING,
    completes="value",
)
def print_(s: Shell, text: str) -> list[str]:
    if not text and s.values:
        text = "$"
    value, shown = formatted(s, text)
    s.values.append(value)
    return [f"${len(s.values)} = {shown}"]


def formatted(s: Shell, text: str) -> tuple[int, str]:
    """The value of `[/FMT] EXPRESSION`, and what `print` shows of it."""
    wanted = format_of(text, "")
    if wanted.letter in ("s", "i"):
        raise PromptError(f"`x/{wanted.letter} {wanted.rest}` shows what is at an address")
    value, name = s.value(wanted.rest), s.symbols().name(s.value(wanted.rest))
    if not wanted.letter:
        return value, f"{value:#x}" + (f" <{name}>" if name else f" = {value}" if value > 9 else "")
    if wanted.letter == "x":
        return value, f"{value:#x}"
    return value, number_text(value, wanted.letter, _width(wanted.rest), name)


def _width(text: str) -> int:
    """Bytes of the value: less than 8 for memory of a size, and for parts of registers."""
    expression, part = parse(text), part_of(text.strip().removeprefix("$"))
    if isinstance(expression, Load):
        return expression.size
    return max(1, part[2] // 8) if part is not None else 8


@command("output", usage="[/FMT] EXPRESSION", says="the same, without a number and not kept", family=_LOOKING)
def output(s: Shell, text: str) -> list[str]:
    return [formatted(s, text)[1]]


@command(
    "x",
    usage="[/FMT] ADDRESS",
    says="memory: 4xg are four words of 8 bytes, 3i instructions, s a string",
    family=_LOOKING,
    completes="value",
    repeats=True,
)
def x(s: Shell, text: str) -> list[str]:
    wanted = format_of(text or s.examined)
    if not wanted.rest:  # from where the last one ended
        after = s.examined.rpartition(" ")[2]
        wanted = wanted._replace(rest=after or f"{s.rip():#x}")
    address = s.value(wanted.rest)
    if wanted.letter == "i":
        lines = state.code(s.d, address, wanted.times, s.task().tid, s.rip())
        if not lines:
            raise PromptError(f"{address:#x} cannot be read")
        s.examined = f"/{wanted.times}i {lines[-1].address + len(lines[-1].data):#x}"
        return text_of.code_lines(lines)
    if wanted.letter == "s":
        return _strings(s, address, wanted.times)
    data = state.read(s.d, address, wanted.times * wanted.size, s.task().tid)
    letters = {1: "b", 2: "h", 4: "w", 8: "g"}
    end = address + wanted.times * wanted.size
    s.examined = f"/{wanted.times}{wanted.letter}{letters[wanted.size]} {end:#x}"
    return _words(s, address, data, wanted)


def _words(s: Shell, address: int, data: bytes, wanted: Format) -> list[str]:
    names, size = s.symbols(), wanted.size
    row = 16 if wanted.letter != "a" else size
    values = [int.from_bytes(data[i : i + size], "little") for i in range(0, len(data) - size + 1, size)]
    texts = [number_text(v, wanted.letter, size, names.name(v)) for v in values]
    per = row // size
    rows = [
        f"{_label(s, address + i * size)} {'  '.join(texts[i : i + per])}" for i in range(0, len(texts), per)
    ]  # fmt: skip
    if len(values) < wanted.times:
        rows.append(f"{address + len(data):#x}: cannot be read")
    return rows


def _label(s: Shell, address: int) -> str:
    name = s.symbols().name(address)
    return f"{address:#x}{f' <{name}>' if name else ''}:"


def _strings(s: Shell, address: int, count: int) -> list[str]:
    rows: list[str] = []
    for _ in range(count):
        data = state.read(s.d, address, 200, s.task().tid)
        if not data:
            raise PromptError(f"{address:#x} cannot be read")
        piece, zero, _rest = data.partition(b"\0")
        rows.append(f"{_label(s, address)} {piece.decode('latin-1')!a}{'' if zero else ' ...'}")
        address += len(piece) + len(zero)
    s.examined = f"/{count}s {address:#x}"
    return rows


@command(
    "dump",
    "hexdump",
    usage="ADDRESS[, LENGTH]",
    says="a hex dump, 64 bytes if not said",
    family=_LOOKING,
    completes="value",
)
def dump(s: Shell, text: str) -> list[str]:
    address, _comma, length = text.partition(",")
    start, size = s.value(address), s.value(length) if length else 64
    if size > _MAX:
        raise PromptError(f"{size} bytes are too many at once")
    return text_of.memory_lines(start, state.read(s.d, start, size, s.task().tid), size)


@command(
    "stack",
    "telescope",
    usage="[WORDS | ADDRESS[, WORDS]]",
    says="the top of the stack, or words elsewhere",
    family=_LOOKING,
)
def stack(s: Shell, text: str) -> list[str]:
    where, _comma, count = text.partition(",")
    first = s.value(where) if where else 8
    words, start = (first, s.frame().registers[RSP]) if first < 4096 else (s.value(count) if count else 8, first)
    return text_of.stack_lines(state.stack(s.d, min(words, _MAX // 8), s.task().tid, start))
