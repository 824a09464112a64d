"""The end of an address space (Linux exit_mmap)."""

import numpy as np

from mini_kernel.mm.frame import Pfns
from mini_kernel.mm.mm import Mm
from mini_kernel.mm.sharing import BATCH
from mini_kernel.mm.tlb import Gather
from mini_kernel.mm.walk import frames_of, is_table


def destroy(mm: Mm) -> None:
    """Free an address space that no task uses: pages, tables, file references.

    Tables that others share stay theirs, without an owner if they were ours (F70, F81). Cannot fail, and needs no
    flush: it will never be loaded again, and loading another drops every translation.
    """
    frames = mm.frames
    puds, pmds = mm.pt.upper_tables()
    rows = [pmd.pfn for pmd in pmds]
    with Gather(None, frames) as tlb:
        tlb.stale()
        if mm.pt.has_leaves:
            rows = _release(mm, np.array(rows, np.int64), tlb, huge=True).tolist()
        entries = frames.ram.tables[rows]
        _release(mm, frames_of(entries[is_table(entries) if mm.pt.has_leaves else entries != 0]), tlb, huge=False)
        mm.remove(list(mm.vmas))
        mm.settle_areas()
    for pfn in (*rows, *(pud.pfn for pud in puds), mm.pt.pgd):
        frames.put(pfn)
    mm.pt.tables = mm.pt.rss_anon = mm.pt.rss_file = mm.pt.unclaimed = 0


def _release(mm: Mm, tables: Pfns, tlb: Gather, huge: bool) -> Pfns:
    """Let go of tables that map pages, or `huge` pages. Returns those that nobody else uses: their pages go as well."""
    frames = mm.frames
    shared = frames.count[tables] > 1
    orphaned = tables[shared]
    frames.owner[orphaned[frames.owner[orphaned] == mm.pt.pgd]] = 0
    frames.count[orphaned] -= 1
    ours = tables[~shared]
    for i in range(0, len(ours), BATCH):
        tlb.release(mm.pt.counted(frames.ram.tables[ours[i : i + BATCH]], huge), huge)
    if len(ours) and not huge:
        tlb.release(ours)
    return ours
