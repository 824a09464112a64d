"""Assembled programs, kept from one session of the suite to the next: assembling takes half of a small test's time.

A file for each source and value of its constants. It is used while everything is the same that
the assembler has looked at: the source and its name, the files that it includes and where they are found, and the
assembler itself. What cannot be read is assembled again.
"""

import functools
import hashlib
import os
import pickle
import tempfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from emu.asm.image import Image
from emu.program import Program

#: What decides, besides the source, what an image is.
_ASSEMBLER: Final = ("asm", "disasm.py", "program.py", "../mini_kernel/uapi", "../userland/include")
_LIBRARIES: Final = ("keystone", "capstone")


class _Included(NamedTuple):
    """A file that was included: where its name was found, what that was in the end, and its text."""

    path: str
    real: str
    text: str


class _Entry(NamedTuple):
    key: bytes
    program: Program
    included: tuple[_Included, ...]
    absent: tuple[str, ...]  # files that would have been included instead


class Kept:
    """A directory of programs."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def find(self, path: str, source: str, syntax: str, constants: Mapping[str, int]) -> Program | None:
        """The program that `source` makes with these constants, if it was assembled before."""
        choices = syntax, str(constants)
        try:
            entry = pickle.loads(zlib.decompress(self._file(path, choices).read_bytes()))
            good = isinstance(entry, _Entry) and entry.key == _key(path, source, choices) and _is_current(entry)
            return entry.program if good else None
        except Exception:  # a file that is cut off or from elsewhere can raise anything
            return None

    def keep(self, path: str, program: Program, syntax: str, constants: Mapping[str, int]) -> None:
        """Remember it. Where that is impossible, nothing happens."""
        image, choices = program.image, (syntax, str(constants))
        if image is None:
            return
        entry = _Entry(_key(path, image.source, choices), program, tuple(_included(image)), tuple(_absent(image)))
        file = self._file(path, choices)
        try:
            handle, name = tempfile.mkstemp(dir=file.parent, prefix=file.name)
            with os.fdopen(handle, "wb") as output:
                output.write(zlib.compress(pickle.dumps(entry, pickle.HIGHEST_PROTOCOL), 1))
            os.replace(name, file)
        except OSError:
            return

    def _file(self, path: str, choices: tuple[str, ...]) -> Path:
        name = hashlib.sha256("\0".join((os.path.abspath(path), *choices)).encode("utf-8", "surrogateescape"))
        return self._directory / name.hexdigest()[:24]


def _key(path: str, source: str, choices: tuple[str, ...]) -> bytes:
    parts = (path, os.getcwd(), source, *choices)
    lengths = ",".join(str(len(part)) for part in parts)
    text = "".join((lengths, *parts)).encode("utf-8", "surrogateescape")
    return hashlib.sha256(text).digest() + _assembler()


@functools.cache
def _assembler() -> bytes:
    """The files the assembler consists of: that of a source tree may change from one session to the next."""
    found = hashlib.sha256()
    for path in _files():
        status = os.stat(path)
        found.update(f"{path}\0{status.st_size}\0{status.st_mtime_ns}\0".encode())
    return found.digest()


def _files() -> Iterator[str]:
    import importlib.util

    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    roots = [os.path.join(package, name) for name in _ASSEMBLER]
    for name in _LIBRARIES:
        spec = importlib.util.find_spec(name)
        roots += (spec.submodule_search_locations if spec else None) or ()
    for root in roots:
        if os.path.isfile(root):
            yield root
        for directory, _below, names in sorted(os.walk(root)):
            yield from (os.path.join(directory, name) for name in sorted(names) if not name.endswith(".pyc"))


def _is_current(entry: _Entry) -> bool:
    return not any(map(os.path.lexists, entry.absent)) and all(
        os.path.realpath(i.path) == i.real and _text(i.path) == i.text for i in entry.included
    )


def _text(path: str) -> str:
    with open(path, encoding="utf-8", errors="surrogateescape", newline="") as file:
        return file.read()


def _included(image: Image) -> Iterator[_Included]:
    for name, text in image.includes.items():
        path = os.path.join(image.directory, name)
        if not os.path.lexists(path):
            path = image.paths.get(name, path)
        yield _Included(path, os.path.realpath(path), text)


def _absent(image: Image) -> Iterator[str]:
    """A file of the library is only included where none of its name lies beside the file that asks for it."""
    for inclusion in image.inclusions:
        real = image.paths.get(inclusion.included)
        if real is not None and inclusion.file not in image.paths:
            beside = os.path.dirname(os.path.join(image.directory, inclusion.file))
            yield os.path.join(beside, os.path.basename(real))
