"""System V semaphores: sets of counters, changed several at a time or not at all (semop(2); Linux ipc/sem.c).

A call that waits leaves what it wants in its task's `restart`. Whoever changes a set tries the waiting calls in the
order they came and carries out those that can go on, before anybody else sees the new values: a waiter is not
overtaken by the next call of the task that woke it.

Invariant: every value is between 0 and SEMVMX.
"""

from array import array
from typing import Final, NamedTuple, cast

from mini_kernel.errors import SysError
from mini_kernel.fs.path import FsContext
from mini_kernel.fs.superblock import Clock
from mini_kernel.ipc.table import IpcObject, IpcTable, Running, Sleeper
from mini_kernel.uapi.errno import EAGAIN, EIDRM, EINVAL, ENOSPC, ERANGE
from mini_kernel.uapi.ipc import (
    IPC_NOWAIT,
    SEM_UNDO,
    SEMAEM,
    SEMMNI,
    SEMMSL,
    SEMVMX,
    pack_semid_ds,
)
from mini_kernel.wait import WaitQueue

MAX_SEMAPHORES: Final = 1 << 20  # in all sets together; Linux allows 1,024,000,000
_HEADING: Final = b"       key      semid perms      nsems   uid   gid  cuid  cgid      otime      ctime\n"


class Operation(NamedTuple):
    """struct sembuf."""

    number: int
    change: int
    flags: int


class Wish(NamedTuple):
    """What a sleeper wants: in `restart["wish"]`. The answer comes in `restart["answer"]`, an errno or 0."""

    operations: tuple[Operation, ...]
    blocking: Operation  # the one that cannot be done


class SemaphoreSet(IpcObject):
    """A set. `undo`: what is added back when a process ends, by process and semaphore."""

    def __init__(self, key: int, count: int, flags: int, fs: FsContext) -> None:
        super().__init__(key, flags, fs)
        self.values = array("i", bytes(4 * count))
        self.pids = array("i", bytes(4 * count))  # who changed each last
        self.otime = 0
        self.queue = WaitQueue()
        self.undo: dict[int, dict[int, int]] = {}

    def pack(self) -> bytes:
        """struct semid_ds."""
        return pack_semid_ds(self.perm(), self.otime, self.ctime, len(self.values))

    def attempt(self, operations: tuple[Operation, ...], pid: int) -> Operation | None:
        """Do all of them, or none and return the first that must wait. Raises SysError: EAGAIN, ERANGE."""
        values, undo = self.values, self.undo.get(pid, {})
        before: dict[int, int] = {}
        adjusted: dict[int, int] = {}
        try:
            for operation in operations:
                number, change, flags = operation
                value = values[number]
                result = value + change
                if value if not change else result < 0:
                    if flags & IPC_NOWAIT:
                        raise SysError(EAGAIN)
                    self._restore(before)
                    return operation
                if result > SEMVMX:
                    raise SysError(ERANGE)
                if flags & SEM_UNDO and change:
                    adjustment = adjusted.get(number, undo.get(number, 0)) - change
                    if not -SEMAEM - 1 <= adjustment <= SEMAEM:
                        raise SysError(ERANGE)
                    adjusted[number] = adjustment
                before.setdefault(number, value)
                values[number] = result
        except SysError:
            self._restore(before)
            raise
        for number, _change, _flags in operations:
            self.pids[number] = pid
        if adjusted:
            self.undo.setdefault(pid, {}).update(adjusted)
        return None

    def _restore(self, before: dict[int, int]) -> None:
        for number, value in before.items():
            self.values[number] = value

    # -- waiting ------------------------------------------------------------------------------------

    def sleepers(self) -> list[Sleeper]:
        """Tasks that wait, the first comer first."""
        return [cast(Sleeper, waiter) for waiter in self.queue.waiters]

    def grant(self, now: int) -> None:
        """The values have changed: carry out what waits for that, again after each call that changes them."""
        again = True
        while again:
            again = False
            for sleeper in self.sleepers():
                wish: Wish = sleeper.restart["wish"]
                answer = self._try(wish, sleeper)
                if answer is None:
                    continue
                sleeper.restart["answer"] = answer
                sleeper.wake()
                if not answer:
                    self.otime = now
                    again = again or any(operation.change for operation in wish.operations)
                if again:
                    break

    def _try(self, wish: Wish, sleeper: Sleeper) -> int | None:
        """0 if it could be done, an errno if it never can, None if it goes on waiting."""
        try:
            blocking = self.attempt(wish.operations, sleeper.tgid)
        except SysError as error:
            return error.errno
        if blocking is None:
            return 0
        sleeper.restart["wish"] = Wish(wish.operations, blocking)
        return None

    def waiting(self, number: int, for_zero: bool) -> int:
        """GETNCNT, GETZCNT: tasks whose call stops at this semaphore, until it grows or until it is zero."""
        wishes = [sleeper.restart["wish"].blocking for sleeper in self.sleepers()]
        return sum(blocking.number == number and (blocking.change == 0) == for_zero for blocking in wishes)


class SemaphoreTable(IpcTable[SemaphoreSet]):
    """The sets of a system."""

    def __init__(self, clock: Clock, running: Running) -> None:
        super().__init__(clock, running)
        self.used = 0  # semaphores in all sets

    def create(self, key: int, count: int, flags: int, fs: FsContext) -> SemaphoreSet:
        """A new set, all zero. Raises SysError: EINVAL, ENOSPC."""
        if not 0 < count <= SEMMSL:
            raise SysError(EINVAL)
        if self.used + count > MAX_SEMAPHORES or len(self.objects) >= SEMMNI:
            raise SysError(ENOSPC)
        new = SemaphoreSet(key, count, flags, fs)
        self.enter(new)
        self.used += count
        return new

    def remove(self, old: SemaphoreSet) -> None:
        """IPC_RMID: who waits fails with EIDRM."""
        self.forget_key(old)
        self.leave(old)
        self.used -= len(old.values)
        for sleeper in old.sleepers():
            sleeper.restart["answer"] = EIDRM
        old.queue.wake()

    def set_values(self, changed: SemaphoreSet, values: dict[int, int]) -> None:
        """SETVAL, SETALL: what processes would have undone is forgotten."""
        for number, value in values.items():
            changed.values[number] = value
            changed.pids[number] = self.pid()
            for undo in changed.undo.values():
                undo.pop(number, None)
        changed.ctime = self.now()
        changed.grant(self.now())

    def process_ended(self, pid: int) -> None:
        """SEM_UNDO: take back what the process has done (Linux exit_sem)."""
        for found in self.objects.values():
            undo = found.undo.pop(pid, None)
            if undo is None:
                continue
            for number, adjustment in undo.items():
                if adjustment:
                    found.values[number] = min(max(found.values[number] + adjustment, 0), SEMVMX)
                    found.pids[number] = pid
            found.otime = self.now()
            found.grant(self.now())

    def listing(self) -> bytes:
        """/proc/sysvipc/sem (Linux sysvipc_sem_proc_show)."""
        rows = [_HEADING]
        for _index, s in sorted(self.objects.items()):
            rows.append(
                b"%10d %10d  %4o %10d %5d %5d %5d %5d %10d %10d\n"
                % (s.signed_key, s.id, s.mode, len(s.values), s.uid, s.gid, s.cuid, s.cgid, s.otime, s.ctime)
            )
        return b"".join(rows)
