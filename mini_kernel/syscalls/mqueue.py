"""POSIX message queues: mq_open(2), mq_unlink(2), mq_timedsend(2), mq_timedreceive(2), mq_notify(2)."""

import struct
from typing import TYPE_CHECKING, Final

from mini_kernel.errors import SysError
from mini_kernel.fs.inode import Inode
from mini_kernel.fs.path import MAY_READ, MAY_WRITE, require
from mini_kernel.ipc import mqueue
from mini_kernel.ipc.mqueue import Message, Mqueue, MqueueFile, Notification
from mini_kernel.mm import uaccess
from mini_kernel.syscalls.args import file_of, read_path
from mini_kernel.syscalls.poll import read_timespec
from mini_kernel.syscalls.table import syscall, u32
from mini_kernel.task import SigInfo, Task, send_to_process
from mini_kernel.uapi.errno import (
    EACCES,
    EAGAIN,
    EBADF,
    EBUSY,
    EEXIST,
    EINVAL,
    EMFILE,
    EMSGSIZE,
    ENAMETOOLONG,
    ENOENT,
    ENOSPC,
    ETIMEDOUT,
)
from mini_kernel.uapi.fcntl import NAME_MAX, O_CREAT, O_EXCL, O_NONBLOCK
from mini_kernel.uapi.numbers import (
    SYS_mq_getsetattr,
    SYS_mq_notify,
    SYS_mq_open,
    SYS_mq_timedreceive,
    SYS_mq_timedsend,
    SYS_mq_unlink,
)
from mini_kernel.uapi.resource import RLIMIT_MSGQUEUE
from mini_kernel.uapi.signal import SI_MESGQ, SIGEV_NONE, SIGEV_SIGNAL
from mini_kernel.wait import Block, WaitQueue

if TYPE_CHECKING:
    from mini_kernel.kernel import Kernel

_ATTR: Final = struct.Struct("<4q32x")  # mq_flags, mq_maxmsg, mq_msgsize, mq_curmsgs
_SIGEVENT: Final = struct.Struct("<Qii48x")  # sigev_value, sigev_signo, sigev_notify
_RLIMIT: Final = 819200  # bytes of all queues of a user
_SIGNALS: Final = 64


# -- opening --------------------------------------------------------------------------------------------


@syscall(SYS_mq_open)
def sys_mq_open(k: "Kernel", t: Task, name: int, flags: int, mode: int, attr: int) -> int:
    """mq_open(2). The C library has taken the slash off the name; the descriptor is closed by execve(2)."""
    flags = u32(flags)
    path = read_path(t, name)
    wanted = _ATTR.unpack(uaccess.read(t.mm, attr, _ATTR.size)) if attr and flags & O_CREAT else None
    queue = _find(k, path)
    t.files.free()
    if queue is None:
        if not flags & O_CREAT:
            raise SysError(ENOENT)
        queue = _create(k, t, path, u32(mode) & 0o777, wanted)
    elif flags & O_CREAT and flags & O_EXCL:
        raise SysError(EEXIST)
    else:
        _require_access(queue, t, flags)
    return t.files.install(queue.open(flags & (3 | O_NONBLOCK), b"/" + path, t), True)


def _find(k: "Kernel", path: bytes) -> Mqueue | None:
    """The queue of a name. Raises SysError: ENOENT, EACCES, ENAMETOOLONG for what is no name."""
    if not path:
        raise SysError(ENOENT)
    if b"/" in path or path in (b".", b".."):
        raise SysError(EACCES)
    if len(path) > NAME_MAX:
        raise SysError(ENAMETOOLONG)
    node = k.mqueues.nodes.get(path)
    return node if isinstance(node, Mqueue) else None


def _require_access(queue: Inode, t: Task, flags: int) -> None:
    if flags & 3 == 3:
        raise SysError(EINVAL)
    require(queue, (MAY_READ, MAY_WRITE, MAY_READ | MAY_WRITE)[flags & 3], t.fs)


def _create(k: "Kernel", t: Task, path: bytes, mode: int, wanted: tuple[int, ...] | None) -> Mqueue:
    limit, size = (wanted[1], wanted[2]) if wanted else (mqueue.DEFAULT_MESSAGES, mqueue.DEFAULT_SIZE)
    root = t.fs.uid == 0
    largest = (mqueue.HARD_MESSAGES, mqueue.HARD_SIZE) if root else (mqueue.MAX_MESSAGES, mqueue.MAX_SIZE)
    if not 0 < limit <= largest[0] or not 0 < size <= largest[1]:
        raise SysError(EINVAL)
    queues = [node for node in k.mqueues.nodes.values() if isinstance(node, Mqueue)]
    if len(queues) >= mqueue.MAX_QUEUES:
        raise SysError(ENOSPC)
    allowed = t.process.rlimits.get(RLIMIT_MSGQUEUE, (_RLIMIT, _RLIMIT))[0]
    used = sum(mqueue.cost(q.limit, q.message_size) for q in queues if q.uid == t.fs.uid)
    if used + mqueue.cost(limit, size) > min(allowed, mqueue.MEMORY_LIMIT):
        raise SysError(EMFILE)
    queue = Mqueue(k.vfs.sb, mode & ~t.fs.umask, limit, size)
    queue.uid, queue.gid = t.fs.uid, t.fs.gid
    k.mqueues.add(path, queue)
    return queue


@syscall(SYS_mq_unlink)
def sys_mq_unlink(k: "Kernel", t: Task, name: int) -> int:
    """mq_unlink(2)."""
    path = read_path(t, name)
    queue = _find(k, path)
    if queue is None:
        raise SysError(ENOENT)
    if t.fs.uid not in (0, queue.uid):
        raise SysError(EACCES)
    k.mqueues.remove(path)
    queue.unlinked()
    return 0


# -- messages -------------------------------------------------------------------------------------------


def _queue(t: Task, fd: int, writing: bool) -> MqueueFile:
    """The queue of a descriptor. Raises SysError(EBADF)."""
    file = file_of(t, fd)
    if not isinstance(file, MqueueFile) or not (file.can_write if writing else file.can_read):
        raise SysError(EBADF)
    return file


def _pause(k: "Kernel", file: MqueueFile, queue: WaitQueue, until: int | None) -> None:
    """Wait, until a point on CLOCK_REALTIME if there is one. Raises Block, or SysError: EAGAIN, ETIMEDOUT."""
    if not file.waits():
        raise SysError(EAGAIN)
    if until is None:
        raise Block(queue)
    now = k.clock.real_ns()
    if now >= until:
        raise SysError(ETIMEDOUT)
    raise Block(queue, deadline_ns=k.clock.now_ns() + until - now)


@syscall(SYS_mq_timedsend)
def sys_mq_timedsend(k: "Kernel", t: Task, fd: int, address: int, size: int, priority: int, timeout: int) -> int:
    """mq_timedsend(2)."""
    priority = u32(priority)
    if priority >= mqueue.PRIO_MAX:
        raise SysError(EINVAL)
    until = read_timespec(t, timeout)
    file = _queue(t, fd, True)
    if size > file.inode.message_size:
        raise SysError(EMSGSIZE)
    text = uaccess.read(t.mm, address, size) if size else b""
    if len(file.inode.messages) >= file.inode.limit:
        _pause(k, file, file.inode.queue, until)
    told = file.inode.send(text, priority)
    target = k.processes.get(told.pid) if told is not None else None
    if told is not None and told.signo and target is not None:
        info = SigInfo(told.signo, SI_MESGQ, t.tgid, t.fs.uid, told.value)
        send_to_process(target, info)
    return 0


@syscall(SYS_mq_timedreceive)
def sys_mq_timedreceive(k: "Kernel", t: Task, fd: int, address: int, size: int, priority: int, timeout: int) -> int:
    """mq_timedreceive(2)."""
    message: Message | None = t.restart.get("answer")
    if message is None:
        until = read_timespec(t, timeout)
        file = _queue(t, fd, False)
        if size < file.inode.message_size:
            raise SysError(EMSGSIZE)
        if not file.inode.messages:
            _pause(k, file, file.inode.receivers, until)
        message = file.inode.receive()
    if priority:
        uaccess.write_u32(t.mm, priority, message.priority)
    uaccess.write(t.mm, address, message.text)
    return len(message.text)


# -- attributes and notification ------------------------------------------------------------------------


@syscall(SYS_mq_getsetattr)
def sys_mq_getsetattr(k: "Kernel", t: Task, fd: int, new: int, old: int) -> int:
    """mq_getsetattr(2): only O_NONBLOCK can be set."""
    wanted = _ATTR.unpack(uaccess.read(t.mm, new, _ATTR.size)) if new else None
    if wanted is not None and wanted[0] & ~O_NONBLOCK:
        raise SysError(EINVAL)
    file = file_of(t, fd)
    if not isinstance(file, MqueueFile):
        raise SysError(EBADF)
    inode = file.inode
    before = _ATTR.pack(file.flags & O_NONBLOCK, inode.limit, inode.message_size, len(inode.messages))
    if wanted is not None:
        file.flags = file.flags & ~O_NONBLOCK | wanted[0]
    if old:
        uaccess.write(t.mm, old, before)
    return 0


@syscall(SYS_mq_notify)
def sys_mq_notify(k: "Kernel", t: Task, fd: int, event: int) -> int:
    """mq_notify(2), by a signal or not at all. SIGEV_THREAD, a matter between C library and kernel, is refused."""
    value, signo, how = _SIGEVENT.unpack(uaccess.read(t.mm, event, _SIGEVENT.size)) if event else (0, 0, SIGEV_NONE)
    if how not in (SIGEV_NONE, SIGEV_SIGNAL) or (how == SIGEV_SIGNAL and not 0 <= signo <= _SIGNALS):
        raise SysError(EINVAL)
    file = file_of(t, fd)
    if not isinstance(file, MqueueFile):
        raise SysError(EBADF)
    inode = file.inode
    holder = inode.notification
    if holder is not None and holder.pid not in k.processes:
        holder = inode.notification = None
    if not event:
        if holder is not None and holder.pid == t.tgid:
            inode.notification = None
        return 0
    if holder is not None:
        raise SysError(EBUSY)
    inode.notification = Notification(t.tgid, signo if how == SIGEV_SIGNAL else 0, value)
    return 0
