"""`--stats` as a table."""

from typing import Any

from emu.render.stats import stats_table
from mini_kernel.ledger import Ledger
from mini_kernel.uapi.numbers import SYS_fork, SYS_read, SYS_rseq, SYS_write
from mini_kernel.uapi.signal import SIGSEGV


def stats(processes: int = 1) -> dict[str, Any]:
    ledger = Ledger()
    ledger.syscalls.update({SYS_write: 1200, SYS_read: 3, SYS_fork: 2})
    ledger.unknown[SYS_rseq] += 1
    ledger.faults.update(cow_copy=2, demand_zero=40)
    ledger.signals[SIGSEGV] += 1
    ledger.forks["classic"] += 2
    ledger.fork_us.update({"classic": 1234})
    ledger.blocks, ledger.context_switches = 1_000_000, 7
    memory = ledger.memory
    memory.tables_allocated, memory.tables_shared, memory.tables_broken, memory.tables_reused = 14, 9, 2, 1
    memory.ptes_copied, memory.pages_copied = 1030, 5
    entry = {"pid": 1, "name": "a.asm", **ledger.as_dict()}
    return {
        "total": ledger.as_dict(),
        "processes": [entry] * processes,
        "frames": {"allocated": 90, "in_use": 8, "peak": 60, "total": 1 << 20},
        "tlb_flushes": 12,
        "code_flushes": 3,
    }


def test_the_whole_table() -> None:
    assert (
        stats_table(stats())
        == """\
ledger
  user code         1,000,000 blocks
  context switches  7
  system calls      1,205: write 1,200, read 3, fork 2
  unknown calls     1: rseq 1
  page faults       42: demand_zero 40, cow_copy 2
  forks             2: classic 2 (1,234.0 us)
  PTE tables        14 allocated, 9 shared, 2 broken, 1 reused
  copied            1,030 PTEs, 5 pages
  signals           1: SIGSEGV 1
  frames            90 allocated, 8 in use, peak 60, of 1,048,576
  TLB flushes       12; of translated code 3
  process        blocks  switches  syscalls  faults  forks  name
        1     1,000,000         7     1,205      42      2  a.asm
"""
    )


def test_exact_instruction_counts_are_shown_when_known() -> None:
    known = stats()
    known["total"]["instructions"] = 5_000_000
    lines = stats_table(known).splitlines()
    assert "  user code         1,000,000 blocks, 5,000,000 instructions" in lines


def test_a_run_without_events_is_all_zeros() -> None:
    empty = stats(processes=0)
    empty["total"] = Ledger().as_dict()
    lines = stats_table(empty).splitlines()
    assert "  system calls      0" in lines
    assert not any("process " in line for line in lines)


def test_long_lists_are_broken_between_entries() -> None:
    many = stats()
    many["total"]["faults"] = {f"some_class_{i}": 1 for i in range(12)}
    lines = stats_table(many).splitlines()
    assert all(len(line) <= 102 for line in lines)
    assert "".join(line.strip() for line in lines).count("some_class_") == 12


def test_very_many_processes_are_counted_not_listed() -> None:
    lines = stats_table(stats(processes=40)).splitlines()
    assert sum(line.endswith("a.asm") for line in lines) == 32
    assert lines[-1] == "  and 8 more"
