"""The real memory core under observation: a CPU with the worst TLB, and a comparison of everything with the model."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from fakes import FakeCpu, FakeRam
from mm_helpers import PAGE, FakeFile, caches_of
from mm_space import GUARD_PAGES, HEAP, Page, Space, Store
from mm_view import EXEC, READ, WRITE, Leaf, View

from mini_kernel.errors import SysError
from mini_kernel.mm import fault
from mini_kernel.mm.check import check
from mini_kernel.mm.frame import K_CACHE, FrameAllocator
from mini_kernel.mm.mm import THP_NEVER, Mm
from mini_kernel.mm.vma import (
    VM_ACCESS,
    VM_GROWSDOWN,
    VM_LOCKED,
    VM_LOCKONFAULT,
    VM_SFORK,
    VM_SHARED,
    VM_WRITE,
)
from mini_kernel.mm.zone import GROUP
from mini_kernel.uapi.signal import BUS_ADRERR, SEGV_ACCERR, SEGV_MAPERR, SIGBUS, SIGSEGV
from mini_kernel.x86 import PTE_A, PTE_D, PTE_SOFT_DIRTY, PTE_W

LOCK_LIMIT = 2048  # pages, the default RLIMIT_MEMLOCK
STACK_LIMIT = 2048
ERROR_CODE = {"r": 4, "w": 6, "x": 20}
NEEDED = {"r": READ, "w": WRITE, "x": EXEC}


class ModelCpu(FakeCpu):
    """A CPU with the worst TLB there can be: at each flush it caches at once all that the tables hold then."""

    world: "Harness"

    def flush_tlb(self) -> None:
        super().flush_tlb()
        self.world.fill_tlb()


class ModelFrames(FrameAllocator):
    """An allocator that notices a frame or a table being freed while the TLB can still get there (R8)."""

    world: "Harness | None" = None

    def _release(self, pfn: int) -> None:
        self._no_translation([pfn])
        super()._release(pfn)

    def _release_many(self, pfns: Any) -> None:
        self._no_translation(pfns)
        super()._release_many(pfns)

    def _release_groups(self, firsts: Any) -> None:
        self._no_translation((firsts[:, None] + np.arange(GROUP)).reshape(-1))
        super()._release_groups(firsts)

    def _no_translation(self, pfns: Any) -> None:
        if self.world is not None:
            stale = self.world.reachable[pfns]
            assert not stale.any(), f"frames {np.asarray(pfns)[stale]} freed before the TLB was flushed"


class Harness:
    """The spaces, the files and the frames; accesses to memory; and `verify`. Pages are numbers, lengths in pages."""

    def __init__(self, mib: int = 64, files: int = 2) -> None:
        cpu = ModelCpu()
        cpu.world = self
        self.cpu = cpu
        self.spaces: list[Space] = []
        self.frames = ModelFrames(FakeRam(mib << 20), cpu, reserved=1)
        self.frames.poison = True
        self.tlb: dict[int, View] = {}
        self.reachable = np.zeros(self.frames.total, np.bool_)  # frames that the TLB knows
        self.seen: dict[int, View] = {}  # the tables when they were last verified
        self.remapped = False  # since then pages may have left the tables and come back
        self.pins: list[tuple[int, list[int]]] = []  # (frame, the cells it holds)
        self.boot = self.frames.in_use
        self.files = [FakeFile(self.frames, 6, f"/f{i}") for i in range(files)]
        self.stores = [Store(6) for _ in range(files)]
        self.real_of: dict[int, Any] = {id(s): f for s, f in zip(self.stores, self.files, strict=True)}
        self.keep: list[Store] = list(self.stores)  # so that id() stays unique
        mm = Mm(self.frames, cpu)
        mm.start_brk = mm.brk = HEAP * PAGE
        self.spaces.append(Space(mm))
        self.frames.world = self

    # -- running one operation ------------------------------------------------------------------------

    def expect(self, errno: int, call: Any, *args: Any, **kwargs: Any) -> Any:
        """Run the real operation: it must fail with `errno`, or succeed if that is 0."""
        try:
            result = call(*args, **kwargs)
        except SysError as error:
            assert error.errno == errno, f"{call.__name__} failed with {error}, the model says {errno}"
            return None
        assert not errno, f"{call.__name__} succeeded, the model says errno {errno}"
        return result

    def _forget(self, s: Space, first: int, last: int) -> None:
        s.cut(first, last)
        for n in range(first, last):
            s.pages.pop(n, None)

    def _pages_to_hole(self, s: Space, at: int, n: int) -> Iterator[Page | None]:
        """The pages of the range in order; None, and no more, at the first hole."""
        for k in range(at, at + n):
            yield s.pages.get(k)
            if k not in s.pages:
                return

    # -- accesses -------------------------------------------------------------------------------------

    def _prefault(self, s: Space, first: int, last: int) -> bool:
        """Write to private writable pages, read others, up to the first that refuses."""
        for n in range(first, last):
            page = s.pages[n]
            if page.flags & VM_LOCKONFAULT:
                continue
            if self._access_page(page, "w" if page.flags & (VM_WRITE | VM_SHARED) == VM_WRITE else "r"):
                return False
        return True

    def _access_page(self, page: Page, kind: str) -> tuple[int, int] | None:
        """What a mapped page answers: None, or (signal, code). A write gives a private page its own copy."""
        if not page.flags & (VM_ACCESS if kind == "r" else NEEDED[kind]):
            return SIGSEGV, SEGV_ACCERR
        if page.store is not None and page.private is None and page.index >= page.store.pages():
            return SIGBUS, BUS_ADRERR
        if page.flags & VM_SFORK and not page.mapped:
            self._install(page)
        if kind == "w" and not page.flags & VM_SHARED and page.private is None:
            page.private = list(page.content())
        return None

    def _install(self, page: Page) -> None:
        """The first touch of a region's page brings it to all who map it (S10)."""
        for s in self.spaces:
            for other in s.pages.values():
                if other.store is page.store and other.index == page.index:
                    other.mapped = True

    def _access(self, s: Space, n: int, kind: str) -> tuple[int, int] | None:
        page = s.pages.get(n) or self._grow_stack(s, n)
        return self._access_page(page, kind) if page else (SIGSEGV, SEGV_MAPERR)

    def _grow_stack(self, s: Space, n: int) -> Page | None:
        above = next((area for area in s.areas() if area[0] > n), None)
        below = next((area for area in reversed(s.areas()) if area[1] <= n), None)
        if above is None or not above[2].flags & VM_GROWSDOWN or above[1] - n > STACK_LIMIT:
            return None
        if above[2].flags & VM_LOCKED and s.locked() + above[0] - n > LOCK_LIMIT:
            return None
        near = below is not None and n < below[1] + GUARD_PAGES
        if below is not None and near and below[2].flags & VM_ACCESS and not below[2].flags & VM_GROWSDOWN:
            return None
        s.pages.update({k: Page(above[2].flags) for k in range(n, above[0])})
        return s.pages[n]

    def touch(self, s: Space, n: int, kind: str, value: int = 0) -> None:
        """An access by user code: through the tables if they allow it, else by a fault with the right code."""
        leaf = Leaf(s.mm, n)
        classes = self._fault_classes(s, n, kind, leaf)
        expected = self._access(s, n, kind)
        outcome = None
        if not leaf.rights & NEEDED[kind]:
            try:
                found = fault.handle(s.mm, n * PAGE + 8, ERROR_CODE[kind] | (leaf.pte & 1))
                assert found in classes, f"the fault at page {n:#x} was a {found}, the model says {classes}"
            except fault.BadAccess as bad:
                outcome = (bad.signal, bad.code)
        assert outcome == expected, f"{kind} of page {n:#x} gave {outcome}, the model says {expected}"
        if expected is None:
            self._complete(s, n, kind, value)

    def _complete(self, s: Space, n: int, kind: str, value: int) -> None:
        """What the CPU does when nothing is in the way: it sets A and D, and stores."""
        leaf = Leaf(s.mm, n)
        assert leaf.rights & NEEDED[kind], f"the fault did not make page {n:#x} fit for {kind}"
        self.frames.ram.words[leaf.slot] = leaf.pte | PTE_A | (PTE_D if kind == "w" else 0)
        if kind == "w":
            self.frames.ram.data[leaf.pfn * PAGE] = value
            s.pages[n].put(0, value)

    def _fault_classes(self, s: Space, n: int, kind: str, leaf: Leaf) -> set[str]:
        """What a fault there can turn out to be. A claimed PTE table outranks what is done to the page (F83)."""
        page, counts = s.pages.get(n), self.frames.counts
        store = page.store if page else None
        if s.mm.pt.has_leaves or s.mm.thp != THP_NEVER:
            return set(fault.FAULT_CLASSES)  # claims of PMD tables and splits come on top
        tables = {"table_break", "table_reuse"} if store is not None else set[str]()  # of peers in the same space
        if leaf.pmd and not leaf.pmd & PTE_W:
            return tables | {"table_break" if counts[leaf.table] > 1 else "table_reuse"}
        if not leaf.pte:
            if store is None:
                return {"demand_zero" if kind == "w" else "zero_page"}
            return tables | {"sfork_install" if page is not None and page.flags & VM_SFORK else "file"}
        if page is not None and page.flags & VM_SHARED:
            return tables | {"shared_write"}
        pfn = leaf.pfn
        own = counts[pfn] - self.frames.pins.get(pfn, 0) == 1 and not self.frames.kinds[pfn] & K_CACHE
        return {"cow_reuse" if own and pfn != self.frames.zero_page else "cow_copy"}

    # -- checking -------------------------------------------------------------------------------------

    def fill_tlb(self) -> None:
        self._fill_tlb({id(s.mm): View.now(s.mm, self.tlb.get(id(s.mm))) for s in self.spaces})

    def _fill_tlb(self, views: dict[int, View]) -> None:
        self.tlb = views
        self.reachable[:] = False
        for view in views.values():
            self.reachable[view.frames()] = True
        self.reachable[self.frames.zero_page] = False

    def verify(self) -> None:
        """Everything that must hold between two operations."""
        self.check_invariants()
        views = {id(s.mm): View.now(s.mm, self.tlb.get(id(s.mm))) for s in self.spaces}
        for s in self.spaces:
            now = views[id(s.mm)]
            assert s.mm.brk == s.brk
            self._verify_areas(s)
            self._verify_pages(s, now)
            self._verify_bits(s, now)
            if id(s.mm) in self.tlb:
                assert not (wrong := self.tlb[id(s.mm)].lost(now)), f"not flushed: {wrong}"
        for store, file in zip(self.stores, self.files, strict=True):
            assert file.cache.size == store.size
        for pfn, cells in self.pins:
            assert self.contents([pfn]) == [tuple(cells)], f"pinned frame {pfn:#x} shows other bytes than {cells}"
        self._fill_tlb(views)
        self.seen, self.remapped = views, False

    def check_invariants(self) -> None:
        """I1-I8, from nothing."""
        mms = [s.mm for s in self.spaces]
        caches = {id(c): c for c in [*caches_of(*mms), *(f.cache for f in self.files)]}
        check(self.frames, mms, caches.values())

    def _verify_areas(self, s: Space) -> None:
        if s.changed:
            s.wanted = [
                (a * PAGE, b * PAGE, p.flags, self.real_of[id(p.store)] if p.store else None, p.index if p.store else 0)
                for a, b, p in s.areas()
            ]
            s.changed = False
        found = [(v.start, v.end, v.flags, v.file, v.pgoff) for v in s.mm.vmas]
        assert found == s.wanted, [pair for pair in zip(found, s.wanted, strict=False) if pair[0] != pair[1]][:1]
        assert min(s.mm.rss_anon, s.mm.rss_file) >= 0
        assert s.mm.rss <= len(s.pages)  # F82

    def contents(self, pfns: Any) -> list[tuple[int, int]]:
        """The two cells of each of these frames."""
        pages = self.frames.ram.pages
        return list(zip(pages[pfns, 0].tolist(), pages[pfns, PAGE - 1].tolist(), strict=True))

    def _verify_pages(self, s: Space, now: View) -> None:
        """The tables never show other bytes or grant more than the model, and have all that was written."""
        shown = self.contents(now.pfn)
        present = now.page.tolist()
        for n, rights, seen in zip(present, now.rights.tolist(), shown, strict=True):
            page = s.pages[n]
            granted = page.flags & VM_ACCESS
            assert not rights & ~(granted | (READ if granted else 0)), f"page {n:#x} has rights {rights}"
            own = page.private is not None or page.flags & VM_SHARED or page.store is None
            assert own or not rights & WRITE, f"page {n:#x} writes into the file"
            content = page.content()
            assert seen == (content[0], content[1]), f"page {n:#x} shows {seen}, the model {content}"
        mapped = set(present)
        for n, page in s.pages.items():
            if page.private is not None and n not in mapped and page.private != [0, 0]:
                raise AssertionError(f"the copy of page {n:#x} is lost")
            if page.flags & VM_SFORK:
                assert page.mapped == (n in mapped), f"page {n:#x} of a region is {'not ' * page.mapped}mapped"

    def _verify_bits(self, s: Space, now: View) -> None:
        """Dirty bits of shared pages stay; a region's pages wait for no fault; soft-dirty is what was written."""
        before = self.seen.get(id(s.mm))
        if before is not None and before is not now and not self.remapped:
            cached = self.frames.kind & K_CACHE != 0
            assert not (n := before.cleaned(now, cached)), f"page {n:#x} is not dirty any more"
        vmas = [v for v in s.mm.vmas if v.flags & VM_SFORK or v.soft_clean]
        for vma in vmas:
            lo, hi = np.searchsorted(now.page, [vma.start // PAGE, vma.end // PAGE])
            for n, entry, rights in zip(
                now.page[lo:hi].tolist(), now.entry[lo:hi].tolist(), now.rights[lo:hi].tolist(), strict=True
            ):
                page = s.pages[n]
                if not vma.soft_clean:
                    if s.noting:
                        continue
                    assert bool(entry & PTE_W) == bool(page.flags & VM_WRITE), f"page {n:#x} of a region would fault"
                    continue
                noted = entry & PTE_SOFT_DIRTY
                assert noted or not rights & WRITE, f"a write to page {n:#x} would not be noted"
                own = page.private is not None or page.flags & VM_SFORK
                assert noted or not (page.written and own), f"the write to page {n:#x} is forgotten"
