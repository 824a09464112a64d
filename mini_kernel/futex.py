"""Futexes: who waits on which word, who owns which lock, and what happens when a thread ends (Linux kernel/futex/).

A word that is private to an address space is named by that and its address: neither fork nor copy-on-write nor a broken
PTE table moves it. A word in a file or in shared memory is named by the page cache and its place there, whoever maps
it where. Waiters are found under that name, their key.

Invariant: a queue is in its table exactly while somebody waits on it.
Invariant: a task on a futex queue has the queue's key in `restart["futex"]`.
"""

from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, cast

from mini_kernel.errors import SysError
from mini_kernel.mm import uaccess
from mini_kernel.mm.frame import K_CACHE
from mini_kernel.mm.mm import Mm
from mini_kernel.mm.vma import VM_SHARED, VM_WRITE
from mini_kernel.uapi.errno import EDEADLK, EFAULT, EINVAL, EPERM, ESRCH
from mini_kernel.uapi.futex import FUTEX_BITSET_MATCH_ANY, FUTEX_OWNER_DIED, FUTEX_TID_MASK, FUTEX_WAITERS
from mini_kernel.wait import WaitQueue
from mini_kernel.x86 import PAGE_SHIFT, PAGE_SIZE, TASK_SIZE

if TYPE_CHECKING:
    from mini_kernel.kernel import Kernel
    from mini_kernel.task import Task

#: (PGD of the address space, address), or (page cache, offset).
Key = tuple[Any, int]

#: Who calls a word of private memory shared does not meet those who call it private (Linux FUT_OFF_MMSHARED).
_MMSHARED: Final = 2
ROBUST_LIST_LIMIT: Final = 2048  # entries that are looked at, as a list may be a ring


class FutexQueue(WaitQueue):
    """The waiters on one word, first come first served."""

    __slots__ = ("key", "owner", "table")

    def __init__(self, table: "dict[Key, FutexQueue]", key: Key, owner: "Task | None" = None) -> None:
        super().__init__()
        self.table = table
        self.key = key
        self.owner = owner  # of a lock with priority inheritance: who holds it

    @property
    def tasks(self) -> "list[Task]":
        """The waiters."""
        return cast("list[Task]", self.waiters)

    def add(self, waiter: Any) -> None:
        super().add(waiter)
        self.table[self.key] = self

    def discard(self, waiter: Any) -> None:
        super().discard(waiter)
        if not self.waiters:
            self.table.pop(self.key, None)


class Futexes:
    """All queues of one kernel: those of plain words, and those of locks with an owner (priority inheritance)."""

    def __init__(self) -> None:
        self.plain: dict[Key, FutexQueue] = {}
        self.locks: dict[Key, FutexQueue] = {}

    def queue(self, key: Key) -> FutexQueue:
        """The queue of a plain word; a new one is not in the table before somebody waits on it."""
        return self.plain.get(key) or FutexQueue(self.plain, key)

    def wake(self, key: Key, count: int, mask: int = FUTEX_BITSET_MATCH_ANY) -> int:
        """Wake up to `count` waiters, but at least one as Linux does; the number woken.

        Raises SysError(EINVAL) if the word is a lock with an owner.
        """
        if key in self.locks:
            raise SysError(EINVAL)
        queue = self.plain.get(key)
        woken = 0
        for task in list(queue.tasks) if queue else ():
            if task.restart["mask"] & mask:
                wake_waiter(task, key)
                woken += 1
                if woken >= count:
                    break
        return woken

    def requeue(self, key: Key, target: Key, wake: int, move: int) -> int:
        """Wake `wake` waiters of one word and let up to `move` others wait on another; the number of both."""
        queue = self.plain.get(key)
        if key in self.locks:
            raise SysError(EINVAL)
        tasks = list(queue.tasks) if queue else []
        for task in tasks[:wake]:
            wake_waiter(task, key)
        moving = tasks[wake : wake + move]
        if queue is not None and key != target:
            for task in moving:
                self._move(task, queue, target)
        return len(tasks[: wake + move])

    def _move(self, task: "Task", queue: FutexQueue, target: Key) -> None:
        keys: list[Key] = task.restart["futex"]
        index = keys.index(queue.key)
        queue.discard(task)
        destination = self.queue(target)
        destination.add(task)
        keys[index] = target
        task.waiting_on = tuple(destination if q is queue else q for q in task.waiting_on)


def wake_waiter(task: "Task", key: Key) -> None:
    """End a wait as a success; the call reports which of its words it was."""
    task.restart["woken"] = task.restart["futex"].index(key)
    task.wake()


def key_of(mm: Mm, address: int, private: bool) -> Key:
    """The key of a word (Linux get_futex_key). Raises SysError EINVAL, EFAULT."""
    if address & 3:
        raise SysError(EINVAL)
    if address > TASK_SIZE - 4:
        raise SysError(EFAULT)
    if private:
        return mm.pt.pgd, address
    vma = mm.find(address)
    if vma is not None and vma.flags & VM_WRITE:
        uaccess.translate(mm, address, True)
        in_file = vma.flags & VM_SHARED
    else:
        frame = uaccess.translate(mm, address, False) >> PAGE_SHIFT
        in_file = mm.frames.kinds[frame] & K_CACHE
        if not in_file:
            raise SysError(EFAULT)  # private memory that nobody can change
    if vma is None or vma.file is None or not in_file:
        return mm.pt.pgd, address | _MMSHARED
    return vma.file.cache, vma.index_of(address) << PAGE_SHIFT | address & (PAGE_SIZE - 1)


# -- locks with an owner (priority inheritance; there are no priorities here, so waiters queue in order) ---------------


def lock(k: "Kernel", task: "Task", address: int, key: Key, trying: bool) -> FutexQueue | None:
    """Take a lock, or say where to wait for it (Linux futex_lock_pi_atomic); the caller fails if it is `trying`.

    Raises SysError: EDEADLK if the caller holds it or its holder waits for the caller, ESRCH if the word names nobody,
    EINVAL if word and waiters disagree.
    """
    word = uaccess.read_u32(task.mm, address)
    holder = word & FUTEX_TID_MASK
    if holder == task.tid:
        raise SysError(EDEADLK)
    queue = k.futexes.locks.get(key)
    if queue is not None:
        if queue.owner is None or holder != queue.owner.tid:
            raise SysError(EINVAL)
    elif key in k.futexes.plain:
        raise SysError(EINVAL)
    elif not holder:
        uaccess.write_u32(task.mm, address, word & FUTEX_OWNER_DIED | task.tid)
        return None
    else:
        uaccess.write_u32(task.mm, address, word | FUTEX_WAITERS)
        owner = k.tasks.get(holder)
        if owner is None:
            raise SysError(ESRCH)
        queue = FutexQueue(k.futexes.locks, key, owner)
    if not trying and _waits_for(queue.owner, task):
        raise SysError(EDEADLK)
    return queue


def _waits_for(owner: "Task | None", task: "Task") -> bool:
    """True if following who waits for whom leads from the owner of a lock to `task`."""
    while owner is not None and owner is not task:
        queue = owner.waiting_on[0] if owner.waiting_on else None
        owner = queue.owner if isinstance(queue, FutexQueue) else None
    return owner is task


def unlock(k: "Kernel", task: "Task", address: int, key: Key) -> None:
    """Give a lock up, to whoever waits first. Raises SysError EPERM, EINVAL, EFAULT."""
    if uaccess.read_u32(task.mm, address) & FUTEX_TID_MASK != task.tid:
        raise SysError(EPERM)
    queue = k.futexes.locks.get(key)
    if queue is None and key in k.futexes.plain:
        raise SysError(EINVAL)
    if queue is None:
        uaccess.write_u32(task.mm, address, 0)
    elif queue.owner is not task:
        raise SysError(EINVAL)
    else:
        _hand_over(task, address, queue, 0)


def _hand_over(task: "Task", address: int, queue: FutexQueue, died: int) -> None:
    heir = queue.tasks[0]
    uaccess.write_u32(task.mm, address, heir.tid | FUTEX_WAITERS | died)
    queue.owner = heir
    wake_waiter(heir, queue.key)


# -- the end of a thread -----------------------------------------------------------------------------------------------


def release(k: "Kernel", task: "Task") -> None:
    """A thread leaves its address space: locks it holds pass on (Linux futex_exit_release).

    Precondition: `task.mm` is still there.
    """
    if task.robust_list:
        head, task.robust_list = task.robust_list, 0
        with suppress(SysError):  # a list that cannot be read ends there
            _walk_robust_list(k, task, head)
    if k.futexes.locks:
        _release_owned(k, task)


def _release_owned(k: "Kernel", task: "Task") -> None:
    """Locks whose waiters the kernel knows: the first inherits each, and is told that the owner died."""
    for queue in [q for q in k.futexes.locks.values() if q.owner is task]:
        heir = queue.tasks[0]
        address = heir.restart["lock"]
        try:
            _hand_over(heir, address, queue, FUTEX_OWNER_DIED)
        except SysError:
            heir.wake()  # its word is gone: it finds that out itself


def _walk_robust_list(k: "Kernel", task: "Task", head: int) -> None:
    """Mark every lock of the list as left by a dead owner (Linux exit_robust_list)."""
    mm = task.mm
    entry = uaccess.read_u64(mm, head)
    offset = uaccess.read_u64(mm, head + 8)
    pending = uaccess.read_u64(mm, head + 16)
    for _ in range(ROBUST_LIST_LIMIT):
        node, inherits = entry & ~1, bool(entry & 1)
        if node == head:
            break
        try:
            following = uaccess.read_u64(mm, node)
        except SysError:
            following = 0
        if node != pending & ~1:
            _owner_died(k, task, (node + offset) & (1 << 64) - 1, inherits, False)
        if not following:
            break
        entry = following
    if pending & ~1:
        _owner_died(k, task, ((pending & ~1) + offset) & (1 << 64) - 1, bool(pending & 1), True)


def _owner_died(k: "Kernel", task: "Task", address: int, inherits: bool, pending: bool) -> None:
    """One lock of a dead thread (Linux handle_futex_death). Raises SysError if the word cannot be reached."""
    if address & 3:
        raise SysError(EINVAL)
    mm = task.mm
    word = uaccess.read_u32(mm, address)
    if pending and not inherits and not word:
        k.futexes.wake(key_of(mm, address, False), 1)  # it died between unlocking and waking
        return
    if word & FUTEX_TID_MASK != task.tid:
        return
    uaccess.write_u32(mm, address, word & FUTEX_WAITERS | FUTEX_OWNER_DIED)
    if not inherits and word & FUTEX_WAITERS:
        k.futexes.wake(key_of(mm, address, False), 1)
