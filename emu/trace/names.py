"""Names instead of numbers that change with the layout.

Addresses   `symbol+0x4` in the program, `[heap]+0x10`, `[stack]`, `file+0x1000`, `map0+0x20` of the first anonymous
            mapping that is met; numbers that lie in nothing stay as they are
Frames      f0, f1, ... in the order in which they are met; tables t0, t1, ...
Tasks       p1, p2, ... in the order of their forks; threads p1.2, p1.3, ...
"""

import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

from emu import disasm
from emu.origin import origin
from emu.peek import peek
from emu.symbols import ImageSymbols, Symbols
from mini_kernel.mm.mm import Mm
from mini_kernel.task import Task

_ADDRESS: Final = re.compile(r"0x[0-9a-f]{4,16}\b")
_ANONYMOUS: Final = "/dev/zero (deleted)"  # what Linux calls the file of shared anonymous memory
_RELATIVE: Final = re.compile(r"rip ([+-]) (0x[0-9a-f]+|\d+)")
_LOWEST: Final = 0x1000  # below are lengths and flags

Region = tuple[int, int, str]  # start, end, name


class Names:
    """The names of one run. They are given as things are met, so two equal runs give equal names."""

    def __init__(self, symbols: Symbols, program: bytes) -> None:
        self._symbols = symbols
        self._assembled = isinstance(symbols, ImageSymbols)
        self._program = program  # exe_path of the tasks that run it
        self._numbers: dict[str, dict[int, str]] = {}
        self._processes: dict[int, str] = {}
        self._regions: dict[int, list[Region]] = {}  # anonymous ones, by process
        self._maps: dict[int, int] = {}  # how many were named, by process

    # -- tasks --------------------------------------------------------------------------------------

    def task(self, task: Task) -> str:
        """p1, or p1.2 for a thread."""
        process = self._processes.setdefault(task.tgid, f"p{len(self._processes) + 1}")
        if task.tid == task.tgid:
            return process
        threads = self._numbers.setdefault(process, {})
        return process + "." + threads.setdefault(task.tid, str(len(threads) + 2))

    def forked(self, parent: Task, child: Task) -> None:
        """A child has the parent's mappings under the same names."""
        self.task(child)
        if child.tgid != parent.tgid:
            self._regions[child.tgid] = list(self._regions.get(parent.tgid, ()))
            self._maps[child.tgid] = self._maps.get(parent.tgid, 0)

    def changed(self, task: Task) -> None:
        """Forget the names of anonymous mappings that are no longer there."""
        mm = task.user_mm
        regions = self._regions.get(task.tgid)
        if regions and mm is not None:
            self._regions[task.tgid] = [r for r in regions if mm.overlapping(r[0], r[1])]

    # -- numbers ------------------------------------------------------------------------------------

    def frame(self, pfn: int) -> str:
        """f0, f1, ..."""
        return self._numbered("f", pfn)

    def table(self, pfn: int) -> str:
        """t0, t1, ..."""
        return self._numbered("t", pfn)

    def _numbered(self, letter: str, number: int) -> str:
        known = self._numbers.setdefault(letter, {})
        return known.setdefault(number, f"{letter}{len(known)}")

    # -- addresses ----------------------------------------------------------------------------------

    def origin(self, task: Task, rip: int, rsp: int) -> tuple[int, str]:
        """Whose doing it is (emu.origin), and its name: `label+0x12` in an assembled program, else the `function`.

        Both are 0 and "" where no source line is known: the C library is another on every host.
        """
        if task.exe_path != self._program or task.user_mm is None or not task.user_mm.users:
            return 0, ""
        at = origin(self._symbols, task.user_mm, rip, rsp)
        name = self._symbols.name(at)
        if name is None or self._assembled:
            return at, name or ""
        return (at, name.partition("+")[0]) if self._symbols.line(at) else (0, "")

    def instructions(self, task: Task, address: int, size: int) -> Iterator[tuple[int, str, str]]:
        """Those of a block of the program: address, function, and text with names for addresses."""
        name = self._symbols.name(address) if task.exe_path == self._program else None
        if name is None or task.user_mm is None:
            return
        function = name.partition("+")[0]
        data = peek(task.user_mm, address, size)
        while data and (instruction := disasm.one(data, address)) is not None:
            text = _RELATIVE.sub(partial(self._relative, task, instruction.end), instruction.text)
            yield address, function, self.in_text(task)(text)
            address, data = instruction.end, data[instruction.size :]

    def _relative(self, task: Task, end: int, found: re.Match[str]) -> str:
        distance = int(found[2], 16)
        return self.address(task, end + (distance if found[1] == "+" else -distance))

    def address(self, task: Task, address: int) -> str:
        """Any address of the task's."""
        mm = task.user_mm
        if mm is None or not mm.users:
            return f"{address:#x}"
        vma = mm.find(address)
        if vma is None:
            return self._heap(mm, address)
        if task.exe_path == self._program and (name := self._symbols.name(address)):
            return name
        if vma.name == "[stack]":
            return "[stack]"
        if vma.name.startswith("["):
            return _offset(vma.name, address - vma.start)
        if vma.file is not None and vma.file.name and vma.file.name != _ANONYMOUS:
            at = address - vma.start + (vma.pgoff << 12)
            return _offset(vma.file.name.rsplit("/", 1)[-1], at)
        return self._anonymous(task, mm, address)

    def _heap(self, mm: Mm, address: int) -> str:
        """What lies in no area is a plain number, but for the break, which is where the heap would go on."""
        start, end = mm.start_brk & -4096, mm.brk + 4095 & -4096
        return _offset("[heap]", address - start) if start and start <= address <= end else f"{address:#x}"

    def _anonymous(self, task: Task, mm: Mm, address: int) -> str:
        regions = self._regions.setdefault(task.tgid, [])
        for start, end, name in regions:
            if start <= address < end:
                return _offset(name, address - start)
        vma = mm.find(address)
        assert vma is not None
        number = self._maps[task.tgid] = self._maps.get(task.tgid, 0) + 1
        # what was named before and lies inside keeps its name: the new one is what is left
        start = max([vma.start, *(r[1] for r in regions if vma.start < r[1] <= address)])
        end = min([vma.end, *(r[0] for r in regions if address < r[0] <= vma.end)])
        regions.append((start, end, f"map{number - 1}"))
        return _offset(f"map{number - 1}", address - start)

    def in_text(self, task: Task) -> Callable[[str], str]:
        """A function that puts names for the addresses in a text like `mmap`'s arguments."""

        def name(found: re.Match[str]) -> str:
            value = int(found[0], 16)
            return self.address(task, value) if value >= _LOWEST else found[0]

        return lambda text: _ADDRESS.sub(name, text)


def _offset(name: str, offset: int) -> str:
    return f"{name}+{offset:#x}" if offset else name
