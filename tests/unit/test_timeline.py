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
    wait = next(e for e in events if e["name"] == "wait4")
    assert wait["ts"] + wait["dur"] >= end["ts"], "the wait lasts until the child is gone"


def test_the_same_run_gives_the_same_file(tmp_path: Path) -> None:
    texts = set[str]()
    for number in range(2):
        file = tmp_path / f"{number}.json"
        main(["run", "--trace", str(file), str(EXAMPLES / "pipe.asm")])
        texts.add(file.read_text())
    assert len(texts) == 1
