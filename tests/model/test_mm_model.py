"""Random sequences of memory operations over up to four address spaces agree with a dict of bytes (I1-I10)."""

import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from mm_helpers import PAGE
from mm_processes import PINS, Processes
from mm_space import EDGE, GUARD_PAGES, HEAP, PLACES, Space

import mini_kernel.mm.fault
import mini_kernel.mm.mm
from mini_kernel.mm.mm import THP_MODES
from mini_kernel.uapi import mman

SPACE = range(4)
AT = range(120)
COUNT = [1, 1, 1, 1, 2, 2, 2, 3, 3, 4, 5, 8, 513, 520]
FEW = range(1, 5)
PROT = [3, 3, 3, 1, 0, 2, 4, 5, 7]
MOVE = [1, 1, 1, 3, 3, 3, 5, 7, 0, 2, 4]
VALUE = range(1, 256)
FIXED = [mman.MAP_FIXED, mman.MAP_FIXED, 0, mman.MAP_FIXED_NOREPLACE]
EXTRA = [0, 0, 0, mman.MAP_POPULATE, mman.MAP_LOCKED, mman.MAP_NORESERVE]
SHARING = [mman.MAP_PRIVATE, mman.MAP_SHARED]
ADVICE = [
    mman.MADV_DONTNEED,
    mman.MADV_DONTNEED,
    mman.MADV_DONTNEED_LOCKED,
    mman.MADV_FREE,
    mman.MADV_REMOVE,
    mman.MADV_DONTFORK,
    mman.MADV_DOFORK,
    mman.MADV_WIPEONFORK,
    mman.MADV_KEEPONFORK,
    mman.MADV_POPULATE_READ,
    mman.MADV_POPULATE_WRITE,
    mman.MADV_SEQUENTIAL,
    mman.MADV_HUGEPAGE,
    mman.MADV_NOHUGEPAGE,
    mman.MADV_KEEPONEXEC,
    mman.MADV_DROPONEXEC,
]
POLICY = ["odf", "odf", "classic"]
WRITERS = [1, 2, 3, 5, 6, 7]  # sfork flags
LITTLE = range(12)  # frames left


#: Name and choice of arguments of every operation, for those who draw them by other means than Hypothesis.
OPERATIONS: list[tuple[str, dict[str, Sequence[Any]]]] = []


def operation(weight: int = 1, **choices: Sequence[Any]) -> Callable[[Any], Any]:
    """A rule whose arguments are drawn from these. Uniform histories have it `weight` times as often as others."""

    def decorate(function: Any) -> Any:
        OPERATIONS.extend([(function.__name__, choices)] * weight)
        return rule(**{name: st.sampled_from(values) for name, values in choices.items()})(function)

    return decorate


class MemoryMachine(RuleBasedStateMachine):
    """Each rule is one system call or access; `World` runs it twice and `verify` compares."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        for module in (mini_kernel.mm.mm, mini_kernel.mm.fault):
            self.patch.setattr(module, "STACK_GUARD_GAP", GUARD_PAGES * PAGE)
        self.world = Processes()
        self.good = True  # False once a check failed: then only that failure is reported

    @initialize(prot=st.sampled_from([3, 3, 1]), big=st.booleans())
    def boot(self, prot: int, big: bool) -> None:
        """Something of everything, on both sides of both boundaries."""
        s, fixed = self.space(0), mman.MAP_FIXED
        self.world.mmap(s, EDGE - 3, 515 if big else 5, 3, mman.MAP_PRIVATE | fixed)
        self.world.mmap(s, EDGE + 1, 2, prot, mman.MAP_PRIVATE | fixed, 0, 1)
        self.world.mmap(s, EDGE + 510, 3, 3, mman.MAP_SHARED | fixed)
        self.world.mmap(s, EDGE + 508, 2, 3, mman.MAP_SHARED | fixed, 0, 0)
        self.world.file_write(0, 1, 99)

    def boot_huge(self, thp: str, around: bool) -> None:
        """Huge pages: one with small pages around it in the same area, or two that have a PMD table for themselves."""
        s = self.space(0)
        s.mm.thp = thp
        first, n = (EDGE - 2, 516) if around else (EDGE, 1024)
        self.world.mmap(s, first, n, 3, mman.MAP_PRIVATE | mman.MAP_FIXED)
        for page in range(EDGE, first + n, 512):
            self.world.touch(s, page, "w", 7)
        self.world.collapse(s, EDGE, 512)

    def step_huge(self, rng: random.Random) -> str:
        """Something that takes huge pages as a whole, or one of their pages; what it was."""
        world, k = self.world, rng.randrange(4)
        s = self.space(k)
        at, n, value = rng.choice((EDGE, EDGE + 512)), rng.choice((512, 512, 1024)), rng.randrange(1, 256)
        page, prot, advice = at + rng.randrange(512), rng.choice(PROT), rng.choice(ADVICE)
        to = rng.choice((EDGE, EDGE + 512, EDGE + 1024, EDGE - 512))
        fork = rng.choice(POLICY)
        verbs: dict[str, Callable[[], Any]] = {
            "touch": lambda: world.touch(s, page, rng.choice("rww"), value),
            "write": lambda: world.write(s, page, 1, value),
            "read": lambda: world.read(s, page, 1),
            "fork": lambda: self.fork(k, fork),
            "exit": lambda: self.exit(k),
            "mprotect": lambda: world.mprotect(s, at, n, prot),
            "madvise": lambda: world.madvise(s, at, n, advice),
            "mremap": lambda: world.mremap(s, at, 512, 512, rng.choice((3, 3, 7)), to),
            "munmap": lambda: world.munmap(s, at, 512),
            "mmap": lambda: world.mmap(s, at, n, 3, mman.MAP_PRIVATE | mman.MAP_FIXED | rng.choice(EXTRA)),
            "collapse": lambda: world.collapse(s, at, n),
            "pin": lambda: world.pin(s, page, 1) if len(world.pins) < PINS else None,
            "touch_pinned": lambda: self.touch_pinned(0, value),
            "dma": lambda: world.dma(k, 0, value),
            "starved_touch": lambda: world.starved_touch(s, page, k, value),
            "starved_fork": lambda: world.starved_fork(s, fork, rng.choice(LITTLE)),
            "clear_soft_dirty": lambda: world.clear_soft_dirty(s),
        }
        often = {"touch": 5, "fork": 5, "write": 3, "exit": 2, "touch_pinned": 2}
        verb = rng.choices(list(verbs), [often.get(name, 1) for name in verbs])[0]
        verbs[verb]()
        return f"{verb}({k}, {at:#x}, {n}, {page:#x}, {prot}, {advice}, {to:#x}, {fork})"

    def space(self, k: int) -> Space:
        """The space that an operation is about to change."""
        s = self.world.spaces[k % len(self.world.spaces)]
        s.changed = True
        return s

    def at(self, s: Space, k: int) -> int:
        """A page number: one of the interesting ones, three times out of four one where something is mapped."""
        mapped = [n for n in PLACES if n in s.pages] + [v.start // PAGE for v in s.mm.vmas]
        places = mapped if k % 4 and mapped else PLACES
        return places[k // 4 % len(places)]

    @operation(k=SPACE, at=AT, n=COUNT, prot=PROT, sharing=SHARING, fixed=FIXED, extra=EXTRA)
    def mmap_anonymous(self, k: int, at: int, n: int, prot: int, sharing: int, fixed: int, extra: int) -> None:
        s = self.space(k)
        self.world.mmap(s, self.at(s, at), n, prot, sharing | fixed | extra)

    @operation(k=SPACE, at=AT, n=FEW, prot=PROT, sharing=SHARING, fixed=FIXED, extra=EXTRA, file=range(2), off=FEW)
    def mmap_file(self, k: int, at: int, n: int, prot: int, sharing: int, fixed: int, extra: int, **where: int) -> None:
        s = self.space(k)
        self.world.mmap(s, self.at(s, at), n, prot, sharing | fixed | extra, where["file"], where["off"] - 1)

    @operation(k=SPACE, n=FEW)
    def mmap_anywhere(self, k: int, n: int) -> None:
        self.world.mmap(self.space(k), 0, n, 3, mman.MAP_PRIVATE)

    @operation(k=SPACE, at=AT, n=FEW, prot=PROT, file=[None, None, None, 0], sharing=SHARING)
    def mmap_stack(self, k: int, at: int, n: int, prot: int, file: int | None, sharing: int) -> None:
        s = self.space(k)
        sharing = mman.MAP_PRIVATE if file is None and n > 1 else sharing
        self.world.mmap(s, self.at(s, at), n, prot, sharing | mman.MAP_FIXED | mman.MAP_GROWSDOWN, file)

    @operation(weight=2, k=SPACE, at=AT, n=COUNT)
    def munmap(self, k: int, at: int, n: int) -> None:
        s = self.space(k)
        self.world.munmap(s, self.at(s, at), n)

    @operation(weight=2, k=SPACE, at=AT, n=COUNT, prot=PROT)
    def mprotect(self, k: int, at: int, n: int, prot: int) -> None:
        s = self.space(k)
        self.world.mprotect(s, self.at(s, at), n, prot)

    @operation(weight=2, k=SPACE, old=AT, new=AT, old_n=range(5), new_n=COUNT, same=[False, True], flags=MOVE)
    def mremap(self, k: int, old: int, new: int, old_n: int, new_n: int, same: bool, flags: int) -> None:
        s = self.space(k)
        new_n = max(1, old_n) if same else new_n
        self.world.mremap(s, self.at(s, old), old_n, new_n, flags, self.at(s, new))

    @operation(k=SPACE, old=AT, new=AT, n=COUNT, flags=[3, 3, 5, 7])
    def mremap_big(self, k: int, old: int, new: int, n: int, flags: int) -> None:
        s = self.space(k)
        self.world.mremap(s, self.at(s, old), n, n, flags, self.at(s, new))

    @operation(weight=4, k=SPACE, at=AT, n=COUNT, advice=ADVICE)
    def madvise(self, k: int, at: int, n: int, advice: int) -> None:
        s = self.space(k)
        self.world.madvise(s, self.at(s, at), n, advice)

    @operation(k=SPACE, at=AT, n=COUNT, on_fault=[False, True])
    def mlock(self, k: int, at: int, n: int, on_fault: bool) -> None:
        s = self.space(k)
        self.world.mlock(s, self.at(s, at), n, on_fault)

    @operation(k=SPACE, at=AT, n=COUNT)
    def munlock(self, k: int, at: int, n: int) -> None:
        s = self.space(k)
        self.world.munlock(s, self.at(s, at), n)

    @operation(k=SPACE, flags=[1, 2, 3, 5, 6, 7, 0, 4])
    def mlockall(self, k: int, flags: int) -> None:
        self.world.mlockall(self.space(k), flags)

    @operation(k=SPACE)
    def munlockall(self, k: int) -> None:
        self.world.munlockall(self.space(k))

    @operation(k=SPACE, pages=range(-1, 7), rest=[0, 1, 100])
    def brk(self, k: int, pages: int, rest: int) -> None:
        self.world.brk(self.space(k), (HEAP + pages) * PAGE + rest)

    @operation(weight=3, k=SPACE, at=AT, kind="rwwx", value=VALUE)
    def touch(self, k: int, at: int, kind: str, value: int) -> None:
        s = self.space(k)
        self.world.touch(s, self.at(s, at), kind, value)

    @operation(weight=2, k=SPACE, at=AT, value=VALUE, n=FEW)
    def touch_many(self, k: int, at: int, value: int, n: int) -> None:
        s = self.space(k)
        for page in range(self.at(s, at), self.at(s, at) + n):
            self.world.touch(s, page, "w", value)

    @operation(weight=2, k=SPACE, at=AT, n=FEW, value=VALUE)
    def kernel_write(self, k: int, at: int, n: int, value: int) -> None:
        s = self.space(k)
        self.world.write(s, self.at(s, at), n, value)

    @operation(k=SPACE, at=AT, n=FEW)
    def kernel_read(self, k: int, at: int, n: int) -> None:
        s = self.space(k)
        self.world.read(s, self.at(s, at), n)

    @operation(file=range(2), index=range(8), value=VALUE)
    def file_write(self, file: int, index: int, value: int) -> None:
        self.world.file_write(file, index, value)

    @operation(file=range(2), pages=range(7), rest=[0, 0, 1, 2048])
    def truncate(self, file: int, pages: int, rest: int) -> None:
        self.world.truncate(file, pages * PAGE + rest)

    @operation(weight=4, k=SPACE, policy=POLICY)
    def fork(self, k: int, policy: str) -> None:
        if len(self.world.spaces) < 4:
            self.world.fork(self.space(k), policy)

    @operation(k=SPACE, at=[EDGE, EDGE, EDGE - 512, EDGE + 512], n=[512, 1024])
    def collapse(self, k: int, at: int, n: int) -> None:
        self.world.collapse(self.space(k), at, n)

    @operation(k=SPACE)
    def exit(self, k: int) -> None:
        if len(self.world.spaces) > 1:
            self.world.exit(self.space(k))

    @operation(weight=2, k=SPACE, at=AT, n=FEW, flags=WRITERS, policy=POLICY, anywhere=[False, False, True])
    def sfork(self, k: int, at: int, n: int, flags: int, policy: str, anywhere: bool) -> None:
        if len(self.world.spaces) < 4:
            s = self.space(k)
            self.world.sfork(s, 0 if anywhere else self.at(s, at), n, flags, policy)

    @operation(k=SPACE, at=AT, n=FEW, prot=[3, 3, 3, 1, 0, 7], populate=[0, mman.MAP_POPULATE])
    def mmap_region(self, k: int, at: int, n: int, prot: int, populate: int) -> None:
        s = self.space(k)
        self.world.mmap(s, self.at(s, at), n, prot, mman.MAP_SFORK | mman.MAP_FIXED | populate)

    @operation(k=SPACE, at=AT, n=[1, 1, 2, 5])
    def pin(self, k: int, at: int, n: int) -> None:
        s = self.space(k)
        if len(self.world.pins) < PINS:
            self.world.pin(s, self.at(s, at), n)

    @operation(k=SPACE)
    def unpin(self, k: int) -> None:
        if self.world.pins:
            self.world.unpin(k)

    @operation(k=SPACE, cell=[0, 1], value=VALUE)
    def dma(self, k: int, cell: int, value: int) -> None:
        self.world.dma(k, cell, value)

    @operation(weight=2, k=SPACE, value=VALUE)
    def touch_pinned(self, k: int, value: int) -> None:
        """The owner of a pinned page writes to it."""
        for _pfn, cells in self.world.pins[k:]:
            for s in self.world.spaces:
                n = next((n for n, page in s.pages.items() if page.private is cells), None)
                if n is not None:
                    s.changed = True
                    self.world.touch(s, n, "w", value)
                    return

    @operation(k=SPACE)
    def clear_soft_dirty(self, k: int) -> None:
        self.world.clear_soft_dirty(self.space(k))

    @operation(k=SPACE, at=AT, frames=range(3), value=VALUE)
    def starved_touch(self, k: int, at: int, frames: int, value: int) -> None:
        s = self.space(k)
        self.world.starved_touch(s, self.at(s, at), frames, value)

    @operation(k=SPACE, policy=POLICY, frames=LITTLE)
    def starved_fork(self, k: int, policy: str, frames: int) -> None:
        self.world.starved_fork(self.space(k), policy, frames)

    @operation(k=SPACE, at=AT, n=FEW, flags=WRITERS, policy=POLICY, frames=LITTLE)
    def starved_sfork(self, k: int, at: int, n: int, flags: int, policy: str, frames: int) -> None:
        s = self.space(k)
        self.world.starved_sfork(s, self.at(s, at), n, flags, policy, frames)

    @operation(k=SPACE, at=AT, n=COUNT, frames=range(3))
    def starved_unmap(self, k: int, at: int, n: int, frames: int) -> None:
        s = self.space(k)
        self.world.starved_unmap(s, self.at(s, at), n, frames)

    @operation(k=SPACE, at=AT, n=COUNT, prot=PROT, frames=range(3))
    def starved_mprotect(self, k: int, at: int, n: int, prot: int, frames: int) -> None:
        s = self.space(k)
        self.world.starved_mprotect(s, self.at(s, at), n, prot, frames)

    @operation(file=range(2), pages=range(7), frames=range(3))
    def starved_truncate(self, file: int, pages: int, frames: int) -> None:
        self.world.starved_truncate(file, pages * PAGE, frames)

    def check_invariants(self, *args: Any, **kwargs: Any) -> None:
        """Called by Hypothesis after every rule."""
        self.good = False
        self.world.verify()
        self.good = True
        super().check_invariants(*args, **kwargs)

    def teardown(self) -> None:
        try:
            if self.good:
                self.world.end()
        finally:
            self.patch.undo()


def explore(examples: int, steps: int) -> None:
    """Sequences made up, and shortened where they fail, by Hypothesis."""
    run_state_machine_as_test(
        MemoryMachine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            derandomize=True,
            phases=[Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
        ),
    )


def history(seed: int, steps: int, huge: bool = False, every: int = 1) -> None:
    """One uniformly random sequence. Hypothesis prefers small and repeated values; this meets other corners.

    Everything is compared after `every` so many steps, which is three quarters of the work, and after the last.
    """
    rng = random.Random(seed)
    machine = MemoryMachine()
    done: list[str] = []
    try:
        if huge:
            machine.boot_huge(rng.choice(THP_MODES), rng.random() < 0.5)
        else:
            machine.boot(rng.choice([3, 3, 1]), rng.random() < 0.4)
        for step in range(steps):
            if huge and (step < steps // 2 or rng.random() < 0.5):
                done.append(machine.step_huge(rng))
            else:
                name, choices = rng.choice(OPERATIONS)
                arguments = {key: rng.choice(values) for key, values in choices.items()}
                done.append(f"{name}({arguments})")
                getattr(machine, name)(**arguments)
            if step % every == every - 1 or step == steps - 1:
                machine.world.verify()
        machine.world.end()
    except Exception as error:
        raise AssertionError(f"seed {seed}: {error}; after " + "\n".join(done[-12:])) from error
    finally:
        machine.patch.undo()


def test_memory_operations_agree_with_the_model() -> None:
    """Random sequences keep every invariant and show the bytes and rights of the model."""
    explore(examples=100, steps=50)


@pytest.mark.parametrize("part", range(8))
def test_random_histories_agree_with_the_model(part: int) -> None:
    """So do uniformly random ones."""
    for seed in range(part * 60, part * 60 + 60):
        history(seed, 50, every=1 if part < 2 else 2)


@pytest.mark.parametrize("part", range(2))
def test_random_histories_with_huge_pages_agree_with_the_model(part: int) -> None:
    """Nobody can tell huge pages from small ones."""
    for seed in range(5000 + part * 60, 5060 + part * 60):
        history(seed, 50, huge=True)


@pytest.mark.full
def test_memory_operations_agree_with_the_model_for_long() -> None:
    """Longer sequences."""
    explore(examples=300, steps=50)
    explore(examples=300, steps=100)


@pytest.mark.full
@pytest.mark.parametrize("part", range(8))
def test_random_histories_agree_with_the_model_for_long(part: int) -> None:
    """Long histories."""
    for seed in range(10000 + part * 60, 10060 + part * 60):
        history(seed, 150, every=3)
    for seed in range(1000 + part * 140, 1140 + part * 140):
        history(seed, 50, every=1 if part < 2 else 2)
    for seed in range(6000 + part * 10, 6010 + part * 10):
        history(seed, 50, huge=True)
