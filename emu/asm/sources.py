"""The files of one program: the one that was named, and what `.include` brings in.

A source comes from anywhere, so an include reads nothing but files below two directories: that of the file which asks,
and the includes that come with the laboratory (userland/include). Links that lead out of them are refused.
"""

import os
import stat
from functools import cache
from typing import Final, NamedTuple

from emu.asm.errors import SourceError

MAX_FILE: Final = 1 << 24  # bytes of one file
MAX_TOTAL: Final = 1 << 26  # bytes of all inclusions, a file that is included twice counted twice
MAX_INCLUSIONS: Final = 1000
MAX_DEPTH: Final = 20
LIBRARY: Final = "userland/include"  # what the second directory is called in messages, wherever it is installed


class Place(NamedTuple):
    """Where a statement stands: the number of its file, 0 for the program itself, and the line, from 1.

    `expansion` is how a statement of a macro came to be, None for one that stands there as it is.
    """

    file: int
    line: int
    expansion: "Expansion | None" = None

    @property
    def origin(self) -> "Place":
        """The line of the source that brought this about: for a statement of a macro, the outermost use."""
        place = self
        while place.expansion is not None and place.expansion.caller is not None:
            place = place.expansion.caller
        return Place(place.file, place.line)


class Expansion(NamedTuple):
    """`text` is the statement's line with everything put in, `caller` where the macro `name` is used.

    Without a caller it is a repetition (.irp), which stands where it is used.
    """

    name: str
    text: str
    caller: Place | None


class _Directory(NamedTuple):
    path: str  # absolute
    shown: str


@cache
def _library() -> _Directory:
    from userland.catalogue import INCLUDE  # brings pathlib along; few sources include anything

    return _Directory(str(INCLUDE), LIBRARY)


class Sources:
    """`names[i]` is what file `i` is called in messages, `texts[i]` its text."""

    def __init__(self, text: str, name: str, path: str | None = None) -> None:
        """The program's own text. `path` is its absolute path, None if it has none (standard input)."""
        self.names = [name]
        self.texts = [text]
        self.included: dict[int, Place] = {}  # where a file is included first
        self._paths = [os.path.realpath(path) if path else ""]
        folder = _Directory(os.path.dirname(path), os.path.dirname(name) or ".") if path else None
        self._directories = [folder]  # where each file's own includes are, None for nowhere
        self._lines: dict[int, list[str]] = {}  # of the files that a message was about
        self._inclusions = 0
        self._total = 0
        # What relative names are relative to, "" if unknown.
        self.directory = (os.path.dirname(path) if os.path.isabs(name) else os.getcwd()) if path else ""

    def open(self, name: str, open_files: tuple[int, ...], column: int) -> int:
        """The number of the file that `.include "name"` means in the last of `open_files`, each including the next.

        Raises SourceError: a name that is not plain, no such file, one that leads out, a cycle, too many of them.
        """
        _check_name(name, column)
        if len(open_files) > MAX_DEPTH:
            raise SourceError(f".include is nested more than {MAX_DEPTH} deep", column)
        number = self._number(name, self._searched(open_files[-1]), column)
        if number in open_files:
            chain = [self.names[n] for n in (*open_files[open_files.index(number) :], number)]
            raise SourceError(f"{name} includes itself: {' -> '.join(chain)}", column)
        self._inclusions += 1
        self._total += len(self.texts[number])
        if self._inclusions > MAX_INCLUSIONS or self._total > MAX_TOTAL:
            limit = f"{MAX_INCLUSIONS} files or {MAX_TOTAL >> 20} MiB"
            raise SourceError(f"more than {limit} are included", column)
        return number

    def library(self, name: str) -> int:
        """The number of a file of the library."""
        return self._number(name, [_library()], 0)

    def line(self, place: Place) -> str:
        """The text of a line, with what an expansion put in."""
        if place.expansion is not None:
            return place.expansion.text
        if place.file not in self._lines:
            self._lines[place.file] = self.texts[place.file].split("\n")
        return self._lines[place.file][place.line - 1].rstrip()

    def elsewhere(self) -> dict[str, str]:
        """The absolute paths of the files that are not where their name says, by name: those of the library."""
        known = [(name, path) for name, path in zip(self.names, self._paths, strict=True) if path]
        return {name: path for name, path in known if os.path.realpath(os.path.join(self.directory, name)) != path}

    def _searched(self, including: int) -> list[_Directory]:
        own, library = self._directories[including], _library()
        return [own, library] if own is not None and own.path != library.path else [library]

    def _number(self, name: str, directories: list[_Directory], column: int) -> int:
        for directory in directories:
            path = os.path.join(directory.path, name)
            if not os.path.lexists(path):
                continue
            real = os.path.realpath(path)
            if not real.startswith(os.path.realpath(directory.path).rstrip("/") + "/"):
                raise SourceError(f"{name} leads out of {directory.shown}", column)
            if real not in self._paths:
                shown = os.path.normpath(os.path.join(directory.shown, name))
                self._add(real, shown, _read(real, name, column), os.path.dirname(path))
            return self._paths.index(real)
        places = " and ".join(directory.shown for directory in directories)
        raise SourceError(f"{name} is not found; searched: {places}", column)

    def _add(self, real: str, shown: str, text: str, folder: str) -> None:
        self.names.append(shown)
        self.texts.append(text)
        self._paths.append(real)
        self._directories.append(_Directory(folder, os.path.dirname(shown) or "."))


def _check_name(name: str, column: int) -> None:
    if not name or not name.isprintable() or len(name) > 255:
        raise SourceError(f"{ascii(name)[:80]} is not a file name", column)
    if name.startswith("/") or ".." in name.split("/"):
        raise SourceError(f"{name} is not a path below the including file's directory or {LIBRARY}", column)


def _read(path: str, name: str, column: int) -> str:
    """The text of a regular file of moderate size; what else there is could block, or never end."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW)
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise SourceError(f"{name} is not a regular file", column)
            with open(fd, "rb", closefd=False) as file:
                data = file.read(MAX_FILE + 1)
        finally:
            os.close(fd)
    except OSError as error:
        raise SourceError(f"{name} cannot be read: {error.strerror}", column) from None
    if len(data) > MAX_FILE:
        raise SourceError(f"{name} is larger than {MAX_FILE >> 20} MiB", column)
    if b"\0" in data:
        raise SourceError(f"{name} is not text: a NUL byte in line {data[: data.index(0)].count(10) + 1}", column)
    return data.decode("utf-8", "surrogateescape")
