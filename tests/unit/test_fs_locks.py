"""Advisory locks: what a comparison with the host does not show."""

import itertools
import pickle

from fs_helpers import System
from hypothesis import given, settings
from hypothesis import strategies as st

from mini_kernel.fs.locks import OFFSET_MAX, Locks, Range
from mini_kernel.task import State, Task
from mini_kernel.uapi.errno import EAGAIN, EDEADLK
from mini_kernel.uapi.fcntl import F_RDLCK, F_SETLK, F_SETLKW, F_UNLCK, F_WRLCK, O_CREAT, O_RDWR
from mini_kernel.uapi.structs import pack_flock

BYTES = 12
STEPS = st.lists(
    st.tuples(
        st.sampled_from(("one", "two")),
        st.sampled_from((F_RDLCK, F_WRLCK, F_UNLCK)),
        st.integers(0, BYTES - 1),
        st.integers(1, BYTES),
    ),
    max_size=20,
)


@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_ranges_are_what_a_table_of_bytes_says(steps: list[tuple[str, int, int, int]]) -> None:
    """Whatever is locked and unlocked: each byte is held as the last success said, in ranges that are merged."""
    locks, model = Locks(), {owner: [F_UNLCK] * BYTES for owner in ("one", "two")}
    for owner, kind, start, length in steps:
        last = min(start + length, BYTES) - 1
        wanted = Range(kind, start, last, 1)
        other = model["two" if owner == "one" else "one"][start : last + 1]
        blocked = kind != F_UNLCK and (F_WRLCK in other or (kind == F_WRLCK and F_RDLCK in other))
        assert (locks.conflict(owner, wanted) is not None) == blocked
        if not blocked:
            locks.set(owner, wanted)
            model[owner][start : last + 1] = [kind] * (last + 1 - start)
        for name, kinds in model.items():
            held = locks.ranges.get(name, [])
            assert [next((r.kind for r in held if r.start <= at <= r.last), F_UNLCK) for at in range(BYTES)] == kinds
            assert all(a.last + (a.kind == b.kind) < b.start for a, b in itertools.pairwise(held))
            assert held or name not in locks.ranges


def _lock(system: System, task: Task, command: int, kind: int, at: int) -> object:
    """F_SETLK or F_SETLKW of one byte on descriptor 3; a task that must wait does."""
    result = system.call(task, "fcntl", 3, command, pack_flock(kind, 0, at, 1, 0))
    if result == "block":
        task.state = State.WAITING
    return result


def _system(tasks: int) -> tuple[System, list[Task]]:
    """As many processes, each with the file as descriptor 3."""
    system = System()
    assert system.open(b"/file", O_RDWR | O_CREAT, 0o600) == 3
    others = [system.new_task() for _ in range(tasks - 1)]
    for other in others:
        other.files = system.task.files.copy()
    return system, [system.task, *others]


def test_a_circle_is_refused_a_chain_is_not() -> None:
    """Each of four holds its byte and waits for the next: only who would close the circle gets EDEADLK."""
    system, tasks = _system(4)
    for at, task in enumerate(tasks):
        assert _lock(system, task, F_SETLK, F_WRLCK, at) == 0
    assert _lock(system, tasks[0], F_SETLKW, F_WRLCK, 1) == "block"
    assert _lock(system, tasks[1], F_SETLKW, F_WRLCK, 2) == "block"
    assert _lock(system, tasks[2], F_SETLKW, F_RDLCK, 3) == "block"
    assert _lock(system, tasks[3], F_SETLK, F_WRLCK, 0) == -EAGAIN
    assert _lock(system, tasks[3], F_SETLKW, F_WRLCK, 0) == -EDEADLK
    tasks[0].state = State.RUNNABLE  # no longer waits, though it may ask again
    assert _lock(system, tasks[3], F_SETLKW, F_WRLCK, 0) == "block"


def test_a_circle_of_others_does_not_hang_the_search() -> None:
    """Two that wait for each other (a waiter that was woken asked again meanwhile) are not the third's deadlock."""
    system, tasks = _system(3)
    for at, task in enumerate(tasks):
        assert _lock(system, task, F_SETLK, F_WRLCK, at) == 0
    assert _lock(system, tasks[0], F_SETLKW, F_WRLCK, 1) == "block"
    tasks[0].state = State.RUNNABLE
    assert _lock(system, tasks[1], F_SETLKW, F_WRLCK, 0) == "block"
    tasks[0].state = State.WAITING
    assert _lock(system, tasks[2], F_SETLKW, F_WRLCK, 0) == "block"


def test_locks_go_with_the_last_that_could_hold_them() -> None:
    """Nothing is left on the inode when the table closes a descriptor and the open file is closed."""
    system, (task, other) = _system(2)
    inode = system.file(3).inode
    assert _lock(system, task, F_SETLK, F_WRLCK, 5) == 0
    assert system.flock(3, 2) == 0
    assert _lock(system, other, F_SETLK, F_WRLCK, 5) == -EAGAIN
    assert system.close(3) == 0
    assert _lock(system, other, F_SETLK, F_WRLCK, 5) == 0
    assert inode.locks is not None
    assert inode.locks.whole, "the open file lives on in the other table"
    other.files.put_table()
    assert inode.locks is None


def test_locks_are_in_snapshots() -> None:
    """Owners are recognised again after a restore: they are objects, not numbers."""
    locks, owner = Locks(), Locks()
    locks.set(owner, Range(F_WRLCK, 0, OFFSET_MAX, 1))
    locks.flock(owner, F_RDLCK)
    again, same = pickle.loads(pickle.dumps((locks, owner)))
    assert again.conflict(same, Range(F_WRLCK, 0, 0, 1)) is None
    assert again.conflict(owner, Range(F_WRLCK, 0, 0, 1)) is not None
    assert again.flock(same, F_WRLCK)
