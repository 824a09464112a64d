"""Traces kept in files beside the tests: `golden/TEST.NAME.trace`."""

import difflib
import os
import tempfile
from pathlib import Path
from typing import Final

from emu.errors import EmuError
from emu.testing.values import short

_CONTEXT: Final = 3


class GoldenMismatch(EmuError, AssertionError):
    """The trace is not the one that is kept. The message is a diff."""


def golden_path(test: Path, name: str) -> Path:
    """Where the trace `name` of a test file is kept."""
    return test.parent / "golden" / f"{test.stem}.{name}.trace"


def compare_golden(path: Path, lines: list[str], update: bool, chosen: str = "") -> None:
    """Compare with the file, or write it. Raises GoldenMismatch that shows what is missing (-) and new (+).

    EmuError where that is impossible.
    """
    text = "".join(f"{line}\n" for line in [f"# {chosen}" if chosen else "# the default filter", *lines])
    try:
        if update:
            _write(path, text)
            return
        kept = path.read_text("utf-8", "backslashreplace")
    except FileNotFoundError:
        raise GoldenMismatch(f"there is no golden trace {short(path)}: make it with --emu-update") from None
    except OSError as error:
        what = "written" if update else "read"
        raise EmuError(f"the golden trace cannot be {what}: {error.strerror}", file=short(path)) from None
    if kept == text:
        return
    old, new = kept.splitlines(), text.splitlines()
    diff = list(difflib.unified_diff(old, new, f"{path.name} (kept)", "this run", "", "", _CONTEXT, ""))
    raise GoldenMismatch(
        "\n".join([f"the trace is not the one kept in {short(path)} (--emu-update keeps this one):", *diff])
    )


def _write(path: Path, text: str) -> None:
    """All at once: other processes of the suite may read or write it now."""
    if path.exists() and path.read_bytes() == text.encode():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    os.chmod(name, 0o644)
    os.replace(name, path)
