"""Random scripts for fork_probe.asm, each with the log that must come of it.

The same calls are made to the memory core of the model tests while the script is written: the model says what each
access answers and what each page shows, and the core's own results are those of the system calls.
"""

import random
import struct
from typing import Any

from mm_helpers import PAGE
from mm_processes import Processes
from mm_space import EDGE, TOP, Space

from mini_kernel.mm.vma import VM_ACCESS, VM_SHARED
from mini_kernel.uapi import mman, numbers
from mini_kernel.uapi.errno import EFAULT
from mini_kernel.uapi.signal import BUS_ADRERR, SEGV_ACCERR, SEGV_MAPERR, SIGBUS, SIGSEGV

CALL, FORK, PROBE, STORE, KERNEL_WRITE, KERNEL_READ, PIN, DMA, WORD, LEAVE, REPORT = range(11)
SCRATCH = 0x10000000 + 64  # as in fork_probe.asm
STEPS_AT = 0x1000  # bytes behind the start of the script
FILE = 5  # the descriptor of the file
#: What is probed: both sides of two boundaries between PTE tables, and where regions come to lie.
PAGES = (*range(EDGE - 4, EDGE + 4), *range(EDGE + 509, EDGE + 514), *range(TOP - 4, TOP))
FORKS = {"classic": (numbers.SYS_fork,), "odf": (numbers.SYS_fork,), "mixed": (numbers.SYS_fork, numbers.SYS_odfork)}
NAMES = {number: name for name, number in vars(numbers).items() if name.startswith("SYS_")}
PROTS = (3, 3, 1, 0)
ADVICE = (
    *(mman.MADV_DONTNEED, mman.MADV_DONTNEED, mman.MADV_FREE, mman.MADV_REMOVE),
    *(mman.MADV_DONTFORK, mman.MADV_DOFORK, mman.MADV_WIPEONFORK, mman.MADV_KEEPONFORK),
)


class Recorder(Processes):
    """The model, which remembers how the last call of the core ended. The TLB is the real CPU's affair here."""

    result = 0

    def fill_tlb(self) -> None:
        pass

    def expect(self, errno: int, call: Any, *args: Any, **kwargs: Any) -> Any:
        result: list[int] = []

        def noted() -> Any:
            value = call(*args, **kwargs)
            result.append(value if isinstance(value, int) else 0)
            return value

        noted.__name__ = call.__name__
        try:
            return super().expect(errno, noted)
        finally:
            self.result = result[0] if result else -errno


class Script:
    """A script in the making. `policies` says how plain forks are done in the core, and so in the guest."""

    def __init__(self, seed: int, policies: str, steps: int = 40) -> None:
        self.random = random.Random(seed)
        self.calls = FORKS[policies]
        self.plain = "odf" if policies == "odf" else "classic"
        self.world = Recorder(files=1)
        self.who: dict[int, Space] = {0: self.world.spaces[0]}
        self.pinner: int | None = None
        self.words: list[int] = []
        self.log: list[tuple[str, int]] = []  # what each word of the log is, and its value
        self._begin()
        for _ in range(steps):
            self._step()
            self._look()
        *others, last = self.random.sample(sorted(self.who), len(self.who))
        for who in others:
            self._command(who, LEAVE)
        self._command(last, REPORT)

    def data(self) -> bytes:
        """The script as the guest reads it."""
        head = struct.pack(f"<{len(PAGES) + 1}Q", len(PAGES), *(n * PAGE for n in PAGES))
        return head.ljust(STEPS_AT, b"\0") + b"".join(struct.pack("<Q", word & 2**64 - 1) for word in self.words)

    # -- writing ------------------------------------------------------------------------------------

    def _command(self, who: int, what: int, *operands: int) -> None:
        self.words += [who, what, *operands, *(0,) * (8 - len(operands))]

    def _expect(self, what: str, value: int) -> None:
        self.log.append((f"{len(self.words) // 10 - 1}: {what}", value & 2**64 - 1))

    def _call(self, who: int, number: int, *arguments: int) -> None:
        """A system call that the core has just carried out."""
        self._command(who, CALL, number, *arguments)
        self._expect(f"{who} calls {NAMES[number]}{[hex(a) for a in arguments]}", self.world.result)

    def _begin(self) -> None:
        """Something in each of the two tables, all of it there."""
        for at, n in ((EDGE - 4, 7), (EDGE + 509, 5)):
            self._mmap(0, at, n, 3, mman.MAP_PRIVATE | mman.MAP_FIXED)
        for n in PAGES[:12]:
            self._store(0, n)

    def _look(self) -> None:
        """All read their pages, the one who acted last first, before the CPU gets another address space."""
        if self.random.random() < 0.7:
            last = self.words[-10]
            for who in sorted(self.who, key=lambda w: (w != last, w)):
                self._probe(who)

    def _shows(self, who: int, n: int) -> int:
        """What a read of the first byte gives: the byte, or the signal."""
        page = self.who[who].pages.get(n)
        if page is None:
            return _signal((SIGSEGV, SEGV_MAPERR))
        if not page.flags & VM_ACCESS:
            return _signal((SIGSEGV, SEGV_ACCERR))
        if page.store is not None and page.private is None and page.index >= page.store.pages():
            return _signal((SIGBUS, BUS_ADRERR))
        if page.flags & VM_SHARED and page.store is not None:
            self.world.touch(self.who[who], n, "r")
        return page.content()[0]

    # -- steps --------------------------------------------------------------------------------------

    def _step(self) -> None:
        choice = self.random.choice
        who = choice(sorted(self.who))
        at, n = choice(PAGES[:13]), choice((1, 1, 2, 3))
        if choice((True, False, False)):
            at = choice(sorted(self.who[who].pages) or [at])
        verbs = {
            self._store: 5, self._kernel_write: 2, self._kernel_read: 1, self._unmap: 2, self._protect: 3,
            self._advise: 3, self._map: 3, self._move: 2, self._fork: 4, self._sfork: 1, self._region: 1,
            self._leave: 1, self._pin: 1, self._dma: 1, self._file: 1,
        }  # fmt: skip
        verb = self.random.choices(list(verbs), list(verbs.values()))[0]
        verb(who, at, n)
        if who in self.who and choice((True, False)):
            self._store(who, choice(PAGES))

    def _store(self, who: int, at: int, _n: int = 1) -> None:
        value = self.random.randrange(1, 256)
        answer = self.world._access(self.who[who], at, "w")
        self.world.touch(self.who[who], at, "w", value)
        self._command(who, STORE, at * PAGE, value)
        self._expect(f"{who} stores {value} at page {at:#x}", _signal(answer) if answer else 0)

    def _probe(self, who: int) -> None:
        self._command(who, PROBE)
        for n in PAGES:
            self._expect(f"{who} reads page {n:#x}", self._shows(who, n))

    def _kernel_write(self, who: int, at: int, _n: int) -> None:
        if self.random.random() < 0.5:
            self._probe(who)  # so that the CPU has translations which the kernel's write may outdate
        value = self.random.randrange(1, 256)
        answer = self.world._access(self.who[who], at, "w")
        self.world.touch(self.who[who], at, "w", value)
        self._command(who, KERNEL_WRITE, at * PAGE, value)
        self._expect(f"the kernel stores {value} at page {at:#x} for {who}", -EFAULT if answer else 1)

    def _kernel_read(self, who: int, at: int, _n: int) -> None:
        shown = self._shows(who, at)
        self._command(who, KERNEL_READ, at * PAGE)
        self._expect(f"the kernel reads page {at:#x} for {who}", -EFAULT if shown > 255 else shown)

    def _mmap(self, who: int, at: int, n: int, prot: int, flags: int, offset: int | None = None) -> None:
        self.world.mmap(self.who[who], at, n, prot, flags, None if offset is None else 0, offset or 0)
        flags |= mman.MAP_ANONYMOUS if offset is None else 0
        fd = FILE if offset is not None else -1
        self._call(who, numbers.SYS_mmap, at * PAGE, n * PAGE, prot, flags, fd, (offset or 0) * PAGE)

    def _map(self, who: int, at: int, n: int) -> None:
        choice = self.random.choice
        flags = mman.MAP_FIXED | choice((mman.MAP_PRIVATE, mman.MAP_SHARED)) | choice((0, mman.MAP_POPULATE))
        self._mmap(who, at, n, choice(PROTS), flags, choice((None, None, 0, 2)))

    def _region(self, who: int, at: int, n: int) -> None:
        populate = self.random.choice((0, mman.MAP_POPULATE))
        self._mmap(who, at, n, 3, mman.MAP_SFORK | mman.MAP_FIXED | populate)

    def _unmap(self, who: int, at: int, n: int) -> None:
        n = self.random.choice((n, n, 516))
        self.world.munmap(self.who[who], at, n)
        self._call(who, numbers.SYS_munmap, at * PAGE, n * PAGE)

    def _protect(self, who: int, at: int, n: int) -> None:
        prot = self.random.choice(PROTS)
        self.world.mprotect(self.who[who], at, n, prot)
        self._call(who, numbers.SYS_mprotect, at * PAGE, n * PAGE, prot)

    def _advise(self, who: int, at: int, n: int) -> None:
        advice = self.random.choice(ADVICE)
        self.world.madvise(self.who[who], at, n, advice)
        self._call(who, numbers.SYS_madvise, at * PAGE, n * PAGE, advice)

    def _move(self, who: int, at: int, n: int) -> None:
        flags, new = self.random.choice((3, 3, 7)), self.random.choice(PAGES[:13])
        self.world.mremap(self.who[who], at, n, n, flags, new)
        self._call(who, numbers.SYS_mremap, at * PAGE, n * PAGE, n * PAGE, flags, new * PAGE)

    def _file(self, who: int, at: int, n: int) -> None:
        size = self.random.randrange(7) * PAGE
        self.world.truncate(0, size)
        self.world.result = 0
        self._call(who, numbers.SYS_ftruncate, FILE, size)

    # -- processes ----------------------------------------------------------------------------------

    def _fork(self, who: int, _at: int, _n: int) -> None:
        if len(self.who) < 3:
            number = self.random.choice(self.calls)
            self.world.fork(self.who[who], "odf" if number == numbers.SYS_odfork else self.plain)
            self._forked(who, number)

    def _forked(self, who: int, number: int, *arguments: int) -> None:
        child = min({0, 1, 2} - set(self.who))
        self.who[child] = self.world.spaces[-1]
        self._command(who, FORK, number, *arguments, *(0,) * (6 - len(arguments)), child)
        self._expect(f"{who} forks {child}", 1)

    def _sfork(self, who: int, _at: int, _n: int) -> None:
        n, flags = self.random.choice((1, 2)), self.random.choice((1, 2, 3, 5, 6, 7))
        if len(self.who) < 3:
            place = self.who[who].highest_gap(n) * PAGE
            self.world.sfork(self.who[who], 0, n, flags, self.plain)
            self._forked(who, numbers.SYS_sfork, n * PAGE, flags, SCRATCH)
            self._command(who, WORD, SCRATCH)
            self._expect("the region's address", place)

    def _leave(self, who: int, _at: int, _n: int) -> None:
        if len(self.who) > 1:
            self.world.exit(self.who.pop(who))
            self._command(who, LEAVE)
            if who == self.pinner:
                self.pinner = None

    def _pin(self, who: int, at: int, _n: int) -> None:
        if not self.world.pins:
            self.world.pin(self.who[who], at, 1)
            self._command(who, PIN, at * PAGE, PAGE)
            self._expect(f"{who} pins page {at:#x}", 0 if self.world.pins else -EFAULT)
            self.pinner = who if self.world.pins else None

    def _dma(self, _who: int, _at: int, _n: int) -> None:
        if self.pinner is not None:
            value = self.random.randrange(1, 256)
            self.world.dma(0, 0, value)
            self._command(self.pinner, DMA, 0, value)
            self._expect(f"the device stores {value}", 1)


def _signal(answer: tuple[int, int]) -> int:
    """As the guest's handler reports it."""
    return 0x10000 | answer[0] << 8 | answer[1]
