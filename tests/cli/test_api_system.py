"""`import emu`: what a booted System can be asked, and snapshots as files."""

import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from cli_lab import Cli

import emu
from emu.errors import EmuError
from mini_kernel.uapi.errno import ENOMEM
from mini_kernel.x86 import RIP

FAMILY = """
_start:
    mov byte ptr [rip+cell], 1
    mov eax, SYS_fork
    syscall
    test eax, eax
    jz child
    mov edi, eax
    xor esi, esi
    xor edx, edx
    xor r10d, r10d
    mov eax, SYS_wait4
    syscall
    movzx edi, byte ptr [rip+cell]
    mov eax, SYS_exit_group
    syscall
child:
    mov eax, SYS_getppid
    syscall
    xor edi, edi
    mov eax, SYS_exit_group
    syscall
.data
cell: .quad 0
"""
RESUME = """
import sys, emu
system = emu.boot(sys.argv[1], memory=64 << 20)
emu.load_snapshot(system, sys.argv[2])
outcome = system.run()
print(outcome.status, len(system.stdout), system.ledger().faults["demand_zero"])
"""


@pytest.fixture
def family(tmp_path: Path) -> str:
    path = tmp_path / "family.asm"
    path.write_text(FAMILY)
    return str(path)


def test_walks_areas_and_sharing_can_be_looked_at(family: str) -> None:
    """While a child lives, both reach the frame of a page that none has written to since the fork."""
    with emu.boot(family, debug=True, fork="odf") as system:
        debugger = emu.Debugger(system)
        cell = debugger.locate("cell")
        assert [step.level for step in system.task(1).mm.walk(cell)] == [0]
        with debugger.breaking_at("child"):
            debugger.cont()
        assert len(system.task(1).mm.walk(cell)) == 4
        assert any(area.start <= cell < area.end for area in system.task(1).mm.vmas)
        assert [(s.tgid, s.table, s.frame) for s in system.sharing(cell)] == [(2, True, True)]
        assert not list(debugger.points)
        assert type(debugger.cont()).__name__ == "Ended"


def test_files_are_there_for_the_guest(cli: Cli) -> None:
    with emu.boot("exit7.asm", files={"/etc/motd": b"hello"}) as system:
        assert system.kernel.vfs.read_file(b"/etc/motd") == b"hello"
    with pytest.raises(emu.EmuError, match=r"the guest's file /bin/exit7\.asm/x"):
        emu.boot("exit7.asm", files={"/bin/exit7.asm/x": b""})


def test_a_call_and_a_frame_can_be_made_to_fail(family: str) -> None:
    with emu.boot(family) as system:
        system.fail_syscall(ENOMEM, "fork")
        system.run()
        assert system.ledger().forks == {}
    with emu.boot(family) as system:
        system.refuse_frames(1)
        assert system.run().status == 128 + 9


def test_a_snapshot_goes_on_in_another_process(cli: Cli, tmp_path: Path) -> None:
    """To the same end with the same costs, output included."""
    path = tmp_path / "state"
    with emu.boot("cat.asm", stdin=b"", memory=64 << 20) as system:
        emu.save_snapshot(system, path)
        status, faults = system.run().status, system.ledger().faults["demand_zero"]
    command = [sys.executable, "-c", RESUME, "cat.asm", str(path)]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ended.stdout.split() == [str(status), "0", str(faults)]


def test_a_file_that_is_no_snapshot_is_refused_and_changes_nothing(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "state"
    with emu.boot("exit7.asm", memory=64 << 20) as system:
        emu.save_snapshot(system, path)
        good = path.read_bytes()
        before = system.snapshot()
        for bad in (b"", b"cr3lab", good[:-100], good.replace(b'"memory": 67108864', b'"memory": 67108868')):
            path.write_bytes(bad)
            with pytest.raises(emu.EmuError, match="is no snapshot that can be used here"):
                emu.load_snapshot(system, path)
        assert system.snapshot() == before
        path.write_bytes(good)
        emu.load_snapshot(system, path)
        assert system.snapshot() == before
        assert system.run().status == 7
    with pytest.raises(emu.EmuError, match="cannot be read"):
        emu.load_snapshot(system, tmp_path / "absent")


@pytest.mark.parametrize("value", [print, subprocess.Popen, Path("x")])
def test_a_snapshot_cannot_name_what_is_not_the_kernels(value: object) -> None:
    from mini_kernel.snapshot import check_names

    with pytest.raises(ValueError, match="it names"):
        check_names(pickle.dumps(value))


def test_steps_are_instructions_of_whoever_runs() -> None:
    """Forks, faults and a wait on the way: step by step the run is the same, and then it is over."""
    path = Path(__file__).parents[2] / "examples" / "fork_cow.asm"
    with emu.boot(path) as whole:
        outcome = whole.run()
        count = whole.machine.instructions()
    with emu.boot(path) as system:
        first = system.machine.regs[RIP]
        assert system.step() is None
        assert (system.machine.instructions(), system.machine.regs[RIP] > first) == (1, True)
        assert system.task(1).mm.walk(first)[-1].level == 3
        assert system.step(4) is None
        seen = {system.kernel.sched.current.tid}
        while (ended := system.step()) is None:
            seen.add(system.kernel.sched.current.tid)
        assert seen == {1, 2}
        assert (ended, system.machine.instructions(), system.stdout) == (outcome, count, whole.stdout)
        assert system.step() == outcome


def test_steps_end_at_a_limit_and_need_an_exact_machine() -> None:
    source = Path(__file__).parents[2] / "examples" / "hello.asm"
    with emu.boot(source, max_insns=3) as system:
        assert system.step(2) is None
        assert system.step(2).ending == "max-insns"
        assert system.machine.instructions() == 3
        with pytest.raises(EmuError, match="from 1 on, not 0"):
            system.step(0)
    with emu.boot(source, exact=False) as system, pytest.raises(EmuError, match="exact=True"):
        system.step()
