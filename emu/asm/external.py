"""The installed assemblers as back ends: source to ELF bytes through GNU as or nasm, and GNU ld.

What they do with the source is theirs; they may read files (.incbin, and .include from anywhere). Three things are
added so that a program for emu.asm is one for them: the constants of the system interface that it uses and does not
define, `_start` as a global name, and, for GNU as, `.rodata` as a directive. Includes are found where emu.asm has them.
"""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from emu.asm.assembler import NONE, Syntax, system_constants
from emu.asm.errors import AsmError
from emu.asm.library import defining
from emu.asm.sources import LIBRARY
from emu.errors import EmuError
from userland.catalogue import INCLUDE

TIME_LIMIT: Final = 30.0  # seconds per tool
_NAME: Final = re.compile(r"\b[A-Z]\w+\b")
_DEFINITION: Final = re.compile(
    r"^\s*(?:[.%](?:equ|set|equiv|define|assign)\s+)?([A-Z]\w+)\s*(?:[=:,]|\bequ\b|\d)", re.M
)
_START: Final = re.compile(r"^\s*_start\s*:", re.M)
_EXTERN: Final = re.compile(r"^\s*\.?extern\s+([^;\n]+)", re.M)
_INCLUDED: Final = re.compile(r"""^\s*[.%]include\s+["']([^"'\n]+)["']""", re.M)
_MESSAGE: Final = re.compile(
    r"^(?P<file>[^:\n]+):(?P<line>\d+): *(?P<kind>fatal error|fatal|error|warning): *(?P<text>.*)", re.I | re.M
)
_PACKAGES: Final = {"as": "binutils", "ld": "binutils", "nasm": "nasm"}
_RODATA: Final = ".macro .rodata\n.section .rodata\n.endm\n"

Warn = Callable[[str], object]


def gas(
    source: str,
    filename: str,
    *,
    syntax: Syntax = "intel",
    path: str = "",
    warn: Warn | None = None,
    constants: Mapping[str, int] = NONE,
) -> bytes:
    """ELF bytes by `as` and `ld`, with DWARF lines.

    `path` is the absolute path of the source, "" if it has none; `warn` is given the tools' warnings, a line each;
    `constants` are known by name as those of the system interface are.
    AsmError with the tool's messages, EmuError when it is missing.
    """
    job = _Job(source, filename, path, warn, constants)
    lead = _RODATA + "".join(f".set {name}, {value:#x}\n" for name, value in job.constants())
    lead += ".globl _start\n" if job.finds(_START) else ""
    lead += ".intel_syntax noprefix\n" if syntax == "intel" else ""
    quoted = filename.replace("\\", "\\\\").replace('"', '\\"')
    marker = f'# 1 "{quoted}"\n'  # as counts lines from here and names this file
    folders = [option for folder in job.folders for option in ("-I", folder)]
    return job.make("program.s", lead + marker + source, "as", ["--64", "-g", *folders], job.library())


def nasm(
    source: str, filename: str, *, path: str = "", warn: Warn | None = None, constants: Mapping[str, int] = NONE
) -> bytes:
    """ELF bytes by `nasm` and `ld`, with DWARF lines. Parameters and errors as for `gas`."""
    job = _Job(source, filename, path, warn, constants)
    lead = "".join(f"%define {name} {value:#x}\n" for name, value in job.constants())
    lead += "global _start\n" if job.finds(_START) else ""
    folders = [f"-I{folder}{os.sep}" for folder in job.folders]
    options = ["-f", "elf64", "-g", "-F", "dwarf", *folders]
    if path:  # nasm itself reads the file: its DWARF names the directory of what it was given
        return job.make("lead.asm", lead, "nasm", [*options, path, "-P"], job.library())
    return job.make("program.asm", f"{lead}%line 0+1 {filename}\n{source}", "nasm", options, job.library())


@dataclass
class _Job:
    """One program. `texts` are the source and what it includes, as far as that is found, by the names in messages."""

    source: str
    filename: str
    path: str
    warn: Warn | None
    extra: Mapping[str, int]
    texts: dict[str, str] = field(default_factory=dict[str, str])

    def __post_init__(self) -> None:
        self.folders = [os.path.dirname(self.filename) or ".", str(INCLUDE)] if self.path else [str(INCLUDE)]
        self.texts[self.filename] = self.source
        waiting = [self.source]
        while waiting:
            for name in _INCLUDED.findall(waiting.pop()):
                found = next((p for folder in self.folders if os.path.isfile(p := os.path.join(folder, name))), None)
                if found is not None and (shown := _shown(found)) not in self.texts:
                    with open(found, encoding="utf-8", errors="surrogateescape") as file:
                        self.texts[shown] = file.read()
                    waiting.append(self.texts[shown])

    def constants(self) -> list[tuple[str, int]]:
        """Names and values of the constants that the program mentions and does not define."""
        return _constants("\n".join(self.texts.values()), self.extra)

    def finds(self, pattern: re.Pattern[str]) -> bool:
        """True if any of the texts has it."""
        return any(pattern.search(text) for text in self.texts.values())

    def library(self) -> list[str]:
        """The library's files that define what the program declares as external, in GNU syntax."""
        names = {n.strip() for text in self.texts.values() for m in _EXTERN.finditer(text) for n in m[1].split(",")}
        files = {file for name in names if (file := defining(name)) is not None}
        return sorted(file for file in files if os.path.join(LIBRARY, file) not in self.texts)  # or it is there already

    def make(self, name: str, text: str, tool: str, options: list[str], library: Sequence[str] = ()) -> bytes:
        """Assemble a file `name` with `text`, whose path stands behind `options`; link it with files of the library.

        In the working directory, so that messages and DWARF name files as we do.
        """
        with tempfile.TemporaryDirectory(prefix="cr3lab-") as directory:
            objects = [self._object(directory, name, text, [_tool(tool), *options])]
            for file in library:
                source = (INCLUDE / file).read_text("utf-8")
                lead = "".join(f".set {n}, {v:#x}\n" for n, v in _constants(source)) + ".intel_syntax noprefix\n"
                marker = f'# 1 "{INCLUDE / file}"\n'
                objects.append(self._object(directory, file, lead + marker + source, [_tool("as"), "--64", "-g"]))
            linked = os.path.join(directory, "program")
            self._run([_tool("ld"), "-static", "-z", "noexecstack", "-o", linked, *objects])
            with open(linked, "rb") as made:
                return made.read()

    def _object(self, directory: str, name: str, text: str, command: list[str]) -> str:
        path = os.path.join(directory, name)
        with open(path, "w", encoding="utf-8", errors="surrogateescape") as file:
            file.write(text if text.endswith("\n") else text + "\n")
        self._run([command[0], "-o", f"{path}.o", *command[1:], path])
        return f"{path}.o"

    def _run(self, command: list[str]) -> None:
        tool = os.path.basename(command[0])
        environment = {**os.environ, "LC_ALL": "C"}
        try:
            done = subprocess.run(command, capture_output=True, timeout=TIME_LIMIT, check=False, env=environment)
        except subprocess.TimeoutExpired:
            raise EmuError(f"{tool} took more than {TIME_LIMIT:.0f} s", file=self.filename) from None
        text = done.stderr.decode(errors="replace")
        if done.returncode:
            raise AsmError(self._errors(text, tool))
        for match in _MESSAGE.finditer(text):
            if self.warn is not None and match["kind"].lower() == "warning":
                self.warn(f"{self._name(match['file'])}:{match['line']}: warning: {match['text'].strip()}")

    def _name(self, path: str) -> str:
        """What a file in a tool's message is called in ours."""
        return self.filename if path == self.path else _shown(path)

    def _errors(self, text: str, tool: str) -> list[EmuError]:
        """The errors with file, line and the line's text; whatever else there is as one."""
        errors: list[EmuError] = []
        for match in _MESSAGE.finditer(text):
            if match["kind"].lower() != "warning":
                file, line = self._name(match["file"]), int(match["line"])
                rows = self.texts.get(file, "").split("\n")
                source = rows[line - 1].rstrip() if 0 < line <= len(rows) else ""
                errors.append(EmuError(match["text"].strip(), file=file, line=line, source=source or None))
        return errors or [EmuError(f"{tool}: {text.strip() or 'failed without a message'}", file=self.filename)]


def _constants(text: str, extra: Mapping[str, int] = NONE) -> list[tuple[str, int]]:
    names = sorted(set(_NAME.findall(text)) - {m[1] for m in _DEFINITION.finditer(text)})
    return [(name, value) for name in names if (value := extra.get(name, system_constants(name))) is not None]


def _shown(path: str) -> str:
    """What a file is called in messages: as emu.asm calls it."""
    path = os.path.normpath(path)
    below = path.startswith(f"{INCLUDE}{os.sep}")
    return os.path.join(LIBRARY, os.path.relpath(path, INCLUDE)) if below else path


def _tool(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        raise EmuError(f"{name} is not installed (Debian package {_PACKAGES[name]})")
    return path
