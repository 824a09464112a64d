"""Recordings: a run at full speed in a file, to be run again under the debugger, on another machine if need be.

What makes a run what it is: the program, the options, and everything that came from outside (input with the moments at
which it was asked for, host files as they were read). All else follows, because a RecordMachine and a DebugMachine have
the same clock (see machine/jumps.py); so has a ScheduledMachine, on which a run by a schedule is recorded, at a tenth
of the speed. A digest of the registers at every exception and tick is kept as well, so that a replay that goes wrong is
noticed, and where.

The file is a ZIP archive: `recording.json`, the `program`, `digests`, and the pieces of host files by number. Nothing
in it is executed or unpickled; one that is damaged, or lies, is an EmuError or a replay that diverges.
"""

import json
import os
import zipfile
import zlib
from array import array
from base64 import b64decode, b64encode
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, Final, NoReturn, TypeVar, cast

from emu.boot import Options, Outcome, Streams, System
from emu.errors import EmuError
from emu.machine import JumpMachine
from emu.program import Program
from emu.tape import Answer, Failure, Tape
from mini_kernel.errors import SysError
from mini_kernel.fs.hosttree import HostTree, Names
from mini_kernel.fs.stream import BytesStream, HostStream
from mini_kernel.uapi.errno import EINTR, EIO

VERSION: Final = 2
K = TypeVar("K")
V = TypeVar("V")
MAX_PIECE: Final = 1 << 30  # bytes of one member of the archive
_KEPT: Final = ("memory", "fork", "seed", "cwd", "thp", "quantum", "schedule")  # of Options


class Recorder:
    """Watches a system that was made with Options(record=True) from before its first instruction.

    A trap handler: calls go straight to the kernel, so that they cost nothing.
    """

    def __init__(self, system: System, arguments: Sequence[str]) -> None:
        """Raises EmuError for another system."""
        if not system.options.record or not isinstance(system.machine, JumpMachine):
            raise EmuError("the system was not booted for recording")
        self._system = system
        self._machine = system.machine
        self._arguments = list(arguments)
        self._traps = system.kernel.traps
        self._digests = array("I")
        self.syscall = self._traps.syscall
        system.machine.attach(self)

    def exception(self, vector: int, error: int, cr2: int) -> None:
        """hw.TrapHandler."""
        self._digests.append(zlib.crc32(self._machine.regs))
        self._traps.exception(vector, error, cr2)

    def tick(self) -> None:
        """hw.TrapHandler."""
        self._digests.append(zlib.crc32(self._machine.regs))
        self._traps.tick()

    def save(self, file: str | IO[bytes], outcome: Outcome) -> None:
        """Write the recording of the run, which is over. Raises EmuError."""
        system, options = self._system, self._system.options
        host = options.root if isinstance(options.root, RecordedTree) else None
        facts = {
            "version": VERSION,
            "name": system.program.name,
            "path": system.program.path,
            "argv0": system.argv[0].decode("utf-8", "surrogateescape"),
            "arguments": self._arguments,
            "options": {name: getattr(options, name) for name in _KEPT},
            "environment": dict(options.environment),
            "tapes": [[_plain(answer) for answer in tape.answers] for tape in system.tapes],
            "host": host.plain() if host is not None else None,
            "ending": outcome.ending,
            "status": outcome.wait_status,
            "jumps": self._machine.jumps,
        }
        try:
            with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
                archive.writestr("recording.json", json.dumps(facts))
                archive.writestr("program", system.program.data)
                archive.writestr("digests", _little(self._digests).tobytes())
                for number, piece in enumerate(host.pieces if host is not None else ()):
                    archive.writestr(f"host/{number}", piece)
        except OSError as error:
            raise EmuError(f"the recording cannot be written: {error.strerror}") from None


def _little(words: "array[int]") -> "array[int]":
    """In little-endian order, whatever the host's is."""
    words = words[:]
    if array("H", b"\1\0")[0] != 1:
        words.byteswap()
    return words


class Recording:
    """A recording that was read back.

    digests    of the registers at each exception and tick
    ending     how the run ended; if not by itself, the replay stops at `jumps`
    """

    def __init__(self, path: str) -> None:
        """Raises EmuError for a file that is none."""
        try:
            with zipfile.ZipFile(path) as archive:
                self._facts: dict[str, Any] = json.loads(_member(archive, "recording.json"))
                if self._facts["version"] != VERSION:
                    raise EmuError(f"is a recording of version {self._facts['version']}, not {VERSION}", file=path)
                self.program = Program(_text(self._facts["name"]), "", _member(archive, "program"), None)
                self.digests = _little(array("I", _member(archive, "digests")))
                pieces = [_member(archive, f"host/{n}") for n in range(_pieces(self._facts["host"]))]
            self.options = self._options(pieces)
            self._tapes = [[_answer(plain) for plain in tape] for tape in self._facts["tapes"]]
            self.arguments = [_text(argument) for argument in self._facts["arguments"]]
            self.argv0 = _text(self._facts["argv0"])
            self.ending = _text(self._facts["ending"])
            self.jumps = int(self._facts["jumps"])
            if len(self._tapes) != 3:
                raise ValueError("three tapes")
        except OSError as error:
            raise EmuError(f"cannot be read: {error.strerror or error}", file=path) from None
        except (ValueError, KeyError, TypeError, zipfile.BadZipFile, zlib.error) as error:
            raise EmuError(f"is no recording, or a damaged one ({error})", file=path) from None

    def _options(self, pieces: list[bytes]) -> Options:
        facts = self._facts
        kept = {name: facts["options"][name] for name in _KEPT}
        if not all(isinstance(kept[name], str if name in ("fork", "cwd", "thp") else int) for name in _KEPT[:-1]):
            raise ValueError("an option of another type")
        if not isinstance(kept["schedule"], int | None):
            raise ValueError("an option of another type")
        environment = {_text(k): _text(v) for k, v in facts["environment"].items()}
        root = ReplayedTree(facts["host"], pieces) if facts["host"] is not None else None
        return Options(**kept, environment=environment, root=root, debug=True)

    def boot(self, stdout: HostStream | None = None, stderr: HostStream | None = None) -> System:
        """The system, at its first instruction, ready for a Debugger. Raises as System does."""
        beyond = Beyond()
        streams: Streams = (beyond, stdout or BytesStream(), stderr or BytesStream())
        tapes = tuple(Tape(stream, answers) for stream, answers in zip(streams, self._tapes, strict=True))
        system = System(self.program, self.arguments, self.options, streams, self.argv0, tapes)
        beyond.system = system
        return system


class Beyond(BytesStream):
    """Input behind the end of a recording: there is none, so the machine stops before it is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.system: System | None = None
        self.reached = False

    def read(self, n: int) -> bytes:
        self._end()

    def wait(self, timeout_ns: int | None) -> int:
        self._end()

    def _end(self) -> NoReturn:
        self.reached = True
        if self.system is not None:
            self.system.machine.interrupt()
        raise SysError(EINTR)


# -- answers as JSON -------------------------------------------------------------------------------------


def _plain(answer: Answer) -> Any:
    if isinstance(answer, bytes):
        return {"bytes": b64encode(answer).decode()}
    return {"errno": answer.errno} if isinstance(answer, Failure) else answer


def _answer(plain: Any) -> Answer:
    """Raises ValueError, KeyError or TypeError for what `_plain` does not make."""
    if isinstance(plain, dict):
        fields = cast(dict[str, Any], plain)
        return b64decode(fields["bytes"]) if "bytes" in fields else Failure(int(fields["errno"]))
    if isinstance(plain, list):
        rows, columns = cast(list[Any], plain)
        return int(rows), int(columns)
    if isinstance(plain, bool | int):
        return plain
    raise ValueError("an answer of no kind")


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is no text")
    return value


def _pieces(host: Any) -> int:
    return int(host["pieces"]) if host is not None else 0


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    """Raises KeyError, ValueError."""
    if archive.getinfo(name).file_size > MAX_PIECE:
        raise ValueError(f"{name} is too large")
    return archive.read(name)


# -- host files ------------------------------------------------------------------------------------------


class RecordedTree(HostTree):
    """A host directory, and all that was asked about it."""

    def __init__(self, root: str) -> None:
        super().__init__(root)
        self.pieces: list[bytes] = []
        self._listings: dict[Names, list[bytes]] = {}
        self._looks: dict[Names, tuple[os.stat_result, bytes]] = {}
        self._reads: dict[tuple[Names, int, int], int] = {}  # (names, page, length) -> number of the piece

    def listing(self, names: Names) -> list[bytes]:
        self._listings[names] = super().listing(names)
        return self._listings[names]

    def look(self, names: Names) -> tuple[os.stat_result, bytes]:
        self._looks[names] = super().look(names)
        return self._looks[names]

    def read_pages(self, names: Names, kept: int | None, index: int, out: memoryview) -> None:
        super().read_pages(names, kept, index, out)
        self._reads[names, index, len(out)] = len(self.pieces)
        self.pieces.append(bytes(out))

    def plain(self) -> dict[str, Any]:
        """As JSON."""
        looks = self._looks.items()
        return {
            "listings": [[_names_plain(at), _names_plain(tuple(names))] for at, names in self._listings.items()],
            "looks": [[_names_plain(at), _stat_plain(info), b64encode(to).decode()] for at, (info, to) in looks],
            "reads": [[_names_plain(at), *rest, number] for (at, *rest), number in self._reads.items()],
            "pieces": len(self.pieces),
        }


class ReplayedTree(HostTree):
    """The same without the host. What was not asked then cannot be told now: SysError(EIO)."""

    def __init__(self, plain: Any, pieces: list[bytes]) -> None:  # pyright: ignore[reportMissingSuperCall]
        """Raises ValueError, KeyError or TypeError for what RecordedTree.plain does not make."""
        self.writable = False
        self._listings = {_names(at): list(_names(names)) for at, names in plain["listings"]}
        self._looks = {_names(at): (_stat(info), b64decode(target)) for at, info, target in plain["looks"]}
        self._reads: dict[tuple[Names, int, int], bytes] = {
            (_names(at), int(index), int(n)): pieces[int(number)] for at, index, n, number in plain["reads"]
        }

    def listing(self, names: Names) -> list[bytes]:
        return self._known(self._listings, names)

    def look(self, names: Names) -> tuple[os.stat_result, bytes]:
        return self._known(self._looks, names)

    def read_pages(self, names: Names, kept: int | None, index: int, out: memoryview) -> None:
        piece = self._known(self._reads, (names, index, len(out)))
        if len(piece) != len(out):
            raise SysError(EIO)
        out[:] = piece

    @staticmethod
    def _known(answers: dict[K, V], question: K) -> V:
        if question not in answers:
            raise SysError(EIO)
        return answers[question]


def _names_plain(names: Names) -> list[str]:
    return [name.decode("utf-8", "surrogateescape") for name in names]


def _names(plain: Any) -> Names:
    return tuple(_text(name).encode("utf-8", "surrogateescape") for name in plain)


def _stat_plain(info: os.stat_result) -> list[int]:
    return [*info[:7], info.st_atime_ns, info.st_mtime_ns, info.st_ctime_ns]


def _stat(plain: Any) -> os.stat_result:
    *words, atime, mtime, ctime = (int(number) for number in plain)
    seconds = [ns // 10**9 for ns in (atime, mtime, ctime)]
    if len(words) != 7:
        raise ValueError("a file's status is incomplete")
    return os.stat_result((*words, *seconds), {"st_atime_ns": atime, "st_mtime_ns": mtime, "st_ctime_ns": ctime})


def is_recording(path: str) -> bool:
    """True if a file looks like one."""
    return Path(path).is_file() and zipfile.is_zipfile(path)
