"""Every sequence of a few operations on three pages astride a 2 MiB boundary agrees with the model.

Sequences that lead to the same state are continued once. Each is run from the start on a fresh machine, and the
invariants, the bytes and the rights are checked after its last step (its beginning was checked before).
"""

from collections.abc import Callable, Collection, Iterator
from typing import Any

import pytest
from mm_processes import Processes
from mm_space import EDGE, Space
from mm_view import View

from mini_kernel.uapi import mman

FIXED = mman.MAP_FIXED | mman.MAP_PRIVATE
Operation = Callable[[Processes, Space], None]

#: Pages EDGE-1, EDGE, EDGE+1. Each operation acts on the newest address space, but for those that name the first.
ALPHABET: dict[str, Operation] = {
    "map": lambda w, s: w.mmap(s, EDGE - 1, 3, 3, FIXED),
    "map read-only middle": lambda w, s: w.mmap(s, EDGE, 1, 1, FIXED),
    "map shared": lambda w, s: w.mmap(s, EDGE - 1, 2, 3, mman.MAP_SHARED | mman.MAP_FIXED),
    "map file": lambda w, s: w.mmap(s, EDGE, 2, 3, FIXED, 0, 1),
    "unmap low": lambda w, s: w.munmap(s, EDGE - 1, 1),
    "unmap high": lambda w, s: w.munmap(s, EDGE, 2),
    "write low": lambda w, s: w.touch(s, EDGE - 1, "w", 1),
    "write middle": lambda w, s: w.touch(s, EDGE, "w", 2),
    "write middle first": lambda w, s: w.touch(w.spaces[0], EDGE, "w", 3),
    "read middle": lambda w, s: w.touch(s, EDGE, "r"),
    "write across": lambda w, s: w.write(s, EDGE - 1, 1, 4),
    "protect": lambda w, s: w.mprotect(s, EDGE - 1, 2, 1),
    "protect none": lambda w, s: w.mprotect(s, EDGE, 1, 0),
    "allow": lambda w, s: w.mprotect(s, EDGE - 1, 3, 3),
    "move up": lambda w, s: w.mremap(s, EDGE - 1, 1, 1, 3, EDGE + 1),
    "move down": lambda w, s: w.mremap(s, EDGE, 1, 1, 3, EDGE - 1),
    "leave behind": lambda w, s: w.mremap(s, EDGE, 1, 1, 7, EDGE - 1),
    "drop": lambda w, s: w.madvise(s, EDGE - 1, 3, mman.MADV_DONTNEED),
    "hide from child": lambda w, s: w.madvise(s, EDGE, 1, mman.MADV_DONTFORK),
    "wipe in child": lambda w, s: w.madvise(s, EDGE, 1, mman.MADV_WIPEONFORK),
    "fork": lambda w, s: w.fork(s) if len(w.spaces) < 3 else None,
    "odfork": lambda w, s: w.fork(s, "odf") if len(w.spaces) < 3 else None,
    "sfork": lambda w, s: w.sfork(s, EDGE - 1, 2, mman.CHILD_WRITE, "odf") if len(w.spaces) < 3 else None,
    "sfork populated": lambda w, s: w.sfork(s, EDGE, 2, 6, "classic") if len(w.spaces) < 3 else None,
    "first exits": lambda w, s: w.exit(w.spaces[0]) if len(w.spaces) > 1 else None,
}

#: Smaller choices for longer sequences: how long, and what.
FEWER = {
    "pages": (
        6,
        *("map", "write low", "write middle", "write middle first", "read middle", "protect", "allow", "unmap high"),
        *("move up", "drop", "fork", "odfork", "first exits"),
    ),
    "regions": (
        5,
        *("map", "write low", "write middle", "write middle first", "write across", "protect", "unmap low", "move up"),
        *("drop", "hide from child", "odfork", "sfork", "sfork populated", "first exits"),
    ),
    "files": (
        5,
        *(
            "map",
            "map file",
            "map shared",
            "map read-only middle",
            "write middle",
            "write middle first",
            "write across",
        ),
        *("protect none", "allow", "leave behind", "move down", "wipe in child", "odfork", "fork", "first exits"),
    ),
}


def _state(world: Processes) -> Any:
    """What decides how a sequence goes on, frame numbers renamed in order of appearance."""
    names: dict[int, int] = {}
    frames, views = world.frames, [View.now(s.mm, None) for s in world.spaces]
    owners = {s.mm.pt.pgd: i for i, s in enumerate(world.spaces)}
    spaces: list[Any] = []
    for s, view in zip(world.spaces, views, strict=True):
        tables = [
            (where, names.setdefault(table, len(names)), write, frames.counts[table], owners.get(frames.owner[table]))
            for where, (table, write) in view.upper.items()
        ]
        pages = [
            (page, entry & ~0xF_FFFF_FFFF_F000, names.setdefault(pfn, len(names)), frames.counts[pfn], content)
            for page, entry, pfn, content in zip(
                view.page.tolist(), view.entry.tolist(), view.pfn.tolist(), world.contents(view.pfn), strict=True
            )
        ]
        areas = [(v.key(), len(v.file.cache.pages) if v.file else 0) for v in s.mm.vmas]
        spaces.append((tables, pages, s.mm.pt.tables, s.mm.rss, areas))
    return repr(spaces), len(world.files[0].cache.pages)


def _run(sequence: tuple[str, ...]) -> Processes:
    world = Processes(mib=1, files=1)
    for name in sequence:
        ALPHABET[name](world, world.spaces[-1])
    return world


def _sequences(depth: int, names: Collection[str]) -> Iterator[tuple[tuple[str, ...], Processes]]:
    """All sequences up to `depth`, continuing one of those that reach the same state."""
    seen = {_state(_run(()))}
    level: list[tuple[str, ...]] = [()]
    for _ in range(depth):
        following: list[tuple[str, ...]] = []
        for start in level:
            for name in names:
                sequence = (*start, name)
                world = _run(sequence)
                yield sequence, world
                state = _state(world)
                if state not in seen:
                    seen.add(state)
                    following.append(sequence)
        level = following


def explore(depth: int, names: Collection[str] = tuple(ALPHABET)) -> int:
    """Check all sequences of these operations; their number."""
    n = 0
    for sequence, world in _sequences(depth, names):
        try:
            world.verify()
        except Exception as error:
            raise AssertionError(f"after {' / '.join(sequence)}: {error}") from error
        n += 1
        if n % 7 == 0:
            world.end()
    return n


def test_every_sequence_of_four_operations_agrees_with_the_model() -> None:
    """Up to four steps from an empty address space."""
    assert explore(4) > 10000


@pytest.mark.full
@pytest.mark.parametrize("choice", FEWER)
def test_every_longer_sequence_of_fewer_operations_agrees_with_the_model(choice: str) -> None:
    """Up to five or six steps."""
    length, *names = FEWER[choice]
    assert explore(int(length), [str(name) for name in names]) > 10000
