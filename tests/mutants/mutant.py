"""A bug to put back into the kernel: what to change, and who should notice.

`killers` are named without their files: tests, most likely first, and as the last resort always the model (runner.py).
"""

from dataclasses import dataclass

MODEL = "model:0-40"


@dataclass(frozen=True)
class Mutant:
    """`old` becomes `new` in `file`, below mini_kernel, where it must occur exactly once."""

    name: str
    file: str
    old: str
    new: str
    killers: tuple[str, ...]


def m(name: str, file: str, old: str, new: str, *killers: str) -> Mutant:
    """A mutant of mm/`file`, or of a file beside mm/."""
    return Mutant(name, file[3:] if file.startswith("../") else f"mm/{file}", old, new, (*killers, MODEL))


def h(name: str, file: str, old: str, new: str, *killers: str) -> Mutant:
    """A mutant that only huge pages show."""
    return Mutant(name, f"mm/{file}", old, new, (*killers, "huge:5000-5040"))
