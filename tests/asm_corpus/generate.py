"""Writes shapes.txt: one instance of every instruction shape that occurs in three or more of the given binaries.

    python tests/asm_corpus/generate.py BINARY...        (without any: those of DEFAULT that exist)

A line is `source TAB bytes`, the bytes in hexadecimal as GNU as encodes the source. Needs objdump, as, nm and objcopy.
Branches lead to `.+0x40` or `.+0x4000`, so that every line means the same wherever it stands.
"""

import glob
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from asm_corpus import SHAPES, gnu
from asm_shapes import shape_of, source_of

DEFAULT: Final = (
    *("/usr/bin/bash", "/usr/bin/busybox", "/usr/bin/perl", "/usr/bin/python3.*[0-9]", "/usr/bin/gdb", "/usr/bin/git"),
    *("/usr/bin/vim.basic", "/usr/bin/qemu-x86_64", "/usr/lib/gcc/x86_64-linux-gnu/*/cc1"),
    *(f"/usr/lib/x86_64-linux-gnu/lib{name}.so.[0-9]*" for name in ("c", "sqlite3", "crypto", "m", "stdc++", "x265")),
    *(f"/usr/lib/x86_64-linux-gnu/lib{name}.so.[0-9]*" for name in ("aom", "de265", "gmp", "tsan", "rav1e", "dav1d")),
    *(f"/usr/lib/x86_64-linux-gnu/lib{name}.so.[0-9]*" for name in ("SvtAv1Enc", "jpeg", "quadmath")),
)
WANTED: Final = 3  # binaries a shape must occur in


def instances(binary: str) -> Iterator[str]:
    """The distinct instructions of a binary as source."""
    command = ["objdump", "-d", "-M", "intel", "--insn-width=15", "-w", binary]
    seen: set[str] = set()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, errors="replace") as run:
        assert run.stdout is not None
        for line in run.stdout:
            fields = line.rstrip("\n").split("\t")
            if len(fields) >= 3 and (text := fields[2].partition("#")[0].partition("<")[0]) not in seen:
                seen.add(text)
                source = source_of(text, len(fields[1].split()))
                if source is not None:
                    yield source


def main(binaries: list[str]) -> None:
    found: dict[str, dict[str, str]] = {}
    for binary in binaries:
        for source in instances(binary):
            found.setdefault(shape_of(source), {}).setdefault(binary, source)
        print(f"{binary}: {len(found)} shapes so far", file=sys.stderr)
    sources = sorted(next(iter(by.values())) for by in found.values() if len(by) >= WANTED)
    with tempfile.TemporaryDirectory() as directory:
        encoded = gnu(sources, "intel", Path(directory))
    rows = [f"{s}\t{b.hex()}" for s, b in zip(sources, encoded, strict=True) if isinstance(b, bytes)]
    SHAPES.write_text("\n".join(rows) + "\n")
    print(f"{len(rows)} shapes in {WANTED} or more of {len(binaries)} binaries", file=sys.stderr)


def _default() -> list[str]:
    """Each once, however many names it has."""
    found = {str(Path(name).resolve()): None for pattern in DEFAULT for name in sorted(glob.glob(pattern))}
    return list(found)


if __name__ == "__main__":
    main(sys.argv[1:] or _default())
