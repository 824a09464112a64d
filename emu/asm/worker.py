"""Keystone in a process of its own: the only code that imports keystone. Run as a script by emu.asm.engine.

Keystone 0.9.2 can loop for ever, exit or crash the process, and open files. Here that costs a worker: address space is
limited, no file can be opened once the library is loaded, and a statement that takes longer than CPU_LIMIT seconds of
CPU ends the process (SIGPROF), whatever the host's load.

Protocol, all on stdin and stdout, little endian:
    hello     u8 length, text             "ok", or why there is no assembler
    request   u32 count, then per statement u16 length, ASCII text
    answer    per statement u8 kind (OK: bytes, REFUSED: message), u8 length, payload; sent as soon as it is known,
              so that the number of answers names the statement a worker died of
The options `syntax` and `sym_resolver` are never touched: either makes every decimal hexadecimal.
"""

import os
import resource
import signal
import struct
import sys
from collections.abc import Callable
from typing import Any, Final

OK: Final = 0
REFUSED: Final = 1
CPU_LIMIT: Final = 0.25  # seconds per statement; honest ones take 0.0001, and a program may have three others
MEMORY_LIMIT: Final = 1 << 30  # bytes of address space

#: `mov rax, 60` must be decimal 60, or the numbers of every program are wrong.
RADIX_CHECK: Final = ("mov rax, 60", bytes.fromhex("48c7c03c000000"))

Assemble = Callable[[str], tuple[int, bytes]]


def load() -> Assemble:
    """A function from a statement to (OK, bytes) or (REFUSED, message)."""
    import keystone  # pyright: ignore[reportMissingTypeStubs]

    library: Any = keystone
    engine = library.Ks(library.KS_ARCH_X86, library.KS_MODE_64)

    def assemble(text: str) -> tuple[int, bytes]:
        try:
            data, _ = engine.asm(text, 0, True)
        except library.KsError as error:
            return REFUSED, str(error).split(" (KS_ERR")[0].encode()
        return OK, data or b""

    return assemble


def radix_fault(assemble: Assemble) -> str | None:
    """None if numbers mean what they say, else a sentence."""
    text, expected = RADIX_CHECK
    kind, data = assemble(text)
    if (kind, data) == (OK, expected):
        return None
    return f"keystone assembles '{text}' to {data.hex(' ')}, not {expected.hex(' ')}"


def confine() -> None:
    """Limits that hold from now on: memory, no new files, nothing written, no core dump."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT, MEMORY_LIMIT))
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _read(n: int) -> bytes:
    """Exactly `n` bytes of stdin; ends the process when there are no more."""
    data = b""
    while len(data) < n:
        piece = os.read(0, n - len(data))
        if not piece:
            sys.exit(0)
        data += piece
    return data


def serve(assemble: Assemble) -> None:
    """Answers requests until stdin ends."""
    while True:
        (count,) = struct.unpack("<I", _read(4))
        texts = [_read(struct.unpack("<H", _read(2))[0]).decode("ascii") for _ in range(count)]
        for text in texts:
            signal.setitimer(signal.ITIMER_PROF, CPU_LIMIT)
            kind, data = assemble(text)
            signal.setitimer(signal.ITIMER_PROF, 0)
            os.write(1, bytes([kind, len(data[:255])]) + data[:255])


def main() -> None:
    """Loads Keystone from the directory in argv, checks it, confines the process, serves."""
    sys.path.append(sys.argv[1])
    try:
        assemble = load()
        fault = radix_fault(assemble)
    except (ImportError, OSError) as error:
        fault, assemble = f"keystone cannot be loaded: {error}", None
    hello = (fault or "ok").encode()[:255]
    os.write(1, bytes([len(hello)]) + hello)
    if fault is None and assemble is not None:
        confine()
        serve(assemble)


if __name__ == "__main__":
    main()
