"""POSIX message queues: mq_overview(7) (Linux ipc/mqueue.c).

A queue is an inode in a directory of its own, and a message queue descriptor an open file of it. The message with the
highest priority is received first, of those the oldest.
"""

from bisect import insort
from typing import TYPE_CHECKING, Final, NamedTuple, cast

from mini_kernel.errors import SysError
from mini_kernel.fs.file import READABLE, WRITABLE, File, Views
from mini_kernel.fs.inode import Inode
from mini_kernel.fs.superblock import SuperBlock
from mini_kernel.ipc.table import Sleeper
from mini_kernel.uapi.errno import EINVAL
from mini_kernel.uapi.fcntl import O_NONBLOCK
from mini_kernel.uapi.misc import MQUEUE_MAGIC
from mini_kernel.wait import WaitQueue

if TYPE_CHECKING:
    from mini_kernel.fs.path import Caller

DEFAULT_MESSAGES, DEFAULT_SIZE = 10, 8192  # /proc/sys/fs/mqueue/msg_default, msgsize_default
MAX_MESSAGES, MAX_SIZE = 10, 8192  # for those who are not root
HARD_MESSAGES, HARD_SIZE = 65536, 16 << 20
MAX_QUEUES: Final = 256
MEMORY_LIMIT: Final = 64 << 20  # bytes of all queues of a user, whatever RLIMIT_MSGQUEUE says
PRIO_MAX: Final = 32768
STATUS_SIZE: Final = 80  # st_size of a queue (Linux FILENT_SIZE)
_NODE: Final = 48  # bytes of struct msg_msg and of struct posix_msg_tree_node


class Message(NamedTuple):
    """`order` sorts: the highest priority first, then the oldest."""

    order: tuple[int, int]
    text: bytes

    @property
    def priority(self) -> int:
        """0 is the lowest."""
        return -self.order[0]


class Notification(NamedTuple):
    """What mq_notify(2) asked for: the signal, 0 for none, and who is told."""

    pid: int
    signo: int
    value: int


def cost(messages: int, size: int) -> int:
    """What a queue takes of RLIMIT_MSGQUEUE, in bytes (Linux mqueue_get_inode)."""
    return messages * _NODE + min(messages, PRIO_MAX) * _NODE + messages * size


class Mqueue(Inode):
    """A queue of up to `limit` messages of up to `message_size` bytes."""

    magic = MQUEUE_MAGIC

    def __init__(self, sb: SuperBlock, mode: int, limit: int, message_size: int) -> None:
        super().__init__(sb, mode)
        self.limit = limit
        self.message_size = message_size
        self.messages: list[Message] = []
        self.sent = 0  # ever
        self.queue = WaitQueue()  # polls and senders
        self.receivers = WaitQueue()
        self.notification: Notification | None = None

    def size(self) -> int:
        return STATUS_SIZE

    def open_data(self, flags: int, path: bytes, caller: "Caller") -> File:
        return MqueueFile(self, flags, path)

    def send(self, text: bytes, priority: int) -> Notification | None:
        """Hand a message to who waits longest, or queue it; who is to be told that a queue is not empty any more."""
        self.sent += 1
        message = Message((-priority, self.sent), text)
        if self.receivers.waiters:
            receiver = cast(Sleeper, self.receivers.waiters[0])
            receiver.restart["answer"] = message
            receiver.wake()
            return None
        insort(self.messages, message)
        self.queue.wake(READABLE)
        if len(self.messages) > 1 or self.notification is None:
            return None
        told, self.notification = self.notification, None
        return told

    def receive(self) -> Message:
        """Precondition: there is a message."""
        message = self.messages.pop(0)
        self.queue.wake(WRITABLE)
        return message

    def status(self) -> bytes:
        """What read(2) gives."""
        told = self.notification or Notification(0, 0, 0)
        held = sum(len(message.text) for message in self.messages)
        return b"QSIZE:%-10d NOTIFY:%-5d SIGNO:%-5d NOTIFY_PID:%-6d\n" % (held, 0, told.signo, told.pid)


class MqueueFile(File):
    """A message queue descriptor."""

    __slots__ = ()

    inode: Mqueue
    can_poll = True

    def readable_at(self, n: int, offset: int) -> int:
        return max(0, min(n, len(self.inode.status()) - offset))

    def read_at(self, views: Views, offset: int) -> int:
        data, done = self.inode.status()[offset:], 0
        for view in views:
            part = data[done : done + len(view)]
            view[: len(part)] = part
            done += len(part)
        return done

    def may_read(self, n: int) -> int:
        return self.readable_at(n, self.pos)

    def read_into(self, views: Views) -> int:
        done = self.read_at(views, self.pos)
        self.pos += done
        return done

    def may_write(self, n: int) -> int:
        raise SysError(EINVAL)

    def waits(self) -> bool:
        """False under O_NONBLOCK."""
        return not self.flags & O_NONBLOCK

    def poll(self) -> int:
        inode = self.inode
        return (READABLE if inode.messages else 0) | (WRITABLE if len(inode.messages) < inode.limit else 0)

    def queues(self) -> tuple[WaitQueue, ...]:
        return (self.inode.queue,)
