"""Classic fork of an address space: every PTE table copied at once, every private page shared copy-on-write."""

import numpy as np

from mini_kernel.errors import SysError
from mini_kernel.mm.dup import PinnedCopy, copy_pinned, copy_tables, copy_vmas, link, new_child, pinned_pages
from mini_kernel.mm.frame import Pfns
from mini_kernel.mm.mm import Mm
from mini_kernel.mm.walk import Tree


def fork_mm(parent: Mm) -> Mm:
    """A child address space with the same contents. Raises SysError(ENOMEM) with the parent as it was.

    Shared PTE tables are copied like others and stay shared between those who share them (F10).
    """
    frames, tree = parent.frames, parent.pt.tree()
    child = new_child(parent)
    pinned: list[PinnedCopy] = []
    pinned_huge: list[PinnedCopy] = []
    try:
        pinned = copy_pinned(parent, pinned_pages(parent, tree.pte.child, tree.pte.base))
        if parent.pt.has_leaves:
            held = pinned_pages(parent, tree.pmd.child, tree.pmd.base, huge=True)
            pinned_huge = copy_pinned(parent, held, huge=True)
        pmds, tables = _copy_skeleton(tree, child)
    except SysError:
        frames.put_groups(np.array([copy.pfn for copy in pinned_huge], np.int64))
        frames.put_many(np.array([child.pt.pgd, *(copy.pfn for copy in pinned)], np.int64))
        raise
    recount = parent.pt.tables != tree.table_count()
    if not recount:  # all of it is the parent's own
        child.pt.rss_anon, child.pt.rss_file = parent.pt.rss_anon, parent.pt.rss_file
    if parent.pt.has_leaves:
        copy_tables(parent, child, tree.pmd.child, pmds, tree.pmd.base, pinned_huge, recount, huge=True)
    copy_tables(parent, child, tree.pte.child, tables, tree.pte.base, pinned, recount)
    copy_vmas(parent, child)
    parent.cpu.flush_tlb()
    return child


def _copy_skeleton(tree: Tree, child: Mm) -> tuple[Pfns, Pfns]:
    """Give the child its own tables of all levels, linked as the parent's; returns its PMD tables, without huge pages,
    and its PTE tables, contents open.

    Raises SysError(ENOMEM) with nothing allocated.
    """
    frames = child.frames
    puds, pmds, ptes = (len(links.child) for links in tree)
    upper = frames.alloc_tables(puds + pmds)
    try:
        tables = frames.alloc_tables(ptes, zero=False)
    except SysError:
        frames.put_many(upper)
        raise
    parents = np.array([child.pt.pgd], dtype=np.int64)
    for links, new in zip(tree, (upper[:puds], upper[puds:], tables), strict=True):
        link(child, links, parents, new)
        parents = new
    child.pt.tables += puds + pmds
    frames.owner[upper] = child.pt.pgd
    child.pt.adopt(tables)
    return upper[puds:], tables
