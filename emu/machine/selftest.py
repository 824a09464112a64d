"""What `emu selftest` says about the machine: does the engine on this host do what the machine relies on?

Each check runs a few instructions on a small machine with tables of its own and states what it saw. A failed check
means that the calibration no longer matches the engine, or that a cure (see entries.py) no longer works.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from emu.machine import aborts
from emu.machine.cpu import Calibration
from emu.machine.engine import ENGINE_VERSION, library_path
from emu.machine.machine import Machine
from emu.machine.muted import find as find_muted
from mini_kernel.x86 import PTE_P, PTE_U, PTE_W, RAX, RCX, RDI, RIP

_RAM: Final = 4 << 20
_RWX: Final = PTE_P | PTE_W | PTE_U
_CODE, _DATA = 0x40_0000, 0x40_1000  # one PTE table maps both
_TABLES, _CODE_FRAME, _FRAME_1, _FRAME_2 = 0x10_000, 0x20_000, 0x21_000, 0x22_000
_LOOPS: Final = 5_000_000


@dataclass(frozen=True)
class Check:
    """One line of the report."""

    name: str
    ok: bool
    detail: str


class _Rig:
    """A machine with CODE mapped and DATA not; logs traps and lets `act` answer them."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.traps: list[tuple[int, int, int]] = []
        self.act: Callable[[], bool] = lambda: False
        words = machine.ram.words
        for level in range(3):
            index = (_CODE >> (39 - 9 * level) & 511) + (_TABLES >> 3) + 512 * level
            words[index] = _TABLES + 0x1000 * (level + 1) | _RWX
        self.pte = (_TABLES + 0x3000 >> 3) + (_CODE >> 12 & 511)
        words[self.pte] = _CODE_FRAME | _RWX
        machine.attach(self)

    def map_data(self, frame: int) -> None:
        self.machine.ram.words[self.pte + 1] = frame | _RWX if frame else 0

    def syscall(self) -> None:
        self._enter(-1, 0, 0)

    def exception(self, vector: int, error: int, cr2: int) -> None:
        self._enter(vector, error, cr2)

    def tick(self) -> None:
        """Slices do not matter here."""

    def _enter(self, vector: int, error: int, cr2: int) -> None:
        self.traps.append((vector, error, cr2))
        if not self.act():
            self.machine.stop()

    def run(self, code: str, rcx: int = 0) -> list[tuple[int, int, int]]:
        """Run code (hex) from a fresh state with RDI = DATA until a trap that `act` does not answer."""
        machine = self.machine
        data = bytes.fromhex(code)
        machine.ram.data[_CODE_FRAME : _CODE_FRAME + len(data)] = data
        machine.flush_code()
        machine.load(machine.fresh())
        machine.cr3, machine.regs[RIP] = _TABLES, _CODE
        machine.regs[RDI], machine.regs[RCX] = _DATA, rcx
        self.traps.clear()
        machine.run()
        return self.traps


def _versions(rig: _Rig) -> tuple[bool, str]:
    del rig
    return True, f"unicorn {'.'.join(map(str, ENGINE_VERSION))} at {library_path()}"


def _calibration(rig: _Rig) -> tuple[bool, str]:
    fields, traps = Calibration.fields, Calibration.traps
    if fields is None or traps is None:
        return False, "no calibration"
    where = "in place" if rig.machine.in_place else "by copy (the engine's own could not be found; slower)"
    return True, (
        f"registers {where}, {fields.size} bytes; words: cr2 {fields.word_cr2}, cr3 {fields.word_cr3}, "
        f"fs {fields.word_fs_base}; error code {traps.half_error * 4}, old_exception {traps.half_old_exception * 4}"
    )


def _slices(rig: _Rig) -> tuple[bool, str]:
    method = rig.machine.slice_method
    return True, method if method == "native" else "python (no executable memory or no x86-64 host; slow)"


def _repeated_faults(rig: _Rig) -> tuple[bool, str]:
    def act() -> bool:
        if len(rig.traps) == 3:
            rig.map_data(_FRAME_1)
        return len(rig.traps) < 4

    rig.act = act
    seen = [vector for vector, _, _ in rig.run("8b07 0f05")]
    return seen == [14, 14, 14, -1], f"three page faults in a row arrive as {seen}"


def _error_codes(rig: _Rig) -> tuple[bool, str]:
    codes = list[int]()
    for code, bits in (("8b07", 0), ("8907", 0), ("ffe7", 0), ("8b07", PTE_P), ("8907", PTE_P | PTE_U)):
        rig.machine.ram.words[rig.pte + 1] = _FRAME_1 | bits if bits else 0
        rig.machine.flush_tlb()
        rig.act = lambda: False
        codes.append(rig.run(code)[0][1])
    return codes == [4, 6, 0x14, 5, 7], f"error codes {[hex(code) for code in codes]}"


def _abort(_rig: _Rig) -> tuple[bool, str]:
    if aborts.guard() is None:
        return False, "cannot be caught on this host: a guest can end the process with `lock bt` on a register"
    return True, "becomes #UD"


def _memory_hooks(_rig: _Rig) -> tuple[bool, str]:
    muted = find_muted()
    if muted is None:
        return (
            False,
            "fall silent behind an access in two pages that faults: watchpoints of the debugger miss what follows",
        )
    return True, f"are kept awake at {muted:#x} of the engine's struct"


def _second_read(rig: _Rig, flush: bool) -> int:
    rig.map_data(_FRAME_1)
    rig.machine.ram.data[_FRAME_1], rig.machine.ram.data[_FRAME_2] = 1, 2

    def act() -> bool:
        rig.map_data(_FRAME_2)
        if flush:
            rig.machine.flush_tlb()
        return len(rig.traps) == 1

    rig.act = act
    rig.run("8a07 0f05 8a07 0f05")
    return rig.machine.regs[RAX] & 0xFF


def _tlb(rig: _Rig) -> tuple[bool, str]:
    stale, fresh = _second_read(rig, flush=False), _second_read(rig, flush=True)
    return fresh == 2, f"after a remap: old frame {'seen' if stale == 1 else 'gone'} without a flush, gone with one"


def _code(rig: _Rig) -> tuple[bool, str]:
    def act() -> bool:
        rig.machine.ram.data[_CODE_FRAME + 1] = 2
        rig.machine.flush_code()
        rig.machine.regs[RIP] = _CODE
        return len(rig.traps) == 1

    rig.act = act
    rig.run("b801000000 0f05")
    return rig.machine.regs[RAX] == 2, "rewritten code runs in its new form after flush_code"


def _speed(rig: _Rig) -> tuple[bool, str]:
    rig.act = lambda: False
    began = time.perf_counter()
    rig.run("ffc0 ffc3 01c3 31d0 48ffc9 75f3 0f05", _LOOPS)  # six instructions
    mips = _LOOPS * 6 / (time.perf_counter() - began) / 1e6
    return mips > 5, f"{mips:.0f} million instructions per second on a six-instruction loop"


_CHECKS: Final[dict[str, Callable[[_Rig], tuple[bool, str]]]] = {
    "engine": _versions,
    "calibration": _calibration,
    "time slices": _slices,
    "repeated faults": _repeated_faults,
    "error codes": _error_codes,
    "translator's abort": _abort,
    "memory hooks": _memory_hooks,
    "TLB flush": _tlb,
    "code flush": _code,
    "speed": _speed,
}


def run_selftest() -> list[Check]:
    """Run every check (about 0.1 s). A machine that cannot start is one failed check; nothing is raised."""
    try:
        machine = Machine(_RAM)
    except Exception as failure:
        return [Check("start", False, str(failure))]
    with machine:
        rig = _Rig(machine)
        checks = list[Check]()
        for name, check in _CHECKS.items():
            try:
                ok, detail = check(rig)
            except Exception as failure:
                ok, detail = False, f"{type(failure).__name__}: {failure}"
            checks.append(Check(name, ok, detail))
        return checks
