"""Short histories for corners that random ones seldom reach; the model and the invariants judge each step."""

from collections.abc import Callable

import pytest
from mm_processes import POLICIES, Processes
from mm_space import EDGE

from mini_kernel.uapi import mman

FIXED = mman.MAP_FIXED | mman.MAP_PRIVATE
Step = Callable[[Processes], None]


def world_with_pages(n: int = 4) -> Processes:
    """One process with `n` pages written from EDGE on."""
    world = Processes(mib=4)
    world.mmap(world.spaces[0], EDGE, n, 3, FIXED)
    for page in range(EDGE, EDGE + n):
        world.touch(world.spaces[0], page, "w", page & 255)
    world.verify()
    return world


def run(world: Processes, *steps: Step) -> None:
    for step in steps:
        step(world)
        for s in world.spaces:
            s.changed = True
        world.verify()
    world.end()


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("loss", ["mprotect", "free"])
def test_a_pinned_page_whose_pte_lost_w_is_written_in_place(loss: str, policy: str) -> None:
    """The pin is no sharer: the pinner goes on with the frame, before and after a fork (F92)."""
    world = world_with_pages()
    s = world.spaces[0]

    def lose(_w: Processes) -> None:
        if loss == "free":
            world.madvise(s, EDGE, 1, mman.MADV_FREE)
        else:
            world.mprotect(s, EDGE, 1, 1)
            world.mprotect(s, EDGE, 1, 3)

    def write(_w: Processes) -> None:
        world.touch(s, EDGE, "w", 99)
        world.dma(0, 1, 98)

    run(world, lambda w: w.pin(s, EDGE, 1), lose, write, lambda w: w.fork(s, policy), lose, write)


@pytest.mark.parametrize("frames", range(14))
@pytest.mark.parametrize("flags", [mman.CHILD_WRITE, mman.PARENT_WRITE, mman.CHILD_WRITE | mman.SFORK_POPULATE])
@pytest.mark.parametrize("policy", POLICIES)
def test_sfork_beside_shared_pages_with_little_memory(policy: str, flags: int, frames: int) -> None:
    """The region's table is shared with an earlier child, so even its rights cost a table: all or nothing (S18)."""
    world = world_with_pages()
    s = world.spaces[0]
    run(
        world,
        lambda w: w.fork(s, "odf"),
        lambda w: w.starved_sfork(s, EDGE + 8, 2, flags, policy, frames),
        lambda w: w.touch(w.spaces[1], EDGE, "w", 7),
    )


@pytest.mark.parametrize("second", POLICIES)
@pytest.mark.parametrize("first", POLICIES)
def test_grandchildren_of_every_kind_stay_apart(first: str, second: str) -> None:
    """Three generations write the same pages in every order of exits."""
    for gone in ((0, 0, 0), (0, 1, 0), (1, 0, 0), (1, 1, 0), (2, 0, 0), (2, 1, 0)):
        world = world_with_pages()
        world.fork(world.spaces[0], first)
        world.fork(world.spaces[1], second)
        for who, s in enumerate(list(world.spaces)):
            world.touch(s, EDGE + who, "w", 200 + who)
            world.verify()
        for index in gone:
            world.exit(world.spaces[index])
            world.verify()
        world.end()


@pytest.mark.parametrize("policy", POLICIES)
def test_a_pinned_page_that_moved_stays_its_owners(policy: str) -> None:
    """Its new PTE table is EXCLUSIVE as well: a child gets a copy, and the pinner sees what the parent writes (F20)."""
    world = world_with_pages()
    s = world.spaces[0]
    run(
        world,
        lambda w: w.pin(s, EDGE, 1),
        lambda w: w.mremap(s, EDGE, 1, 1, mman.MREMAP_MAYMOVE | mman.MREMAP_FIXED, EDGE + 600),
        lambda w: w.fork(s, policy),
        lambda w: w.touch(s, EDGE + 600, "w", 99),
        lambda w: w.dma(0, 1, 98),
        lambda w: w.touch(w.spaces[1], EDGE + 600, "w", 97),
    )


def test_parts_of_a_region_never_become_one_again() -> None:
    """Not even when they are alike again (S8)."""
    world = world_with_pages()
    s = world.spaces[0]
    run(
        world,
        lambda w: w.mmap(s, EDGE + 8, 4, 3, mman.MAP_SFORK | mman.MAP_FIXED),
        lambda w: w.madvise(s, EDGE + 9, 1, mman.MADV_DONTFORK),
        lambda w: w.madvise(s, EDGE + 9, 1, mman.MADV_DOFORK),
        lambda w: w.touch(s, EDGE + 10, "w", 5),
        lambda w: w.fork(s, "odf"),
    )
