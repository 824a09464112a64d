"""A run at full speed, replayed by another machine under the debugger, comes to the same at every moment."""

import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from debug_lab import EXAMPLES, ending, example, run_to_end, stripped
from program_lab import compile_c, compiler_missing

from emu.boot import Options, System
from emu.debug import Debugger, Divergence, Ended, RecordingOver
from emu.errors import EmuError
from emu.program import Program
from emu.recording import RecordedTree, Recorder, Recording
from mini_kernel.fs.stream import BytesStream

PROGRAMS = Path(__file__).parents[1] / "programs" / "c"


def record(
    path: Path, program: Program, stdin: bytes = b"", arguments: Sequence[str] = (), **options: Any
) -> tuple[bytes, int | None, dict[str, Any]]:
    """Run and save; output, wait status, costs."""
    streams = (BytesStream(stdin), BytesStream(), BytesStream())
    chosen = Options(**{"memory": 64 << 20, "record": True, **options})
    with System(program, arguments, chosen, streams) as system:
        recorder = Recorder(system, arguments)
        outcome = system.run()
        recorder.save(str(path), outcome)
        costs = system.stats()["total"]
        del costs["fork_us"]
        return system.stdout, outcome.wait_status, costs


def replay(path: Path) -> tuple[bytes, int | None, dict[str, Any]]:
    """The same of a replay, which does not go astray."""
    recording = Recording(str(path))
    with recording.boot() as system:
        d = Debugger(system, recording)
        d.fatal = False
        run_to_end(d)
        status, stdout, _stderr, costs = ending(d)
        assert d.tap.last_entry.traps == len(recording.digests)
        return stdout, status, costs


@pytest.mark.parametrize("name", sorted(path.name for path in EXAMPLES.glob("*.asm")))
def test_example_is_replayed_under_preemption(name: str, tmp_path: Path) -> None:
    """Every example, preempted every seven jumps: the same output, status, costs, and registers at every exception."""
    path = tmp_path / "recording"
    first = record(path, example(name), b"some\ninput\n", quantum=7, memory=256 << 20)
    assert replay(path) == first


@pytest.mark.parametrize("name", ["threads", "self_modifying", "sa_restart", "vectors"])
def test_c_program_is_replayed_under_preemption(name: str, tmp_path: Path) -> None:
    """Programs of the C library, with SSE code, repeated string instructions, threads, and code that changes itself."""
    missing = compiler_missing("gcc")
    if missing:
        pytest.skip(missing)
    data = compile_c(PROGRAMS / f"{name}.c", tmp_path / "program").read_bytes()
    path = tmp_path / "recording"
    first = record(path, Program("program", "", data, None), quantum=61)
    assert replay(path) == first


def test_host_files_are_in_the_recording(tmp_path: Path) -> None:
    """What was read through --root is read again when the host's directory is gone."""
    missing = compiler_missing("gcc")
    if missing:
        pytest.skip(missing)
    root = tmp_path / "root"
    (root / "dir").mkdir(parents=True)
    (root / "dir" / "file").write_bytes(b"host content\n" * 500)
    source = tmp_path / "cat.c"
    source.write_text(
        '#include <stdio.h>\nint main(void) { int c; FILE *f = fopen("/dir/file", "r"); if (!f) return 1;'
        ' while ((c = getc(f)) != EOF) putchar(c); return fopen("/dir/none", "r") != 0; }\n'
    )
    data = compile_c(source, tmp_path / "cat").read_bytes()
    path = tmp_path / "recording"
    tree = RecordedTree(str(root))
    first = record(path, Program("cat", "", data, None), root=tree)
    assert first[:2] == (b"host content\n" * 500, 0)
    (root / "dir" / "file").write_bytes(b"something else")
    assert replay(path) == first


def test_replay_goes_back_and_forth(tmp_path: Path) -> None:
    """A replay is a debugged system like any other: back to the beginning, and the same again."""
    path = tmp_path / "recording"
    stdout, _status, _costs = record(path, example("echo.asm"), b"in\n")
    recording = Recording(str(path))
    with recording.boot() as system:
        d = Debugger(system, recording)
        stops = run_to_end(d)
        d.back(5)
        d.go(0)
        assert [type(s) for s in run_to_end(d)] == [type(s) for s in stops]
        assert system.stdout == stdout


def test_interrupted_run_is_replayed_up_to_there(tmp_path: Path) -> None:
    """A program that runs for ever: the replay stops where the recording does, in user code."""
    path = tmp_path / "recording"
    program = stripped(".text\n_start: inc rax\n jmp _start\n")
    with System(program, (), Options(memory=64 << 20, record=True, timeout=0.05)) as system:
        recorder = Recorder(system, ())
        outcome = system.run()
        assert outcome.ending == "timeout"
        recorder.save(str(path), outcome)
        jumps, rax = system.machine.blocks(), system.machine.regs[0]
    recording = Recording(str(path))
    with recording.boot() as system:
        stop = Debugger(system, recording).cont()
        assert isinstance(stop, RecordingOver)
        assert (system.machine.blocks(), abs(system.machine.regs[0] - rax) <= 1) == (jumps, True)


def test_another_input_is_noticed(tmp_path: Path) -> None:
    """A recording that was tampered with diverges, and says where."""
    path = tmp_path / "recording"
    record(path, example("fork_cow.asm"), quantum=5)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members["digests"] = members["digests"][:8] + bytes(4) + members["digests"][12:]
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    recording = Recording(str(path))
    with recording.boot() as system, pytest.raises(Divergence, match="diverges at instruction"):
        run_to_end(Debugger(system, recording))


@pytest.mark.parametrize("damage", ["text", "version", "no program", "tapes", "options", "json"])
def test_damaged_file_is_refused(damage: str, tmp_path: Path) -> None:
    """An EmuError in one line, whatever is wrong."""
    path = tmp_path / "recording"
    record(path, example("hello.asm"))
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    facts = json.loads(members["recording.json"])
    if damage == "version":
        facts["version"] = 99
    elif damage == "tapes":
        facts["tapes"] = [[{"strange": 1}], [], []]
    elif damage == "options":
        facts["options"]["memory"] = "much"
    members["recording.json"] = b"{" if damage == "json" else json.dumps(facts).encode()
    if damage == "no program":
        del members["program"]
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    if damage == "text":
        path.write_text("nothing of the kind")
    with pytest.raises(EmuError):
        Recording(str(path))


def test_a_replay_ends_as_the_run_did(tmp_path: Path) -> None:
    """The stop at the end of a replay has the recorded status."""
    path = tmp_path / "recording"
    _stdout, status, _costs = record(path, example("killed_child.asm"))
    recording = Recording(str(path))
    with recording.boot() as system:
        d = Debugger(system, recording)
        d.fatal = False
        last = run_to_end(d)[-1]
        assert isinstance(last, Ended) and last.status == status
