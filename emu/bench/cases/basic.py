"""The machine itself: system calls, page faults, context switches, instructions, start-up."""

from collections.abc import Iterator
from functools import partial
from typing import Final

from emu.bench import raw, suite, whole
from emu.bench.cases.lab import PAGE, Lab, Measurement, first, one, per, rate, split
from emu.bench.guest import Guests
from emu.bench.report import Case

BOOT_GIB: Final = 64
#: Loops: the source of `spin`, and its instructions a round, all in one basic block.
_LOOPS: Final = {
    "xorshift": ("cpu_loop.asm", 12),
    "tight": ("cpu_tight.asm", 2),
    "unrolled": ("cpu_unrolled.asm", 42),
}


def syscall(lab: Lab) -> Iterator[Measurement]:
    """getppid(2) in a loop; nanoseconds a call, loop included."""
    count, guests, host = lab.scaled(100_000), lab.guests, lab.host
    case = {"call": "getppid"}
    row = partial(one, "syscall", unit="ns")
    yield row({**case, "where": "emu"}, value=lambda: split(guests, "syscall.asm", COUNT=count) / count)
    yield row({**case, "where": "raw"}, value=lambda: raw.binding_syscall(count) / count)
    image = guests.image("syscall_raw.asm", COUNT=count)
    yield row({**case, "hook": "ctypes", "where": "raw"}, value=lambda: raw.run(image, True) / count)
    if lab.native("syscall"):
        yield row({**case, "where": "host"}, value=lambda: host.run("syscall", count)[0] / count)


def fault(lab: Lab) -> Iterator[Measurement]:
    """Page faults of each kind; microseconds a fault. Copy-on-write ones with the page in nobody's host cache."""
    size = lab.scaled(6400) * PAGE * 2
    each = size / PAGE * 1000
    for kind, name, word in (("first-touch", "fault_touch.asm", "touch"), ("zero-read", "fault_zero.asm", "zero")):
        row = partial(one, "fault", unit="us")
        yield row({"kind": kind, "where": "emu"}, value=partial(per, each, split, lab.guests, name, BYTES=size))
        if lab.native(f"fault {kind}"):
            yield row({"kind": kind, "where": "host"}, value=partial(per, each, first, lab.host, word, size))
    yield Measurement("fault", _cow_series("emu"), lambda: _cow_guest(lab.guests, size))
    if lab.native("fault cow"):
        yield Measurement("fault", _cow_series("host"), lambda: [ns / each for ns in lab.host.run("cow", size)])


def _cow_series(where: str) -> list[tuple[Case, str]]:
    return [({"kind": kind, "where": where}, "us") for kind in ("cow-copy", "cow-reuse")]


def _cow_guest(guests: Guests, size: int) -> list[float]:
    splits = guests.run("fault_cow.asm", constants={"BYTES": size}, memory=2 * size, laps=4).splits
    return [splits[i] / (size / PAGE) / 1000 for i in (0, 2)]


def switch(lab: Lab) -> Iterator[Measurement]:
    """A byte to and fro through two pipes; microseconds a switch, with its write and read."""
    count = lab.scaled(5000)
    row = partial(one, "switch", unit="us")
    value = partial(per, 2000 * count, split, lab.guests, "switch.asm", COUNT=count)
    yield row({"what": "pipe", "where": "emu"}, value=value)
    if lab.native("switch"):
        value = partial(per, 2000 * count, first, lab.host, "switch", count)
        yield row({"what": "pipe", "where": "host"}, value=value)


def cpu(lab: Lab) -> Iterator[Measurement]:
    """Loops of integer instructions; millions of instructions a second. Paging, ring 3, preemption on.

    Preemption counts basic blocks, so its cost is one per block: three lengths of block show it.
    """
    guests, host = lab.guests, lab.host
    row = partial(one, "cpu", unit="MIPS")
    for loop, (text, length) in _LOOPS.items():
        count = lab.scaled(20_000_000 if length < 20 else 5_000_000)
        work = count * length * 1000
        mips = partial(rate, work, split, guests, "cpu.asm", text, COUNT=count)
        yield row({"loop": loop, "where": "emu"}, value=mips)
        image = guests.image("cpu_raw.asm", text, COUNT=count)
        yield row({"loop": loop, "where": "raw"}, value=partial(rate, work, raw.run, image))
        if loop == "xorshift" and lab.native("cpu"):
            yield row({"loop": loop, "where": "host"}, value=partial(rate, work, first, host, "cpu", count))


def startup(lab: Lab) -> Iterator[Measurement]:
    """Whole processes, start to end; milliseconds."""
    row = partial(one, "startup", unit="ms")
    if whole.has_command():
        yield row({"what": "run hello.asm", "where": "emu"}, value=whole.run_hello)
    else:
        lab.skipped.append("startup run hello.asm: no command line in this installation")
    yield row({"what": "python -c pass", "where": "host"}, value=partial(whole.python, "pass"))
    yield row({"what": "import numpy", "where": "host"}, value=partial(whole.python, "import numpy"))


def boot(lab: Lab) -> Iterator[Measurement]:
    """A machine with much RAM: milliseconds until its first instruction, imports aside; and what it holds, idle."""
    gib = 1 if lab.quick else BOOT_GIB
    elf = lab.guests.elf("hello.asm")
    case = {"gib": gib, "where": "emu"}
    yield one("boot", {"what": "boot", **case}, "ms", partial(whole.boot, elf, gib))
    yield one("boot", {"what": "idle RSS", **case}, "MiB", partial(whole.idle_rss, elf, gib))


def tests(lab: Lab) -> Iterator[Measurement]:
    """Guest tests under pytest: a whole suite in seconds, and one test in milliseconds."""
    if lack := suite.missing():
        lab.skipped.append(f"tests: {lack} is not installed")
        return
    count = lab.scaled(1000)
    whole_suite: list[tuple[Case, str]] = [({"what": "1,000 tests", "where": "emu"}, "s")]
    yield Measurement("tests", whole_suite, partial(suite.seconds, count), most=2)
    test: list[tuple[Case, str]] = [
        ({"what": "a test", "program": program, "where": "emu"}, "ms") for program in ("new", "kept")
    ]
    yield Measurement("tests", test, partial(suite.milliseconds, lab.scaled(300)), most=2)
