"""`why`: how an address comes about, where its walk ends, who shares it, and what each access would come to."""

from typing import NamedTuple

from emu import disasm
from emu.debug.events import Walk
from emu.debug.runner import DebugError, Runner
from emu.debug.state import read, registers, task_of
from emu.debug.stops import BeforeFault
from emu.operand import State, explain
from mini_kernel.mm.foresee import Verdict, foresee
from mini_kernel.mm.walk import MAPPED
from mini_kernel.observe import AreaInfo, Sharer
from mini_kernel.report import describe, leaf_of, sharers
from mini_kernel.x86 import PAGE_SHIFT, PF_INSTR, PF_WRITE, PTE_ADDR, RIP, TASK_SIZE, VEC_PF

#: The kinds of access, with what the CPU's error code says of them.
KINDS = (("read", 0), ("write", PF_WRITE), ("fetch", PF_INSTR))


class Outlook(NamedTuple):
    """What reading, writing and fetching there would come to in one process."""

    tgid: int
    name: str
    read: Verdict
    write: Verdict
    fetch: Verdict


class Why(NamedTuple):
    """Everything about one address in one process.

    instruction    at RIP, if it is what accesses the address; `arithmetic` how its operand becomes it, in words
    error          the error code of the fault the task stands before, None if it does not
    frame          pfn the walk ends in, 0 for none
    owner          tgid whose PTE table it is, 0 for nobody's
    decision       of the fault the task stands before
    outlook        for every process that has something at this address, this one first
    """

    tgid: int
    tid: int
    address: int
    rip: int
    instruction: disasm.Instruction | None
    arithmetic: str
    error: int | None
    walk: Walk
    area: AreaInfo | None
    neighbours: tuple[AreaInfo | None, AreaInfo | None]
    frame: int
    frame_count: int
    table: int
    table_count: int
    owner: int
    sharers: tuple[Sharer, ...]
    decision: Verdict | None
    outlook: tuple[Outlook, ...]


def why(d: Runner, address: int | None = None, tid: int | None = None) -> Why:
    """Of the address that the current fault is about, if None. Raises DebugError if there is none."""
    task = task_of(d, tid)
    fault = next((s for s in d.stops if isinstance(s, BeforeFault) and s.vector == VEC_PF and s.tid == task.tid), None)
    if address is None:
        if fault is None:
            raise DebugError("no fault is being looked at: name an address")
        address = fault.address
    elif fault is not None and fault.address != address:
        fault = None
    mm, kernel = task.mm, d.kernel
    steps: Walk = tuple(mm.pt.walk(address)) if address < TASK_SIZE else ()
    leaf = leaf_of(steps)
    frame = (leaf.entry & PTE_ADDR) >> PAGE_SHIFT if leaf and leaf.entry & MAPPED else 0
    area = mm.find(address)
    index = mm.index_after(address)
    below = mm.vmas[index - 1] if index and area is None else None
    above = mm.vmas[index] if index < len(mm.vmas) and area is None else None
    rip = registers(d, task.tid).general[RIP]
    instruction, arithmetic = _arithmetic(d, task.tid, address)
    return Why(
        tgid=task.tgid,
        tid=task.tid,
        address=address,
        rip=rip,
        instruction=instruction,
        arithmetic=arithmetic,
        error=fault.error if fault else None,
        walk=steps,
        area=describe(area),
        neighbours=(describe(below), describe(above)),
        frame=frame,
        frame_count=kernel.frames.references(frame) if frame else 0,
        table=leaf.table if leaf else 0,
        table_count=kernel.frames.counts[leaf.table] if leaf else 0,
        owner=_owner(d, leaf.table) if leaf else 0,
        sharers=sharers(kernel, mm, address, leaf, frame),
        decision=fault.verdict if fault else None,
        outlook=_outlook(d, task.tgid, address),
    )


def _arithmetic(d: Runner, tid: int, address: int) -> tuple[disasm.Instruction | None, str]:
    """The instruction at RIP and how it comes to the address, if it does."""
    regs = registers(d, tid)
    rip = regs.general[RIP]
    instruction = disasm.one(read(d, rip, 15, tid), rip)
    if instruction is None:
        return None, ""
    if rip <= address < instruction.end:
        return instruction, f"the instruction itself, at rip={rip:#x}"
    text = explain(instruction, State(regs.general, regs.fs_base, regs.gs_base), address)
    return (instruction, text) if f"{address:#x}" in text or address_in(instruction, address) else (None, "")


def address_in(instruction: disasm.Instruction, address: int) -> bool:
    """True if the instruction names the address itself."""
    return any(op.kind == "mem" and not op.base and not op.index and op.disp == address for op in instruction.operands)


def _owner(d: Runner, table: int) -> int:
    pgd = d.kernel.frames.owners[table]
    return next((t.tgid for t in d.kernel.tasks.values() if t.user_mm is not None and t.user_mm.pt.pgd == pgd), 0)


def _outlook(d: Runner, tgid: int, address: int) -> tuple[Outlook, ...]:
    found: dict[int, Outlook] = {}
    for task in sorted(d.kernel.tasks.values(), key=lambda t: (t.tgid != tgid, t.tid)):
        mm = task.user_mm
        if mm is None or task.tgid in found or (task.tgid != tgid and mm.find(address) is None):
            continue
        verdicts = [foresee(mm, address, error) for _kind, error in KINDS]
        found[task.tgid] = Outlook(task.tgid, task.name, *verdicts)
    return tuple(found.values())
