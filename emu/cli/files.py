"""Files that the operator names: opened before anything is run, so that a wrong name costs nothing."""

import os
import sys
from pathlib import Path
from typing import IO

from emu.errors import EmuError


def writable(option: str, path: str) -> IO[str]:
    """Open a file for text output. Raises EmuError with the option's name."""
    try:
        return open(path, "w", encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise EmuError(f"{option} {path}: {error.strerror}") from None
    except ValueError as error:
        raise EmuError(f"{option} {path!r}: {error}") from None


def writable_bytes(option: str, path: str) -> IO[bytes]:
    """The same for a binary file."""
    try:
        return open(path, "wb")
    except OSError as error:
        raise EmuError(f"{option} {path}: {error.strerror}") from None
    except ValueError as error:
        raise EmuError(f"{option} {path!r}: {error}") from None


def readable(option: str, path: str) -> int:
    """Open a file for input; its descriptor. Raises EmuError."""
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise EmuError(f"{option} {path}: {error.strerror}") from None
    except ValueError as error:
        raise EmuError(f"{option} {path!r}: {error}") from None


def directory(option: str, path: str) -> Path:
    """A directory for output, made if there is none. Raises EmuError."""
    try:
        os.makedirs(path, exist_ok=True)
    except OSError as error:
        raise EmuError(f"{option} {path}: {error.strerror}") from None
    except ValueError as error:
        raise EmuError(f"{option} {path!r}: {error}") from None
    return Path(path)


def warn(text: str) -> None:
    """What an assembler does not like and takes anyway."""
    print(text, file=sys.stderr)
