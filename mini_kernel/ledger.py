"""What a run cost, counted as it happens: the numbers behind `--stats`, per process and in all."""

from typing import Any, TypeVar

from mini_kernel.uapi import signal_names, syscall_names

K = TypeVar("K")


class Tally(dict[K, int]):
    """Counts by kind. What was never counted is 0 (a Counter, which takes five times as long to make)."""

    def __missing__(self, key: K) -> int:
        return 0

    def add(self, other: "Tally[K]") -> None:
        """Add other counts to these."""
        for key, count in other.items():
            self[key] += count


class MemoryCosts:
    """The work done on paging structures and pages; an address space counts into its process's (`mm.pt.costs`)."""

    __slots__ = (
        "huge_allocated",
        "huge_copied",
        "huge_split",
        "pages_copied",
        "ptes_copied",
        "tables_allocated",
        "tables_broken",
        "tables_reused",
        "tables_shared",
    )

    def __init__(self) -> None:
        self.tables_allocated = 0  # PTE tables; of the levels above only those whose sharing ends
        self.tables_shared = 0  # by forks of this process: entries that point at an old table instead of a new one
        self.tables_broken = 0  # copied because somebody shares them
        self.tables_reused = 0  # taken back, as nobody shares them any more
        self.ptes_copied = 0  # by forks and breaks
        self.pages_copied = 0
        self.huge_allocated = 0  # pages of 2 MiB
        self.huge_copied = 0
        self.huge_split = 0  # into pages of 4 KiB

    def add(self, other: "MemoryCosts") -> None:
        """Add other costs to these."""
        self.tables_allocated += other.tables_allocated
        self.tables_shared += other.tables_shared
        self.tables_broken += other.tables_broken
        self.tables_reused += other.tables_reused
        self.ptes_copied += other.ptes_copied
        self.pages_copied += other.pages_copied
        self.huge_allocated += other.huge_allocated
        self.huge_copied += other.huge_copied
        self.huge_split += other.huge_split


class Ledger:
    """Events of one process (or, summed, of all). Plain counters; nothing here steers the kernel."""

    __slots__ = (
        "blocks",
        "context_switches",
        "faults",
        "fork_us",
        "forks",
        "max_rss",
        "memory",
        "preemptions",
        "signals",
        "syscalls",
        "unknown",
    )

    def __init__(self) -> None:
        self.syscalls: Tally[int] = Tally()  # by number
        self.unknown: Tally[int] = Tally()  # numbers without a handler
        self.faults: Tally[str] = Tally()  # by class, see mm.fault.FAULT_CLASSES
        self.signals: Tally[int] = Tally()  # delivered, by number
        self.forks: Tally[str] = Tally()  # by kind
        self.fork_us: Tally[str] = Tally()  # host microseconds spent in them: the one number that varies
        self.blocks = 0  # basic blocks of user code
        self.context_switches = 0  # to this process
        self.preemptions = 0  # of them, those behind which it had been made to wait for its turn
        self.max_rss = 0  # the most pages resident, where that was looked at: at the end, and before some went
        self.memory = MemoryCosts()

    def add(self, other: "Ledger") -> None:
        """Add another ledger to this one."""
        self.syscalls.add(other.syscalls)
        self.unknown.add(other.unknown)
        self.faults.add(other.faults)
        self.signals.add(other.signals)
        self.forks.add(other.forks)
        self.fork_us.add(other.fork_us)
        self.memory.add(other.memory)
        self.blocks += other.blocks
        self.context_switches += other.context_switches
        self.preemptions += other.preemptions
        self.max_rss = max(self.max_rss, other.max_rss)

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready, with names for numbers; keys sorted so that equal runs give equal text."""
        out: dict[str, Any] = {}
        for name in self.__slots__:
            value: Any = getattr(self, name)
            if isinstance(value, MemoryCosts):
                out |= {cost: getattr(value, cost) for cost in value.__slots__}
                continue
            if name in ("syscalls", "unknown"):
                value = {syscall_names.get(n, f"syscall_{n}"): c for n, c in value.items()}
            elif name == "signals":
                value = {signal_names.get(n, str(n)): c for n, c in value.items()}
            out[name] = value if isinstance(value, int) else dict(sorted(value.items()))
        return out
