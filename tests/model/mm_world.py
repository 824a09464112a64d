"""A few address spaces driven side by side with a plain model of what mmap(2) and its kin promise.

The model knows pages, not areas or tables: a dict from page number to `Page`, whose content is two bytes, the first
and the last of the page. What is shared is a shared dict. Areas are recomputed from neighbouring pages that look
alike. Every step ends in `World.verify`, which recomputes the invariants and walks the tables as the MMU does.
"""

from typing import Any

from mm_harness import LOCK_LIMIT, Harness
from mm_helpers import PAGE
from mm_space import HEAP, LOCK, Page, Space, Store

from mini_kernel.mm import advise, mmap, protect, remap
from mini_kernel.mm.vma import (
    VM_ACCESS,
    VM_DONTCOPY,
    VM_GROWSDOWN,
    VM_HUGEPAGE,
    VM_LOCKED,
    VM_MAY,
    VM_MAYREAD,
    VM_MAYSHARE,
    VM_MAYWRITE,
    VM_NOHUGEPAGE,
    VM_NORESERVE,
    VM_READ,
    VM_SFORK,
    VM_SFORK_KEEP,
    VM_SHARED,
    VM_WIPEONFORK,
    VM_WRITE,
)
from mini_kernel.uapi import mman
from mini_kernel.uapi.errno import EACCES, EAGAIN, EEXIST, EFAULT, EINVAL, ENOMEM

#: Advice that changes what an area is, and so splits it.
FLAGS_OF = {
    mman.MADV_DONTFORK: (VM_DONTCOPY, 0),
    mman.MADV_DOFORK: (0, VM_DONTCOPY),
    mman.MADV_WIPEONFORK: (VM_WIPEONFORK, 0),
    mman.MADV_KEEPONFORK: (0, VM_WIPEONFORK),
    mman.MADV_HUGEPAGE: (VM_HUGEPAGE, VM_NOHUGEPAGE),
    mman.MADV_NOHUGEPAGE: (VM_NOHUGEPAGE, VM_HUGEPAGE),
    mman.MADV_KEEPONEXEC: (VM_SFORK_KEEP, 0),
    mman.MADV_DROPONEXEC: (0, VM_SFORK_KEEP),
}


class World(Harness):
    """One method per operation: the model says what must come out, then the real one runs."""

    newest: object = None  # the piece of the region that the last mmap made, if it did

    # -- mmap, munmap, brk ----------------------------------------------------------------------------

    def mmap(self, s: Space, at: int, n: int, prot: int, flags: int, file: int | None = None, offset: int = 0) -> None:
        self.newest = None
        if self.frames.available() < 6000:
            n = min(n, 4)
        fixed = flags & (mman.MAP_FIXED | mman.MAP_FIXED_NOREPLACE)
        vm = self._flags(s, prot, flags)
        errno = 0
        if flags & mman.MAP_FIXED_NOREPLACE and any(p in s.pages for p in range(at, at + n)):
            errno = EEXIST
        elif (flags & mman.MAP_GROWSDOWN and (vm & VM_SHARED or file is not None)) or (vm & VM_SFORK and prot & 4):
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
        if store is None and vm & VM_SHARED:
            store = self._new_store(s, address, n)
            offset = 0
        self.remapped = True
        self._forget(s, at, at + n)
        piece = self.newest = object() if vm & VM_SFORK else None
        for i in range(n):
            page = s.pages[at + i] = Page(vm, store, offset + i)
            page.piece, page.mapped = piece, bool(flags & mman.MAP_POPULATE and vm & VM_SFORK)
        if flags & mman.MAP_POPULATE or vm & VM_LOCKED:
            self._prefault(s, at, at + n)

    def _flags(self, s: Space, prot: int, flags: int) -> int:
        """The VM_* flags that a new area gets."""
        shared = flags & mman.MAP_TYPE == mman.MAP_SHARED
        vm = prot | VM_MAY | s.lock_future
        vm |= VM_SHARED | VM_MAYSHARE if shared else 0
        vm |= VM_GROWSDOWN if flags & mman.MAP_GROWSDOWN else 0
        vm |= VM_NORESERVE if flags & mman.MAP_NORESERVE else 0
        if flags & mman.MAP_SFORK:
            vm = prot | VM_MAYREAD | VM_MAYWRITE | VM_SHARED | VM_MAYSHARE | VM_SFORK | s.lock_future
        return vm | (VM_LOCKED if flags & mman.MAP_LOCKED else 0)

    def _new_store(self, s: Space, address: int, n: int) -> Store:
        """The model of the nameless file behind a new shared area."""
        store = Store(n)
        self.keep.append(store)
        area = s.mm.find(address)
        assert area is not None
        self.real_of[id(store)] = area.file
        return store

    def munmap(self, s: Space, at: int, n: int) -> None:
        self.expect(0, mmap.munmap, s.mm, at * PAGE, n * PAGE)
        self._forget(s, at, at + n)

    def brk(self, s: Space, address: int) -> None:
        old, new = -(-s.brk // PAGE), -(-address // PAGE)
        refused = address < HEAP * PAGE or (new > old and not s.is_free(old, new + 1))
        flags = VM_READ | VM_WRITE | VM_MAY | s.lock_future
        refused |= new < old and not any(n in s.pages for n in range(new, old))
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
        args = (s.mm, at * PAGE, n * PAGE, prot)
        end, errno = at + n, 0
        while at < end and not errno:
            area = s.area_at(at)
            if area is None:
                errno = ENOMEM
                break
            stop, old = min(end, area[1]), area[2].flags
            if prot & ~(old >> 4) & VM_ACCESS:  # VM_MAYx is VM_x << 4
                errno = EACCES
                break
            new = old & ~VM_ACCESS | prot
            if old & VM_SFORK and not prot & VM_WRITE:
                new &= ~VM_MAYWRITE  # given up for good
            self._set_flags(s, at, stop, new)
            if old & (VM_WRITE | VM_SHARED | VM_LOCKED) == VM_LOCKED and prot & VM_WRITE:
                self._prefault(s, at, stop)
            at = stop
        self.expect(errno, protect.mprotect, *args)

    def _set_flags(self, s: Space, first: int, last: int, flags: int) -> None:
        """New flags for pages of one area."""
        if s.pages[first].flags != flags:
            s.cut(first, last)
        for k in range(first, last):
            s.pages[k].flags = flags

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
        if not errno and flags & mman.MREMAP_FIXED and old_n == 0 and old == new:
            self._forget(s, new, new + new_n)  # the source goes with the target
            errno = EFAULT
        result = self.expect(errno, remap.mremap, *args)
        if errno:
            return
        self.remapped = True
        template = s.pages[old].copy()
        if in_place:
            self._forget(s, old + new_n, old + old_n)
            new = old
        else:
            new = self._move_pages(s, old, old_n, new_n, flags, new)
        assert result == new * PAGE
        self._add_pages(s, template, new, old_n, new_n)
        if template.flags & VM_LOCKED and new_n > old_n:
            self._prefault(s, new + old_n, new + new_n)

    def _add_pages(self, s: Space, template: Page, at: int, have: int, want: int) -> None:
        """An area of `have` pages from `at` on grows to `want`."""
        if want > have:
            piece = s.pages[at + have - 1].piece if have else object() if template.flags & VM_SFORK else None
            for i in range(have, want):
                page = s.pages[at + i] = Page(template.flags, template.store, template.index + i, template.heap)
                page.piece = piece

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
        moved = {new + i: s.pages[old + i].move() for i in range(min(old_n, new_n))}
        piece = object() if s.pages[old].flags & VM_SFORK else None
        for page in moved.values():
            page.piece = piece
        s.pages.update(moved)
        if keep:  # the old area stays, empty and unlocked
            for i in range(old_n):
                s.pages[old + i].drop()
            first, last, _page = s.area_at(old) or (0, 0, None)
            for n in range(first, last):
                s.pages[n].flags &= ~LOCK
        else:
            self._forget(s, old, old + old_n)
        return new

    # -- madvise, mlock -------------------------------------------------------------------------------

    def madvise(self, s: Space, at: int, n: int, advice: int) -> None:
        if advice in (mman.MADV_POPULATE_READ, mman.MADV_POPULATE_WRITE):
            self._madv_populate(s, at, n, advice)
            return
        errno = 0 if all(k in s.pages for k in range(at, at + n)) else ENOMEM
        for first, last, page in s.areas():
            if last <= at or first >= at + n:
                continue
            refusal = self._refuses(page, advice)
            if refusal:
                errno = refusal
                break
            self._advise(s, max(first, at), min(last, at + n), advice)
        self.remapped = True
        self.expect(errno, advise.madvise, s.mm, at * PAGE, n * PAGE, advice)

    def _refuses(self, page: Page, advice: int) -> int:
        """The errno with which an area of such pages refuses advice, or 0."""
        flags, plain = page.flags, page.store is None
        if advice == mman.MADV_DONTNEED:
            return EINVAL if flags & VM_LOCKED else 0
        if advice == mman.MADV_FREE:
            return 0 if plain and not flags & VM_LOCKED else EINVAL
        if advice == mman.MADV_REMOVE:
            if flags & VM_LOCKED or plain:
                return EINVAL
            return 0 if flags & VM_SHARED and flags & VM_MAYWRITE else EACCES
        if advice == mman.MADV_WIPEONFORK:
            return 0 if plain else EINVAL
        if advice in (mman.MADV_KEEPONEXEC, mman.MADV_DROPONEXEC):
            return 0 if flags & VM_SFORK else EINVAL
        return 0

    def _advise(self, s: Space, first: int, last: int, advice: int) -> None:
        """Advice that pages of one area follow."""
        if advice in FLAGS_OF:
            add, remove = FLAGS_OF[advice]
            self._set_flags(s, first, last, s.pages[first].flags & ~remove | add)
            return
        for page in [s.pages[k] for k in range(first, last)]:
            if advice in (mman.MADV_DONTNEED, mman.MADV_DONTNEED_LOCKED):
                page.drop()
            elif advice == mman.MADV_REMOVE:
                assert page.store is not None
                if page.index < page.store.pages():
                    page.store.cells.pop(page.index, None)
                    self._unmapped(page)

    def _unmapped(self, page: Page) -> None:
        """The page left its store: a region's page is out of all tables."""
        if page.flags & VM_SFORK:
            for s in self.spaces:
                for other in s.pages.values():
                    if other.store is page.store and other.index == page.index:
                        other.drop()

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
        end = at + n
        while at < end:
            area = s.area_at(at)
            if area is None:
                return ENOMEM
            stop = min(end, area[1])
            self._set_flags(s, at, stop, area[2].flags & ~LOCK | lock)
            at = stop
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

    # -- files ----------------------------------------------------------------------------------------

    def file_write(self, file: int, index: int, value: int) -> None:
        """write(2) of one whole page of the file."""
        store = self.stores[file]
        self.files[file].cache.write(index * PAGE, bytes([value]) * PAGE)
        if index * PAGE > store.size:
            self._zero_tail(store)
        store.size = max(store.size, (index + 1) * PAGE)
        store.cells.setdefault(index, [0, 0])[:] = [value, value]

    def truncate(self, file: int, size: int) -> None:
        store = self.stores[file]
        self.files[file].cache.truncate(size)
        self.remapped = True
        if size >= store.size:
            self._zero_tail(store)
        store.size = size
        for index in [i for i in store.cells if i >= store.pages()]:
            del store.cells[index]
        self._zero_tail(store)
        for s in self.spaces:
            for page in s.pages.values():
                if page.store is store and page.index >= store.pages():
                    page.drop()

    def _zero_tail(self, store: Store) -> None:
        if store.size % PAGE and store.size // PAGE in store.cells:
            store.cells[store.size // PAGE][1] = 0
