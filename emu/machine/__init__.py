"""The vCPU and its RAM on Unicorn: fills `mini_kernel.hw`. The only code that touches the engine.

ram.py       guest RAM, four views of one sparse host mapping
engine.py    libunicorn through ctypes
layout.py    calibration: where the engine keeps the registers
boot.py      from reset to ring 3
cpu.py       the register file, in place or by copy
native.py    host machine code for block and instruction counting
stubs.py     host machine code that stops before instructions and behind memory accesses
probes.py    what it finds there
muted.py     where memory hooks are waked up again
jumps.py     machines whose clock does not depend on how they are watched
debugging.py a machine with such probes
aborts.py    the translator's abort becomes #UD
entries.py   what becomes of system calls and exceptions: entries into the kernel, and the engine's misbehaviour cured
hooks.py     the hooks that lead there
machine.py   the loop, time slices
stepping.py  the exact RIP of a fetch fault
fpu.py       the FXSAVE image
selftest.py  what `emu selftest` reports
"""

from emu.machine.boot import RESERVED_FRAMES
from emu.machine.debugging import (
    RECORD_BYTES,
    Access,
    AccessKind,
    DebugMachine,
    Range,
    ScheduledMachine,
    scheduled_machine,
)
from emu.machine.engine import ENGINE_VERSION
from emu.machine.errors import ClosedError, EngineError, MachineError
from emu.machine.jumps import JumpMachine, RecordMachine
from emu.machine.machine import DEFAULT_QUANTUM, Machine
from emu.machine.ram import Ram

__all__ = [
    "DEFAULT_QUANTUM",
    "ENGINE_VERSION",
    "RECORD_BYTES",
    "RESERVED_FRAMES",
    "Access",
    "AccessKind",
    "ClosedError",
    "DebugMachine",
    "EngineError",
    "JumpMachine",
    "Machine",
    "MachineError",
    "Ram",
    "Range",
    "RecordMachine",
    "ScheduledMachine",
    "scheduled_machine",
]
