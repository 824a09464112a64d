"""Events, standard streams, terminals, poll(2) and select(2)."""

import struct

import pytest
from fs_helpers import BUFFER, BUFFER_END, PAGE, System, pair

from mini_kernel.task import Process
from mini_kernel.uapi.errno import (
    EAGAIN,
    EBADF,
    EFAULT,
    EINVAL,
    ENOTTY,
    ESRCH,
)
from mini_kernel.uapi.fcntl import (
    O_NONBLOCK,
    O_RDWR,
)
from mini_kernel.uapi.ioctls import TCGETS, TCSETS, TIOCGPGRP, TIOCGWINSZ, TIOCSPGRP
from mini_kernel.uapi.poll import POLLERR, POLLHUP, POLLIN, POLLNVAL, POLLOUT


@pytest.fixture
def system() -> System:
    return System()


def test_eventfd_counts(system: System) -> None:
    """Reads take the sum, or one at a time; empty waits; overflow waits; short buffers are EINVAL."""
    fd = system.eventfd2(3, O_NONBLOCK)
    one = system.eventfd2(2, 1 | O_NONBLOCK)
    system.put(struct.pack("<Q", 4))
    assert system.write(fd, BUFFER, 8) == 8
    assert system.read(fd, BUFFER, 8) == 8
    assert system.got(8) == struct.pack("<Q", 7)
    assert system.read(fd, BUFFER, 8) == -EAGAIN
    assert [system.read(one, BUFFER, 8) for _ in range(3)] == [8, 8, -EAGAIN]
    assert system.read(fd, BUFFER, 4) == -EINVAL
    system.put(struct.pack("<Q", (1 << 64) - 1))
    assert system.write(fd, BUFFER, 8) == -EINVAL
    system.put(struct.pack("<Q", (1 << 64) - 2))
    assert system.write(fd, BUFFER, 8) == 8
    assert system.write(fd, BUFFER, 8) == -EAGAIN


def test_standard_streams_reach_the_embedding() -> None:
    """Input in pieces, then its end; output as bytes; no terminal, so ENOTTY and a pipe's mode."""
    system = System(stdin=b"line one\nline two\n")
    assert system.read(0, BUFFER, 5) == 5
    assert system.read(0, BUFFER + 5, 100) == 13
    assert system.got(18) == b"line one\nline two\n"
    assert system.read(0, BUFFER, 5) == 0
    system.put(b"out")
    assert system.write(1, BUFFER, 3) == 3
    assert bytes(system.out.written) == b"out"
    assert system.write(0, BUFFER, 3) == -EBADF
    assert system.ioctl(1, TCGETS, BUFFER) == -ENOTTY
    assert system.ioctl(99, TCGETS, BUFFER) == -EBADF
    assert system.file(1).inode.mode & 0o170000 == 0o010000


def test_a_terminal_is_one() -> None:
    """isatty(3) works, settings are kept, /dev/tty is the same terminal."""
    system = System(stdin=b"typed", tty=True)
    assert system.ioctl(0, TCGETS, BUFFER) == 0
    settings = bytearray(system.got(36))
    settings[12] ^= 8
    system.put(bytes(settings))
    assert system.ioctl(1, TCSETS, BUFFER) == 0
    fd = system.open(b"/dev/tty", O_RDWR)
    assert system.ioctl(fd, TCGETS, BUFFER + 100) == 0
    assert system.got(36, BUFFER + 100) == bytes(settings)
    assert system.ioctl(fd, TIOCGWINSZ, BUFFER) == 0
    assert system.got(4) == struct.pack("<HH", 24, 80)
    assert system.ioctl(fd, TIOCGPGRP, BUFFER) == 0
    assert system.got(4) == struct.pack("<I", system.task.pgid)
    system.put(struct.pack("<I", 77))
    assert system.ioctl(0, TIOCSPGRP, BUFFER) == -ESRCH
    system.kernel.processes[77] = Process(77, None, 77, system.task.sid)
    assert system.ioctl(0, TIOCSPGRP, BUFFER) == 0
    assert system.ioctl(2, TIOCGPGRP, BUFFER + 8) == 0
    assert system.got(4, BUFFER + 8) == struct.pack("<I", 77)
    assert system.ioctl(0, TCGETS, BUFFER_END) == -EFAULT
    assert system.read(fd, BUFFER, 10) == 5
    assert system.write(fd, BUFFER, 5) == 5
    assert bytes(system.out.written) == b"typedtyped"  # the echo, as it was typed before ECHO went, and the write


def test_poll_reports_what_holds_now(system: System) -> None:
    """Readable, writable, hang-up, error and bad descriptors; negative ones are skipped."""
    reader, writer = pair(system)
    lonely = pair(system)
    system.close(lonely[0])
    fds = BUFFER + PAGE
    system.write(writer, BUFFER, 1)
    entries = [(reader, POLLIN), (writer, POLLOUT), (99, POLLIN), (-1, POLLIN), (lonely[1], 0), (reader, POLLOUT)]
    system.put(b"".join(struct.pack("<ihh", fd, events, 0) for fd, events in entries), fds)
    assert system.poll(fds, len(entries), 0) == 4
    bits = [entry[2] for entry in struct.iter_unpack("<ihh", system.got(8 * len(entries), fds))]
    assert bits == [POLLIN, POLLOUT, POLLNVAL, 0, POLLERR, 0]
    system.close(writer)
    system.poll(fds, 1, 0)
    assert system.got(8, fds) == struct.pack("<ihh", reader, POLLIN, POLLIN | POLLHUP)
    assert system.poll(BUFFER_END, 1, 0) == -EFAULT
    assert system.poll(fds, 1025, 0) == -EINVAL


def test_poll_waits_on_every_queue_until_its_deadline(system: System) -> None:
    """Nothing ready: wait for ever, not at all, or until a deadline that stays when the call is issued again."""
    reader, _writer = pair(system)
    system.put(struct.pack("<ihh", reader, POLLIN, 0))
    assert system.poll(BUFFER, 1, 0) == 0
    assert system.poll(BUFFER, 1, -1) == "block"
    assert system.last_block is not None
    assert system.last_block.deadline_ns is None
    assert system.last_block.queues == system.file(reader).queues()
    assert system.poll(BUFFER, 1, 5) == "block"
    deadline = system.kernel.clock.now_ns() + 5_000_000
    assert system.last_block.deadline_ns == deadline
    system.kernel.clock.advance_to(deadline - 1)
    assert system.poll(BUFFER, 1, 5) == "block"
    assert system.last_block.deadline_ns == deadline
    system.kernel.clock.advance_to(deadline)
    assert system.poll(BUFFER, 1, 5) == 0


def test_ppoll_changes_the_mask_only_while_it_waits(system: System) -> None:
    """The mask in force while waiting is the given one; with the result the old one is back."""
    reader, writer = pair(system)
    system.put(struct.pack("<ihhQ", reader, POLLIN, 0, 1 << 9))
    system.task.blocked = 1 << 4
    assert system.ppoll(BUFFER, 1, 0, BUFFER + 8, 8) == "block"
    assert (system.task.blocked, system.task.saved_mask) == (1 << 9, 1 << 4)
    system.write(writer, BUFFER, 1)
    assert system.ppoll(BUFFER, 1, 0, BUFFER + 8, 8) == 1
    assert (system.task.blocked, system.task.saved_mask) == (1 << 4, None)
    assert system.ppoll(BUFFER, 1, 0, BUFFER + 8, 4) == -EINVAL


def test_select_counts_bits_and_writes_the_time_left(system: System) -> None:
    """Sets come back with what is ready; a closed descriptor in one is EBADF; the timeout shrinks."""
    reader, writer = pair(system)
    reads, writes, timeout = BUFFER + PAGE, BUFFER + 2 * PAGE, BUFFER + 3 * PAGE
    system.put(struct.pack("<Q", 1 << reader), reads)
    system.put(struct.pack("<Q", 1 << writer), writes)
    system.put(struct.pack("<qq", 2, 5), timeout)
    assert system.select(writer + 1, reads, writes, 0, timeout) == 1
    assert system.got(8, reads) == bytes(8)
    assert system.got(8, writes) == struct.pack("<Q", 1 << writer)
    assert system.got(16, timeout) == struct.pack("<qq", 2, 5)
    system.put(struct.pack("<Q", 1 << reader), reads)
    assert system.select(writer + 1, reads, 0, 0, 0) == "block"
    system.write(writer, BUFFER, 1)
    assert system.select(writer + 1, reads, 0, 0, 0) == 1
    system.put(struct.pack("<Q", 1 << 40), reads)
    assert system.select(64, reads, 0, 0, 0) == -EBADF
    assert system.select(-1, 0, 0, 0, 0) == -EINVAL
    system.put(struct.pack("<qq", 0, 1_000_000), timeout)
    assert system.select(0, 0, 0, 0, timeout) == -EINVAL
