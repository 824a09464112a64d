"""The ledger: every cost is added up and shown."""

from typing import Any

from mini_kernel.ledger import Ledger, MemoryCosts, Tally


def full() -> Ledger:
    """A ledger in which nothing is 0, and no two counters are equal."""
    ledger = Ledger()
    number = 0
    for part in (ledger, ledger.memory):
        for name in part.__slots__:
            value: Any = getattr(part, name)
            number += 1
            if isinstance(value, Tally):
                value["a" if name not in ("syscalls", "unknown", "signals") else 1] = number
            elif not isinstance(value, MemoryCosts):
                setattr(part, name, number)
    return ledger


def test_adding_a_ledger_adds_every_counter() -> None:
    total = Ledger()
    total.add(full())
    assert total.as_dict() == full().as_dict()
    total.add(full())
    assert total.as_dict()["ptes_copied"] == 2 * full().memory.ptes_copied
    assert all(total.as_dict().values())


def test_reading_a_counter_that_never_counted_leaves_no_trace() -> None:
    ledger = Ledger()
    assert ledger.faults["cow_copy"] == 0
    assert ledger.as_dict()["faults"] == {}
