"""What the tests of sfork share: regions, and a family made by sfork."""

import pytest
from mm_helpers import PAGE, RW
from odf_helpers import BASE, FORKS, Family, where

from mini_kernel.mm import mmap, sfork
from mini_kernel.mm.region import SharedArea
from mini_kernel.uapi import mman

CHILD, PARENT, POPULATE = mman.CHILD_WRITE, mman.PARENT_WRITE, mman.SFORK_POPULATE
BOTH = CHILD | PARENT
ANON = mman.MAP_SFORK | mman.MAP_ANONYMOUS
AT = 40  # where the regions of these tests are: in the 2 MiB of P's private pages 0-3
how_by_each_fork = pytest.mark.parametrize("how", FORKS)
lazy_and_populated = pytest.mark.parametrize("populate", [0, POPULATE], ids=["lazy", "populated"])


def region(f: Family, name: str, page: int, pages: int, flags: int = BOTH) -> SharedArea:
    """mmap(MAP_SFORK) at a page."""
    populate = mman.MAP_POPULATE if flags & POPULATE else 0
    mmap.mmap(f.mms[name], where(page), pages * PAGE, RW, ANON | mman.MAP_FIXED | populate)
    vma = f.mms[name].find(where(page))
    assert vma is not None
    assert isinstance(vma.file, SharedArea)
    return vma.file


def sforked(flags: int = BOTH, how: str = "classic", pages: int = 4) -> tuple[Family, SharedArea]:
    """P wrote private pages 0-3 and then made C by sfork, with a region of `pages` pages at AT."""
    f = Family(4)
    f.write("P", *range(4))
    area = region(f, "P", AT, pages, flags)
    f.mms["C"] = sfork.sfork_mm(f.mms["P"], FORKS[how], where(AT), pages * PAGE, flags)
    f.settle()
    return f, area


def members(area: SharedArea, f: Family) -> list[tuple[str, int, int]]:
    """The list of VMAs of a region: (process, first page, page behind the last), sorted."""
    names = {id(mm): name for name, mm in f.mms.items()}
    return sorted(
        (names[id(m.mm)], (m.vma.start - BASE) // PAGE, (m.vma.end - BASE) // PAGE) for m in area.cache.mappings
    )
