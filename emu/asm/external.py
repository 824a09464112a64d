"""The installed assemblers as back ends: source to ELF bytes through GNU as or nasm, and GNU ld.

What they do with the source is theirs; they may read files (.include, .incbin). The constants of the system interface
that the source uses and does not define are defined for it, as emu.asm does.
"""

import os
import re
import shutil
import subprocess
import tempfile
from typing import Final

from emu.asm.assembler import Syntax, system_constants
from emu.asm.errors import AsmError
from emu.errors import EmuError

TIME_LIMIT: Final = 30.0  # seconds per tool
_NAME: Final = re.compile(r"\b[A-Z]\w+\b")
_DEFINITION: Final = re.compile(
    r"^\s*(?:[.%](?:equ|set|equiv|define|assign)\s+)?([A-Z]\w+)\s*(?:[=:,]|\bequ\b|\d)", re.M
)
_PACKAGES: Final = {"as": "binutils", "ld": "binutils", "nasm": "nasm"}


def gas(source: str, filename: str, *, syntax: Syntax = "intel") -> bytes:
    """ELF bytes by `as` and `ld`, with DWARF lines. AsmError with the tool's messages, EmuError when it is missing."""
    lead = "".join(f".set {name}, {value:#x}\n" for name, value in _constants(source))
    lead += ".intel_syntax noprefix\n" if syntax == "intel" else ""
    marker = f'# 1 "{filename}"\n'  # as counts lines from here and names this file
    with tempfile.TemporaryDirectory(prefix="cr3lab-") as directory:
        path = _write(directory, "program.s", lead + marker + source)
        _run([_tool("as"), "--64", "-g", "-o", "program.o", path], directory, filename)
        return _link(directory, filename)


def nasm(source: str, filename: str) -> bytes:
    """ELF bytes by `nasm` and `ld`, with DWARF lines. Errors as for `gas`."""
    with tempfile.TemporaryDirectory(prefix="cr3lab-") as directory:
        lead = "".join(f"%define {name} {value:#x}\n" for name, value in _constants(source))
        path = _write(directory, "program.asm", f"{lead}%line 0+1 {filename}\n" + source)
        _run([_tool("nasm"), "-f", "elf64", "-g", "-F", "dwarf", "-o", "program.o", path], directory, filename)
        return _link(directory, filename)


def _constants(source: str) -> list[tuple[str, int]]:
    """Names and values of the system constants that `source` mentions and does not define."""
    names = sorted(set(_NAME.findall(source)) - {m[1] for m in _DEFINITION.finditer(source)})
    return [(name, value) for name in names if (value := system_constants(name)) is not None]


def _write(directory: str, name: str, text: str) -> str:
    with open(os.path.join(directory, name), "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(text if text.endswith("\n") else text + "\n")
    return name


def _link(directory: str, filename: str) -> bytes:
    _run([_tool("ld"), "-static", "-o", "program", "program.o"], directory, filename)
    with open(os.path.join(directory, "program"), "rb") as file:
        return file.read()


def _tool(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        raise EmuError(f"{name} is not installed (Debian package {_PACKAGES[name]})")
    return path


def _run(command: list[str], directory: str, filename: str) -> None:
    try:
        done = subprocess.run(command, cwd=directory, capture_output=True, timeout=TIME_LIMIT, check=False)
    except subprocess.TimeoutExpired:
        raise EmuError(f"{os.path.basename(command[0])} took more than {TIME_LIMIT:.0f} s", file=filename) from None
    if done.returncode:
        raise AsmError(_messages(done.stderr.decode(errors="replace"), os.path.basename(command[0]), filename))


def _messages(text: str, tool: str, filename: str) -> list[EmuError]:
    """`file:line: Error: message` and `file:line: error: message` as errors; whatever else there is as one."""
    errors: list[EmuError] = []
    for row in text.splitlines():
        parts = row.split(":", 3)
        if len(parts) == 4 and parts[1].strip().isdigit() and parts[2].strip().lower() in ("error", "fatal"):
            errors.append(EmuError(parts[3].strip(), file=parts[0], line=int(parts[1])))
    return errors or [EmuError(f"{tool}: {text.strip() or 'failed without a message'}", file=filename)]
