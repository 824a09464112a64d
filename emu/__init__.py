"""The laboratory around the kernel: machine, assembler, boot, views and command line.

`import emu` is cheap; what a name needs is imported when it is used.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from emu.api import Result, boot, run
    from emu.asm import AsmError
    from emu.boot import System
    from emu.debug import Debugger
    from emu.errors import EmuError, ProgramError
    from emu.snapfile import load_snapshot, save_snapshot

__all__ = [
    "AsmError",
    "Debugger",
    "EmuError",
    "ProgramError",
    "Result",
    "System",
    "boot",
    "load_snapshot",
    "run",
    "save_snapshot",
]

_HOMES = {
    "AsmError": "emu.asm",
    "Debugger": "emu.debug",
    "EmuError": "emu.errors",
    "ProgramError": "emu.errors",
    "Result": "emu.api",
    "System": "emu.boot",
    "boot": "emu.api",
    "load_snapshot": "emu.snapfile",
    "run": "emu.api",
    "save_snapshot": "emu.snapfile",
}


def __getattr__(name: str) -> Any:
    """The public names, imported at first use (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(_HOMES[name]), name)
    if name != "boot":  # from now on the module of that name, which can be called (see there)
        globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
