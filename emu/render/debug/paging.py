"""Walks, trees of page tables and who shares them, as text."""

from collections.abc import Iterable, Sequence

from emu.debug.events import Walk
from emu.debug.paging import SHIFTS, Difference, FrameInfo, Picture, Run, Sharing, Table, runs
from emu.render import bits
from mini_kernel.mm.walk import LEVEL_NAMES, MAPPED, Step, is_leaf
from mini_kernel.x86 import PAGE_SHIFT, PTE_ADDR, PTE_P, PTE_PS, PTRS_PER_TABLE


def step_line(step: Step) -> str:
    """One level of a walk: entry, table, bits in words, where it leads."""
    where = f"{LEVEL_NAMES[step.level]} {step.entry:#018x} ([{step.slot % PTRS_PER_TABLE}] of table {step.table:#x})"
    return f"{where}: {entry_text(step.level, step.entry)}"


def entry_text(level: int, entry: int) -> str:
    """An entry's bits in words, and the table or frame it leads to."""
    text = bits.entry_words(entry)
    if not entry & MAPPED:
        return text
    kind = "frame" if level == 3 else "512 frames from" if entry & PTE_PS else "table"
    return f"{text} -> {kind} {(entry & PTE_ADDR) >> PAGE_SHIFT:#x}"


def walk_lines(walk: Walk, address: int, error: int = 0) -> list[str]:
    """A walk, and what stands in the way of the access that `error` describes; where it ends if nothing does."""
    if not walk:
        return ["none: the address is not the user's"]
    rows = [step_line(step) for step in walk]
    refusal = bits.refusal(walk, error)
    if refusal:
        return [*rows, refusal]
    last = walk[-1]
    if is_leaf(last):
        size = 1 << SHIFTS[last.level]
        rows.append(f"{address:#x} is at physical {(last.entry & PTE_ADDR & -size) | (address & (size - 1)):#x}")
    return rows


def changed_entries(old: Sequence[Step], new: Sequence[Step]) -> list[str]:
    """What is different between two walks for one address."""
    rows: list[str] = []
    for level in range(max(len(old), len(new))):
        a = old[level] if level < len(old) else None
        b = new[level] if level < len(new) else None
        if a == b:
            continue
        was, now = (f"{s.entry:#x}" if s is not None else "no entry" for s in (a, b))
        if a is not None and b is not None and a.table != b.table:
            was, now = f"{was} in table {a.table:#x}", f"{now} in table {b.table:#x}"
        rows.append(f"{LEVEL_NAMES[level]} {was} -> {now}{_bits_changed(a, b)}")
    return rows


def _bits_changed(old: Step | None, new: Step | None) -> str:
    if old is None or new is None or not old.entry & PTE_P or not new.entry & PTE_P:
        return ""
    changes = bits.entry_changes(old.entry, new.entry)
    return f" ({changes})" if changes else ""


def tree_lines(picture: Picture, entries: bool = True) -> list[str]:
    """All tables of an address space, indented by level, with their entries in runs if they are asked for."""
    rows: list[str] = []
    for table in picture.tables:
        indent = "  " * table.level
        rows.append(indent + _table(table))
        if entries:
            rows += [f"{indent}  {_run(table, run)}" for run in runs(table) if _shown(table, run)]
    return rows


def _table(table: Table) -> str:
    name = LEVEL_NAMES[table.level]
    notes = [f"{table.references} references"] if table.references != 1 else []
    if table.level == 3 and table.references > 1:
        notes.append("shared" + ("" if table.owner else ", unowned"))
    if not table.writable:
        notes.append("reached without W")
    return f"{name} table {table.pfn:#x} for {table.base:#x}" + (f" ({', '.join(notes)})" if notes else "")


def _shown(table: Table, run: Run) -> bool:
    """Entries that lead to tables are told by those."""
    return table.level == 3 or bool(run.entry & PTE_PS and table.level) or not run.entry & PTE_P


def _run(table: Table, run: Run) -> str:
    start = table.base + (run.first << SHIFTS[table.level])
    if run.length == 1:
        return f"[{run.first}] {start:#x}: {entry_text(table.level, run.entry)}"
    end = start + (run.length << SHIFTS[table.level])
    text = entry_text(table.level, run.entry)
    if run.step and run.entry & MAPPED:
        text += f" to {((run.entry & PTE_ADDR) >> PAGE_SHIFT) + run.step * (run.length - 1):#x}"
    return f"[{run.first}-{run.first + run.length - 1}] {start:#x}-{end:#x}: {text}"


def difference_lines(differences: Iterable[Difference], names: tuple[str, str] = ("old", "new")) -> list[str]:
    """What differs, each entry with both values."""
    rows: list[str] = []
    for d in differences:
        rows.append(f"{LEVEL_NAMES[d.level]} entry [{d.column}] for {d.address:#x}")
        for name, table, entry in ((names[0], d.old_table, d.old), (names[1], d.new_table, d.new)):
            what = f"{entry:#018x} in table {table:#x}: {entry_text(d.level, entry)}" if table else "no table"
            rows.append(f"  {name:<6}{what}")
    return rows or ["no difference"]


def frame_lines(info: FrameInfo) -> list[str]:
    """A frame, and everything that leads to it."""
    head = f"frame {info.pfn:#x}: {info.role}, {info.references} reference{'' if info.references == 1 else 's'}"
    rows = [head + (f", {info.pins} of them pins" if info.pins else "")]
    for m in info.mappings:
        shared = ", a shared table" if m.shared_table else ""
        rows.append(
            f"  process {m.tgid} maps it at {m.address:#x}: {LEVEL_NAMES[m.level]} {m.entry:#x} "
            f"in table {m.table:#x}{shared} ({bits.entry_words(m.entry)})"
        )
    for tgid, slot in info.parents:
        where = "CR3" if slot < 0 else f"entry [{slot % PTRS_PER_TABLE}] of table {slot // PTRS_PER_TABLE:#x}"
        rows.append(f"  process {tgid} reaches it through {where}")
    if info.cache:
        rows.append(f"  the page cache of {info.cache} holds it as page {info.file_page}")
    return rows if len(rows) > 1 else [*rows, "  nobody maps it"]


def sharing_lines(summary: Iterable[Sharing]) -> list[str]:
    """Who shares what with whom."""
    rows: list[str] = []
    for s in summary:
        others = f" with process{'es' if len(s.with_tgids) > 1 else ''} {', '.join(map(str, s.with_tgids))}"
        unowned = f", {s.unowned} of them owned by nobody" if s.unowned else ""
        rows.append(
            f"process {s.tgid}: {s.shared_tables} of {s.tables} PTE tables shared{unowned}; "
            f"{s.shared_pages} of {s.pages} pages shared" + (others if s.with_tgids else "")
        )
    return rows
