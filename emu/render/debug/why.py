"""`why` as text: one address, from the arithmetic to the decision."""

from emu.debug.why import KINDS, Why
from emu.render import bits
from emu.render.debug.paging import walk_lines
from emu.render.debug.stops import place
from emu.render.fault import area_text, mapping_lines, shared_line
from emu.symbols import Symbols
from mini_kernel.mm.walk import LEVEL_NAMES, is_leaf

_WIDTH = 13


def why_lines(why: Why, symbols: Symbols | None = None) -> list[str]:
    """Sections of a label and lines."""
    rows: list[str] = [f"{why.address:#x} in process {why.tgid}"]
    for label, lines in (
        ("access", _access(why)),
        ("instruction", _instruction(why, symbols or Symbols())),
        ("walk", walk_lines(why.walk, why.address, why.error or 0)),
        ("mapping", [area_text(why.area)] if why.area else mapping_lines(why.address, why.neighbours)),
        ("sharing", _sharing(why)),
        ("decision", [f"the kernel will {bits.verdict_words(why.decision)}"] if why.decision else []),
        ("outlook", _outlook(why)),
    ):
        rows += [f"  {label if i == 0 else '':<{_WIDTH}}{line}" for i, line in enumerate(lines)]
    return rows


def _access(why: Why) -> list[str]:
    if why.error is None:
        return []
    return [f"page fault, error code {why.error:#x}: {bits.page_fault_words(why.error)}"]


def _instruction(why: Why, symbols: Symbols) -> list[str]:
    if why.instruction is None:
        return []
    rows = [f"{place(why.rip, symbols)}: {why.instruction.text}"]
    return rows + ([why.arithmetic] if why.arithmetic else [])


def _sharing(why: Why) -> list[str]:
    leaf = why.walk[-1] if why.walk and is_leaf(why.walk[-1]) else None
    if leaf is None:
        return ["nobody: there is no PTE table"]
    table = f"{LEVEL_NAMES[leaf.level]} table {why.table:#x}"
    owner = f", owned by process {why.owner}" if why.owner else ", owned by nobody"
    rows = [shared_line(table, why.table_count, [s.tgid for s in why.sharers if s.table]) + owner]
    if why.frame:
        users = [s.tgid for s in why.sharers if s.frame]
        rows.append(shared_line(f"frame {why.frame:#x}", why.frame_count, users))
    return rows


def _outlook(why: Why) -> list[str]:
    rows: list[str] = []
    for outlook in why.outlook:
        for kind, _error in KINDS:
            verdict = getattr(outlook, kind)
            what = "the tables allow it" if verdict.allowed else f"the kernel would {bits.verdict_words(verdict)}"
            rows.append(f"process {outlook.tgid}, {kind}: {what}")
    return rows
