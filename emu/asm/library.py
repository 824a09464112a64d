"""The files of userland/include that define the names a program declares as external."""

import re
from collections.abc import Callable
from typing import Final

from emu.asm.frontend import Draft

_GLOBAL: Final = re.compile(r"^[ \t]*\.glob(?:a)?l[ \t]+([^#\n]+)", re.M)


def link(draft: Draft, read: Callable[[int], None]) -> None:
    """Reads the library's files for the external names that the program does not define itself.

    A name that no file defines is left: it is a mistake where it is used.
    """
    for name in list(draft.externs):
        if name in draft.labels or name in draft.values:
            continue
        file = defining(name)
        if file is not None:
            read(draft.sources.library(file))


def defining(name: str) -> str | None:
    """The name of the library's file that defines `name`, or None."""
    from userland.catalogue import INCLUDE  # few programs have external names

    for path in sorted(INCLUDE.glob("*.inc")):
        names = {n.strip() for m in _GLOBAL.finditer(path.read_text(encoding="utf-8")) for n in m[1].split(",")}
        if name in names:
            return path.name
    return None
