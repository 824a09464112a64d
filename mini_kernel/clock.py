"""Virtual time: a function of the work done, so that a run is reproducible to the nanosecond."""

from typing import Any, Final

from mini_kernel.hw import Cpu

NS_PER_BLOCK: Final = 4  # a basic block of five to six instructions at about 1.4 per nanosecond
NS_PER_TICK: Final = 10_000_000  # times(2), /proc/PID/stat and si_utime count in hundredths of a second (USER_HZ)
TSC_PER_NS: Final = 2  # a 2 GHz time stamp counter
EPOCH_NS: Final = 1_704_067_200 * 1_000_000_000  # CLOCK_REALTIME at boot: 2024-01-01T00:00:00Z


class Clock:
    """Nanoseconds since boot: blocks run, plus what was skipped while everybody slept."""

    def __init__(self, cpu: Cpu) -> None:
        self.cpu = cpu
        self.skipped_ns = 0
        self.epoch_ns = EPOCH_NS  # CLOCK_REALTIME when the machine was started
        self.base_blocks = cpu.blocks()

    def now_ns(self) -> int:
        """CLOCK_MONOTONIC."""
        return self.skipped_ns + (self.cpu.blocks() - self.base_blocks) * NS_PER_BLOCK

    def real_ns(self) -> int:
        """CLOCK_REALTIME."""
        return self.epoch_ns + self.now_ns()

    def set_real(self, real_ns: int) -> int:
        """Set CLOCK_REALTIME; by how much it jumped."""
        jump = real_ns - self.real_ns()
        self.epoch_ns += jump
        return jump

    def tsc(self) -> int:
        """The time stamp counter."""
        return self.now_ns() * TSC_PER_NS

    def advance_to(self, when_ns: int) -> None:
        """Sleep until then (nobody can run before)."""
        self.skipped_ns += max(0, when_ns - self.now_ns())

    def __getstate__(self) -> dict[str, Any]:
        """Time goes on from here after a restore, whatever the CPU has run in between."""
        elapsed = self.cpu.blocks() - self.base_blocks
        return {"cpu": self.cpu, "skipped_ns": self.skipped_ns, "epoch_ns": self.epoch_ns, "elapsed": elapsed}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.cpu = state["cpu"]
        self.skipped_ns = state["skipped_ns"]
        self.epoch_ns = state["epoch_ns"]
        self.base_blocks = self.cpu.blocks() - state["elapsed"]
