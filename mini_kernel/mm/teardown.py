"""The end of an address space (Linux exit_mmap)."""

from mini_kernel.mm.mm import Mm
from mini_kernel.mm.pgtable import BATCH
from mini_kernel.mm.tlb import Gather
from mini_kernel.mm.walk import frames_of


def destroy(mm: Mm) -> None:
    """Free an address space that no task uses: pages, tables, file references.

    Tables that others share stay theirs, without an owner if they were ours (F70, F81). Cannot fail, and needs no
    flush: it will never be loaded again, and loading another drops every translation.
    """
    frames = mm.frames
    puds, pmds = mm.pt.upper_tables()
    entries = frames.ram.tables[[pmd.pfn for pmd in pmds]]
    tables = frames_of(entries[entries != 0])
    shared = frames.count[tables] > 1
    orphaned = tables[shared]
    frames.owner[orphaned[frames.owner[orphaned] == mm.pt.pgd]] = 0
    frames.count[orphaned] -= 1
    ours = tables[~shared]
    with Gather(None, frames) as tlb:
        tlb.stale()
        for i in range(0, len(ours), BATCH):
            tlb.release(mm.pt.counted(frames.ram.tables[ours[i : i + BATCH]]))
        if len(ours):
            tlb.release(ours)
        mm.remove(list(mm.vmas))
    for upper in (*pmds, *puds):
        frames.put(upper.pfn)
    frames.put(mm.pt.pgd)
    mm.pt.tables = mm.pt.rss_anon = mm.pt.rss_file = mm.pt.unclaimed = 0
