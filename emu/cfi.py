"""Call frame information: where a function's caller is, from .eh_frame and .debug_frame (DWARF 5, 6.4; LSB 5, 10.6).

    frames = CallFrames([Section(address, data, eh=True)])
    row = frames.row(rip)           # the rules that hold before the instruction at rip, or None

Sections are scanned for the ranges they cover; instructions of an entry are executed when somebody asks about it. What
a damaged section says is as good as missing: nothing here raises, and nothing is read outside of the section.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from typing import Final, Literal, NamedTuple

from emu.dwarf_expression import Reader
from mini_kernel.x86 import U64

How = Literal["at", "offset", "register", "expression", "value", "same", "undefined"]

_MAX_ROWS: Final = 100_000  # instructions of one entry: only keeps a damaged one from being endless
_OMITTED: Final = 0xFF  # DW_EH_PE_omit
_PC_RELATIVE: Final = 0x10
_INDIRECT: Final = 0x80


class Section(NamedTuple):
    """`eh`: it is .eh_frame, which differs from .debug_frame in how entries refer to each other."""

    address: int
    data: bytes
    eh: bool


class Rule(NamedTuple):
    """Where the caller's value of a register is.

    at          in memory at CFA + value
    offset      it is CFA + value
    register    in another register, value
    expression  in memory at the address that the expression `code` gives, with the CFA on its stack
    value       it is what the expression gives
    same        unchanged; undefined: nowhere
    """

    how: How
    value: int = 0
    code: bytes = b""


class Row(NamedTuple):
    """The rules at one instruction; registers by DWARF's numbers.

    cfa         (register, offset), or an expression: the canonical frame address, RSP before the return address
                was pushed
    returns     the register that stands for the return address
    signal      the frame is one that the kernel made for a signal handler: its pc is not behind a call
    start       the first instruction of the function
    """

    cfa: tuple[int, int] | bytes
    rules: dict[int, Rule]
    returns: int
    signal: bool
    start: int


class _Common(NamedTuple):
    """A CIE: what its FDEs have in common."""

    code_factor: int
    data_factor: int
    returns: int
    encoding: int  # of the addresses in FDEs
    sized: bool  # FDEs have augmentation data
    signal: bool
    instructions: bytes


class _Entry(NamedTuple):
    """An FDE: [start, end) is what it is about."""

    start: int
    end: int
    common: _Common
    instructions: bytes


class CallFrames:
    """Those of one program."""

    def __init__(self, sections: Iterable[Section] = ()) -> None:
        self._sections = tuple(sections)
        self._rows: dict[int, Row | None] = {}

    def row(self, address: int) -> Row | None:
        """The rules before the instruction at `address`, if there are any."""
        if address not in self._rows:
            self._rows[address] = self._find(address)
        return self._rows[address]

    @property
    def ranges(self) -> list[tuple[int, int]]:
        """What is covered, in order."""
        return [(entry.start, entry.end) for entry in self._entries]

    def _find(self, address: int) -> Row | None:
        i = bisect_right(self._entries, address, key=lambda entry: entry.start) - 1
        if i < 0 or address >= self._entries[i].end:
            return None
        try:
            return _execute(self._entries[i], address)
        except ValueError:
            return None

    @cached_property
    def _entries(self) -> list[_Entry]:
        """By start; of two sections that know one function the first."""
        found: dict[int, _Entry] = {}
        for section in self._sections:
            for entry in _entries(section):
                found.setdefault(entry.start, entry)
        return sorted(found.values(), key=lambda entry: entry.start)


# -- entries -----------------------------------------------------------------------------------------


def _entries(section: Section) -> Iterator[_Entry]:
    """The FDEs that can be read."""
    commons: dict[int, _Common | None] = {}
    reader = Reader(section.data)
    while reader.end - reader.at >= 4:
        try:
            length, wide = _length(reader)
            body = reader.at
            reader.take(length)
        except ValueError:
            return
        try:
            entry = _entry(section, Reader(section.data, body, body + length), wide, commons) if length else None
        except ValueError:
            continue
        if entry is not None:
            yield entry


def _length(reader: Reader) -> tuple[int, int]:
    """(bytes of an entry, bytes of an offset in it)."""
    length = reader.unsigned(4)
    return (reader.unsigned(8), 8) if length == 0xFFFFFFFF else (length, 4)


def _entry(section: Section, body: Reader, wide: int, commons: dict[int, _Common | None]) -> _Entry | None:
    at = body.at
    if section.eh:
        wide = 4  # of the pointer, in either format
    reference = body.unsigned(wide)
    if reference == (0 if section.eh else (1 << wide * 8) - 1):
        return None
    origin = at - reference if section.eh else reference
    if origin not in commons:
        commons[origin] = _common_at(section, origin)
    common = commons[origin]
    if common is None:
        return None
    start = _pointer(section, body, common.encoding)
    size = _pointer(section, body, common.encoding & 0x0F)
    if common.sized:
        body.take(body.uleb())
    return _Entry(start, start + size, common, body.take(body.end - body.at))


def _common_at(section: Section, origin: int) -> _Common | None:
    """The CIE that begins there; None if there is none."""
    if not 0 <= origin < len(section.data):
        return None
    try:
        reader = Reader(section.data, origin)
        length, wide = _length(reader)
        body = Reader(section.data, reader.at, reader.at + length)
        marker = body.unsigned(4 if section.eh else wide)
        return _common(section, body) if marker == (0 if section.eh else (1 << wide * 8) - 1) else None
    except ValueError:
        return None


def _common(section: Section, body: Reader) -> _Common:
    version, augmentation = body.unsigned(1), body.text()
    if version not in (1, 3, 4):
        raise ValueError(f"version {version}")
    if version == 4 and (body.unsigned(1), body.unsigned(1)) != (8, 0):
        raise ValueError("addresses that are not of x86-64")
    code_factor, data_factor = body.uleb(), body.sleb()
    returns = body.unsigned(1) if version == 1 else body.uleb()
    encoding, signal = 0, False
    if augmentation[:1] == b"z":
        data = Reader(body.take(body.uleb()))
        for letter in augmentation[1:]:
            if letter == ord("R"):
                encoding = data.unsigned(1)
            elif letter == ord("S"):
                signal = True
            elif letter == ord("P"):
                _pointer(section, data, data.unsigned(1) & 0x0F)
            elif letter == ord("L"):
                data.unsigned(1)
            else:
                break
    elif augmentation:
        raise ValueError("an augmentation that is not known")
    rest = body.take(body.end - body.at)
    return _Common(code_factor, data_factor, returns, encoding, augmentation[:1] == b"z", signal, rest)


def _pointer(section: Section, reader: Reader, encoding: int) -> int:
    """An address as DW_EH_PE_* has it, relative to its own place or absolute."""
    if encoding == _OMITTED or encoding & _INDIRECT or encoding & 0x70 not in (0, _PC_RELATIVE):
        raise ValueError(f"pointers of encoding {encoding:#x}")
    base = section.address + reader.at if encoding & _PC_RELATIVE else 0
    kind = encoding & 0x0F
    if kind in (1, 9):
        value = reader.uleb() if kind == 1 else reader.sleb()
    else:
        size = {0: 8, 2: 2, 3: 4, 4: 8, 0xA: 2, 0xB: 4, 0xC: 8}.get(kind)
        if size is None:
            raise ValueError(f"pointers of encoding {encoding:#x}")
        value = reader.signed(size) if kind & 8 else reader.unsigned(size)
    return base + value & U64


# -- rows --------------------------------------------------------------------------------------------


class _State:
    """The rules so far."""

    def __init__(self, entry: _Entry) -> None:
        self.common = entry.common
        self.at = entry.start
        self.cfa: tuple[int, int] | bytes = (7, 0)
        self.rules: dict[int, Rule] = {}
        self.initial: dict[int, Rule] = {}
        self.kept: list[tuple[tuple[int, int] | bytes, dict[int, Rule]]] = []

    def base(self) -> tuple[int, int]:
        """The CFA as register and offset."""
        if isinstance(self.cfa, bytes):
            raise ValueError("the CFA is an expression")
        return self.cfa

    def scaled(self, value: int) -> int:
        """An offset that was divided by the data alignment."""
        return value * self.common.data_factor

    def restore(self, register: int) -> None:
        """As at the beginning of the function."""
        self.rules.pop(register, None)
        if register in self.initial:
            self.rules[register] = self.initial[register]


def _execute(entry: _Entry, address: int) -> Row:
    """Run the instructions up to the row that `address` is in."""
    common, state = entry.common, _State(entry)
    _run(state, Reader(common.instructions), U64)
    state.initial, state.at = dict(state.rules), entry.start
    _run(state, Reader(entry.instructions), address)
    return Row(state.cfa, dict(state.rules), common.returns, common.signal, entry.start)


def _run(state: _State, code: Reader, address: int) -> None:
    for _ in range(_MAX_ROWS):
        if not code.more:
            return
        op = code.unsigned(1)
        high, low = op & 0xC0, op & 0x3F
        if high == 0x80:  # DW_CFA_offset
            state.rules[low] = Rule("at", state.scaled(code.uleb()))
        elif high == 0xC0:  # DW_CFA_restore
            state.restore(low)
        elif high == 0x40 or op in (1, 2, 3, 4):
            _advance(state, code, op, low if high else None)
            if state.at > address:
                return
        elif op in _DEFINES:
            state.cfa = _DEFINES[op](state, code)
        elif op in _RULES:
            register = code.uleb()
            state.rules[register] = _RULES[op](state, code)
        else:
            _other(state, code, op)
    raise ValueError("the entry does not end")


def _advance(state: _State, code: Reader, op: int, delta: int | None) -> None:
    if op == 1:  # DW_CFA_set_loc
        state.at = code.unsigned(8)
    else:
        state.at += (code.unsigned(1 << op - 2) if delta is None else delta) * state.common.code_factor


def _other(state: _State, code: Reader, op: int) -> None:
    if op == 0:
        return
    if op == 6:  # DW_CFA_restore_extended
        state.restore(code.uleb())
    elif op == 0x0A:  # DW_CFA_remember_state
        state.kept.append((state.cfa, dict(state.rules)))
    elif op == 0x0B and state.kept:  # DW_CFA_restore_state
        state.cfa, state.rules = state.kept.pop()
    elif op == 0x2E:  # DW_CFA_GNU_args_size
        code.uleb()
    else:
        raise ValueError(f"instruction {op:#x}")


def _block(code: Reader) -> bytes:
    return code.take(code.uleb())


_DEFINES: Final[dict[int, Callable[[_State, Reader], tuple[int, int] | bytes]]] = {
    0x0C: lambda state, code: (code.uleb(), code.uleb()),  # DW_CFA_def_cfa
    0x0D: lambda state, code: (code.uleb(), state.base()[1]),  # .._register
    0x0E: lambda state, code: (state.base()[0], code.uleb()),  # .._offset
    0x0F: lambda state, code: _block(code),  # .._expression
    0x12: lambda state, code: (code.uleb(), state.scaled(code.sleb())),  # DW_CFA_def_cfa_sf
    0x13: lambda state, code: (state.base()[0], state.scaled(code.sleb())),  # .._offset_sf
}
_RULES: Final[dict[int, Callable[[_State, Reader], Rule]]] = {
    0x05: lambda state, code: Rule("at", state.scaled(code.uleb())),  # DW_CFA_offset_extended
    0x07: lambda state, code: Rule("undefined"),
    0x08: lambda state, code: Rule("same"),
    0x09: lambda state, code: Rule("register", code.uleb()),
    0x10: lambda state, code: Rule("expression", code=_block(code)),
    0x11: lambda state, code: Rule("at", state.scaled(code.sleb())),  # DW_CFA_offset_extended_sf
    0x14: lambda state, code: Rule("offset", state.scaled(code.uleb())),
    0x15: lambda state, code: Rule("offset", state.scaled(code.sleb())),
    0x16: lambda state, code: Rule("value", code=_block(code)),
}
