"""Collecting what a fault report shows, before the process is torn down. Reads tables, changes none."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mini_kernel.mm import uaccess
from mini_kernel.mm.mm import Mm
from mini_kernel.mm.vma import Vma
from mini_kernel.mm.walk import MAPPED, Step, is_leaf
from mini_kernel.observe import STACK_RECORDED, AreaInfo, FaultRecord, Sharer
from mini_kernel.task import SigInfo, Task
from mini_kernel.uapi import signal_names
from mini_kernel.x86 import PAGE_SHIFT, PTE_ADDR, RIP, RSP, TASK_SIZE, VEC_PF

if TYPE_CHECKING:
    from mini_kernel.kernel import Kernel


def record_fault(k: "Kernel", task: Task, info: SigInfo, vector: int, error: int, reason: str) -> FaultRecord:
    """Everything known about this exception now."""
    mm, cpu = task.mm, k.cpu
    address = info.address
    walk = tuple(mm.pt.walk(address)) if vector == VEC_PF and address < TASK_SIZE else ()
    leaf = leaf_of(walk)
    frame = (leaf.entry & PTE_ADDR) >> PAGE_SHIFT if leaf and leaf.entry & MAPPED else 0
    area = mm.find(address) if vector == VEC_PF else None
    index = mm.index_after(address)
    below = mm.vmas[index - 1] if index and area is None else None
    above = mm.vmas[index] if index < len(mm.vmas) and area is None else None
    stack_at, stack_bytes = _stack(mm, cpu.regs[RSP])
    return FaultRecord(
        tgid=task.tgid,
        tid=task.tid,
        program=task.name,
        exe_path=task.exe_path,
        signo=info.signo,
        code=info.code,
        address=address,
        vector=vector,
        error=error,
        regs=tuple(cpu.regs),
        rflags=cpu.rflags,
        instruction=uaccess.probe(mm, cpu.regs[RIP], 16),
        walk=walk,
        area=describe(area),
        neighbours=(describe(below), describe(above)),
        frame_count=k.frames.references(frame) if frame else 0,
        table_count=k.frames.counts[leaf.table] if leaf else 0,
        sharers=sharers(k, mm, address, leaf, frame),
        decision=_decision(task, info, reason),
        stack=cpu.regs[RSP],
        fs_base=cpu.fs_base,
        gs_base=cpu.gs_base,
        stack_at=stack_at,
        stack_bytes=stack_bytes,
    )


def _stack(mm: Mm, sp: int) -> tuple[int, bytes]:
    """Where the stack is that is in use, and its content: RSP itself may have overflowed below it."""
    index = mm.index_after(sp)
    if index == len(mm.vmas):
        return sp, b""
    area = mm.vmas[index]
    start = max(sp, area.start)
    return start, uaccess.probe(mm, start, min(STACK_RECORDED, area.end - start))


def leaf_of(walk: Sequence[Step]) -> Step | None:
    """The last step of a walk that reaches a PTE, or an entry that maps a huge page."""
    return walk[-1] if walk and is_leaf(walk[-1]) else None


def describe(vma: Vma | None) -> AreaInfo | None:
    """A VMA as plain values."""
    if vma is None:
        return None
    name = vma.file.name if vma.file is not None else vma.name
    return AreaInfo(vma.start, vma.end, vma.flags, name, vma.pgoff << PAGE_SHIFT)


def sharers(k: "Kernel", mm: Mm, address: int, leaf: Step | None, frame: int) -> tuple[Sharer, ...]:
    """Which other processes reach the same table of the same level, or the same frame, at this address."""
    if leaf is None:
        return ()
    found: list[Sharer] = []
    for task in k.tasks.values():
        other = task.user_mm
        if other is None or other is mm or task.tid != task.tgid:
            continue
        theirs = leaf_of(other.pt.walk(address))
        if theirs is None or theirs.level != leaf.level:
            continue
        same_table = theirs.table == leaf.table
        same_frame = bool(frame and theirs.entry & MAPPED and (theirs.entry & PTE_ADDR) >> PAGE_SHIFT == frame)
        if same_table or same_frame:
            found.append(Sharer(task.tgid, same_table, same_frame))
    return tuple(found)


def sharing(k: "Kernel", mm: Mm, address: int) -> tuple[Sharer, ...]:
    """The same, of what is mapped there now."""
    leaf = leaf_of(mm.pt.walk(address))
    frame = (leaf.entry & PTE_ADDR) >> PAGE_SHIFT if leaf and leaf.entry & MAPPED else 0
    return sharers(k, mm, address, leaf, frame)


def _decision(task: Task, info: SigInfo, reason: str) -> str:
    """What the kernel does about it, in one sentence."""
    name = signal_names.get(info.signo, str(info.signo))
    blocked = task.blocked & 1 << info.signo - 1
    why = "it is blocked" if blocked else "there is no handler"
    return f"{reason + ': ' if reason else ''}{name}, and {why}, so process {task.tgid} is killed"
