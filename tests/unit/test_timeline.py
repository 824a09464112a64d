"""`emu run --trace FILE.json` is a trace that Perfetto reads: tracks, calls with a length, instants, arrows."""

import json
from pathlib import Path

from emu.cli.main import main

EXAMPLES = Path(__file__).parent.parent.parent / "examples"


def test_a_fork_on_the_time_line(tmp_path: Path) -> None:
    file = tmp_path / "trace.json"
    assert main(["run", "--trace", str(file), str(EXAMPLES / "fork_cow.asm")]) == 0
    events = json.loads(file.read_text())["traceEvents"]
    assert {e["args"]["name"] for e in events if e["ph"] == "M"} == {"fork_cow.asm 1", "fork_cow.asm 2"}
    calls = [(e["pid"], e["name"]) for e in events if e["ph"] == "X"]
    assert (1, "wait4") in calls
    assert (2, "exit_group") in calls
    assert all(e["dur"] >= 0 and e["ts"] >= 0 for e in events if e["ph"] == "X")
    assert [e["name"] for e in events if e["ph"] == "i" and e["cat"] == "fault" and e["pid"] == 2].count(
        "cow_copy"
    ) == 2
    start, end = (next(e for e in events if e["ph"] == phase) for phase in "sf")
    assert (start["id"], start["pid"], end["pid"]) == (end["id"], 1, 2)
    for arrow in (start, end):
        rows = [e for e in events if e["ph"] in "BE" and e["pid"] == arrow["pid"]]
        assert [e["ph"] for e in rows] == ["B", "E"]
        assert events.index(rows[0]) < events.index(arrow) < events.index(rows[1]), "an arrow needs a slice around it"
        assert rows[0]["ts"] <= arrow["ts"] <= rows[1]["ts"]
    wait = next(e for e in events if e.get("name") == "wait4")
    assert wait["ts"] + wait["dur"] >= end["ts"], "the wait lasts until the child is gone"


def test_the_same_run_gives_the_same_file(tmp_path: Path) -> None:
    texts = set[str]()
    for number in range(2):
        file = tmp_path / f"{number}.json"
        main(["run", "--trace", str(file), str(EXAMPLES / "pipe.asm")])
        texts.add(file.read_text())
    assert len(texts) == 1


def test_a_filter_leaves_what_it_wants(tmp_path: Path) -> None:
    """Calls and faults by name; tracks keep their names; what no time line has is refused before the run."""

    def traced(chosen: str) -> set[tuple[str, str]]:
        file = tmp_path / "trace.json"
        assert main(["run", "--trace", str(file), "--trace-filter", chosen, str(EXAMPLES / "fork_cow.asm")]) == 0
        events = json.loads(file.read_text())["traceEvents"]
        assert [sum(e["ph"] == phase for e in events) for phase in "MBE"] == [4, 2, 2]
        return {(e["cat"], e["name"]) for e in events if e["ph"] not in "MBE"}

    assert traced("syscalls(write), faults(*_copy)") == {("syscall", "write"), ("fault", "cow_copy")}
    assert traced("forks") == {("fork", "classic")}
    assert traced("!syscalls, !faults") == {("fork", "classic"), ("exit", "exit")}
    assert traced("all") == traced("")
    file = tmp_path / "none.json"
    for wrong in ("tables", "syscalls, frames", "insns(_start)"):
        assert main(["run", "--trace", str(file), "--trace-filter", wrong, str(EXAMPLES / "fork_cow.asm")]) == 2
