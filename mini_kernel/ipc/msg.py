"""System V message queues (msgop(2); Linux ipc/msg.c).

A sender hands its message to the first waiting receiver that wants it; only what nobody waits for is queued.
"""

from collections import deque
from typing import Final, NamedTuple, cast

from mini_kernel.errors import SysError
from mini_kernel.fs.path import FsContext
from mini_kernel.fs.superblock import Clock
from mini_kernel.ipc.table import IpcObject, IpcTable, Running, Sleeper
from mini_kernel.uapi.errno import E2BIG, EIDRM, ENOMEM, ENOSPC
from mini_kernel.uapi.ipc import MSG_EXCEPT, MSG_NOERROR, MSGMNB, MSGMNI, pack_msqid_ds
from mini_kernel.wait import WaitQueue

MEMORY_LIMIT: Final = 64 << 20  # bytes of all messages together, with their heads
_HEAD: Final = 256  # bytes that a message takes beside its text
_LONG_MIN: Final = -(1 << 63)
_HEADING: Final = (
    b"       key      msqid perms      cbytes       qnum lspid lrpid   uid   gid  cuid  cgid      stime      rtime"
    b"      ctime\n"
)


class Message(NamedTuple):
    """A type and a text."""

    type: int
    text: bytes


class Wish(NamedTuple):
    """What a receiver wants: in `restart["wish"]`. The answer comes in `restart["answer"]`, a Message or an errno."""

    type: int
    flags: int
    room: int

    def matches(self, message: Message) -> bool:
        """True if the type is one that is asked for."""
        if self.type > 0:
            return (message.type != self.type) if self.flags & MSG_EXCEPT else message.type == self.type
        return self.type == 0 or message.type <= -self.type or self.type == _LONG_MIN

    def fits(self, message: Message) -> bool:
        """True if it can be delivered, cut off if need be."""
        return len(message.text) <= self.room or bool(self.flags & MSG_NOERROR)


class MessageQueue(IpcObject):
    """A queue. `limit`: bytes it may hold, msg_qbytes."""

    def __init__(self, key: int, flags: int, fs: FsContext) -> None:
        super().__init__(key, flags, fs)
        self.messages: deque[Message] = deque()
        self.size = 0  # bytes of text
        self.limit = MSGMNB
        self.stime = self.rtime = 0
        self.lspid = self.lrpid = 0
        self.receivers = WaitQueue()
        self.senders = WaitQueue()

    def pack(self) -> bytes:
        """struct msqid_ds."""
        times = self.stime, self.rtime, self.ctime
        return pack_msqid_ds(self.perm(), times, self.size, len(self.messages), self.limit, self.lspid, self.lrpid)

    def has_room(self, n: int) -> bool:
        """True if `n` more bytes may be queued."""
        return self.size + n <= self.limit and len(self.messages) < self.limit

    def search(self, wish: Wish) -> Message | None:
        """The message to deliver: the first that matches, of those up to a type the one with the lowest."""
        found: Message | None = None
        for message in self.messages:
            if not wish.matches(message):
                continue
            if wish.type >= 0:
                return message
            if found is None or message.type < found.type:
                found = message
        return found

    def hand_over(self, message: Message, now: int) -> bool:
        """Give it to a receiver that waits. One that has too little room fails with E2BIG and does not count."""
        for waiter in list(self.receivers.waiters):
            receiver = cast(Sleeper, waiter)
            wish: Wish = receiver.restart["wish"]
            if not wish.matches(message):
                continue
            fits = wish.fits(message)
            receiver.restart["answer"] = message if fits else E2BIG
            receiver.wake()
            if fits:
                self.lrpid, self.rtime = receiver.tgid, now
                return True
        return False


class MessageTable(IpcTable[MessageQueue]):
    """The queues of a system. `held`: bytes of all messages, with their heads."""

    def __init__(self, clock: Clock, running: Running) -> None:
        super().__init__(clock, running)
        self.held = 0

    def create(self, key: int, flags: int, fs: FsContext) -> MessageQueue:
        """A new queue. Raises SysError(ENOSPC)."""
        if len(self.objects) >= MSGMNI:
            raise SysError(ENOSPC)
        new = MessageQueue(key, flags, fs)
        self.enter(new)
        return new

    def remove(self, old: MessageQueue) -> None:
        """IPC_RMID: who waits fails with EIDRM."""
        self.forget_key(old)
        self.leave(old)
        for message in old.messages:
            self.held -= _HEAD + len(message.text)
        for waiter in (*old.receivers.waiters, *old.senders.waiters):
            cast(Sleeper, waiter).restart["answer"] = EIDRM
        old.receivers.wake()
        old.senders.wake()

    def send(self, queue: MessageQueue, message: Message) -> None:
        """Deliver or queue. Precondition: there is room. Raises SysError(ENOMEM)."""
        if self.held > MEMORY_LIMIT:
            raise SysError(ENOMEM)
        queue.lspid, queue.stime = self.pid(), self.now()
        if not queue.hand_over(message, self.now()):
            queue.messages.append(message)
            queue.size += len(message.text)
            self.held += _HEAD + len(message.text)

    def take(self, queue: MessageQueue, message: Message) -> None:
        """A queued message was received."""
        for index, queued in enumerate(queue.messages):
            if queued is message:
                del queue.messages[index]
                break
        queue.size -= len(message.text)
        self.held -= _HEAD + len(message.text)
        queue.lrpid, queue.rtime = self.pid(), self.now()
        queue.senders.wake()

    def listing(self) -> bytes:
        """/proc/sysvipc/msg (Linux sysvipc_msg_proc_show)."""
        rows = [_HEADING]
        for _index, q in sorted(self.objects.items()):
            rows.append(
                b"%10d %10d  %4o  %10d %10d %5d %5d %5d %5d %5d %5d %10d %10d %10d\n"
                % (
                    q.signed_key, q.id, q.mode, q.size, len(q.messages), q.lspid, q.lrpid, q.uid, q.gid, q.cuid,
                    q.cgid, q.stime, q.rtime, q.ctime,
                )
            )  # fmt: skip
        return b"".join(rows)
