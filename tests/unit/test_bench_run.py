"""Each measurement once with tiny loops: that it runs and says what it measured, not how fast."""

import math

import pytest

from emu.bench import NAMES, Report, cases, run, to_html, to_json, to_svg, to_table
from emu.bench.guest import Guests
from emu.bench.host import Host, compiler
from emu.errors import EmuError

#: What each must give in emu, as (bench, case without the place).
EMU = {
    "syscall": [{"call": "getppid"}],
    "fault": [{"kind": kind} for kind in ("first-touch", "zero-read", "cow-copy", "cow-reuse")],
    "fork": [
        {"policy": "classic", "mib": 16},
        {"policy": "classic", "mib": 16, "what": "call"},
        {"policy": "classic", "mib": 16, "what": "exit+wait"},
        {"policy": "classic", "mib": 4, "what": "touched+fork+exit+wait"},
    ],
    "switch": [{"what": "pipe"}],
    "cpu": [{"loop": "xorshift"}, {"loop": "tight"}, {"loop": "unrolled"}],
    "startup": [],
    "boot": [{"what": "boot", "gib": 1}, {"what": "idle RSS", "gib": 1}],
}


@pytest.mark.parametrize("name", NAMES)
def test_every_measurement_runs_and_gives_its_rows(name: str) -> None:
    """Rows of the host are there or named as skipped."""
    report = run([name], runs=2, quick=True)
    assert {r.bench for r in report.rows} == {name}
    found = [r.subject() for r in report.rows if r.where == "emu"]
    assert all(subject in found for subject in EMU[name])
    for r in report.rows:
        assert r.runs == 2
        assert 0 < r.min <= r.median <= r.max < math.inf
    if name not in ("startup", "boot") and compiler() is None:
        assert any("no C compiler" in what for what in report.skipped)
    elif name not in ("startup", "boot"):
        assert any(r.where == "host" for r in report.rows)
    for show in (to_table, to_json, to_svg, to_html):
        assert name in show(report)


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
    monkeypatch.setattr(cases, "available_memory", lambda: 4096)
    report = run(["fork"], runs=1, quick=True)
    assert [r.case["mib"] for r in report.rows if "what" not in r.case] == []
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


def test_the_fork_measurement_forks_what_it_says() -> None:
    """Three forks of 16 MiB copy its 4096 entries each time."""
    with Guests() as guests:
        constants = {"BYTES": 16 << 20, "COUNT": 3, "FORK": 57}
        ledger = guests.run("fork.asm", constants=constants, memory=16 << 20, laps=7).ledger
    assert ledger.forks["classic"] == 3
    assert 3 * 4096 <= ledger.ptes_copied <= 3 * (4096 + 8)


def test_the_switch_measurement_switches_twice_a_round() -> None:
    with Guests() as guests:
        ledger = guests.run("switch.asm", constants={"COUNT": 50}).ledger
    assert 100 <= ledger.context_switches <= 110


@pytest.mark.skipif(compiler() is None, reason="no C compiler")
def test_a_host_program_that_fails_is_an_error() -> None:
    with Host() as host, pytest.raises(EmuError, match="host nonsense 1"):
        host.run("nonsense", 1)
