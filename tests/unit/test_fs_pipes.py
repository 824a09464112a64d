"""Pipes and FIFOs."""

import struct

import pytest
from fs_helpers import BUFFER, BUFFER_END, System, pair

from mini_kernel.mm import uaccess
from mini_kernel.uapi.errno import (
    EAGAIN,
    EBADF,
    EBUSY,
    EFAULT,
    EINVAL,
    ENXIO,
    EPERM,
    EPIPE,
)
from mini_kernel.uapi.fcntl import (
    F_GETPIPE_SZ,
    F_SETPIPE_SZ,
    O_NONBLOCK,
    O_RDONLY,
    O_RDWR,
    O_WRONLY,
)
from mini_kernel.uapi.ioctls import FIONREAD
from mini_kernel.uapi.signal import SIGPIPE


@pytest.fixture
def system() -> System:
    return System()


def test_a_pipe_delivers_bytes_in_order_and_ends(system: System) -> None:
    """Empty with a writer waits; bytes come as written; without writers the end is 0."""
    reader, writer = pair(system)
    assert system.read(reader, BUFFER, 10) == "block"
    system.put(b"abcdef")
    assert system.write(writer, BUFFER, 6) == 6
    assert system.read(reader, BUFFER + 100, 4) == 4
    assert system.got(4, BUFFER + 100) == b"abcd"
    assert system.ioctl(reader, FIONREAD, BUFFER) == 0
    assert system.got(4) == struct.pack("<I", 2)
    system.close(writer)
    assert system.read(reader, BUFFER, 10) == 2
    assert system.read(reader, BUFFER, 10) == 0


def test_small_writes_to_a_pipe_are_atomic(system: System) -> None:
    """Up to PIPE_BUF bytes go in whole or not at all; larger ones as far as there is room."""
    reader, writer = pair(system, O_NONBLOCK)
    assert system.write(writer, BUFFER, 65536 - 100) == 65436
    assert system.write(writer, BUFFER, 101) == -EAGAIN
    assert system.write(writer, BUFFER, 5000) == 100
    assert system.write(writer, BUFFER, 5000) == -EAGAIN
    assert system.write(writer, BUFFER, 0) == 0
    assert system.read(reader, BUFFER, 65536) == 65536
    assert system.read(reader, BUFFER, 1) == -EAGAIN


def test_a_large_write_goes_on_where_it_waited(system: System) -> None:
    """A write of more than the pipe holds waits in parts and delivers every byte once."""
    reader, writer = pair(system)
    other = system.new_task()
    other.files = system.task.files
    data = bytes(i * 3 & 0xFF for i in range(150_000))
    system.put(data)
    got: list[bytes] = []
    while (result := system.write(writer, BUFFER, len(data))) == "block":
        assert system.task.restart == {"done": 65536 * (len(got) + 1)}
        assert system.call(other, "read", reader, BUFFER, 1 << 17) == 65536
        got.append(uaccess.read(other.mm, BUFFER, 65536))
    assert (result, len(got)) == (len(data), 2)
    left = system.call(other, "read", reader, BUFFER, 1 << 17)
    assert b"".join(got) + uaccess.read(other.mm, BUFFER, left) == data


def test_writing_where_nobody_reads_signals(system: System) -> None:
    """EPIPE, with SIGPIPE pending."""
    reader, writer = pair(system)
    system.task.blocked = 1 << (SIGPIPE - 1)
    system.close(reader)
    assert system.write(writer, BUFFER, 1) == -EPIPE
    assert [info.signo for info in system.task.pending] == [SIGPIPE]
    assert system.write(writer, BUFFER, 0) == 0


def test_waiters_are_woken_by_the_other_end(system: System) -> None:
    """A reader wakes at a write and at the last close; a writer at a read."""
    woken: list[str] = []

    class Waiter:
        exclusive = False

        def __init__(self, name: str) -> None:
            self.name = name

        def wake(self, key: int = 0) -> None:
            woken.append(self.name)

    reader, writer = pair(system)
    assert system.read(reader, BUFFER, 1) == "block"
    assert system.last_block is not None
    (queue,) = system.last_block.queues
    queue.add(Waiter("reader"))
    system.write(writer, BUFFER, 1)
    assert woken == ["reader"]
    system.close(writer)
    assert woken == ["reader", "reader"]


def test_pipe_size_can_change(system: System) -> None:
    """Rounded up to a power of two of pages, not below the contents, at most a MiB."""
    reader, writer = pair(system, O_NONBLOCK)
    assert system.fcntl(reader, F_GETPIPE_SZ) == 65536
    assert system.fcntl(writer, F_SETPIPE_SZ, 5000) == 8192
    assert system.write(writer, BUFFER, 10_000) == 8192
    assert system.fcntl(writer, F_SETPIPE_SZ, 4096) == -EBUSY
    assert system.fcntl(writer, F_SETPIPE_SZ, 1 << 21) == -EPERM
    assert system.fcntl(0, F_GETPIPE_SZ) == -EBADF


def test_a_pipe_that_cannot_be_told_is_not_made(system: System) -> None:
    """EFAULT for the array leaves no descriptor; unknown flags are EINVAL."""
    assert system.pipe2(BUFFER_END - 4, 0) == -EFAULT
    assert sorted(system.task.files.fds) == [0, 1, 2]
    assert system.pipe2(BUFFER, 1) == -EINVAL


@pytest.mark.parametrize("first", ["reader", "writer"])
def test_a_fifo_waits_for_both_ends(system: System, first: str) -> None:
    """Whoever opens first waits; bytes pass even if the writer is gone before the reader runs again."""
    other = system.new_task()
    assert system.mknod(b"/fifo", 0o10644, 0) == 0
    assert system.open(b"/fifo", O_WRONLY | O_NONBLOCK) == -ENXIO
    if first == "reader":
        assert system.open(b"/fifo", O_RDONLY) == "block"
        writer = system.call(other, "open", b"/fifo", O_WRONLY)
    else:
        assert system.call(other, "open", b"/fifo", O_WRONLY) == "block"
        reader = system.open(b"/fifo", O_RDONLY)
        assert reader == 3
        writer = system.call(other, "open", b"/fifo", O_WRONLY)
    assert writer == 0
    assert system.call(other, "write", writer, BUFFER, 5) == 5
    assert system.call(other, "close", writer) == 0
    if first == "reader":
        reader = system.open(b"/fifo", O_RDONLY)
    assert system.read(reader, BUFFER, 10) == 5
    assert system.read(reader, BUFFER, 10) == 0
    inode = system.file(reader).inode
    assert inode.pipe.opening == (set(), set())


def test_a_fifo_opened_for_both_or_without_waiting(system: System) -> None:
    """O_RDWR never waits; a reader with O_NONBLOCK gets the end of file until somebody writes."""
    system.mknod(b"/fifo", 0o10644, 0)
    reader = system.open(b"/fifo", O_RDONLY | O_NONBLOCK)
    assert system.read(reader, BUFFER, 1) == 0
    both = system.open(b"/fifo", O_RDWR)
    assert system.read(reader, BUFFER, 1) == -EAGAIN
    assert system.write(both, BUFFER, 3) == 3
    assert system.read(both, BUFFER, 1) == 1
    assert system.read(reader, BUFFER, 5) == 2
