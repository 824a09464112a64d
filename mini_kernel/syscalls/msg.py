"""System V message queues: msgget(2), msgsnd(2), msgrcv(2), msgctl(2)."""

from typing import TYPE_CHECKING

from mini_kernel.errors import SysError
from mini_kernel.ipc.msg import Message, Wish
from mini_kernel.ipc.table import READ, WRITE
from mini_kernel.mm import uaccess
from mini_kernel.syscalls.table import s32, s64, syscall, u32
from mini_kernel.task import Task
from mini_kernel.uapi.errno import E2BIG, EAGAIN, EINVAL, ENOMSG, ENOSYS, EPERM
from mini_kernel.uapi.ipc import (
    IPC_INFO,
    IPC_NOWAIT,
    IPC_RMID,
    IPC_SET,
    IPC_STAT,
    MSG_COPY,
    MSG_INFO,
    MSG_STAT,
    MSG_STAT_ANY,
    MSGMAP,
    MSGMAX,
    MSGMNB,
    MSGPOOL,
    MSGTQL,
    MSQID_DS_SIZE,
    pack_msginfo,
    unpack_msqid_ds,
)
from mini_kernel.uapi.numbers import SYS_msgctl, SYS_msgget, SYS_msgrcv, SYS_msgsnd
from mini_kernel.wait import Block

if TYPE_CHECKING:
    from mini_kernel.kernel import Kernel


@syscall(SYS_msgget)
def sys_msgget(k: "Kernel", t: Task, key: int, flags: int) -> int:
    """msgget(2)."""
    key, flags = u32(key), u32(flags)
    found = k.msgs.named(key, flags)
    if found is None:
        return k.msgs.create(key, flags, t.fs).id
    found.require(flags, t.fs)
    return found.id


@syscall(SYS_msgsnd)
def sys_msgsnd(k: "Kernel", t: Task, ident: int, message: int, size: int, flags: int) -> int:
    """msgsnd(2)."""
    kind = s64(uaccess.read_u64(t.mm, message))
    if size > MSGMAX or s32(ident) < 0 or kind < 1:
        raise SysError(EINVAL)
    text = uaccess.read(t.mm, message + 8, size) if size else b""
    if "answer" in t.restart:
        raise SysError(t.restart["answer"])
    queue = k.msgs.find(s32(ident))
    queue.require(WRITE, t.fs)
    if not queue.has_room(size):
        if u32(flags) & IPC_NOWAIT:
            raise SysError(EAGAIN)
        raise Block(queue.senders)
    k.msgs.send(queue, Message(kind, text))
    return 0


@syscall(SYS_msgrcv)
def sys_msgrcv(k: "Kernel", t: Task, ident: int, buffer: int, size: int, kind: int, flags: int) -> int:
    """msgrcv(2). MSG_COPY is as in a kernel without checkpoint and restore."""
    answer: Message | int | None = t.restart.get("answer")
    if isinstance(answer, int):
        raise SysError(answer)
    if answer is not None:
        return _deliver(t, answer, buffer, size)
    flags = u32(flags)
    if s32(ident) < 0 or size >> 63:
        raise SysError(EINVAL)
    if flags & MSG_COPY:
        raise SysError(ENOSYS)
    queue = k.msgs.find(s32(ident))
    queue.require(READ, t.fs)
    wish = Wish(s64(kind), flags, size)
    message = queue.search(wish)
    if message is None:
        if flags & IPC_NOWAIT:
            raise SysError(ENOMSG)
        t.restart["wish"] = wish
        raise Block(queue.receivers)
    if not wish.fits(message):
        raise SysError(E2BIG)
    k.msgs.take(queue, message)
    return _deliver(t, message, buffer, size)


def _deliver(t: Task, message: Message, buffer: int, size: int) -> int:
    """Store type and text. Where that fails the message is lost, as in Linux."""
    text = message.text[:size]
    uaccess.write_u64(t.mm, buffer, message.type)
    uaccess.write(t.mm, buffer + 8, text)
    return len(text)


# -- control --------------------------------------------------------------------------------------------


@syscall(SYS_msgctl)
def sys_msgctl(k: "Kernel", t: Task, ident: int, command: int, buffer: int) -> int:
    """msgctl(2)."""
    ident, command = s32(ident), s32(command)
    if ident < 0 or command < 0:
        raise SysError(EINVAL)
    if command in (IPC_INFO, MSG_INFO):
        uaccess.write(t.mm, buffer, _limits(k, command))
        return k.msgs.highest()
    if command in (IPC_STAT, MSG_STAT, MSG_STAT_ANY):
        return _stat(k, t, ident, command, buffer)
    if command in (IPC_SET, IPC_RMID):
        return _change(k, t, ident, command, buffer)
    raise SysError(EINVAL)


def _limits(k: "Kernel", command: int) -> bytes:
    """struct msginfo: limits, or for MSG_INFO what is in use."""
    if command == IPC_INFO:
        return pack_msginfo(MSGPOOL, MSGMAP, MSGTQL)
    queues = k.msgs.objects.values()
    return pack_msginfo(len(queues), sum(len(q.messages) for q in queues), sum(q.size for q in queues))


def _stat(k: "Kernel", t: Task, ident: int, command: int, buffer: int) -> int:
    """IPC_STAT by id, MSG_STAT and MSG_STAT_ANY by index, which return the id."""
    found = k.msgs.find(ident) if command == IPC_STAT else k.msgs.at_index(ident)
    if command != MSG_STAT_ANY:
        found.require(READ, t.fs)
    uaccess.write(t.mm, buffer, found.pack())
    return 0 if command == IPC_STAT else found.id


def _change(k: "Kernel", t: Task, ident: int, command: int, buffer: int) -> int:
    """IPC_SET and IPC_RMID, for the owner; only root makes a queue larger than MSGMNB."""
    data = uaccess.read(t.mm, buffer, MSQID_DS_SIZE) if command == IPC_SET else b""
    found = k.msgs.find(ident)
    if not found.is_owner(t.fs):
        raise SysError(EPERM)
    if command == IPC_RMID:
        k.msgs.remove(found)
        return 0
    perm, *_rest, limit, _lspid, _lrpid = unpack_msqid_ds(data)
    if limit > MSGMNB and t.fs.uid:
        raise SysError(EPERM)
    k.msgs.update(found, perm.uid, perm.gid, perm.mode)
    found.limit = limit
    found.senders.wake()
    return 0
