"""A few address spaces driven side by side with a plain model of what mmap(2) and its kin promise.

The model knows pages, not areas or tables: a dict from page number to `Page`, whose content is two bytes, the first
and the last of the page. What is shared is a shared dict. Areas are recomputed from neighbouring pages that look
alike. Every step ends in `World.verify`, which recomputes the invariants and walks the tables as the MMU does.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from fakes import FakeCpu, FakeRam
from mini_kernel.errors import SysError
from mini_kernel.mm import advise, fault, fork, mmap, protect, remap, uaccess
from mini_kernel.mm.check import check
from mini_kernel.mm.frame import FrameAllocator
from mini_kernel.mm.mm import MMAP_BASE, Mm
from mini_kernel.mm.vma import (
    VM_ACCESS,
    VM_DONTCOPY,
    VM_EXEC,
    VM_GROWSDOWN,
    VM_LOCKED,
    VM_LOCKONFAULT,
    VM_MAY,
    VM_MAYSHARE,
    VM_NORESERVE,
    VM_READ,
    VM_SHARED,
    VM_WIPEONFORK,
    VM_WRITE,
)
from mini_kernel.uapi import mman
from mini_kernel.uapi.errno import EACCES, EAGAIN, EEXIST, EFAULT, EINVAL, ENOMEM
from mini_kernel.uapi.signal import BUS_ADRERR, SEGV_ACCERR, SEGV_MAPERR, SIGBUS, SIGSEGV
from mm_helpers import PAGE, FakeFile, caches_of, mapping_of

#: Page numbers worth a visit: on both sides of a boundary of 1 GiB, and of the next one of 2 MiB.
EDGE = (5 << 30) // PAGE
PLACES = (*range(EDGE - 4, EDGE + 4), *range(EDGE + 508, EDGE + 516))
HEAP = EDGE + 514
GUARD_PAGES = 2  # the tests shorten the stack guard gap to this
LOCK_LIMIT = 2048  # pages, the default RLIMIT_MEMLOCK
STACK_LIMIT = 2048
TOP = MMAP_BASE // PAGE
LOCK = VM_LOCKED | VM_LOCKONFAULT
ERROR_CODE = {"r": 4, "w": 6, "x": 20}
RIGHT = {"r": VM_ACCESS, "w": VM_WRITE, "x": VM_EXEC}


class Store:
    """A file or a piece of shared memory: cells by page index."""

    def __init__(self, pages: int) -> None:
        self.size = pages * PAGE
        self.cells: dict[int, list[int]] = {}

    def pages(self) -> int:
        return -(-self.size // PAGE)


class Page:
    """One page of one address space. `private` is None until the space has a copy of its own."""

    __slots__ = ("flags", "heap", "index", "private", "store")

    def __init__(self, flags: int, store: Store | None = None, index: int = 0, heap: bool = False) -> None:
        self.flags, self.store, self.index, self.heap = flags, store, index, heap
        self.private: list[int] | None = None

    def content(self) -> list[int]:
        if self.private is not None:
            return self.private
        return self.store.cells.get(self.index, [0, 0]) if self.store else [0, 0]

    def put(self, cell: int, value: int) -> None:
        if self.flags & VM_SHARED:
            assert self.store is not None
            self.store.cells.setdefault(self.index, [0, 0])[cell] = value
        else:
            assert self.private is not None
            self.private[cell] = value

    def joins(self, after: "Page") -> bool:
        """True if the next page belongs to the same area."""
        alike = (self.flags, self.store, self.heap) == (after.flags, after.store, after.heap)
        return alike and (self.store is None or self.index + 1 == after.index)

    def copy(self) -> "Page":
        new = Page(self.flags, self.store, self.index, self.heap)
        new.private = None if self.private is None else list(self.private)
        return new


class Space:
    """One address space and its model."""

    def __init__(self, mm: Mm) -> None:
        self.mm = mm
        self.pages: dict[int, Page] = {}
        self.brk = HEAP * PAGE
        self.lock_future = 0

    def areas(self) -> list[tuple[int, int, Page]]:
        """(first page, page behind the last, a page) of each area, ascending."""
        out: list[list[Any]] = []
        last: tuple[int, Page] | None = None
        for n in sorted(self.pages):
            page = self.pages[n]
            if last and n == last[0] + 1 and last[1].joins(page):
                out[-1][1] = n + 1
            else:
                out.append([n, n + 1, page])
            last = (n, page)
        return [(a, b, p) for a, b, p in out]

    def area_at(self, n: int) -> tuple[int, int, Page] | None:
        return next((area for area in self.areas() if area[0] <= n < area[1]), None)

    def locked(self) -> int:
        return sum(1 for page in self.pages.values() if page.flags & VM_LOCKED)

    def is_free(self, first: int, last: int) -> bool:
        """True if nothing is mapped in the range and no stack above needs it for its guard gap."""
        for start, end, page in self.areas():
            floor = start - GUARD_PAGES if page.flags & VM_GROWSDOWN else start
            if end > first and floor < last:
                return False
        return True

    def highest_gap(self, n: int) -> int:
        top = TOP
        for start, end, page in reversed(self.areas()):
            if end <= top and top - end >= n:
                break
            top = min(top, start - GUARD_PAGES if page.flags & VM_GROWSDOWN else start)
        return top - n


class ModelCpu(FakeCpu):
    """A CPU with the worst TLB there can be: at each flush it caches at once all that the tables hold then."""

    world: "World"

    def flush_tlb(self) -> None:
        super().flush_tlb()
        self.world.fill_tlb()


class ModelFrames(FrameAllocator):
    """An allocator that notices a frame being freed while the TLB still maps it (R8)."""

    world: "World | None" = None

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


class World:
    """The spaces, the files, the model, and one method per operation. Pages are numbers, lengths are in pages."""

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

    # -- mmap, munmap, brk ----------------------------------------------------------------------------

    def mmap(self, s: Space, at: int, n: int, prot: int, flags: int, file: int | None = None, offset: int = 0) -> None:
        if self.frames.available() < 6000:
            n = min(n, 4)
        fixed = flags & (mman.MAP_FIXED | mman.MAP_FIXED_NOREPLACE)
        shared = flags & mman.MAP_TYPE == mman.MAP_SHARED
        vm = prot | VM_MAY | s.lock_future
        vm |= VM_SHARED | VM_MAYSHARE if shared else 0
        vm |= VM_GROWSDOWN if flags & mman.MAP_GROWSDOWN else 0
        vm |= VM_LOCKED if flags & mman.MAP_LOCKED else 0
        vm |= VM_NORESERVE if flags & mman.MAP_NORESERVE else 0
        errno = 0
        if flags & mman.MAP_FIXED_NOREPLACE and any(p in s.pages for p in range(at, at + n)):
            errno = EEXIST
        elif vm & VM_GROWSDOWN and (shared or file is not None):
            errno = EINVAL
        elif vm & VM_LOCKED and s.locked() + n > LOCK_LIMIT:
            errno = EAGAIN
        real = None if file is None else self.files[file]
        flags |= mman.MAP_ANONYMOUS if file is None else 0
        address = self.expect(errno, mmap.mmap, s.mm, at * PAGE, n * PAGE, prot, flags, real, offset)
        if errno:
            return
        at = at if fixed or (at and s.is_free(at, at + n)) else s.highest_gap(n)
        assert address == at * PAGE, f"mmap placed it at {address:#x}, the model at {at * PAGE:#x}"
        store = None if file is None else self.stores[file]
        if store is None and shared:
            store = Store(n)
            self.keep.append(store)
            area = s.mm.find(address)
            assert area is not None
            self.real_of[id(store)] = area.file
            offset = 0
        for i in range(n):
            s.pages[at + i] = Page(vm, store, offset + i)
        if flags & mman.MAP_POPULATE or vm & VM_LOCKED:
            self._prefault(s, at, at + n)

    def munmap(self, s: Space, at: int, n: int) -> None:
        self.expect(0, mmap.munmap, s.mm, at * PAGE, n * PAGE)
        self._forget(s, at, at + n)

    def _forget(self, s: Space, first: int, last: int) -> None:
        for n in range(first, last):
            s.pages.pop(n, None)

    def brk(self, s: Space, address: int) -> None:
        old, new = -(-s.brk // PAGE), -(-address // PAGE)
        refused = address < HEAP * PAGE or (new > old and not s.is_free(old, new + 1))
        flags = VM_READ | VM_WRITE | VM_MAY | s.lock_future
        refused |= new > old and bool(flags & VM_LOCKED) and s.locked() + new - old > LOCK_LIMIT
        if not refused:
            s.brk = address
            self._forget(s, new, old)
            s.pages.update({n: Page(flags, heap=True) for n in range(old, new)})
        assert mmap.brk(s.mm, address) == s.brk
        if not refused and flags & VM_LOCKED:
            self._prefault(s, old, new)

    # -- mprotect, mremap -----------------------------------------------------------------------------

    def mprotect(self, s: Space, at: int, n: int, prot: int) -> None:
        errno = 0
        for page in self._pages_to_hole(s, at, n):
            if page is None:
                errno = ENOMEM
            else:
                page.flags = page.flags & ~VM_ACCESS | prot
        self.expect(errno, protect.mprotect, s.mm, at * PAGE, n * PAGE, prot)

    def _pages_to_hole(self, s: Space, at: int, n: int) -> Iterator[Page | None]:
        """The pages of the range in order; None, and no more, at the first hole."""
        for k in range(at, at + n):
            yield s.pages.get(k)
            if k not in s.pages:
                return

    def mremap(self, s: Space, old: int, old_n: int, new_n: int, flags: int, new: int) -> None:
        if self.frames.available() < 6000:
            old_n, new_n = min(old_n, 4), min(new_n, 4)
        errno = self._mremap_errno(s, old, old_n, new_n, flags, new)
        targeted = flags & (mman.MREMAP_FIXED | mman.MREMAP_DONTUNMAP)
        area = s.area_at(old)
        in_place = not errno and not targeted and self._fits_in_place(s, area, old, old_n, new_n)
        if not errno and not in_place and not flags & mman.MREMAP_MAYMOVE:
            errno = ENOMEM
        args = (s.mm, old * PAGE, old_n * PAGE, new_n * PAGE, flags, new * PAGE)
        result = self.expect(errno, remap.mremap, *args)
        if errno:
            return
        template = s.pages[old].copy()
        if in_place:
            assert result == old * PAGE
            self._forget(s, old + new_n, old + old_n)
            new, moved = old, {}
        else:
            new = self._move_pages(s, old, old_n, new_n, flags, new)
            moved = {new: s.pages[new]} if new in s.pages else {}
            assert result == new * PAGE
        for i in range(new_n):
            if new + i not in s.pages:
                page = Page(template.flags, template.store, template.index + i if template.store else 0, template.heap)
                s.pages[new + i] = page
        del moved
        if template.flags & VM_LOCKED and new_n > old_n:
            self._prefault(s, new + old_n, new + new_n)

    def _mremap_errno(self, s: Space, old: int, old_n: int, new_n: int, flags: int, new: int) -> int:
        targeted = flags & (mman.MREMAP_FIXED | mman.MREMAP_DONTUNMAP)
        if targeted and not flags & mman.MREMAP_MAYMOVE:
            return EINVAL
        if flags & mman.MREMAP_DONTUNMAP and old_n != new_n:
            return EINVAL
        if targeted and old < new + new_n and new < old + old_n:
            return EINVAL
        area = s.area_at(old)
        if area is None:
            return EFAULT
        if not targeted and old_n >= new_n:
            return 0
        if not old_n and not area[2].flags & VM_SHARED:
            return EINVAL
        if old + old_n > area[1]:
            return EFAULT
        if area[2].flags & VM_LOCKED and new_n > old_n and s.locked() + new_n - old_n > LOCK_LIMIT:
            return EAGAIN
        return 0

    def _fits_in_place(self, s: Space, area: Any, old: int, old_n: int, new_n: int) -> bool:
        if old_n >= new_n:
            return True
        free_behind = not any(n in s.pages for n in range(old + old_n, old + new_n))
        return old_n > 0 and old + old_n == area[1] and free_behind

    def _move_pages(self, s: Space, old: int, old_n: int, new_n: int, flags: int, new: int) -> int:
        if flags & mman.MREMAP_FIXED:
            self._forget(s, new, new + new_n)
        elif not (flags & mman.MREMAP_DONTUNMAP and new and s.is_free(new, new + new_n)):
            new = s.highest_gap(new_n)
        self._forget(s, old + new_n, old + old_n)
        keep = flags & mman.MREMAP_DONTUNMAP
        if keep:
            first, last, _page = s.area_at(old) or (0, 0, None)
        moved = {new + i: s.pages[old + i].copy() for i in range(min(old_n, new_n))}
        if keep:  # the old area stays, empty and unlocked
            for n in range(first, last):
                s.pages[n].flags &= ~LOCK
            for i in range(old_n):
                s.pages[old + i].private = None
        else:
            self._forget(s, old, old + old_n)
        s.pages.update(moved)
        return new

    # -- madvise, mlock -------------------------------------------------------------------------------

    def madvise(self, s: Space, at: int, n: int, advice: int) -> None:
        if advice in (mman.MADV_POPULATE_READ, mman.MADV_POPULATE_WRITE):
            self._madv_populate(s, at, n, advice)
            return
        errno = 0 if all(k in s.pages for k in range(at, at + n)) else ENOMEM
        punched: list[Page] = []
        for k in range(at, at + n):
            page = s.pages.get(k)
            refusal = self._advise(page, advice, punched) if page else 0
            if refusal:
                errno = refusal
                break
        self.expect(errno, advise.madvise, s.mm, at * PAGE, n * PAGE, advice)

    def _advise(self, page: Page, advice: int, punched: list[Page]) -> int:
        flags, plain = page.flags, page.store is None
        if advice in (mman.MADV_DONTNEED, mman.MADV_DONTNEED_LOCKED):
            if flags & VM_LOCKED and advice == mman.MADV_DONTNEED:
                return EINVAL
            page.private = None
        elif advice == mman.MADV_FREE:
            return 0 if plain and not flags & VM_LOCKED else EINVAL
        elif advice == mman.MADV_REMOVE:
            if flags & VM_LOCKED or plain:
                return EINVAL
            if flags & (VM_SHARED | VM_WRITE) != VM_SHARED | VM_WRITE:
                return EACCES
            assert page.store is not None
            if page.index < page.store.pages():
                page.store.cells.pop(page.index, None)
            punched.append(page)
        elif advice == mman.MADV_WIPEONFORK:
            if not plain:
                return EINVAL
            page.flags |= VM_WIPEONFORK
        elif advice == mman.MADV_KEEPONFORK:
            page.flags &= ~VM_WIPEONFORK
        elif advice == mman.MADV_DONTFORK:
            page.flags |= VM_DONTCOPY
        elif advice == mman.MADV_DOFORK:
            page.flags &= ~VM_DONTCOPY
        return 0

    def _madv_populate(self, s: Space, at: int, n: int, advice: int) -> None:
        write = advice == mman.MADV_POPULATE_WRITE
        errno = 0
        for page in self._pages_to_hole(s, at, n):
            if page is None:
                errno = ENOMEM
            elif not page.flags & (VM_WRITE if write else VM_READ):
                errno = EINVAL
            elif self._access_page(page, "w" if write else "r"):
                errno = EFAULT
            if errno:
                break
        self.expect(errno, advise.madvise, s.mm, at * PAGE, n * PAGE, advice)

    def mlock(self, s: Space, at: int, n: int, on_fault: bool) -> None:
        new = sum(1 for k in range(at, at + n) if k in s.pages and not s.pages[k].flags & VM_LOCKED)
        errno = ENOMEM if s.locked() + new > LOCK_LIMIT else 0
        if not errno:
            errno = self._set_lock(s, at, n, LOCK if on_fault else VM_LOCKED)
            if not errno and not on_fault and not self._prefault(s, at, at + n):
                errno = ENOMEM
        self.expect(errno, advise.mlock, s.mm, at * PAGE, n * PAGE, on_fault)

    def munlock(self, s: Space, at: int, n: int) -> None:
        self.expect(self._set_lock(s, at, n, 0), advise.munlock, s.mm, at * PAGE, n * PAGE)

    def _set_lock(self, s: Space, at: int, n: int, lock: int) -> int:
        for page in self._pages_to_hole(s, at, n):
            if page is None:
                return ENOMEM
            page.flags = page.flags & ~LOCK | lock
        return 0

    def mlockall(self, s: Space, flags: int) -> None:
        errno = 0
        if not flags & (mman.MCL_CURRENT | mman.MCL_FUTURE):
            errno = EINVAL
        elif flags & mman.MCL_CURRENT and len(s.pages) > LOCK_LIMIT:
            errno = ENOMEM
        self.expect(errno, advise.mlockall, s.mm, flags)
        if errno:
            return
        lock = LOCK if flags & mman.MCL_ONFAULT else VM_LOCKED
        s.lock_future = lock if flags & mman.MCL_FUTURE else 0
        if flags & mman.MCL_CURRENT:
            for page in s.pages.values():
                page.flags = page.flags & ~LOCK | lock
            for first, last, _page in s.areas():
                self._prefault(s, first, last)

    def munlockall(self, s: Space) -> None:
        advise.munlockall(s.mm)
        s.lock_future = 0
        for page in s.pages.values():
            page.flags &= ~LOCK

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

    # -- files ----------------------------------------------------------------------------------------

    def file_write(self, file: int, index: int, value: int) -> None:
        """write(2) of one whole page of the file."""
        store = self.stores[file]
        self.files[file].cache.write(index * PAGE, bytes([value]) * PAGE)
        if index * PAGE > store.size:
            self._zero_tail(store)
        store.size = max(store.size, (index + 1) * PAGE)
        store.cells[index] = [value, value]

    def truncate(self, file: int, size: int) -> None:
        store = self.stores[file]
        self.files[file].cache.truncate(size)
        if size >= store.size:
            self._zero_tail(store)
        store.size = size
        for index in [i for i in store.cells if i >= store.pages()]:
            del store.cells[index]
        self._zero_tail(store)
        for s in self.spaces:
            for page in s.pages.values():
                if page.store is store and page.index >= store.pages():
                    page.private = None

    def _zero_tail(self, store: Store) -> None:
        if store.size % PAGE and store.size // PAGE in store.cells:
            store.cells[store.size // PAGE][1] = 0

    # -- processes ------------------------------------------------------------------------------------

    def fork(self, s: Space) -> None:
        child = Space(fork.fork_mm(s.mm))
        child.brk = s.brk
        for n, page in s.pages.items():
            if not page.flags & VM_DONTCOPY:
                new = child.pages[n] = page.copy()
                new.flags &= ~LOCK
                if new.flags & VM_WIPEONFORK:
                    new.private = None
        self.spaces.append(child)

    def exit(self, s: Space) -> None:
        self.spaces.remove(s)
        self.tlb.pop(id(s.mm), None)  # the CPU has another CR3 by now
        self._note_tlb_frames()
        fork.destroy(s.mm)
        assert s.mm.rss == 0
        assert s.mm.pt.tables == 0

    def end(self) -> None:
        """I10: after the last exit, what is in use is what was at boot."""
        for s in list(self.spaces):
            self.exit(s)
            self.verify()
        for file in self.files:
            assert file.users == 0
            assert not file.cache.mappings
            file.cache.drop()
        assert self.frames.in_use == self.boot
        check(self.frames, [])

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
