"""Each measurement once with tiny loops: that it runs and says what it measured, not how fast."""

import math
import mmap
import shutil
from collections.abc import Iterator, Mapping
from typing import Self

import pytest

from emu.bench import NAMES, Report, run, to_html, to_json, to_svg, to_table
from emu.bench.cases import POLICIES
from emu.bench.cases import fork as fork_cases
from emu.bench.cases import sfork as sfork_cases
from emu.bench.cases.fork import SHARES, break_even
from emu.bench.cases.lab import SEED
from emu.bench.guest import Guests
from emu.bench.host import Host, compiler, find_memory
from emu.bench.watch import Births, SharedFaults
from emu.errors import EmuError
from mini_kernel.uapi.numbers import SYS_fork, SYS_odfork

FORKS = ("classic", "odf")
SHARED = ("shm", "sfork-file", "sfork-lazy", "sfork-populate")
ACCESSES = ("abundant", "sparse", "random", "five")
ACCOUNTS = ("VmPTE", "VmRSS", "parent VmPTE", "parent VmRSS")
KINDS = ("first-write", "first-write-new-table", "later-write", "reuse-write", "read", "nothing", "worst-write")
PAUSES = ("longest pause", "fork", "slowest burst", "median burst")
ORDERS = ("sequential", "spread")

Rows = list[tuple[dict[str, str | int], str]]


def fork_rows() -> Rows:
    """Of a quick run: 16 MiB, and 4 MiB where they are touched."""
    rows: Rows = []
    for policy in ("classic", "odf", "sfork-populate", "sfork-lazy"):
        parts = ("call", "exit+wait", "exit", "wait") if policy in FORKS else ("call", "exit+wait")
        rows += [({"policy": policy, "mib": 16}, "us")]
        rows += [({"policy": policy, "mib": 16, "what": what}, "us") for what in parts]
    for policy in FORKS:
        rows += [({"policy": policy, "mib": 4, "what": "touched+fork+exit+wait"}, "us")]
        rows += [({"policy": policy, "mib": 16, "what": what}, "kB") for what in ACCOUNTS]
    return rows


def total_rows() -> Rows:
    """Of a quick run: 4 MiB."""
    rows: Rows = []
    for order in ORDERS:
        for policy in FORKS:
            rows += [({"policy": policy, "mib": 4, "order": order, "touched": share}, "us") for share in SHARES]
        rows += [({"policy": "odf", "mib": 4, "order": order, "what": "break-even"}, "%")]
    return rows


def sfork_rows() -> Rows:
    """Of a quick run: 4 MiB."""
    cases = [{"policy": policy, "mib": 4, "access": access} for access in ACCESSES for policy in SHARED]
    return [(case, "ms") for case in cases] + [({**case, "what": "faults"}, "faults") for case in cases]


#: What each must give in emu: case without the place, and unit.
EMU: Mapping[str, Rows] = {
    "syscall": [({"call": "getppid"}, "ns")],
    "fault": [({"kind": kind}, "us") for kind in ("first-touch", "zero-read", "cow-copy", "cow-reuse")],
    "fork": fork_rows(),
    "fork-fault": [({"policy": policy, "kind": kind}, "us") for policy in FORKS for kind in KINDS],
    "fork-total": total_rows(),
    "sfork": sfork_rows(),
    "snapshot": [({"policy": policy, "mib": 16}, "/s") for policy in FORKS],
    "redis-like": [({"policy": policy, "mib": 1, "what": what}, "us") for policy in FORKS for what in PAUSES],
    "pipe-byte": [({"call": "write or read"}, "us")],
    "file-open": [({"calls": "open+fstat+read+close"}, "us")],
    "file-read": [({"call": call, "piece": "64 KiB"}, "MB/s") for call in ("write", "read")],
    "shell-loop": [({"loop": "200 x true", "policy": policy}, "ms") for policy in ("classic", "odf")],
    "switch": [({"what": "pipe"}, "us")],
    "cpu": [({"loop": loop}, "MIPS") for loop in ("xorshift", "tight", "unrolled")],
    "startup": [({"what": "run hello.asm"}, "ms")],
    "boot": [({"what": "boot", "gib": 1}, "ms"), ({"what": "idle RSS", "gib": 1}, "MiB")],
    "tests": [
        ({"what": "1,000 tests"}, "s"),
        ({"what": "a test", "program": "new"}, "ms"),
        ({"what": "a test", "program": "kept"}, "ms"),
    ],
    "debug": [
        ({"what": "single steps"}, "/s"),
        ({"what": "steps in bulk"}, "/s"),
        ({"what": "trace lines"}, "/s"),
        ({"what": "1,000,000 steps back"}, "ms"),
        ({"what": "a fault explained"}, "ms"),
        ({"what": "recorded / plain run"}, "x"),
    ],
}
WITHOUT_HOST = ("fork-total", "boot", "tests", "debug")
COUNTED = ("kB", "faults", "%")  # what may be nothing, and is not measured more than once or a few times


@pytest.mark.parametrize("name", NAMES)
def test_every_measurement_runs_and_gives_its_rows_for_every_policy(name: str) -> None:
    """Names, cases and units are published: exactly these, each once. The host's rows are there or named as skipped."""
    if name == "shell-loop" and shutil.which("busybox") is None:
        pytest.skip("busybox is not installed")
    report = run([name], runs=2, quick=True)
    assert {r.bench for r in report.rows} == {name}
    found = [(r.subject(), r.unit) for r in report.rows if r.where == "emu"]
    assert sorted(found, key=str) == sorted(EMU[name], key=str)
    for r in report.rows:
        assert 0 <= r.min <= r.median <= r.max < math.inf
        assert r.unit in COUNTED or (r.min > 0 and r.runs == 2)
    if name not in WITHOUT_HOST and name not in ("startup", "shell-loop") and compiler() is None:
        assert any("no C compiler" in what for what in report.skipped)
    elif name not in WITHOUT_HOST:
        assert any(r.where == "host" for r in report.rows)
    for show in (to_table, to_json, to_svg, to_html):
        assert name in show(report)


@pytest.fixture(scope="module")
def guests() -> Iterator[Guests]:
    """The assembled programs."""
    with Guests() as assembled:
        yield assembled


def test_the_order_of_rows_is_that_of_the_names_given() -> None:
    report = run(["cpu", "syscall", "cpu"], runs=1, quick=True)
    assert list(dict.fromkeys(r.bench for r in report.rows)) == ["cpu", "syscall"]


def test_progress_is_told_each_name_as_it_begins() -> None:
    told: list[str] = []
    run(["cpu"], runs=1, quick=True, progress=told.append)
    assert told == ["cpu"]


def test_no_names_measure_nothing() -> None:
    report = run([], runs=1)
    assert isinstance(report, Report)
    assert not report.rows


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(EmuError, match=r"no such measurement: forks; there are syscall, fault"):
        run(["fork", "forks"])


def test_no_runs_are_refused() -> None:
    with pytest.raises(EmuError, match="at least one run"):
        run(["cpu"], runs=0)


def test_without_a_compiler_the_host_is_left_out_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("emu.bench.host.compiler", lambda: None)
    report = run(["switch"], runs=1, quick=True)
    assert [r.where for r in report.rows] == ["emu"]
    assert report.skipped == ["switch on the host: no C compiler"]


def test_a_size_that_does_not_fit_is_skipped_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fork_cases, "available_memory", lambda: 4096)
    report = run(["fork"], runs=1, quick=True)
    assert not [r for r in report.rows if "what" not in r.case]
    assert any(what.startswith("fork 16 MiB: needs") for what in report.skipped)


def test_the_host_forks_no_more_than_it_may() -> None:
    report = run(["fork"], runs=1, quick=True, host_fork_mib=8)
    assert not [r for r in report.rows if r.where == "host" and r.case["mib"] == 16]
    assert "fork 16 MiB on the host: more than 8 MiB" in report.skipped


def test_a_guest_program_that_fails_is_an_error_and_not_a_figure() -> None:
    """getppid's program makes two laps, not three."""
    with Guests() as guests, pytest.raises(EmuError, match=r"syscall\.asm ended with status 0 after 2 laps"):
        guests.run("syscall.asm", constants={"COUNT": 1}, laps=3)


def test_the_kernel_does_what_a_fault_measurement_is_named_for() -> None:
    """Each of 32 pages costs one fault of the kind, and what else faults is the program's own few pages."""
    pages = 32
    with Guests() as guests:
        for name, kinds in (
            ("fault_touch.asm", ["demand_zero"]),
            ("fault_zero.asm", ["zero_page"]),
            ("fault_cow.asm", ["cow_copy", "cow_reuse"]),
        ):
            laps = 2 * len(kinds)
            run_ = guests.run(name, constants={"BYTES": pages * 4096}, memory=1 << 20, laps=laps)
            for kind in kinds:
                assert pages <= run_.ledger.faults[kind] <= pages + 6


def test_the_fork_measurement_forks_what_it_says(guests: Guests) -> None:
    """Six forks of 16 MiB: a classic one copies its 4096 entries each time, an on-demand one shares its 8 tables."""
    constants = {"BYTES": 16 << 20, "COUNT": 3}
    for policy, number in POLICIES.items():
        run_ = guests.run("fork.asm", constants={**constants, "FORK": number}, memory=16 << 20, laps=16)
        assert run_.ledger.forks == {policy: 6}
        copied, shared = run_.ledger.memory.ptes_copied, run_.ledger.memory.tables_shared
        if policy == "classic":
            assert 6 * 4096 <= copied <= 6 * (4096 + 8)
        else:
            assert copied < 512
            assert 6 * 8 <= shared <= 6 * (8 + 3)


def test_the_child_whose_exit_is_measured_has_written_to_nothing(guests: Guests) -> None:
    """No table is broken, no page copied, in six forks."""
    constants = {"BYTES": 16 << 20, "COUNT": 3, "FORK": SYS_odfork}
    memory = guests.run("fork.asm", constants=constants, memory=16 << 20, laps=16).ledger.memory
    assert (memory.tables_broken, memory.pages_copied) == (0, 0)


def test_an_on_demand_child_is_charged_for_neither_tables_nor_pages(guests: Guests) -> None:
    """Its parent still is, and a classic child for as much as its parent."""
    figures: dict[str, dict[str, float]] = {}
    for policy, number in POLICIES.items():
        births = Births()
        constants = {"BYTES": 64 << 20, "COUNT": 1, "FORK": number}
        guests.run("fork.asm", constants=constants, memory=64 << 20, laps=6, watch=births)
        figures[policy] = births.figures
    classic, odf = figures["classic"], figures["odf"]
    assert classic["VmPTE"] == classic["parent VmPTE"] == odf["parent VmPTE"] >= 32 * 4
    assert classic["VmRSS"] == classic["parent VmRSS"] == odf["parent VmRSS"] >= 65536
    assert odf["VmPTE"] <= classic["VmPTE"] - 32 * 4
    assert odf["VmRSS"] < 64


@pytest.mark.parametrize(("policy", "number"), POLICIES.items())
def test_the_accesses_after_a_fork_are_of_the_kinds_they_are_named_for(
    guests: Guests, policy: str, number: int
) -> None:
    """Two rounds with four tables: two are written to by the child, five pages each, and two by the parent alone."""
    constants = {"BYTES": 10 << 20, "TABLES": 4, "HALF": 2, "LATER": 4, "COUNT": 2, "FORK": number}
    faults = guests.run("fork_fault.asm", constants=constants, memory=20 << 20, laps=2 * 18).ledger.faults
    stack = 2  # the parent's own page, once a round
    if policy == "classic":
        assert 20 <= faults["cow_copy"] <= 20 + stack
        assert 4 <= faults["cow_reuse"] <= 4 + stack
    else:
        assert 4 <= faults["table_break"] <= 4 + stack
        assert 16 <= faults["cow_copy"] <= 16 + stack
        assert 4 <= faults["table_reuse"] <= 4 + stack


def test_single_accesses_are_told_apart_by_their_place_among_the_laps() -> None:
    """Made-up laps, three tables, one of them the parent's. The last has no lap to end in, round one is left out."""
    first, new, later, read, nothing, reuse, apart = 2000, 3000, 5000, 7000, 1000, 11000, 10**9
    child = [first, new, *[later] * 8, read, read]
    one_round = [*child, apart, nothing, nothing, reuse, apart]
    rehearsal = [10**9] * len(one_round)
    found = fork_cases.kinds([*rehearsal, *one_round][:-1], 3, 2)
    assert found == [[2], [3], [5] * 8, [11], [7] * 2, [1] * 2, [11]]


@pytest.mark.parametrize("step", [4096, 2 << 20], ids=ORDERS)
def test_the_child_touches_as_many_pages_as_its_share_says(guests: Guests, step: int) -> None:
    """Of 1024 pages all shares together are 2662, each of which is copied; spread ones are as many different ones."""
    constants = {"BYTES": 6 << 20, "TABLES": 2, "STEP": step, "FORK": SYS_fork}
    ledger = guests.run("fork_total.asm", constants=constants, memory=16 << 20, laps=16).ledger
    wanted = sum(1024 * share // 100 for share in SHARES)
    assert wanted <= ledger.faults["cow_copy"] <= wanted + 2 * len(SHARES)


def test_the_break_even_lies_between_the_shares_where_the_order_turns() -> None:
    classic = [100.0] * 8
    assert break_even(classic, [10, 20, 50, 92, 132, 150, 160, 170]) == 10 + 15 * 10 / 40
    assert break_even(classic, [10, 101, 50, 92, 132, 90, 90, 90]) == 10 + 15 * 10 / 40, "2% longer is not longer"
    assert break_even(classic, [10.0] * 8) == 100
    assert break_even(classic, [110.0] * 8) == 0


PAGES = 1024  # of 4 MiB


def drawn() -> int:
    """Distinct pages among a quarter as many draws as there are pages, by the generator of touch_random.asm."""
    x, found = SEED, set[int]()
    for _ in range(PAGES // 4):
        x ^= x << 13 & (1 << 64) - 1
        x ^= x >> 7
        x ^= x << 17 & (1 << 64) - 1
        found.add(x & PAGES - 1)
    return len(found)


def faults_wanted(policy: str, access: str) -> int:
    """Event counts (fork.md): shm and file fault in every process, lazy once for all, populate never."""
    pages = {"abundant": PAGES, "sparse": 3, "random": drawn(), "five": drawn()}[access]
    processes = 5 if access == "five" else 2
    if policy == "sfork-populate":
        return 0
    return pages if policy == "sfork-lazy" and access != "sparse" else pages * processes


@pytest.mark.parametrize("access", ACCESSES)
@pytest.mark.parametrize("policy", SHARED)
def test_each_way_of_sharing_faults_as_often_as_it_must(guests: Guests, policy: str, access: str) -> None:
    """Sparse accesses are to different pages in each process, all others to the same ones."""
    watch = SharedFaults()
    sfork_cases.run(guests, {"policy": policy, "mib": 4, "access": access}, watch)
    assert watch.count == faults_wanted(policy, access)


def test_the_faults_reported_are_those_counted() -> None:
    for r in run(["sfork"], runs=1, quick=True).rows:
        if r.unit == "faults":
            assert r.median == faults_wanted(str(r.case["policy"]), str(r.case["access"]))


def test_the_fork_server_checks_what_its_children_find_out(guests: Guests) -> None:
    """All 16 inputs give what the table says; the host's program, which has the same table, agrees."""
    constants = {"BYTES": 4 << 20, "COUNT": 16, "FORK": SYS_fork}
    run_ = guests.run("snapshot.asm", constants=constants, memory=8 << 20)
    assert run_.ledger.forks == {"classic": 16}
    assert run_.ledger.syscalls[231] == 17


def test_the_store_is_written_to_in_all_bursts_and_read_by_the_child_meanwhile(guests: Guests) -> None:
    constants = {"BYTES": 1 << 20, "BITS": 14, "KEYS": 4096, "BURSTS": 8, "BATCH": 4, "WALK": 1024, "SEED": SEED}
    run_ = guests.run(
        "redis_like.asm", constants={**constants, "FORK": SYS_fork}, memory=4 << 20, laps=18, quantum=1 << 40
    )
    assert 2 * 24 <= run_.ledger.faults["cow_copy"] <= 2 * 32 + 6, "twice 32 random pages of 256, few of them the same"
    assert run_.ledger.context_switches >= 2 * 8, "the child has its turns"


def test_a_policy_that_the_kernel_does_not_have_is_an_error_and_not_a_figure(guests: Guests) -> None:
    constants = {"BYTES": 1 << 20, "COUNT": 1, "FORK": 1999}
    with pytest.raises(
        EmuError, match=r"fork\.asm needs a system call that this kernel does not have: unnamed \(1999\)"
    ):
        guests.run("fork.asm", constants=constants, memory=1 << 20, laps=6)


def test_a_system_call_that_fails_is_named_by_its_errno(guests: Guests) -> None:
    """sfork without a length."""
    with pytest.raises(EmuError, match=r"fork_sfork\.asm ended with status 22 \(EINVAL\) after 1 laps"):
        guests.run("fork_sfork.asm", constants={"BYTES": 0, "COUNT": 1, "FLAGS": 3}, laps=3)


def test_what_takes_long_is_done_less_often_and_without_a_round_that_does_not_count() -> None:
    report = run(["sfork"], runs=5, quick=True)
    assert {(r.unit, r.runs) for r in report.rows} == {("ms", 2), ("faults", 1)}


def test_the_switch_measurement_switches_twice_a_round() -> None:
    with Guests() as guests:
        ledger = guests.run("switch.asm", constants={"COUNT": 50}).ledger
    assert 100 <= ledger.context_switches <= 110


def test_memory_is_found_as_far_as_half_of_what_is_free_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    """And in whole huge pages. A host that does not say what is free is left in peace."""
    mapped: list[int] = []

    class Recorder(mmap.mmap):
        def __new__(cls, fd: int, size: int, flags: int) -> Self:
            mapped.append(size)
            return super().__new__(cls, fd, size, flags=flags)

    monkeypatch.setattr("emu.bench.host.mmap.mmap", Recorder)
    for free, wanted in ((64 << 20, 5 << 20), (6 << 20, 5 << 20), (0, 5 << 20), (64 << 20, 0)):
        monkeypatch.setattr("emu.bench.host.available_memory", lambda free=free: free)
        find_memory(wanted)
    assert mapped == [4 << 20, 2 << 20]


@pytest.mark.skipif(compiler() is None, reason="no C compiler")
def test_a_host_program_that_fails_is_an_error() -> None:
    with Host() as host, pytest.raises(EmuError, match="host nonsense 1"):
        host.run("nonsense", 1)
