"""What a process has used: struct rusage of a ledger."""

from mini_kernel.clock import NS_PER_BLOCK
from mini_kernel.ledger import Ledger
from mini_kernel.task import Task
from mini_kernel.uapi import structs
from mini_kernel.x86 import PAGE_SHIFT

_FAILED = frozenset(("protection", "unmapped"))  # fault classes that count as no page fault


def note_resident(t: Task) -> None:
    """Remember the most pages that the process ever had; called before some go, and when somebody asks."""
    if t.user_mm is not None:
        t.ledger.max_rss = max(t.ledger.max_rss, t.mm.rss)


def pack_usage(*ledgers: Ledger, blocks: int | None = None) -> bytes:
    """struct rusage of ledgers in sum: virtual time, the largest of them, faults, switches. `blocks` if not theirs."""
    total = Ledger()
    for ledger in ledgers:
        total.add(ledger)
    faults = sum(count for kind, count in total.faults.items() if kind not in _FAILED)
    user_ns = (total.blocks if blocks is None else blocks) * NS_PER_BLOCK
    resident_kib = total.max_rss << PAGE_SHIFT >> 10
    voluntary = total.context_switches - total.preemptions
    return structs.pack_rusage(user_ns, 0, resident_kib, faults, nvcsw=voluntary, nivcsw=total.preemptions)
