"""What the tests of on-demand fork and sfork share: a family of address spaces that can be told from one another.

Pages are numbered from BASE, a 1 GiB boundary; PTE tables are named "T0", "T1", ... and frames "a", "b", ... in the
order in which a test first meets them, so that a whole state reads as a few short tuples.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from fakes import FakeCpu, FakeRam
from mm_helpers import FIXED, PAGE, PRIVATE, RW, FakeFile, check_all, new_frames, new_mm, state_of

from mini_kernel.ledger import MemoryCosts
from mini_kernel.mm import fault, fork, mmap, odf, teardown, uaccess
from mini_kernel.mm.frame import FrameAllocator
from mini_kernel.mm.mm import Mm
from mini_kernel.mm.vma import MappedFile
from mini_kernel.uapi.mman import MAP_ANONYMOUS
from mini_kernel.x86 import PAGE_SHIFT, PMD_SIZE, PTE_ADDR, PTE_D, PTE_NX, PTE_P, PTE_W

BASE = 4 << 30
IN_TABLE = PMD_SIZE // PAGE  # pages that one PTE table maps
READ, WRITE, FETCH = 4, 6, 20
CPU_WRITE = WRITE | 1  # what the CPU says when a page is there and may not be written
FORKS: dict[str, Callable[[Mm], Mm]] = {"classic": fork.fork_mm, "odf": odf.odfork_mm}


class Table(NamedTuple):
    """A PTE table as one process sees it: which 2 MiB, name, references, W of this process's PMD entry, owner."""

    at: int
    name: str
    ref: int
    writable: bool
    owner: str


class Page(NamedTuple):
    """A mapped page: number, name of its frame, the PTE's own rights, references of the frame."""

    at: int
    frame: str
    rights: str
    count: int


def where(page: int) -> int:
    """The address of a page."""
    return BASE + page * PAGE


class Family:
    """Address spaces by name; the first is "P"."""

    def __init__(
        self, pages: int = 4, prot: int = RW, flags: int = PRIVATE, mib: int = 16, frames: FrameAllocator | None = None
    ) -> None:
        """P has `pages` pages mapped at BASE, none present."""
        self.frames = frames or new_frames(mib)
        self.mms: dict[str, Mm] = {"P": new_mm(self.frames)}
        self._table_names: dict[int, str] = {}
        self._frame_names: dict[int, str] = {self.frames.zero_page: "zero"}
        self._spent: dict[str, dict[str, int]] = {}
        self.files: list[FakeFile] = []
        if pages:
            self.map("P", 0, pages, prot, flags)

    # -- doing ----------------------------------------------------------------------------------------

    def map(
        self, name: str, page: int, pages: int, prot: int = RW, flags: int = PRIVATE, file: MappedFile | None = None
    ) -> None:
        """MAP_FIXED, of `file` if there is one."""
        flags &= ~MAP_ANONYMOUS if file is not None else -1
        assert mmap.mmap(self.mms[name], where(page), pages * PAGE, prot, flags | FIXED, file) == where(page)

    def file(self, pages: int) -> FakeFile:
        """A file to map. Page n begins with the byte n + 1."""
        file = FakeFile(self.frames, pages)
        for n in range(pages):
            file.cache.write(n * PAGE, bytes([n + 1]))
        self.files.append(file)
        return file

    def odf(self, parent: str, child: str) -> Mm:
        """On-demand fork."""
        return self.fork(parent, child, "odf")

    def fork(self, parent: str, child: str, how: str) -> Mm:
        """Fork by a policy of FORKS. What the parent has is named first."""
        self.pages(parent), self.tables(parent)
        self.mms[child] = FORKS[how](self.mms[parent])
        return self.mms[child]

    def exit(self, name: str) -> None:
        """The process ends."""
        teardown.destroy(self.mms.pop(name))

    def write(self, name: str, *pages: int, value: int = 0) -> None:
        """Write one byte at the start of each page, `value` or else the page number + 1 (modulo 256)."""
        for page in pages:
            uaccess.write(self.mms[name], where(page), bytes([value or page + 1 & 0xFF]))

    def fault(self, name: str, page: int, error: int = CPU_WRITE) -> str:
        """What the CPU would report at an access; the class of the fault."""
        return fault.handle(self.mms[name], where(page), error)

    def touch(self, name: str, page: int, write: bool = True) -> str:
        """What the CPU does at an access: the class of the fault that comes of it, "" if the tables allow it."""
        steps = self.mms[name].pt.walk(where(page))
        need = PTE_P | PTE_W if write else PTE_P
        if len(steps) == 4 and all(step.entry & need == need for step in steps):
            return ""
        present = len(steps) == 4 and steps[-1].entry & PTE_P
        return self.fault(name, page, (WRITE if write else READ) | (1 if present else 0))

    # -- looking --------------------------------------------------------------------------------------

    def see(self, name: str, *pages: int) -> list[int]:
        """The first byte of each page, by reading as user code would."""
        return [uaccess.read(self.mms[name], where(page), 1)[0] for page in pages]

    def table(self, name: str, page: int = 0) -> int:
        """The PTE table over a page, 0 if there is none."""
        return self.mms[name].pt.slot(where(page)) >> 9

    def entry(self, name: str, page: int) -> int:
        """The PTE of a page, 0 if there is no table."""
        slot = self.mms[name].pt.slot(where(page))
        return self.frames.ram.words[slot] if slot else 0

    def tables(self, name: str) -> list[Table]:
        """All PTE tables of a process."""
        mm = self.mms[name]
        found: list[Table] = []
        for r in mm.pt.tables_in(0, 1 << 47):
            found.append(
                Table(
                    (r.base - BASE) // PMD_SIZE,
                    self._table_names.setdefault(r.table, f"T{len(self._table_names)}"),
                    self.frames.counts[r.table],
                    bool(self.frames.ram.words[r.pmd_slot] & PTE_W),
                    self.owner_of(r.table),
                )
            )
        return found

    def owner_of(self, table: int) -> str:
        """The name of the process that owns a PTE table, "" if none, "?" if it is not of the family."""
        pgd = int(self.frames.owner[table])
        return next((name for name, mm in self.mms.items() if mm.pt.pgd == pgd), "?" if pgd else "")

    def pages(self, name: str) -> list[Page]:
        """All mapped pages of a process, with the rights that the PTE alone gives ("-" for PROT_NONE)."""
        mm = self.mms[name]
        found: list[Page] = []
        for r in mm.pt.tables_in(0, 1 << 47):
            for index in self.frames.ram.tables[r.table].nonzero()[0].tolist():
                entry = self.frames.ram.words[r.table << 9 | index]
                pfn = (entry & PTE_ADDR) >> PAGE_SHIFT
                letter = self._frame_names.setdefault(pfn, _letter(len(self._frame_names) - 1))
                count = self.frames.counts[pfn] if letter != "zero" else 1
                found.append(Page((r.base - BASE) // PAGE + index, letter, _rights(entry), count))
        return found

    def dirty(self, name: str, page: int) -> bool:
        """The D bit of a page."""
        return bool(self.entry(name, page) & PTE_D)

    def size(self, name: str) -> tuple[int, int, int]:
        """(resident anonymous pages, resident file pages, PTE tables owned) of a process."""
        mm = self.mms[name]
        upper = [mm.pt.pgd]
        for _level in range(2):
            upper += [int(e) >> PAGE_SHIFT & 0xFFFFF for t in upper for e in self.frames.ram.tables[t] if e]
            upper = list(dict.fromkeys(upper))
        return mm.rss_anon, mm.rss_file, mm.pt.tables - len(upper)

    def spent(self, name: str) -> dict[str, int]:
        """What a process's tables have cost since the last call for it; only what is not 0."""
        costs = self.mms[name].pt.costs
        now = {cost: getattr(costs, cost) for cost in MemoryCosts.__slots__}
        before = self._spent.get(name, {})
        self._spent[name] = now
        return {cost: n - before.get(cost, 0) for cost, n in now.items() if n != before.get(cost, 0)}

    def settle(self) -> None:
        """Forget what was spent so far, in all processes."""
        for name in self.mms:
            self.spent(name)

    def flushes(self) -> int:
        """TLB flushes so far."""
        assert isinstance(self.frames.cpu, FakeCpu)
        return self.frames.cpu.tlb_flushes

    def state(self) -> dict[str, Any]:
        """All there is to know: what `state_of` tells, owners and W bits of PTE tables, marks of frames, costs."""
        state = state_of(*self.mms.values())
        state["tables"] = {name: self.tables(name) for name in self.mms}
        state["pages"] = {name: self.pages(name) for name in self.mms}
        state["kinds"] = {pfn: self.frames.kinds[pfn] for pfn in state["counts"]}
        state["unclaimed"] = [mm.pt.unclaimed for mm in self.mms.values()]
        return state

    def check(self) -> None:
        """Every invariant; and no resident set is negative or larger than what is mapped (F82)."""
        if self.mms:
            check_all(*self.mms.values(), files=tuple(self.files))
        for mm in self.mms.values():
            assert mm.rss_anon >= 0
            assert mm.rss_file >= 0
            assert mm.rss <= mm.total_pages()
            assert mm.pt.tables >= 1

    def all_exit(self) -> None:
        """Everybody ends, and only what was in use at boot is in use (I10)."""
        for name in list(self.mms):
            self.exit(name)
            self.check()
        self.expect_nothing()

    def expect_nothing(self) -> None:
        """All frames but the zero page are free, once nobody is left (I10)."""
        for file in self.files:
            assert file.users == 0
            assert not file.cache.mappings
            file.cache.drop()
        assert self.frames.used().tolist() == [self.frames.zero_page]
        assert self.frames.in_use == 1


def couple(pages: int = 6) -> Family:
    """P wrote all of `pages` pages and shares T with C; costs are counted from here. What is freed is overwritten."""
    f = Family(pages)
    f.frames.poison = True
    f.write("P", *range(pages))
    f.odf("P", "C")
    f.settle()
    return f


def untouched(f: Family, name: str, pages: int = 6) -> None:
    """This process sees what P wrote, in all pages, and can write it."""
    assert f.see(name, *range(pages)) == [n + 1 for n in range(pages)]
    f.write(name, 0, 5, value=200)
    f.write(name, 0)
    f.write(name, 5)
    f.check()


def other(name: str) -> str:
    """C for P, P for C."""
    return "PC".replace(name, "")


def _letter(n: int) -> str:
    return chr(ord("a") + n) if n < 26 else f"f{n}"


def _rights(entry: int) -> str:
    if not entry & PTE_P:
        return "-"
    return "r" + "w" * bool(entry & PTE_W) + "x" * (not entry & PTE_NX)


class SpyRam(FakeRam):
    """RAM that calls `on_write()` after each store into it by the kernel, whichever view it goes through."""

    def __init__(self, size: int) -> None:
        self.on_write: Callable[[], None] | None = None
        super().__init__(size)
        self.raw_words = self.words
        spy = self

        class Spied(np.ndarray[Any, Any]):
            def __setitem__(self, key: Any, value: Any) -> None:
                super().__setitem__(key, value)
                spy.stored()

        class Words:
            """The part of memoryview that the kernel uses."""

            def __getitem__(self, key: Any) -> Any:
                return spy.raw_words[key]

            def __setitem__(self, key: Any, value: Any) -> None:
                spy.raw_words[key] = value
                spy.stored()

        self.tables = self.tables.view(Spied)
        self.words: Any = Words()

    def stored(self) -> None:
        """Something was stored."""
        if self.on_write is not None:
            self.on_write()


def spied_family(pages: int = 8) -> Family:
    """A family whose memory can be watched."""
    return Family(pages, frames=FrameAllocator(SpyRam(16 << 20), FakeCpu(), reserved=1))


class Watcher:
    """A family on SpyRam: after every single store into memory the CPU must read what it read before, in all of it."""

    def __init__(self, family: Family, contents: dict[int, int]) -> None:
        """`contents`: the first byte of each page (by number) that every process must go on seeing."""
        assert isinstance(family.frames.ram, SpyRam)
        self.family = family
        self.ram = family.frames.ram
        self.contents = contents
        self.stores = 0
        self.look()

    def __enter__(self) -> "Watcher":
        self.ram.on_write = self.look
        return self

    def __exit__(self, *exc: object) -> None:
        self.ram.on_write = None

    def look(self) -> None:
        """One store was made: no page is missing, other, or writable through a table or frame that is shared."""
        self.stores += 1
        for mm in self.family.mms.values():
            for page, byte in self.contents.items():
                entries = self._walk(mm, where(page))
                assert all(entry & PTE_P for entry in entries), f"page {page} has gone"
                frame, table = (entry >> PAGE_SHIFT & 0xFFFFFF for entry in entries[:-3:-1])
                assert self.ram.data[frame << PAGE_SHIFT] == byte
                shared = mm.frames.counts[frame] > 1 or mm.frames.counts[table] > 1
                assert not (shared and all(entry & PTE_W for entry in entries)), f"page {page} is writable"

    def _walk(self, mm: Mm, address: int) -> list[int]:
        """The four entries, read from raw memory."""
        entries: list[int] = []
        table = mm.cr3
        for shift in (39, 30, 21, 12):
            entries.append(self.ram.raw_words[(table & PTE_ADDR) >> 3 | address >> shift & 511])
            table = entries[-1]
        return entries
