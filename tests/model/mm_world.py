"""A few address spaces driven side by side with a plain model of what mmap(2) and its kin promise.

The model knows pages, not areas or tables: a dict from page number to `Page`, whose content is two bytes, the first
and the last of the page. What is shared is a shared dict. Areas are recomputed from neighbouring pages that look
alike. Every step ends in `World.verify`, which recomputes the invariants and walks the tables as the MMU does.
"""

from typing import Any

from mm_harness import LOCK_LIMIT, Harness
from mm_helpers import PAGE
from mm_space import HEAP, LOCK, Page, Space, Store

from mini_kernel.mm import advise, fork, mmap, odf, protect, remap, teardown
from mini_kernel.mm.check import check
from mini_kernel.mm.vma import (
    VM_ACCESS,
    VM_DONTCOPY,
    VM_GROWSDOWN,
    VM_LOCKED,
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


POLICIES = {"classic": fork.fork_mm, "odf": odf.odfork_mm}


class World(Harness):
    """One method per operation: the model says what must come out, then the real one runs."""

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
            for k in range(at, stop):
                s.pages[k].flags = old & ~VM_ACCESS | prot
            if old & (VM_WRITE | VM_SHARED | VM_LOCKED) == VM_LOCKED and prot & VM_WRITE:
                self._prefault(s, at, stop)
            at = stop
        self.expect(errno, protect.mprotect, *args)

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
        template = s.pages[old].copy()
        if in_place:
            self._forget(s, old + new_n, old + old_n)
            new = old
        else:
            new = self._move_pages(s, old, old_n, new_n, flags, new)
        assert result == new * PAGE
        for i in range(old_n, new_n):
            s.pages[new + i] = Page(template.flags, template.store, template.index + i, template.heap)
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
        moved = {new + i: s.pages[old + i].copy() for i in range(min(old_n, new_n))}
        s.pages.update(moved)
        if keep:  # the old area stays, empty and unlocked
            for i in range(old_n):
                s.pages[old + i].private = None
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
        for k in range(at, at + n):
            page = s.pages.get(k)
            refusal = self._advise(page, advice) if page else 0
            if refusal:
                errno = refusal
                break
        self.expect(errno, advise.madvise, s.mm, at * PAGE, n * PAGE, advice)

    def _advise(self, page: Page, advice: int) -> int:
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
            if not flags & VM_SHARED:
                return EACCES
            assert page.store is not None
            if page.index < page.store.pages():
                page.store.cells.pop(page.index, None)
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

    def fork(self, s: Space, policy: str = "classic") -> None:
        child = Space(POLICIES[policy](s.mm))
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
        teardown.destroy(s.mm)
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
