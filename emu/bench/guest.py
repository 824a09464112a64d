"""Guest programs of the measurements: assembled once, run in a fresh system each time, timed by their laps.

A guest has no clock of the host's, so it writes single bytes to its standard output, and the stream at the other end
of the descriptor notes when each arrived. What lies between two laps is measured; boot, loading and exit are not.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from time import perf_counter_ns
from types import TracebackType
from typing import Self

from emu.asm import Image, to_elf
from emu.boot import Options, Outcome, System
from emu.errors import EmuError
from emu.machine import DEFAULT_QUANTUM
from emu.program import Program, new_assembler
from mini_kernel.fs.stream import BytesStream
from mini_kernel.ledger import Ledger
from mini_kernel.observe import Observer
from mini_kernel.uapi import errno_names, syscall_names

_MARGIN = 64 << 20  # guest RAM beyond what a program maps: tables, page cache, the program itself


class LapStream(BytesStream):
    """Standard output as a stop watch: the host's time, in nanoseconds, of every write."""

    def __init__(self) -> None:
        super().__init__()
        self.laps: list[int] = []

    def write(self, data: bytes) -> None:
        """A lap."""
        self.laps.append(perf_counter_ns())


@dataclass(frozen=True)
class GuestRun:
    """One run: nanoseconds between one lap and the next, and what the kernel counted."""

    splits: list[int]
    ledger: Ledger


class Guests:
    """The assembled programs. A context manager: the assembler runs in a process of its own."""

    def __init__(self) -> None:
        self._assembler = new_assembler()
        self._images: dict[tuple[str, tuple[tuple[str, int], ...]], Image] = {}

    def image(self, *names: str, **constants: int) -> Image:
        """These source files of `programs`, one behind the other, with constants defined by name."""
        key = "+".join(names), tuple(constants.items())
        if key not in self._images:
            head = "".join(f".equ {name}, {value}\n" for name, value in constants.items())
            text = head + "".join(source(name) for name in names)
            self._images[key] = self._assembler.assemble(text, names[0])
        return self._images[key]

    def run(
        self,
        *names: str,
        constants: Mapping[str, int],
        memory: int = 0,
        laps: int = 2,
        watch: Observer | None = None,
        quantum: int = DEFAULT_QUANTUM,
    ) -> GuestRun:
        """Run a program with `memory` bytes of its own, watched by `watch` and in time slices of `quantum` blocks.

        Raises EmuError unless it ends well after `laps` laps, every system call of it being known.
        """
        image = self.image(*names, "common.asm", **{"BYTES": 0, **constants})
        stream = LapStream()
        options = Options(memory=(memory + memory // 64 + _MARGIN) & -4096, quantum=quantum)
        program = Program(names[0], "", to_elf(image), image)
        with System(program, (), options, (BytesStream(), stream, BytesStream())) as system:
            system.observe(watch)
            outcome = system.run()
            ledger = system.ledger()
        _check(names[0], outcome, ledger, len(stream.laps), laps)
        return GuestRun([b - a for a, b in zip(stream.laps, stream.laps[1:], strict=False)], ledger)

    def elf(self, *names: str) -> bytes:
        """An ELF file of these sources, which need nothing of common.asm."""
        return to_elf(self.image(*names))

    def close(self) -> None:
        """End the assembler."""
        self._assembler.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()


def _check(name: str, outcome: Outcome, ledger: Ledger, laps: int, wanted: int) -> None:
    """EmuError unless the program did what it is for: programs exit with the errno of a call that fails."""
    if ledger.unknown:
        calls = ", ".join(f"{syscall_names.get(n, 'unnamed')} ({n})" for n in sorted(ledger.unknown))
        raise EmuError(f"bench: {name} needs a system call that this kernel does not have: {calls}")
    if outcome.status != 0 or laps != wanted:
        why = f" ({errno_names[outcome.status]})" if outcome.status in errno_names else ""
        raise EmuError(f"bench: {name} ended with status {outcome.status}{why} after {laps} laps")


def source(name: str) -> str:
    """The text of a file in `programs`."""
    return files("emu.bench").joinpath("programs", name).read_text("utf-8")
