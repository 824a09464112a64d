"""Bombs: each ends at a quota with Linux's errno or by the OOM killer's choice, within the host's means, traceless.

The programs in bombs/ take whatever the kernel gives. They run in host processes of their own (bomb_driver.py), whose
resident memory must stay within the guest's RAM and a constant: what the guest makes the kernel keep counts as RAM.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from program_lab import assemble, compile_c, compiler_missing

from emu.boot import Options, System
from emu.program import Program

HERE = Path(__file__).parent
MARGIN = 128  # MiB of the host beside the guest's RAM


class Bomb(NamedTuple):
    """What becomes of a bomb in `memory` MiB: its output, its exit status, and whether the OOM killer comes."""

    name: str
    stdout: str
    status: int = 0
    kills: bool | None = False  # None: either
    memory: int = 32


SHORT = (
    Bomb("fork_bomb", "fork: EAGAIN, some 1\ngone: 1\nagain: 1\n", 143, memory=16),
    Bomb("fork_tree", "fork: EAGAIN, waited for some of its own 1\n", memory=16),
    Bomb("thread_bomb", "clone: EAGAIN, some 1\n", memory=16),
    Bomb("touch_bomb", "writes: killed by signal 9\nwrites to shared memory: killed by signal 9\n", kills=True),
    Bomb("table_bomb", "per 2 MiB: killed by signal 9\nper 1 GiB: killed by signal 9\n", kills=True),
    Bomb("recursion", "8 MiB: killed by signal 11\nno limit: killed by signal 9\n", kills=True),
    Bomb("exec_loop", "a long argument: E2BIG\nmany arguments: E2BIG\n"),
    Bomb("pipe_bomb", "one process: exit 7\ngone\n", kills=None),
    Bomb("sockets", "sockets: no more, some 1\ngone\n", kills=None),
    Bomb(
        "huge_files",
        "a sparse file: 0\nblocks: 392\na full file: ENOSPC, some 1\ntruncate: 0\nagain: ENOSPC, as much 1\n",
    ),
    Bomb(
        "many_files",
        "files: ENOSPC, some 1\ndepth: 3000, getcwd: ERANGE\na path of that: another error\ngone: 0\n",
    ),
    Bomb("faults", "crashed: 300\n"),
    Bomb("timers", "timer_create: EAGAIN, some 1\nslept\n"),
)
LONG = (
    Bomb(
        "mmap_bomb",
        "1 TiB that is reserved: ENOMEM\n1 TiB that is not: ENOMEM, some 1\nareas: ENOMEM, 65530 in all\n"
        "copies: ENOMEM, few 1\n",
        137,
        memory=64,
    ),
    Bomb("signal_storm", "queue: EAGAIN, some 1\ntaken: 1\nsender: killed by signal 9\n"),
    Bomb(
        "open_files", "a process: EMFILE, 1024 with the standard three\nmany: no memory\ngone\n", kills=None, memory=16
    ),
    Bomb("fork_bomb", "fork: EAGAIN, some 1\ngone: 1\nagain: 1\n", 143, memory=128),
    Bomb("touch_bomb", "writes: killed by signal 9\nwrites to shared memory: killed by signal 9\n", 0, True, 256),
    Bomb("pipe_bomb", "one process: exit 7\ngone\n", kills=None, memory=96),
)


def explode(bomb: Bomb, fork: str, directory: Path) -> tuple[dict[str, Any], int]:
    """How a bomb ended, and the most memory its host process had, in MiB."""
    missing = compiler_missing("gcc")
    if missing:
        pytest.skip(missing)
    path = compile_c(HERE / "bombs" / f"{bomb.name}.c", directory / bomb.name, "gcc", "-O1")
    output = directory / "output"
    with output.open("wb") as file:
        command = [sys.executable, HERE / "bomb_driver.py", path, str(bomb.memory << 20), fork]
        subprocess.run(command, stdout=file, check=True)
    found = json.loads(output.read_text())
    return found, found["peak_kib"] >> 10


def survive(bomb: Bomb, fork: str, directory: Path) -> None:
    found, peak = explode(bomb, fork, directory)
    assert (found["ending"], found["stdout"], found["status"]) == ("exited", bomb.stdout, bomb.status)
    if bomb.kills is not None:
        assert bool(found["kills"]) == bomb.kills
    assert peak <= bomb.memory + MARGIN, f"{peak} MiB for a guest of {bomb.memory} MiB"


@pytest.mark.parametrize("bomb", SHORT, ids=lambda bomb: bomb.name)
def test_bomb_ends_at_a_quota_and_leaves_nothing(bomb: Bomb, tmp_path: Path) -> None:
    survive(bomb, "classic", tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("bomb", LONG, ids=lambda bomb: f"{bomb.name}-{bomb.memory}")
def test_large_bomb_ends_at_a_quota_and_leaves_nothing(bomb: Bomb, tmp_path: Path) -> None:
    survive(bomb, "classic", tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("name", ["fork_bomb", "fork_tree", "touch_bomb", "table_bomb", "recursion", "pipe_bomb"])
def test_bomb_ends_as_well_where_forks_share_tables(name: str, tmp_path: Path) -> None:
    survive(next(bomb for bomb in SHORT if bomb.name == name), "odf", tmp_path)


CHAIN = """
_start:
    mov r12d, 700
down:
    mov eax, SYS_mkdir
    lea rdi, [rip + name]
    mov esi, 0700
    syscall
    mov eax, SYS_chdir
    lea rdi, [rip + name]
    syscall
    dec r12d
    jnz down
    mov r12d, 100
more:
    mov eax, SYS_fork
    syscall
    test eax, eax
    jnz wait
    dec r12d
    jnz more
wait:
    mov eax, SYS_pause
    syscall
    jmp wait
.data
name: .asciz "d"
"""


def test_deep_families_and_directories_fit_into_a_snapshot() -> None:
    """A chain of children and one of directories, longer than recursion goes: taken, compared and restored."""
    program = Program("chain", "", assemble(CHAIN), None)
    with System(program, (), Options(memory=32 << 20), argv0="/bin/chain") as system:
        assert system.run().ending == "deadlock"
        assert len(system.kernel.tasks) == 101
        image = system.snapshot()
        system.restore(image)
        assert system.snapshot() == image
        system.kernel.shutdown()
        system.kernel.check()
