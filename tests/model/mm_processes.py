"""The model of what several processes do to each other: fork by every policy, sfork, pins, and want of memory.

Pages of a child are copies, those of a region for sfork show the same store, and a pinned frame is the list of cells
that the pinner holds on to. Nothing here knows of PTE tables.
"""

from collections.abc import Callable
from typing import Any

from mm_harness import NEEDED
from mm_helpers import PAGE
from mm_space import LOCK, Space
from mm_view import Leaf
from mm_world import World

from mini_kernel.errors import SysError
from mini_kernel.mm import advise, fault, fork, mmap, odf, protect, sfork, teardown, uaccess
from mini_kernel.mm.check import check
from mini_kernel.mm.mm import Mm
from mini_kernel.mm.pin import pin_pages
from mini_kernel.mm.vma import VM_ACCESS, VM_DONTCOPY, VM_MAYWRITE, VM_READ, VM_WIPEONFORK, VM_WRITE
from mini_kernel.uapi import mman
from mini_kernel.uapi.errno import EAGAIN, EFAULT, EINVAL, ENOMEM

POLICIES: dict[str, Callable[[Mm], Mm]] = {"classic": fork.fork_mm, "odf": odf.odfork_mm}
PINS = 4  # at most at a time


class Processes(World):
    """World with all that goes on between address spaces."""

    # -- the kernel's accesses ------------------------------------------------------------------------

    def write(self, s: Space, n: int, count: int, value: int) -> None:
        """A kernel write from the last byte of page n to the first byte of page n + count."""
        errno = 0
        for k in range(n, n + count + 1):
            if self._access(s, k, "w"):
                errno = EFAULT
                break
            for cell in (0, 1):
                if (k, cell) != (n, 0) and (k, cell) != (n + count, 1):
                    s.pages[k].put(cell, value)
        data = bytes([value]) * ((count - 1) * PAGE + 2)
        self.expect(errno, uaccess.write, s.mm, n * PAGE + PAGE - 1, data)

    def read(self, s: Space, n: int, count: int) -> None:
        """A kernel read of `count` whole pages."""
        errno = next((EFAULT for k in range(n, n + count) if self._access(s, k, "r")), 0)
        data = self.expect(errno, uaccess.read, s.mm, n * PAGE, count * PAGE)
        if not errno:
            wanted = [s.pages[n + i].content() for i in range(count)]
            assert [[data[i * PAGE], data[i * PAGE + PAGE - 1]] for i in range(count)] == wanted

    def clear_soft_dirty(self, s: Space) -> None:
        """Forget which pages were written."""
        s.mm.clear_soft_dirty()
        s.noting = True
        for page in s.pages.values():
            page.written = False

    def collapse(self, s: Space, at: int, n: int) -> None:
        """Make huge pages where possible: whether or not, nobody sees a difference."""
        try:
            advise.madvise(s.mm, at * PAGE, n * PAGE, mman.MADV_COLLAPSE)
        except SysError as error:
            assert error.errno in (EINVAL, EAGAIN, ENOMEM)

    # -- fork -----------------------------------------------------------------------------------------

    def fork(self, s: Space, policy: str = "classic") -> None:
        self._add_child(s, POLICIES[policy](s.mm))

    def _add_child(self, s: Space, mm: Mm) -> Space:
        child = Space(mm)
        child.brk, child.noting = s.brk, s.noting
        for n, page in s.pages.items():
            if not page.flags & VM_DONTCOPY:
                new = child.pages[n] = page.copy()
                new.flags &= ~LOCK
                if new.flags & VM_WIPEONFORK:
                    new.drop()
        self.spaces.append(child)
        return child

    def sfork(self, s: Space, at: int, n: int, flags: int, policy: str) -> None:
        """Map a region (at page `at`, or anywhere if that is 0) and fork with it."""
        place = self._map_region(s, at, n, flags)
        if place is None:
            return
        first, last = place
        child = self._add_child(s, sfork.sfork_mm(s.mm, POLICIES[policy], *_bytes(first, last), flags))
        self._give_up(child, first, last, flags & mman.CHILD_WRITE)
        self._give_up(s, first, last, flags & mman.PARENT_WRITE)
        for space in (child, s):  # X1: on-demand fork does not share the region's tables
            for k in range(first, last):
                page, leaf = space.pages[k], Leaf(space.mm, k)
                assert page.mapped == bool(leaf.pte)
                if page.mapped and not s.noting:
                    assert leaf.rights == page.flags & VM_ACCESS, f"page {k:#x} of a region would fault"

    def _map_region(self, s: Space, at: int, n: int, flags: int) -> tuple[int, int] | None:
        """A new region: its first page and the one behind it; None if it was refused."""
        populate = mman.MAP_POPULATE if flags & mman.SFORK_POPULATE else 0
        self.mmap(s, at, n, 3, mman.MAP_SFORK | populate | (mman.MAP_FIXED if at else 0))
        piece = self.newest
        return next((area[:2] for area in s.areas() if piece is not None and area[2].piece is piece), None)

    def _give_up(self, s: Space, first: int, last: int, right: int) -> None:
        """The side without its flag may only read the region, for good."""
        if not right:
            for k in range(first, last):
                s.pages[k].flags = s.pages[k].flags & ~(VM_ACCESS | VM_MAYWRITE) | VM_READ

    def exit(self, s: Space) -> None:
        self.spaces.remove(s)
        self.tlb.pop(id(s.mm), None)  # the CPU has another CR3 by now
        self._fill_tlb(self.tlb)
        teardown.destroy(s.mm)
        assert s.mm.rss == 0
        assert s.mm.pt.tables == 0

    def end(self) -> None:
        """I10: after the last exit, what is in use is what was at boot."""
        for s in list(self.spaces):
            self.exit(s)
            self.verify()
        while self.pins:
            self.unpin(0)
        for file in self.files:
            assert file.users == 0
            assert not file.cache.mappings
            file.cache.drop()
        assert self.frames.in_use == self.boot
        check(self.frames, [])

    # -- pins -----------------------------------------------------------------------------------------

    def pin(self, s: Space, at: int, n: int) -> None:
        """Pin pages, as for a device."""
        errno = EFAULT
        if all(k in s.pages and s.pages[k].flags & VM_WRITE for k in range(at, at + n)):
            errno = next((EFAULT for k in range(at, at + n) if self._access_page(s.pages[k], "w")), 0)
        pfns = self.expect(errno, pin_pages, s.mm, at * PAGE, n * PAGE)
        if not errno:
            self.pins += [(pfn, s.pages[at + i].cells()) for i, pfn in enumerate(pfns)]
            for k in range(at, at + n):
                assert Leaf(s.mm, k).pfn == pfns[k - at]

    def unpin(self, k: int) -> None:
        pfn, _cells = self.pins.pop(k % len(self.pins))
        self.frames.unpin(pfn)

    def dma(self, k: int, cell: int, value: int) -> None:
        """The device stores a byte, past all tables."""
        if self.pins:
            pfn, cells = self.pins[k % len(self.pins)]
            self.frames.ram.data[pfn * PAGE + cell * (PAGE - 1)] = value
            cells[cell] = value

    # -- no memory ------------------------------------------------------------------------------------

    def starve(self, frames: int, call: Callable[..., Any], *args: Any) -> bool:
        """Try a call with only so many frames left. True if it fails: then nothing may have changed."""
        self.frames.refuse_after = frames
        try:
            result = call(*args)
        except (SysError, fault.BadAccess) as error:
            assert getattr(error, "errno", ENOMEM) == ENOMEM, error
            return isinstance(error, SysError) or error.fault_class == "oom"
        finally:
            self.frames.refuse_after = -1
        if isinstance(result, Mm):
            teardown.destroy(result)
        return False

    def starved_touch(self, s: Space, n: int, frames: int, value: int) -> None:
        """A write that may find no memory: then it is as if it had not been tried (F40)."""
        if n not in s.pages or Leaf(s.mm, n).rights & NEEDED["w"]:
            return
        failed = self.starve(frames, fault.handle, s.mm, n * PAGE, 6)
        if not failed:
            self._after_starved_touch(s, n, value)

    def _after_starved_touch(self, s: Space, n: int, value: int) -> None:
        """It went well, or was refused for another reason; peers of a region may have been passed over (S10)."""
        if self._access(s, n, "w") is None:
            for space in self.spaces:
                for k, page in space.pages.items():
                    if page.piece is not None and page.store is s.pages[n].store and page.index == s.pages[n].index:
                        page.mapped = bool(Leaf(space.mm, k).pte)
            self._complete(s, n, "w", value)

    def starved_fork(self, s: Space, policy: str, frames: int) -> None:
        """A fork that may fail half-way (F24). The child that comes of it otherwise ends at once."""
        self.starve(frames, POLICIES[policy], s.mm)

    def starved_sfork(self, s: Space, at: int, n: int, flags: int, policy: str, frames: int) -> None:
        """The same for sfork: what fails leaves the region as it was, to be unmapped (S18)."""
        place = self._map_region(s, at, n, flags)
        if place is not None:
            failed = self.starve(frames, sfork.sfork_mm, s.mm, POLICIES[policy], *_bytes(*place), flags)
            if not failed:
                self._give_up(s, *place, flags & mman.PARENT_WRITE)
            s.changed = True
            self.verify()
            s.changed = True
            self.munmap(s, place[0], place[1] - place[0])

    def starved_unmap(self, s: Space, at: int, n: int, frames: int) -> None:
        if not self.starve(frames, mmap.munmap, s.mm, at * PAGE, n * PAGE):
            self._forget(s, at, at + n)

    def starved_mprotect(self, s: Space, at: int, n: int, prot: int, frames: int) -> None:
        """Inside one area, as those before the one that fails stay changed."""
        area = s.area_at(at)
        if area is None or prot & ~(area[2].flags >> 4) or area[2].flags & LOCK:
            return
        last = min(at + n, area[1])
        if not self.starve(frames, protect.mprotect, s.mm, at * PAGE, (last - at) * PAGE, prot):
            self.mprotect(s, at, last - at, prot)

    def starved_truncate(self, file: int, size: int, frames: int) -> None:
        if not self.starve(frames, self.files[file].cache.truncate, size):
            self.truncate(file, size)


def _bytes(first: int, last: int) -> tuple[int, int]:
    """Address and length of these pages."""
    return first * PAGE, (last - first) * PAGE
