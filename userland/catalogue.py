"""The example programs by name."""

from pathlib import Path
from typing import Final

#: Where the C headers and assembler includes are: `-I` for a compiler; `.include` finds them by itself.
INCLUDE: Final = Path(__file__).parent / "include"
#: The examples of a checkout; an installed package has none.
EXAMPLES: Final = Path(__file__).parent.parent / "examples"
SUFFIXES: Final = (".asm", ".s", ".S", ".c")


def programs(directory: Path = EXAMPLES) -> dict[str, Path]:
    """Name (file name without suffix) -> path of every program below `directory`, sorted by name.

    Empty when there is no such directory. ValueError when two programs have one name.
    """
    found: dict[str, Path] = {}
    for path in sorted(p for p in directory.rglob("*") if p.suffix in SUFFIXES and p.is_file()):
        if path.stem in found:
            raise ValueError(f"two programs are called {path.stem}: {found[path.stem]} and {path}")
        found[path.stem] = path
    return dict(sorted(found.items()))
