"""The host's own kernel as the oracle: the same calls give the same results, maps and bytes as in the memory core.

Random sequences (seeded) run natively in a subprocess and here; after every call the result or errno and the map of
the arena are compared, at the end the bytes. Accepted differences, each stated where it is allowed for:

- Areas: Linux keeps anonymous or copied private areas apart that look alike, because their anon_vma, their page
  offset from birth or their accounting (VM_ACCOUNT) differ. We have none of these and merge them. All boundaries
  we have Linux has, and boundaries between shared areas are the same.
- The heap is an area of its own kind here and does not merge with other anonymous memory. Boundaries there are not
  compared.
- mremap: since 6.17 MREMAP_FIXED moves several areas at once; here that is EFAULT, as in all kernels before.
- MADV_REMOVE of a shared area that is not writable just now: EACCES before 6.7, allowed since, and here.
- Advice about paging (MADV_SEQUENTIAL, MADV_HUGEPAGE, MADV_DONTDUMP, ...) splits areas in Linux. Not compared.
- Where the kernel chooses the address, only whether it lies in the arena is compared.
"""

import json
import os
import platform
import random
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mm_helpers import PAGE, FakeFile, check_all, new_frames, new_mm

from mini_kernel.errors import SysError
from mini_kernel.mm import advise, mmap, protect, remap, uaccess
from mini_kernel.mm.mm import UNLIMITED
from mini_kernel.mm.vma import VM_ACCESS, VM_SHARED, Vma
from mini_kernel.uapi import mman
from mini_kernel.uapi.errno import EACCES, EFAULT

pytestmark = pytest.mark.skipif(
    platform.system() != "Linux" or platform.machine() != "x86_64", reason="the oracle is an x86-64 Linux kernel"
)

PAGES = 24
ARENA = 0x10_0020_0000 - 8 * PAGE  # a 2 MiB boundary inside
HEAP = 0x5555_5560_0000
Step = list[Any]


class Ours:
    """The sequence on the memory core, with the interface of mm_host_native.Native."""

    def __init__(self, arena: int) -> None:
        self.arena, self.end = arena, arena + PAGES * PAGE
        self.mm = new_mm(new_frames(8))
        if os.geteuid() == 0:
            self.mm.limits.locked = UNLIMITED
        else:
            self.mm.limits.locked = resource.getrlimit(resource.RLIMIT_MEMLOCK)[0] & UNLIMITED
        self.file = FakeFile(self.mm.frames, 6)
        self.names: list[int] = []
        self.kept: list[Any] = []

    def run(self, name: str, *args: int) -> Any:
        try:
            result = getattr(self, "op_" + name)(*args)
        except SysError as error:
            result = -error.errno
        check_all(self.mm, files=(self.file,))
        return 0 if result is None else result

    def place(self, result: int, length: int) -> Any:
        if self.arena <= result < self.end:
            return result
        mmap.munmap(self.mm, result, length)
        return "elsewhere"

    def op_mmap(self, address: int, length: int, prot: int, flags: int, offset: int) -> Any:
        file = None if flags & mman.MAP_ANONYMOUS else self.file
        return self.place(mmap.mmap(self.mm, address, length, prot, flags, file, offset // PAGE), length)

    def op_mremap(self, old: int, old_length: int, length: int, flags: int, new: int) -> Any:
        return self.place(remap.mremap(self.mm, old, old_length, length, flags, new), length)

    def op_munmap(self, address: int, length: int) -> Any:
        return mmap.munmap(self.mm, address, length)

    def op_mprotect(self, address: int, length: int, prot: int) -> Any:
        return protect.mprotect(self.mm, address, length, prot)

    def op_madvise(self, address: int, length: int, advice: int) -> Any:
        return advise.madvise(self.mm, address, length, advice)

    def op_mlock(self, address: int, length: int) -> Any:
        return advise.mlock(self.mm, address, length)

    def op_munlock(self, address: int, length: int) -> Any:
        return advise.munlock(self.mm, address, length)

    def op_msync(self, address: int, length: int, flags: int) -> Any:
        return advise.msync(self.mm, address, length, flags)

    def op_mincore(self, address: int, length: int) -> Any:
        return list(advise.mincore(self.mm, address, length))

    def op_write(self, address: int, value: int) -> Any:
        uaccess.write(self.mm, address, bytes([value]) * 8)
        return 8

    def op_read(self, address: int) -> Any:
        return uaccess.read(self.mm, address, 8).hex()

    def op_pwrite(self, offset: int, value: int) -> Any:
        return self.file.cache.write(offset, bytes([value]) * 8)

    def op_ftruncate(self, size: int) -> Any:
        return self.file.cache.truncate(size)

    def areas(self) -> list[Step]:
        out: list[Step] = []
        for vma in self.mm.overlapping(self.arena, self.end):
            start, end = max(vma.start, self.arena), min(vma.end, self.end)
            rights = "".join(c if vma.flags & bit else "-" for c, bit in (("r", 1), ("w", 2), ("x", 4)))
            rights += "s" if vma.flags & VM_SHARED else "p"
            backing = self.backing(vma)
            out.append([start, end, rights, backing, vma.index_of(start) if backing else 0])
        return out

    def backing(self, vma: Vma) -> str:
        if vma.file is None or vma.file is self.file:
            return "" if vma.file is None else "file"
        if id(vma.file) not in self.names:
            self.names.append(id(vma.file))
            self.kept.append(vma.file)
        return f"shared {self.names.index(id(vma.file))}"


class OurHeap(Ours):
    """Addresses relative to the break at the start."""

    def __init__(self) -> None:
        super().__init__(HEAP)
        self.mm.start_brk = self.mm.brk = HEAP

    def run(self, name: str, *args: int) -> Any:
        if name == "brk_set":
            return mmap.brk(self.mm, HEAP + args[0]) - HEAP
        result = super().run(name, args[0] + HEAP, *args[1:])
        return result - HEAP if name == "mmap" and isinstance(result, int) and result > 0 else result

    def areas(self) -> list[Step]:
        return [[start - HEAP, end - HEAP, *rest] for start, end, *rest in super().areas()]


# -- sequences ----------------------------------------------------------------------------------------------------

ADVICE = (
    mman.MADV_DONTNEED,
    mman.MADV_DONTNEED,
    mman.MADV_FREE,
    mman.MADV_REMOVE,
    mman.MADV_DONTFORK,
    mman.MADV_DOFORK,
    mman.MADV_WIPEONFORK,
    mman.MADV_KEEPONFORK,
    mman.MADV_POPULATE_READ,
    mman.MADV_POPULATE_WRITE,
    mman.MADV_WILLNEED,
    999,
)
PROTECTION = (3, 3, 3, 1, 0, 2, 4, 5, 7)


class Writer:
    """Makes up sequences."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)

    def address(self) -> int:
        odd = 8 if self.rng.random() < 0.03 else 0
        return ARENA + self.rng.randrange(PAGES) * PAGE + odd

    def length(self) -> int:
        return self.rng.choice([1, 1, 1, 2, 2, 3, 4, 6]) * PAGE - self.rng.choice([0, 0, 0, 0, 100, PAGE])

    def mmap(self) -> Step:
        sharing = self.rng.choice([mman.MAP_PRIVATE, mman.MAP_PRIVATE, mman.MAP_SHARED])
        where = self.rng.choice([mman.MAP_FIXED] * 5 + [0, mman.MAP_FIXED_NOREPLACE])
        extra = self.rng.choice([0, 0, 0, 0, mman.MAP_POPULATE, mman.MAP_LOCKED, mman.MAP_GROWSDOWN])
        kind = self.rng.choice([mman.MAP_ANONYMOUS, mman.MAP_ANONYMOUS, 0])
        offset = 0 if kind else self.rng.randrange(4) * PAGE
        flags = sharing | where | extra | kind
        if self.rng.random() < 0.02:
            flags &= ~mman.MAP_TYPE
        return ["mmap", self.address(), self.length(), self.rng.choice(PROTECTION), flags, offset]

    def mremap(self) -> Step:
        flags = self.rng.choice([0, 1, 1, 1, 3, 3, 3, 5, 7, 2, 4, 8])
        old = self.length()
        new = old if self.rng.random() < 0.5 else self.length()
        return ["mremap", self.address(), old, new, flags, self.address()]

    def step(self) -> Step:
        rng, pick = self.rng, self.rng.random()
        if pick < 0.22:
            return self.mmap()
        if pick < 0.28:
            return ["munmap", self.address(), self.length()]
        if pick < 0.40:
            prot = rng.choice(PROTECTION) if rng.random() < 0.95 else rng.choice([0x10, 0x1000001, 0x2000001])
            return ["mprotect", self.address(), self.length(), prot]
        if pick < 0.50:
            return self.mremap()
        if pick < 0.60:
            return ["madvise", self.address(), self.length(), rng.choice(ADVICE)]
        if pick < 0.66:
            return [rng.choice(["mlock", "munlock"]), self.address(), self.length()]
        if pick < 0.70:
            return ["mincore", self.address() & -PAGE, self.length()]
        if pick < 0.73:
            return ["msync", self.address(), self.length(), rng.choice([0, 1, 2, 4, 5, 6, 8])]
        if pick < 0.88:
            return ["write", ARENA + rng.randrange(PAGES) * PAGE, rng.randrange(1, 256)]
        if pick < 0.94:
            return ["read", ARENA + rng.randrange(PAGES) * PAGE]
        if pick < 0.97:
            return ["pwrite", rng.randrange(7) * PAGE, rng.randrange(1, 256)]
        return ["ftruncate", rng.choice([0, PAGE, 3 * PAGE, 3 * PAGE + 8, 6 * PAGE])]

    def heap_step(self) -> Step:
        rng = self.rng
        at, n = rng.randrange(12) * PAGE, rng.randrange(1, 4) * PAGE
        pick = rng.random()
        if pick < 0.6:
            return ["brk_set", rng.randrange(12) * PAGE + rng.choice([0, 0, 1, 100])]
        if pick < 0.7:
            return ["munmap", at, n]
        if pick < 0.8:
            return ["mprotect", at, n, rng.choice([1, 3])]
        if pick < 0.9:
            flags = mman.MAP_PRIVATE | mman.MAP_FIXED | mman.MAP_ANONYMOUS
            return ["mmap", at + 6 * PAGE, n, rng.choice([1, 3]), flags, 0]
        return ["write", at, rng.randrange(1, 256)]


# -- comparison ---------------------------------------------------------------------------------------------------


def native(arena: int, sequences: list[list[Step]]) -> list[Any]:
    """The report of mm_host_native.py."""
    job = json.dumps({"arena": arena, "pages": PAGES, "sequences": sequences})
    script = Path(__file__).with_name("mm_host_native.py")
    # The heap test moves the break of libc's own heap: give malloc room, so that it leaves the break alone.
    env = {"MALLOC_TOP_PAD_": str(256 << 20), "MALLOC_TRIM_THRESHOLD_": str(1 << 40)}
    command = [sys.executable, "-I", script]
    done = subprocess.run(command, input=job, capture_output=True, text=True, env=env, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def by_page(areas: list[Step]) -> dict[int, tuple[Any, ...]]:
    """What each page is, whatever the areas."""
    pages: dict[int, tuple[Any, ...]] = {}
    for start, end, rights, backing, index in areas:
        for i in range((end - start) // PAGE):
            pages[start + i * PAGE] = (rights, backing, index + i if backing else 0)
    return pages


def compare_areas(ours: list[Step], theirs: list[Step], story: str, heap: bool = False) -> None:
    """The same pages, and the same boundaries but for private areas that only Linux has reasons to keep apart."""
    pages = by_page(ours)
    assert pages == by_page(theirs), story
    if heap:
        return
    cuts, linux_cuts = ({area[0] for area in areas} for areas in (ours, theirs))
    assert cuts <= linux_cuts, f"{story}: Linux merges at {[hex(a) for a in cuts - linux_cuts]}"
    for cut in linux_cuts - cuts:
        assert pages[cut][0].endswith("p"), f"{story}: Linux does not merge at {cut:#x}"


def is_accepted(step: Step, ours: Any, theirs: Any) -> bool:
    """Results that differ between versions of Linux."""
    if step[0] == "mremap":
        return bool(step[4] & mman.MREMAP_FIXED) and ours == -EFAULT != theirs
    return step[0] == "madvise" and step[3] == mman.MADV_REMOVE and (ours, theirs) == (0, -EACCES)


def compare(sequence: list[Step], ours: Ours, theirs: Any) -> bool:
    """Run one sequence here and compare; False if it ended at an accepted difference."""
    for i, (step, (result, areas)) in enumerate(zip(sequence, theirs["steps"], strict=True)):
        story = "\n".join(str([hex(x) if isinstance(x, int) else x for x in s]) for s in sequence[: i + 1])
        mine = ours.run(*step)
        if is_accepted(step, mine, result):
            return False
        assert mine == result, f"{story}\ngives {mine} here and {result} on the host"
        compare_areas(ours.areas(), areas, story, isinstance(ours, OurHeap))
    content = [ours.run("read", page * PAGE + (0 if isinstance(ours, OurHeap) else ARENA)) for page in range(PAGES)]
    different = {n: pair for n, pair in enumerate(zip(content, theirs["content"], strict=True)) if pair[0] != pair[1]}
    assert not different, f"{story}\nthen (page: (here, host)) {different}"
    return True


def run_both(count: int, length: int, seed: int) -> Iterator[bool]:
    writer = Writer(seed)
    sequences = [[writer.mmap() for _ in range(4)] + [writer.step() for _ in range(length)] for _ in range(count)]
    for sequence, theirs in zip(sequences, native(ARENA, sequences), strict=True):
        yield compare(sequence, Ours(ARENA), theirs)


def test_random_sequences_do_what_the_host_kernel_does() -> None:
    """Three hundred sequences of mmap, munmap, mprotect, mremap, madvise, mlock, mincore, msync and accesses."""
    whole = list(run_both(300, 30, seed=1))
    assert sum(whole) > 200


def test_random_heaps_do_what_the_host_kernel_does() -> None:
    """brk up and down, with holes, other rights and other mappings in the way."""
    writer = Writer(2)
    sequences = [[writer.heap_step() for _ in range(25)] for _ in range(100)]
    for sequence, theirs in zip(sequences, native(0, sequences), strict=True):
        assert compare(sequence, OurHeap(), theirs)


def test_the_comparison_notices_rights() -> None:
    """A map that differs in one right is told apart (a check of the check)."""
    with pytest.raises(AssertionError):
        compare_areas([[0, PAGE, "rw-p", "", 0]], [[0, PAGE, "r--p", "", 0]], "")
    assert VM_ACCESS == 7
