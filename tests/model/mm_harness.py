"""The real memory core under observation: a CPU with the worst TLB, and a comparison of everything with the model."""

from collections.abc import Iterable, Iterator
from typing import Any

from fakes import FakeCpu, FakeRam
from mm_helpers import PAGE, FakeFile, caches_of, mapping_of
from mm_space import GUARD_PAGES, HEAP, RIGHT, Page, Space, Store

from mini_kernel.errors import SysError
from mini_kernel.mm import fault, uaccess
from mini_kernel.mm.check import check
from mini_kernel.mm.frame import FrameAllocator
from mini_kernel.mm.mm import Mm
from mini_kernel.mm.vma import VM_ACCESS, VM_GROWSDOWN, VM_LOCKED, VM_LOCKONFAULT, VM_SHARED, VM_WRITE
from mini_kernel.uapi.errno import EFAULT
from mini_kernel.uapi.signal import BUS_ADRERR, SEGV_ACCERR, SEGV_MAPERR, SIGBUS, SIGSEGV

LOCK_LIMIT = 2048  # pages, the default RLIMIT_MEMLOCK
STACK_LIMIT = 2048
ERROR_CODE = {"r": 4, "w": 6, "x": 20}


class ModelCpu(FakeCpu):
    """A CPU with the worst TLB there can be: at each flush it caches at once all that the tables hold then."""

    world: "Harness"

    def flush_tlb(self) -> None:
        super().flush_tlb()
        self.world.fill_tlb()


class ModelFrames(FrameAllocator):
    """An allocator that notices a frame being freed while the TLB still maps it (R8)."""

    world: "Harness | None" = None

    def _release(self, pfn: int) -> None:
        self._no_translation([pfn])
        super()._release(pfn)

    def _release_many(self, pfns: Any) -> None:
        self._no_translation(pfns.tolist())
        super()._release_many(pfns)

    def _no_translation(self, pfns: Iterable[int]) -> None:
        if self.world is not None:
            stale = self.world.tlb_frames & set(pfns)
            assert not stale, f"frames {stale} freed before the TLB was flushed"


class Harness:
    """The spaces, the files and the frames; accesses to memory; and `verify`. Pages are numbers, lengths in pages."""

    def __init__(self, mib: int = 64, files: int = 2) -> None:
        cpu = ModelCpu()
        cpu.world = self
        self.cpu = cpu
        self.spaces: list[Space] = []
        self.tlb: dict[int, dict[int, tuple[int, str]]] = {}
        self.tlb_frames: set[int] = set()
        self.frames = ModelFrames(FakeRam(mib << 20), cpu, reserved=1)
        self.frames.poison = True
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
        if not page.flags & RIGHT[kind]:
            return SIGSEGV, SEGV_ACCERR
        if page.store is not None and page.private is None and page.index >= page.store.pages():
            return SIGBUS, BUS_ADRERR
        if kind == "w" and not page.flags & VM_SHARED and page.private is None:
            page.private = list(page.content())
        return None

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
        error = ERROR_CODE[kind] | (1 if n * PAGE in mapping_of(s.mm) else 0)
        expected = self._access(s, n, kind)
        try:
            if not self._allowed(s, n, kind):
                fault.handle(s.mm, n * PAGE + 8, error)
            outcome = None
        except fault.BadAccess as bad:
            outcome = (bad.signal, bad.code)
        assert outcome == expected, f"{kind} of page {n:#x} gave {outcome}, the model says {expected}"
        if expected is None:
            assert self._allowed(s, n, kind), f"the fault did not make page {n:#x} fit for {kind}"
            if kind == "w":
                pfn = mapping_of(s.mm)[n * PAGE][0]
                self.frames.ram.data[pfn * PAGE] = value
                s.pages[n].put(0, value)

    def _allowed(self, s: Space, n: int, kind: str) -> bool:
        found = mapping_of(s.mm).get(n * PAGE)
        return found is not None and kind in found[1]

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

    # -- checking -------------------------------------------------------------------------------------

    def fill_tlb(self) -> None:
        self.tlb = {id(s.mm): mapping_of(s.mm) for s in self.spaces}
        self._note_tlb_frames()

    def _note_tlb_frames(self) -> None:
        zero = {self.frames.zero_page}
        self.tlb_frames = {pfn for tlb in self.tlb.values() for pfn, rights in tlb.values() if rights != "-"} - zero

    def verify(self) -> None:
        """Everything that must hold between two operations."""
        mms = [s.mm for s in self.spaces]
        caches = {id(c): c for c in [*caches_of(*mms), *(f.cache for f in self.files)]} if mms else {}
        check(self.frames, mms, caches.values() if mms else [f.cache for f in self.files])
        for s in self.spaces:
            assert s.mm.brk == s.brk
            self._verify_areas(s)
            now = mapping_of(s.mm)
            self._verify_pages(s, now)
            self._verify_tlb(s, now)
        for store, file in zip(self.stores, self.files, strict=True):
            assert file.cache.size == store.size
        self.fill_tlb()

    def _verify_areas(self, s: Space) -> None:
        wanted = [
            (a * PAGE, b * PAGE, p.flags, self.real_of[id(p.store)] if p.store else None, p.index if p.store else 0)
            for a, b, p in s.areas()
        ]
        found = [(v.start, v.end, v.flags, v.file, v.pgoff) for v in s.mm.vmas]
        assert found == wanted

    def _verify_pages(self, s: Space, now: dict[int, tuple[int, str]]) -> None:
        """The tables never show other bytes or grant more than the model, and have all that was written."""
        data = self.frames.ram.data
        for va, (pfn, rights) in now.items():
            page = s.pages[va // PAGE]
            granted = {r for r in "rwx" if page.flags & RIGHT[r]} | {"-"}
            assert set(rights) <= granted, f"{va:#x} is {rights}"
            own = page.private is not None or page.flags & VM_SHARED or page.store is None
            assert own or "w" not in rights, f"{va:#x} writes into the file"
            seen = [data[pfn * PAGE], data[pfn * PAGE + PAGE - 1]]
            assert seen == page.content(), f"{va:#x} shows {seen}, the model {page.content()}"
        for n, page in s.pages.items():
            if page.private is not None and page.private != [0, 0]:
                assert n * PAGE in now, f"the copy of page {n:#x} is lost"

    def _verify_tlb(self, s: Space, now: dict[int, tuple[int, str]]) -> None:
        """I9: what the worst TLB has cached since the last flush is still true."""
        for va, (pfn, rights) in self.tlb.get(id(s.mm), {}).items():
            if rights != "-":
                frame, allowed = now.get(va, (0, ""))
                assert frame == pfn, f"the TLB maps {va:#x} to {pfn:#x}, the tables to {frame:#x}"
                assert set(rights) <= set(allowed), f"the TLB grants {rights} at {va:#x}, the tables {allowed}"
