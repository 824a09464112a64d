"""What names and addresses in expressions mean for one task of a debugged system."""

from typing import TYPE_CHECKING, Final

from emu.debug import Debugger
from emu.debug.runner import Runner
from emu.debug.state import read, registers, task_of
from emu.prompt.errors import PromptError
from emu.prompt.expression import Expression, parse
from mini_kernel.x86 import REGISTER_NAMES

if TYPE_CHECKING:
    from emu.debug.points import Condition


def _parts() -> dict[str, tuple[str, int, int]]:
    """Names of parts of registers: (register, first bit, bits)."""
    found: dict[str, tuple[str, int, int]] = {"eflags": ("rflags", 0, 32), "eip": ("rip", 0, 32)}
    for name in REGISTER_NAMES[:16]:
        if name[1].isdigit():
            names = (f"{name}d", f"{name}w", f"{name}b")
        else:
            low = f"{name[1]}l" if name.endswith("x") else f"{name[1:]}l"
            names = (f"e{name[1:]}", name[1:], low)
            if name.endswith("x"):
                found[f"{name[1]}h"] = name, 8, 8
        found |= {part: (name, 0, bits) for part, bits in zip(names, (32, 16, 8), strict=True)}
    return found


_WHOLE: Final = (*REGISTER_NAMES, "rflags", "fs_base", "gs_base")
_PARTS: Final = _parts()
_ALIASES: Final = {"pc": "rip", "sp": "rsp", "fp": "rbp"}


class TaskScope:
    """Of one task; the current one if `tid` is None. `values` are those of `print`: $1, $2, ...

    `frame`: what is known of registers in an outer frame; without it they are the task's. `variables`: of `set $x`.
    """

    def __init__(
        self,
        d: Debugger,
        tid: int | None = None,
        values: list[int] | None = None,
        frame: dict[int, int] | None = None,
        variables: dict[str, int] | None = None,
    ) -> None:
        self._d = d
        self._variables = variables or {}
        self._frame = frame
        self._tid = tid
        self._values = values or []

    def name(self, name: str) -> int | None:
        plain = name.removeprefix("$")
        if plain.isdigit() or name == "$":
            index = int(plain) if plain else len(self._values)
            return self._values[index - 1] if 0 < index <= len(self._values) else None
        value = self._register(plain)
        if value is None and name.startswith("$"):
            return self._variables.get(plain)
        if value is None and not name.startswith("$"):
            value = self._d.symbols(self._d.kernel.tasks.get(self._tid or 0)).addresses().get(name)
        return value

    def _register(self, name: str) -> int | None:
        name = _ALIASES.get(name, name)
        if name in ("pid", "tid"):
            task = task_of(self._d, self._tid)
            return task.tgid if name == "pid" else task.tid
        whole, first, bits = _PARTS.get(name, (name, 0, 64))
        if whole not in _WHOLE:
            return None
        return self._whole(whole) >> first & (1 << bits) - 1

    def _whole(self, name: str) -> int:
        if self._frame is None or name not in REGISTER_NAMES:
            return registers(self._d, self._tid).named()[name]
        value = self._frame.get(REGISTER_NAMES.index(name))
        if value is None:
            raise PromptError(f"{name} was not saved: its value in this frame is not known")
        return value

    def load(self, address: int, size: int) -> int:
        data = read(self._d, address, size, self._tid)
        if len(data) < size:
            raise PromptError(f"{address:#x} cannot be read")
        return int.from_bytes(data, "little")


def part_of(name: str) -> tuple[str, int, int] | None:
    """(register, first bit, bits) of a register or a part of one; None for another name."""
    name = _ALIASES.get(name, name)
    return _PARTS.get(name, (name, 0, 64) if name in _WHOLE else None)


def register_names() -> list[str]:
    """All that `name` takes for a register."""
    return [*_WHOLE, *_PARTS, *_ALIASES]


def condition(text: str) -> "Condition":
    """What a point is to ask when it is reached. One that cannot be evaluated then holds. Raises PromptError."""
    expression: Expression = parse(text)

    def holds(d: Runner) -> bool:
        assert isinstance(d, Debugger)
        try:
            return bool(expression(TaskScope(d)))
        except PromptError:
            return True  # better a stop too many: the user sees why

    return holds
