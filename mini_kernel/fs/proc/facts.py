"""What the files about the system as a whole say (Linux fs/proc/meminfo.c, stat.c, ...).

One CPU, which runs user code or sleeps: kernel time is no time here, so there are no system or interrupt ticks.
Lines whose value is not known are left out.
"""

from collections.abc import Callable
from typing import Final

import numpy as np

from mini_kernel.clock import EPOCH_NS, TSC_PER_NS
from mini_kernel.fs.proc.views import System
from mini_kernel.mm.frame import K_CACHE, K_TABLE

SYSNAME: Final = "Linux"
NODENAME: Final = "cr3lab"
RELEASE: Final = "6.1.0-cr3lab"
VERSION: Final = "#1 mini_kernel"
PID_MAX: Final = 1 << 22
THREADS_MAX: Final = 4096
_THREADS_MIN: Final = 64
_SECOND: Final = 1_000_000_000
_TICK: Final = _SECOND // 100
_TABS: Final = ("\t\t", "\t")  # a name and its tabs take 16 columns
#: Names of CPUID 1 EDX, bit 0 first (SDM vol. 2 table 3-11), "" where the CPU model has none.
_FLAGS: Final = (
    "fpu", "vme", "de", "pse", "tsc", "msr", "pae", "mce", "cx8", "apic", "", "sep", "mtrr", "pge", "mca", "cmov",
    "pat", "pse36", "", "clflush", "", "", "", "mmx", "fxsr", "sse", "sse2", "", "ht",
)  # fmt: skip


def meminfo(system: System) -> bytes:
    """/proc/meminfo. There is no swap, and every page of the page cache is its only copy."""
    frames = system.frames
    used = frames.used()
    kinds = frames.kind[used]
    tables, cached = (int(np.count_nonzero(kinds & kind)) for kind in (K_TABLE, K_CACHE))
    free = frames.available()
    lines = (
        ("MemTotal", frames.total), ("MemFree", free), ("MemAvailable", free), ("Buffers", 0), ("Cached", cached),
        ("SwapCached", 0), ("SwapTotal", 0), ("SwapFree", 0), ("Dirty", 0), ("Writeback", 0),
        ("AnonPages", len(used) - tables - cached - 1), ("PageTables", tables), ("AnonHugePages", 0),
    )  # fmt: skip
    text = "".join(f"{name + ':':<16}{pages << 2:8d} kB\n" for name, pages in lines)
    for name in ("HugePages_Total", "HugePages_Free", "HugePages_Rsvd", "HugePages_Surp"):
        text += f"{name + ':':<16}{0:8d}\n"
    return (text + f"{'Hugepagesize:':<16}{2048:8d} kB\n").encode()


def cpuinfo(system: System) -> bytes:
    """/proc/cpuinfo: one CPU, whose clock is that of the time stamp counter."""
    lines = (
        ("processor", 0), ("model name", "cr3lab x86-64"), ("cpu MHz", f"{TSC_PER_NS * 1000}.000"),
        ("physical id", 0), ("siblings", 1), ("core id", 0), ("cpu cores", 1), ("fpu", "yes"),
        ("flags", " ".join(name for name in (*_FLAGS, "syscall", "nx", "lm") if name)),
        ("clflush size", 64), ("address sizes", "40 bits physical, 48 bits virtual"),
    )  # fmt: skip
    text = "".join(f"{name}{_TABS[len(name) // 8]}: {value}\n" for name, value in lines)
    return text.encode() + b"\n"


def stat(system: System) -> bytes:
    """/proc/stat. `processes` counts the thread ids given out."""
    clock = system.clock
    busy, idle = (clock.now_ns() - clock.skipped_ns) // _TICK, clock.skipped_ns // _TICK
    running = sum(task.state == 0 for task in system.tasks.values())
    cpu = f"{busy} 0 0 {idle} 0 0 0 0 0 0"
    return (
        f"cpu  {cpu}\ncpu0 {cpu}\nintr 0\nctxt {system.sched.switches}\nbtime {EPOCH_NS // _SECOND}\n"
        f"processes {system.last_tid}\nprocs_running {running}\nprocs_blocked 0\nsoftirq 0\n"
    ).encode()


def _hundredths(ns: int) -> str:
    return f"{ns // _SECOND}.{ns % _SECOND // _TICK:02d}"


def uptime(system: System) -> bytes:
    """/proc/uptime: since boot, and asleep."""
    return f"{_hundredths(system.clock.now_ns())} {_hundredths(system.clock.skipped_ns)}\n".encode()


def loadavg(system: System) -> bytes:
    """/proc/loadavg: no averages are kept, so they are 0; who runs now, how many there are, the last id."""
    running = sum(task.state == 0 for task in system.tasks.values())
    return f"0.00 0.00 0.00 {running}/{len(system.tasks)} {system.last_tid}\n".encode()


def version(system: System) -> bytes:
    """/proc/version."""
    return f"{SYSNAME} version {RELEASE} (cr3lab@{NODENAME}) (Python) {VERSION}\n".encode()


def filesystems(system: System) -> bytes:
    """/proc/filesystems."""
    return b"nodev\ttmpfs\nnodev\tproc\n"


#: What is mounted where, with its st_dev.
_MOUNTS: Final = (
    (1, "/", "tmpfs"), (2, "/proc", "proc"), (3, "/dev", "tmpfs"), (4, "/dev/shm", "tmpfs"),
)  # fmt: skip


def mounts(_about: object) -> bytes:
    """/proc/PID/mounts: files in memory, also those that a host directory filled."""
    return "".join(f"{kind} {where} {kind} rw,relatime 0 0\n" for _device, where, kind in _MOUNTS).encode()


def mountinfo(_about: object) -> bytes:
    """/proc/PID/mountinfo. What is below another's directory is mounted there; ids are those of the devices."""
    at = {where: device for device, where, _kind in _MOUNTS}
    lines = ""
    for device, where, kind in _MOUNTS:
        above = at.get(where.rsplit("/", 1)[0] or "/", 1) if device > 1 else 0
        lines += f"{device} {above} 0:{device} / {where} rw,relatime - {kind} {kind} rw\n"
    return lines.encode()


def threads_max(frames: int) -> int:
    """How many threads a machine with so much RAM may have: one for every 128 KiB (Linux set_max_threads)."""
    return min(THREADS_MAX, max(_THREADS_MIN, frames >> 5))


def swaps(_system: System) -> bytes:
    """/proc/swaps: none."""
    return b"Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"


def devices(_system: System) -> bytes:
    """/proc/devices: majors that a node in /dev may have."""
    return b"Character devices:\n  1 mem\n  5 /dev/tty\n136 pts\n\nBlock devices:\n"


Make = Callable[[System], bytes]

FACTS: Final[dict[bytes, Make]] = {
    b"meminfo": meminfo, b"cpuinfo": cpuinfo, b"stat": stat, b"uptime": uptime, b"loadavg": loadavg,
    b"version": version, b"filesystems": filesystems, b"swaps": swaps, b"devices": devices,
}  # fmt: skip
#: Files whose content the kernel object makes, by directory.
REPORTS: Final[dict[bytes, tuple[bytes, ...]]] = {
    b"net": (b"dev", b"tcp", b"tcp6", b"udp", b"udp6", b"unix"),
    b"sysvipc": (b"msg", b"sem", b"shm"),
}
