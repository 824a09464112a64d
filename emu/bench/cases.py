"""What is measured: for each name a list of measurements, emu first, then the bare engine, then the host."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from emu.bench import raw, whole
from emu.bench.guest import Guests
from emu.bench.host import Host, available_memory
from emu.bench.report import Bar, Case
from mini_kernel.uapi.numbers import SYS_fork

MIB: Final = 1 << 20
PAGE: Final = 4096

_FORK_MIB: Final = (64, 256, 1024, 2048, 8192, 51200)
_HOST_BYTES_PER_PAGE: Final = (
    40  # of host memory, per guest page present in a parent and a child: tables, counts, copies
)
HOST_FORK_MIB: Final = 2048  # how much the host forks by default; its pages, unlike the guest's, must really be there
HOST_FORK_MIB_MAX: Final = 8192
_BOOT_GIB: Final = 64
#: Loops: the source of `spin`, and its instructions a round, all in one basic block.
_LOOPS: Final = {
    "xorshift": ("cpu_loop.asm", 12),
    "tight": ("cpu_tight.asm", 2),
    "unrolled": ("cpu_unrolled.asm", 42),
}

#: What the project promises.
BARS: Final = (
    Bar("syscall", {"call": "getppid"}, 4, against="raw"),
    Bar("fault", {"kind": "first-touch"}, 5, against="host"),
    Bar("fork", {"policy": "classic", "mib": 1024}, 3000),
    Bar("fork", {"policy": "classic", "mib": 1024}, 1, against="host"),
    Bar("fork", {"policy": "classic", "mib": 64, "what": "touched+fork+exit+wait"}, 1000),
    Bar("fork", {"policy": "classic", "mib": 64, "what": "touched+fork+exit+wait"}, 1, against="host"),
    Bar("switch", {"what": "pipe"}, 25),
    Bar("cpu", {"loop": "xorshift"}, 0.9, against="raw", at_least=True),
    Bar("startup", {"what": "run hello.asm"}, 250),
    Bar("boot", {"what": "boot", "gib": _BOOT_GIB}, 10),
    Bar("boot", {"what": "idle RSS", "gib": _BOOT_GIB}, 120),
)


@dataclass(frozen=True)
class Measurement:
    """One thing that is done, and the rows it gives: `sample` does it once and returns one value per series."""

    bench: str
    series: Sequence[tuple[Case, str]]  # case and unit
    sample: Callable[[], Sequence[float]]


@dataclass
class Lab:
    """What measurements need, and a list of those that cannot be made here."""

    guests: Guests
    host: Host
    quick: bool = False
    host_fork_mib: int = HOST_FORK_MIB
    skipped: list[str] = field(default_factory=list[str])

    def scaled(self, count: int) -> int:
        """A loop count: a hundredth of it in a quick run."""
        return max(1, count // 100) if self.quick else count

    def native(self, bench: str) -> bool:
        """True if the host can do the same work; else that is noted."""
        if self.host.missing:
            self.skipped.append(f"{bench} on the host: {self.host.missing}")
        return not self.host.missing


def _one(bench: str, case: Case, unit: str, value: Callable[[], float]) -> Measurement:
    return Measurement(bench, [(case, unit)], lambda: [value()])


def syscall(lab: Lab) -> Iterator[Measurement]:
    """getppid(2) in a loop; nanoseconds a call, loop included."""
    count, guests, host = lab.scaled(100_000), lab.guests, lab.host
    case = {"call": "getppid"}
    one = partial(_one, "syscall", unit="ns")
    yield one({**case, "where": "emu"}, value=lambda: _split(guests, "syscall.asm", COUNT=count) / count)
    yield one({**case, "where": "raw"}, value=lambda: raw.binding_syscall(count) / count)
    image = guests.image("syscall_raw.asm", COUNT=count)
    yield one({**case, "hook": "ctypes", "where": "raw"}, value=lambda: raw.run(image, True) / count)
    if lab.native("syscall"):
        yield one({**case, "where": "host"}, value=lambda: host.run("syscall", count)[0] / count)


def _split(guests: Guests, *names: str, **constants: int) -> int:
    """Nanoseconds between the two laps of a guest program."""
    return guests.run(*names, constants=constants, memory=constants.get("BYTES", 0)).splits[0]


def fault(lab: Lab) -> Iterator[Measurement]:
    """Page faults of each kind; microseconds a fault. Copy-on-write ones with the page in nobody's host cache."""
    size = lab.scaled(6400) * PAGE * 2
    each = size / PAGE * 1000
    for kind, name, word in (("first-touch", "fault_touch.asm", "touch"), ("zero-read", "fault_zero.asm", "zero")):
        one = partial(_one, "fault", unit="us")
        yield one({"kind": kind, "where": "emu"}, value=partial(_per, each, _split, lab.guests, name, BYTES=size))
        if lab.native(f"fault {kind}"):
            yield one({"kind": kind, "where": "host"}, value=partial(_per, each, _first, lab.host, word, size))
    yield Measurement("fault", _cow_series("emu"), lambda: _cow_guest(lab.guests, size))
    if lab.native("fault cow"):
        yield Measurement("fault", _cow_series("host"), lambda: [ns / each for ns in lab.host.run("cow", size)])


def _per(divisor: float, function: Callable[..., int], *arguments: object, **constants: int) -> float:
    return function(*arguments, **constants) / divisor


def _first(host: Host, *arguments: str | int) -> int:
    return host.run(*arguments)[0]


def _cow_series(where: str) -> list[tuple[Case, str]]:
    return [({"kind": kind, "where": where}, "us") for kind in ("cow-copy", "cow-reuse")]


def _cow_guest(guests: Guests, size: int) -> list[float]:
    splits = guests.run("fault_cow.asm", constants={"BYTES": size}, memory=2 * size, laps=4).splits
    return [splits[i] / (size / PAGE) / 1000 for i in (0, 2)]


#: What plain, private memory can be forked by: name -> system call.
POLICIES: Final[Mapping[str, int]] = {"classic": SYS_fork}


def fork(lab: Lab) -> Iterator[Measurement]:
    """Fork by memory present: microseconds in the kernel, of the whole call, and of exit and wait."""
    free = available_memory()
    for mib in (16,) if lab.quick else _FORK_MIB:
        need = mib * MIB // PAGE * _HOST_BYTES_PER_PAGE
        if free and need > free // 2:
            lab.skipped.append(f"fork {mib} MiB: needs {need // MIB} MiB of the host's {free // MIB}")
            continue
        for policy, number in POLICIES.items():
            yield Measurement("fork", _fork_series(policy, mib), partial(_fork_guest, lab.guests, policy, number, mib))
        limit = min(lab.host_fork_mib, HOST_FORK_MIB_MAX, free // MIB // 2 if free else HOST_FORK_MIB)
        if mib > limit:
            lab.skipped.append(f"fork {mib} MiB on the host: more than {limit} MiB")
        elif lab.native(f"fork {mib} MiB"):
            yield Measurement("fork", _host_fork_series(mib), partial(_fork_host, lab.host, mib))
    yield from _fork_touched(lab)


_FORKS: Final = 3  # of one process, the mean of which is a sample


def _fork_series(policy: str, mib: int) -> list[tuple[Case, str]]:
    case = {"policy": policy, "mib": mib}
    extra = [({**case, "what": what, "where": "emu"}, "us") for what in ("call", "exit+wait")]
    return [({**case, "where": "emu"}, "us"), *extra]


def _host_fork_series(mib: int) -> list[tuple[Case, str]]:
    """The host's call stands beside the kernel's part as well as beside the call."""
    case = {"policy": "classic", "mib": mib}
    extra = [({**case, "what": what, "where": "host"}, "us") for what in ("call", "exit+wait")]
    return [({**case, "where": "host"}, "us"), *extra]


def _fork_guest(guests: Guests, policy: str, number: int, mib: int) -> list[float]:
    constants = {"BYTES": mib * MIB, "COUNT": _FORKS, "FORK": number}
    run = guests.run("fork.asm", constants=constants, memory=mib * MIB, laps=2 * _FORKS + 1)
    inside = float(run.ledger.fork_us[policy])
    calls, rest = sum(run.splits[::2]) / 1000, sum(run.splits[1::2]) / 1000
    return [inside / _FORKS, calls / _FORKS, rest / _FORKS]


def _fork_host(host: Host, mib: int) -> list[float]:
    splits = host.run("fork", mib * MIB, _FORKS)
    call = sum(splits[::2]) / 1000 / _FORKS
    return [call, call, sum(splits[1::2]) / 1000 / _FORKS]


def _fork_touched(lab: Lab) -> Iterator[Measurement]:
    mib, count = 4 if lab.quick else 64, lab.scaled(2000) // 100 or 2
    case = {"policy": "classic", "mib": mib, "what": "touched+fork+exit+wait"}
    one = partial(_one, "fork", unit="us")
    constants = {"BYTES": mib * MIB, "COUNT": count, "FORK": SYS_fork}
    value = partial(_per, count * 1000, _split, lab.guests, "fork_touched.asm", **constants)
    yield one({**case, "where": "emu"}, value=value)
    if lab.native("fork touched"):
        value = partial(_per, count * 1000, _first, lab.host, "forks", mib * MIB, count)
        yield one({**case, "where": "host"}, value=value)


def switch(lab: Lab) -> Iterator[Measurement]:
    """A byte to and fro through two pipes; microseconds a switch, with its write and read."""
    count = lab.scaled(5000)
    one = partial(_one, "switch", unit="us")
    value = partial(_per, 2000 * count, _split, lab.guests, "switch.asm", COUNT=count)
    yield one({"what": "pipe", "where": "emu"}, value=value)
    if lab.native("switch"):
        value = partial(_per, 2000 * count, _first, lab.host, "switch", count)
        yield one({"what": "pipe", "where": "host"}, value=value)


def cpu(lab: Lab) -> Iterator[Measurement]:
    """Loops of integer instructions; millions of instructions a second. Paging, ring 3, preemption on.

    Preemption counts basic blocks, so its cost is one per block: three lengths of block show it.
    """
    guests, host = lab.guests, lab.host
    one = partial(_one, "cpu", unit="MIPS")
    for loop, (source, length) in _LOOPS.items():
        count = lab.scaled(20_000_000 if length < 20 else 5_000_000)
        work = count * length * 1000
        rate = partial(_rate, work, _split, guests, "cpu.asm", source, COUNT=count)
        yield one({"loop": loop, "where": "emu"}, value=rate)
        image = guests.image("cpu_raw.asm", source, COUNT=count)
        yield one({"loop": loop, "where": "raw"}, value=partial(_rate, work, raw.run, image))
        if loop == "xorshift" and lab.native("cpu"):
            yield one({"loop": loop, "where": "host"}, value=partial(_rate, work, _first, host, "cpu", count))


def _rate(work: float, measure: Callable[..., float], *arguments: Any, **parameters: Any) -> float:
    """Work per nanosecond measured."""
    return work / measure(*arguments, **parameters)


def startup(lab: Lab) -> Iterator[Measurement]:
    """Whole processes, start to end; milliseconds."""
    one = partial(_one, "startup", unit="ms")
    if whole.has_command():
        yield one({"what": "run hello.asm", "where": "emu"}, value=whole.run_hello)
    else:
        lab.skipped.append("startup run hello.asm: no command line in this installation")
    yield one({"what": "python -c pass", "where": "host"}, value=partial(whole.python, "pass"))
    yield one({"what": "import numpy", "where": "host"}, value=partial(whole.python, "import numpy"))


def boot(lab: Lab) -> Iterator[Measurement]:
    """A machine with much RAM: milliseconds until its first instruction, imports aside; and what it holds, idle."""
    gib = 1 if lab.quick else _BOOT_GIB
    elf = lab.guests.elf("hello.asm")
    case = {"gib": gib, "where": "emu"}
    yield _one("boot", {"what": "boot", **case}, "ms", partial(whole.boot, elf, gib))
    yield _one("boot", {"what": "idle RSS", **case}, "MiB", partial(whole.idle_rss, elf, gib))


BENCHES: Final[Mapping[str, Callable[[Lab], Iterator[Measurement]]]] = {
    "syscall": syscall,
    "fault": fault,
    "fork": fork,
    "switch": switch,
    "cpu": cpu,
    "startup": startup,
    "boot": boot,
}
