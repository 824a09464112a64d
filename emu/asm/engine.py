"""The client of the Keystone worker: many statements in, bytes or messages out, whatever the worker does."""

import importlib.util
import os
import select
import signal
import struct
import sys
import time
import weakref
from collections.abc import Sequence
from typing import Final, NamedTuple

from emu.asm import worker
from emu.errors import EmuError

START_LIMIT: Final = 30.0  # seconds for the worker to start, which on a loaded host may be long
ANSWER_LIMIT: Final = 2.0  # seconds without an answer; a statement that only computes is ended earlier by CPU_LIMIT
MAX_DEATHS: Final = 3  # per call; then the rest is given up
_BATCH: Final = 32768  # bytes of a request: less than a pipe holds, so that writing one never waits
_LONGEST: Final = 4096  # characters of a statement


class Refusal(NamedTuple):
    """Why a statement has no bytes."""

    message: str


class _Process:
    """A running worker; `close` is safe to call twice and runs by itself when the object goes."""

    def __init__(self) -> None:
        arguments = [sys.executable, "-I", "-S", worker.__file__, _keystone_directory()]
        child_in, self._to = os.pipe()
        self._from, child_out = os.pipe()
        null = os.open(os.devnull, os.O_WRONLY)
        actions = [(os.POSIX_SPAWN_DUP2, fd, n) for n, fd in enumerate((child_in, child_out, null))]
        try:
            self.pid = os.posix_spawn(sys.executable, arguments, os.environ, file_actions=actions)
        finally:
            for fd in (child_in, child_out, null):
                os.close(fd)
        self.close = weakref.finalize(self, _end, self.pid, self._to, self._from)
        self._poll = select.poll()  # not select.select: that ends at descriptor 1023
        self._poll.register(self._from, select.POLLIN)
        self._ready = False
        self._buffer = b""

    def wait_ready(self) -> None:
        """Waits for the worker's hello; EmuError when it has no working assembler."""
        if self._ready:
            return
        length = self._read(1, START_LIMIT)
        hello = self._read(length[0], START_LIMIT) if length else None
        if hello != b"ok":
            raise EmuError(hello.decode(errors="replace") if hello else "the assembler process does not start")
        self._ready = True

    def ask(self, texts: Sequence[str]) -> list[bytes | Refusal]:
        """Answers in order; fewer than texts when the worker died or fell silent: the next one was the cause."""
        request = b"".join(struct.pack("<H", len(t)) + t.encode("ascii") for t in texts)
        answers: list[bytes | Refusal] = []
        try:
            os.write(self._to, struct.pack("<I", len(texts)) + request)
        except BrokenPipeError:
            return answers
        while len(answers) < len(texts):
            head = self._read(2, ANSWER_LIMIT)
            data = self._read(head[1], ANSWER_LIMIT) if head else None
            if head is None or data is None:
                break
            answers.append(data if head[0] == worker.OK else Refusal(data.decode(errors="replace")))
        return answers

    def _read(self, n: int, limit: float) -> bytes | None:
        """Exactly `n` bytes, or None when they do not come within `limit` seconds."""
        deadline = time.monotonic() + limit
        while len(self._buffer) < n:
            ready = self._poll.poll(1000 * max(0.0, deadline - time.monotonic()))
            piece = os.read(self._from, 65536) if ready else b""
            if not piece:
                return None
            self._buffer += piece
        data, self._buffer = self._buffer[:n], self._buffer[n:]
        return data


def _keystone_directory() -> str:
    spec = importlib.util.find_spec("keystone")
    if spec is None or spec.origin is None:
        raise EmuError("keystone-engine is not installed; use --assembler gas or nasm")
    return os.path.dirname(os.path.dirname(spec.origin))


def _end(pid: int, *fds: int) -> None:
    for fd in fds:
        os.close(fd)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


class Engine:
    """Keystone behind a process boundary, started at the first use or by `start`, restarted when it dies."""

    def __init__(self) -> None:
        self._process: _Process | None = None

    def start(self) -> None:
        """Spawns the worker (1 ms) without waiting for it (50 ms)."""
        if self._process is None:
            self._process = _Process()

    def close(self) -> None:
        """Ends the worker. The next use starts another."""
        if self._process is not None:
            self._process.close()
            self._process = None

    def encode(self, texts: Sequence[str]) -> list[bytes | Refusal]:
        """Bytes or a Refusal for each statement, in order. EmuError when there is no working assembler at all."""
        results: list[bytes | Refusal] = []
        deaths = 0
        while len(results) < len(texts):
            rest = texts[len(results) :]
            if deaths >= MAX_DEATHS:
                return results + [Refusal(f"not assembled: the assembler died {deaths} times before this")] * len(rest)
            batch = _batch(rest)
            if not batch:
                results.append(Refusal("statement is too long or not ASCII"))
                continue
            answers = self._ask(batch)
            results += answers
            if len(answers) < len(batch):
                deaths += 1
                self.close()
                results.append(Refusal("the assembler hangs or crashes on this"))
        return results

    def _ask(self, batch: Sequence[str]) -> list[bytes | Refusal]:
        self.start()
        assert self._process is not None
        try:
            self._process.wait_ready()
        except EmuError:
            self.close()
            raise
        return self._process.ask(batch)


def _batch(texts: Sequence[str]) -> list[str]:
    """The longest prefix of `texts` that fits into one request and is fit to be sent."""
    batch: list[str] = []
    room = _BATCH
    for text in texts:
        if not text.isascii() or len(text) > _LONGEST:
            break
        room -= len(text) + 2
        if room < 0:
            break
        batch.append(text)
    return batch
