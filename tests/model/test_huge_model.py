"""Random histories of memory with huge pages, against the model of huge_world.py."""

import random
from collections.abc import Callable
from typing import Any

import pytest
from huge_world import BOUNDS, CELLS, Space, World

from mini_kernel.uapi import mman

ADVICE = [
    mman.MADV_DONTNEED, mman.MADV_DONTNEED, mman.MADV_FREE, mman.MADV_COLLAPSE, mman.MADV_COLLAPSE, mman.MADV_HUGEPAGE,
    mman.MADV_NOHUGEPAGE, mman.MADV_DONTFORK, mman.MADV_DOFORK, mman.MADV_WIPEONFORK, mman.MADV_KEEPONFORK,
]  # fmt: skip
WHOLE = [page for page in BOUNDS if page % 512 == 0]


def _range(rng: random.Random) -> tuple[int, int]:
    """Two bounds, mostly of whole ranges of 2 MiB."""
    first, last = sorted(rng.sample(WHOLE if rng.random() < 0.6 else BOUNDS, 2))
    return first, last


def _map(rng: random.Random, world: World, s: Space) -> None:
    shared = rng.random() < 0.25
    world.map(s, *_range(rng), rng.random() < 0.4, shared, rng.choice([3, 3, 3, 1]), rng.random() < 0.2)


def _write(rng: random.Random, world: World, s: Space) -> None:
    for _ in range(rng.choice([1, 1, 6])):
        page = rng.choice(list(s.cells) or CELLS) if rng.random() < 0.9 else rng.choice(CELLS)
        world.write(s, page, rng.randrange(256), rng.random() < 0.3)


OPERATIONS: list[Callable[[random.Random, World, Space], Any]] = [
    _map, _map, _write, _write, _write, _write,
    lambda rng, world, s: world.unmap(s, *_range(rng)),
    lambda rng, world, s: world.protect(s, *_range(rng), rng.choice([0, 1, 3, 3])),
    lambda rng, world, s: world.advise(s, *_range(rng), rng.choice(ADVICE)),
    lambda rng, world, s: world.advise(s, *_range(rng), rng.choice(ADVICE)),
    lambda rng, world, s: world.move(s, *_range(rng), rng.choice([-2, -1, 1, 2, 3])),
    lambda rng, world, s: world.read(s, rng.choice(CELLS)),
    lambda rng, world, s: world.fork(s, rng.choice(["classic", "odf", "odf"])),
    lambda rng, world, s: world.fork(s, rng.choice(["classic", "odf", "odf"])),
    lambda rng, world, s: world.exit(s),
    lambda rng, world, s: world.pin(s, rng.choice(CELLS)),
    lambda rng, world, s: world.unpin(s),
    lambda rng, world, s: world.clear_soft_dirty(s),
]  # fmt: skip


def _history(seed: int, steps: int) -> None:
    rng = random.Random(seed)
    world = World(rng.choice(["always", "always", "madvise", "never"]))
    done = 0
    try:
        world.map(world.spaces[0], WHOLE[0], WHOLE[-1], rng.random() < 0.3, False, 3, rng.random() < 0.5)
        for _ in range(steps):
            done += 1
            rng.choice(OPERATIONS)(rng, world, rng.choice(world.spaces))
            world.verify()
        world.end()
    except Exception as error:
        raise AssertionError(f"seed {seed}, step {done}: {type(error).__name__}: {error}") from error


def test_histories_with_huge_pages_agree_with_the_model() -> None:
    """Bytes, rights, counts, what a TLB may still hold, and at the end every frame free."""
    for seed in range(60):
        _history(seed, 60)


@pytest.mark.full
def test_histories_with_huge_pages_agree_with_the_model_for_long() -> None:
    """The same, longer and more of them."""
    for seed in range(1000, 1200):
        _history(seed, 150)
