"""Files that the operator names: opened before anything is run, so that a wrong name costs nothing."""

import os
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from emu.errors import EmuError


@contextmanager
def _named(option: str, path: str) -> Generator[None]:
    """What fails inside is an EmuError with the option's name."""
    try:
        yield
    except OSError as error:
        raise EmuError(f"{option} {path}: {error.strerror}") from None
    except ValueError as error:
        raise EmuError(f"{option} {path!r}: {error}") from None


def writable(option: str, path: str) -> IO[str]:
    """Open a file for text output. Raises EmuError with the option's name."""
    with _named(option, path):
        return open(path, "w", encoding="utf-8", errors="backslashreplace")


def writable_bytes(option: str, path: str) -> IO[bytes]:
    """The same for a binary file."""
    with _named(option, path):
        return open(path, "wb")


def readable(option: str, path: str) -> int:
    """Open a file for input; its descriptor. Raises EmuError."""
    with _named(option, path):
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)


def directory(option: str, path: str) -> Path:
    """A directory for output, made if there is none. Raises EmuError."""
    with _named(option, path):
        os.makedirs(path, exist_ok=True)
    return Path(path)


def warn(text: str) -> None:
    """What an assembler does not like and takes anyway."""
    print(text, file=sys.stderr)
