"""The fault report: everything about an exception that killed a process, on one screen.

Pure: a FaultRecord in, text out. Numbers are hexadecimal; ranges are half-open.
"""

from collections.abc import Callable, Iterator
from itertools import groupby
from typing import Final

from emu import disasm
from emu.operand import State, explain
from emu.render import bits
from emu.symbols import Symbols
from emu.unwind import Frame, unwind
from mini_kernel.mm.walk import LEVEL_NAMES, Step, is_leaf
from mini_kernel.observe import STACK_RECORDED, AreaInfo, FaultRecord
from mini_kernel.x86 import PTE_ADDR, PTE_P, PTRS_PER_TABLE, REGISTER_NAMES, RIP, TASK_SIZE, VEC_PF

Decode = Callable[[bytes, int], disasm.Instruction | None]

_LABEL_WIDTH: Final = 13
_CALLERS: Final = 16  # that are shown
_UNWOUND: Final = 64  # frames at most
_ROWS: Final = ((0, 8), (3, 9), (1, 10), (2, 11), (6, 12), (7, 13), (5, 14), (4, 15))  # rax r8, rbx r9, rcx r10, ...


def fault_report(record: FaultRecord, symbols: Symbols | None = None, decode: Decode = disasm.one) -> str:
    """The report, ending in a newline. `symbols` are those of the program that ran, if it is known."""
    sections = [("access", _access(record)), *_instruction(record, symbols, decode)]
    sections.append(("calls", _calls(record, symbols)))
    sections.append(("registers", _registers(record)))
    if record.vector == VEC_PF:
        sections.append(("walk", _walk(record)))
        sections.append(("mapping", _mapping(record)))
        sections.append(("sharing", _sharing(record)))
    sections.append(("decision", [record.decision]))
    lines = [_title(record)]
    for label, rows in sections:
        for i, row in enumerate(rows):
            lines.append(f"  {label if i == 0 else '':<{_LABEL_WIDTH}}{row}".rstrip())
    return "\n".join(lines) + "\n"


def _title(record: FaultRecord) -> str:
    who = f"process {record.tgid}" + (f", thread {record.tid}" if record.tid != record.tgid else "")
    signal = f"{bits.signal_name(record.signo)} ({bits.code_name(record.signo, record.code)})"
    where = f" at {record.address:#x}" if record.vector == VEC_PF else ""
    return f"{who} ({record.program}) was killed: {signal}{where}"


def _access(record: FaultRecord) -> list[str]:
    if record.vector == VEC_PF:
        return [
            f"page fault (#PF), CR2 = {record.address:#x}",
            f"error code {record.error:#x}: {bits.page_fault_words(record.error)}",
        ]
    code = f", error code {record.error:#x}" if record.error else ""
    return [f"{bits.vector_name(record.vector)}{code}"]


# -- the instruction ---------------------------------------------------------------------------------


def _instruction(record: FaultRecord, symbols: Symbols | None, decode: Decode) -> Iterator[tuple[str, list[str]]]:
    rip = record.regs[RIP]
    name = symbols.name(rip) if symbols else None
    place = f"{rip:#x}" + (f" <{name}>" if name else "")
    instruction = decode(record.instruction, rip) if record.instruction else None
    if instruction is None:
        shown = record.instruction.hex(" ")
        yield "instruction", [f"{place}: {f'no instruction: {shown}' if shown else 'cannot be fetched'}"]
    else:
        address = record.address if record.vector == VEC_PF else None
        state = State(record.regs, record.fs_base, record.gs_base)
        rows = [
            f"{place}: {instruction.text}  [{instruction.data.hex(' ')}]",
            *explain(instruction, state, address).split("\n"),
        ]
        yield "instruction", [row for row in rows if row]
    line = symbols.line(rip) if symbols else None
    if line is not None:
        yield "source", [f"{line.file}:{line.line}: {line.text}".removesuffix(": ")]


class _Remains:
    """What is left of the address space: the stack of the record, the program's code."""

    def __init__(self, record: FaultRecord, code: list[tuple[int, bytes]]) -> None:
        self._pieces = [(record.stack_at, record.stack_bytes), *code]
        self._code = code

    def read(self, address: int, n: int) -> bytes:
        return next((b[address - at :][:n] for at, b in self._pieces if at <= address < at + len(b)), b"")

    def executable(self, address: int) -> bool:
        return any(at <= address < at + len(b) for at, b in self._code)


def _calls(record: FaultRecord, symbols: Symbols | None) -> list[str]:
    """Who called, the nearest first; nothing where that is not known, or was nobody."""
    if symbols is None or not symbols.code:
        return []
    space = _Remains(record, symbols.code)
    frames, broken = unwind(dict(enumerate(record.regs)), space, symbols, _UNWOUND)
    rows: list[str] = []
    for text, same in groupby(map(_caller, frames[1:])):
        times = len(list(same))
        rows.append(text + (f", {times} times" if times > 1 else ""))
    unknown = len(frames) == _UNWOUND or (broken and len(record.stack_bytes) == STACK_RECORDED)
    if unknown or len(rows) > _CALLERS:
        return [*rows[:_CALLERS], "..."]
    return [*rows, f"the stack is broken: {broken}"] if broken else rows


def _caller(frame: Frame) -> str:
    if frame.signal:
        return "a signal interrupted"
    return f"{frame.rip:#x}" + (f" <{frame.name}>" if frame.name else "") + _line(frame)


def _line(frame: Frame) -> str:
    guess = " (a guess)" if frame.found == "guess" else ""
    return (f" at {frame.source.file}:{frame.source.line}" if frame.source else "") + guess


def _registers(record: FaultRecord) -> list[str]:
    def cell(index: int) -> str:
        return f"{REGISTER_NAMES[index]:<4} {record.regs[index]:#018x}"

    rows = [f"{cell(left)}   {cell(right)}" for left, right in _ROWS]
    rows.append(f"{cell(RIP)}   flags {record.rflags:#x} [{bits.flag_names(record.rflags)}]")
    if record.fs_base or record.gs_base:
        rows.append(f"fs   {record.fs_base:#018x}   gs   {record.gs_base:#018x}")
    return rows


# -- the tables --------------------------------------------------------------------------------------


def _walk(record: FaultRecord) -> list[str]:
    if not record.walk:
        return [f"none: user addresses end at {TASK_SIZE:#x}"]
    rows = [_step(step) for step in record.walk]
    refusal = bits.refusal(record.walk, record.error)
    return [*rows, refusal] if refusal else rows


def _step(step: Step) -> str:
    level = LEVEL_NAMES[step.level]
    index = step.slot % PTRS_PER_TABLE
    text = f"{level} {step.entry:#018x} ([{index}] of table {step.table:#x}): {bits.entry_words(step.entry)}"
    if step.entry & PTE_P:
        kind = "frame" if step.level == 3 else "512 frames from" if is_leaf(step) else "table"
        text += f" -> {kind} {(step.entry & PTE_ADDR) >> 12:#x}"
    return text


def _mapping(record: FaultRecord) -> list[str]:
    if record.area is not None:
        return [area_text(record.area)]
    return mapping_lines(record.address, record.neighbours)


def mapping_lines(address: int, neighbours: tuple[AreaInfo | None, AreaInfo | None]) -> list[str]:
    """What is around an address where nothing is mapped."""
    below, above = neighbours
    rows = [f"nothing is mapped at {address:#x}"]
    if below is not None:
        rows.append(f"{address - below.end:#x} bytes above the end of {area_text(below)}")
    if above is not None:
        rows.append(f"{above.start - address:#x} bytes below the start of {area_text(above)}")
    return rows


def area_text(area: AreaInfo) -> str:
    """A VMA in words."""
    name = area.name or "[anonymous]"
    offset = f" from offset {area.offset:#x}" if area.offset else ""
    grows = ", grows down" if bits.grows_down(area.flags) else ""
    return f"{name} {area.start:#x}-{area.end:#x} {bits.rights(area.flags)}{offset}{grows}"


def _sharing(record: FaultRecord) -> list[str]:
    leaf = record.walk[-1] if record.walk and is_leaf(record.walk[-1]) else None
    if leaf is None:
        return ["nobody: there is no PTE table"]
    rows = [
        shared_line(
            f"{LEVEL_NAMES[leaf.level]} table {leaf.table:#x}",
            record.table_count,
            [s.tgid for s in record.sharers if s.table],
        )
    ]
    frame = (leaf.entry & PTE_ADDR) >> 12
    if frame:
        rows.append(shared_line(f"frame {frame:#x}", record.frame_count, [s.tgid for s in record.sharers if s.frame]))
    return rows


def shared_line(what: str, count: int, others: list[int]) -> str:
    """Who else uses a table or frame."""
    references = f"{count} reference" + ("" if count == 1 else "s")
    if not others:
        return f"{what}: {references}, no other process"
    return f"{what}: {references}, also in process{'es' if len(others) > 1 else ''} {', '.join(map(str, others))}"
