"""What the project promises, what the work it retraces reports, and what each bench is about."""

from typing import Final

from emu.bench.cases.basic import BOOT_GIB
from emu.bench.cases.io import SERIES
from emu.bench.cases.shell import ROUNDS
from emu.bench.report import Bar, Seed

_CLASSIC: Final = {"policy": "classic"}
_ODF_1, _ODF_50 = {"policy": "odf", "mib": 1024}, {"policy": "odf", "mib": 51200}
_ABUNDANT: Final = {"mib": 1024, "access": "abundant"}
_P: Final = 262144  # pages of 1 GiB


def _exactly(bench: str, subject: dict[str, str | int], value: int) -> tuple[Bar, Bar]:
    return Bar(bench, subject, value), Bar(bench, subject, value, at_least=True)


BARS: Final = (
    Bar("syscall", {"call": "getppid"}, 4, against="raw"),
    Bar("fault", {"kind": "first-touch"}, 5, against="host"),
    Bar("fork", {"policy": "classic", "mib": 1024}, 3000),
    Bar("fork", {"policy": "classic", "mib": 1024}, 1, against="host"),
    Bar("fork", {"policy": "classic", "mib": 51200}, 250_000),
    Bar("fork", _ODF_1, 60),
    Bar("fork", _ODF_1, 65, against=_CLASSIC, faster=True),
    Bar("fork", _ODF_50, 1000),
    Bar("fork", _ODF_50, 270, against=_CLASSIC, faster=True),
    Bar("fork", {"policy": "classic", "mib": 64, "what": "touched+fork+exit+wait"}, 1000),
    Bar("fork", {"policy": "classic", "mib": 64, "what": "touched+fork+exit+wait"}, 1, against="host"),
    Bar("fork", {**_ODF_1, "what": "VmPTE"}, 60),
    Bar("fork-fault", {"policy": "odf", "kind": "first-write"}, 60),
    Bar("sfork", {"policy": "sfork-populate", **_ABUNDANT}, 3, against={"policy": "shm"}, faster=True),
    *_exactly("sfork", {"policy": "shm", **_ABUNDANT, "what": "faults"}, 2 * _P),
    *_exactly("sfork", {"policy": "sfork-file", **_ABUNDANT, "what": "faults"}, 2 * _P),
    *_exactly("sfork", {"policy": "sfork-lazy", **_ABUNDANT, "what": "faults"}, _P),
    Bar("sfork", {"policy": "sfork-populate", **_ABUNDANT, "what": "faults"}, 0),
    Bar("snapshot", {"policy": "odf", "mib": 256}, 4000, at_least=True),
    Bar("snapshot", {"policy": "odf", "mib": 256}, 3, against=_CLASSIC, at_least=True),
    Bar("shell-loop", {"loop": f"{ROUNDS} x true", "policy": "classic"}, 15, against="host"),
    Bar("switch", {"what": "pipe"}, 25),
    Bar("pipe-byte", {"call": "write or read"}, 6),
    Bar("file-open", {"calls": "open+fstat+read+close"}, 30),
    *(Bar("file-read", {"call": call, "piece": "64 KiB"}, 0.1, against="host", at_least=True) for call in SERIES),
    Bar("cpu", {"loop": "xorshift"}, 0.9, against="raw", at_least=True),
    Bar("startup", {"what": "run hello.asm"}, 250),
    Bar("boot", {"what": "boot", "gib": BOOT_GIB}, 10),
    Bar("boot", {"what": "idle RSS", "gib": BOOT_GIB}, 120),
    Bar("tests", {"what": "1,000 tests"}, 30),
    Bar("tests", {"what": "a test", "program": "kept"}, 5),
    *(Bar("debug", {"what": what}, 100_000, at_least=True) for what in ("single steps", "steps in bulk")),
    Bar("debug", {"what": "trace lines"}, 50_000, at_least=True),
    Bar("debug", {"what": "1,000,000 steps back"}, 1000),
    Bar("debug", {"what": "a fault explained"}, 5),
    Bar("debug", {"what": "recorded / plain run"}, 1.3),
)

_ODF: Final = "Zhao, Gong, Fonseca: On-Demand-Fork, EuroSys 2021"
_PATCH: Final = "On-Demand-Fork, patch set for Linux 6.0.6"
_SFORK: Final = "Goyal, Kumar, Jain: sfork, a fork with flexible shared memory regions (Linux 5.10.89)"

SEEDS: Final = (
    Seed("fork", _ODF_1, "65x faster than classic", _ODF),
    Seed("fork", _ODF_50, "270x faster than classic", _ODF),
    Seed("fork", {**_ODF_1, "what": "VmPTE"}, "44 kB", _PATCH),
    Seed("fork", {**_ODF_1, "what": "VmRSS"}, "2576 kB", _PATCH),
    Seed("fork", {"policy": "classic", "mib": 1024, "what": "VmPTE"}, "2096 kB", _PATCH),
    Seed("fork", {"policy": "classic", "mib": 1024, "what": "VmRSS"}, "1048688 kB", _PATCH),
    Seed("fork-fault", {"policy": "odf", "kind": "worst-write"}, "12.2 us", _ODF),
    Seed("sfork", {"policy": "shm", **_ABUNDANT}, "982 ms", _SFORK),
    Seed("sfork", {"policy": "sfork-populate", **_ABUNDANT}, "258 ms, 3.8x faster than shm", _SFORK),
    Seed("snapshot", {"policy": "odf", "mib": 256}, "AFL: 2.26x to 9.35x classic", _ODF),
)

ABOUT: Final = {
    "syscall": "getppid(2) in a loop: nanoseconds a call, loop included.",
    "fault": "Page faults of each kind: microseconds a fault.",
    "fork": "Fork by memory present, which nobody touches: microseconds in the kernel, of the whole call, of the exit "
    "of a child that did nothing, and of the wait. VmPTE and VmRSS are what a process is charged for after it. A call "
    "of sfork makes so much memory and forks; its part in the kernel is the fork alone.",
    "fork-fault": "Single accesses after a fork. On-demand fork puts off the copying of tables to the first write in "
    "each 2 MiB. Each figure includes the time of measuring it, which stands alone as nothing.",
    "fork-total": "Fork, a child that writes to a share of its pages, exit, wait: where on-demand fork stops paying.",
    "sfork": "Processes that share memory, from making it to the last wait: System V calls, a file without a name, "
    "sfork at once, sfork on first touch. Two processes write to all pages (abundant), to three each (sparse), to a "
    "random quarter (random); five write to a random quarter (five).",
    "snapshot": "A fork server, as fuzzers use one: each child parses one input and exits. Executions a second.",
    "redis-like": "A key-value store that forks to be saved while it is written to: how long writers are held up. A "
    "burst is four writes to random keys.",
    "shell-loop": "busybox sh runs a program 200 times, a fork, an exec, an exit and a wait each: from boot to end.",
    "switch": "A byte to and fro through two pipes: microseconds a switch, with its write and read.",
    "pipe-byte": "A byte into a pipe and out of it by one process: microseconds a call.",
    "file-open": "A file of 200 bytes from open to close: microseconds for the four calls.",
    "file-read": "A file of 64 MiB, in memory on both sides, in pieces of 64 KiB: megabytes a second. Written into a "
    "new file, and read four times.",
    "cpu": "Loops of integer instructions: millions of instructions a second, with paging, ring 3 and preemption.",
    "startup": "Whole processes, start to end.",
    "boot": "A machine with much RAM: milliseconds until its first instruction, and what it holds, idle.",
    "tests": "Tiny guest tests under pytest: 1,000 with two workers of pytest-xdist, start to end; and the median "
    "test, its guest's work included: with a new program, and one that pytest's cache has from an earlier session.",
    "debug": "The debugger: single steps, one at a time and many at once, lines of a full trace, going back, a fault "
    "explained, and how many times as long a recorded run takes.",
}
