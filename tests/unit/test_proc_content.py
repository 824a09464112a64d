"""What the files of /proc say about the system and about a process, memory apart."""

import pytest
from fs_helpers import System
from proc_helpers import THREAD, fork, read, running_system, write

from mini_kernel.cred import set_groups, set_uid
from mini_kernel.exec import HWCAP
from mini_kernel.fs.proc import facts
from mini_kernel.syscalls import prctl
from mini_kernel.task import SigAction, SigInfo, State, send_to_process


@pytest.fixture
def system() -> System:
    return running_system()


# -- about the system ---------------------------------------------------------------------------------------------


def test_meminfo_adds_up(system: System) -> None:
    """Free and in use are all there is; what is in use is tables, pages of files, pages of processes."""
    lines = dict(line.split(":") for line in read(system, "/proc/meminfo").decode().splitlines())
    kb = {key: int(value.split()[0]) for key, value in lines.items()}
    frames = system.kernel.frames
    assert kb["MemTotal"] == frames.total * 4
    assert kb["MemFree"] == kb["MemAvailable"] == frames.available() * 4
    assert kb["AnonPages"] + kb["Cached"] + kb["PageTables"] + 4 == frames.in_use * 4  # and the zero page


def test_cpuinfo_names_the_features_the_program_is_told_of() -> None:
    """flags are the bits of AT_HWCAP by name."""
    assert sum(1 << bit for bit, flag in enumerate(facts._FLAGS) if flag) == HWCAP


def test_settings_are_what_holds(system: System) -> None:
    """/proc/sys says what the kernel does."""
    k = system.kernel
    k.last_tid = int(read(system, "/proc/sys/kernel/pid_max")) - 2
    assert [k.new_tid() + 1 - facts.PID_MAX, k.new_tid()] == [0, 300]
    assert int(read(system, "/proc/sys/kernel/threads-max")) == facts.threads_max(k.frames.total) == 128
    assert read(system, "/proc/sys/kernel/osrelease") == facts.RELEASE.encode() + b"\n"
    assert read(system, "/proc/sys/kernel/hostname") == read(system, "/etc/hostname") == b"cr3lab\n"
    assert int(read(system, "/proc/sys/vm/overcommit_memory")) == 0
    assert int(read(system, "/proc/sys/vm/max_map_count")) == 65530
    assert int(read(system, "/proc/sys/vm/nr_hugepages")) == 0


def test_times_are_those_of_the_virtual_clock(system: System) -> None:
    """uptime and stat count from boot, asleep and busy apart."""
    system.kernel.clock.advance_to(12_345_678_901)
    assert read(system, "/proc/uptime") == b"12.34 12.34\n"
    assert read(system, "/proc/stat").startswith(b"cpu  0 0 0 1234 0 ")
    assert read(system, "/proc/loadavg") == b"0.00 0.00 0.00 1/1 1\n"


def test_mounts_is_a_link_to_the_callers(system: System) -> None:
    """As in Linux; /proc is in it."""
    assert b"proc /proc proc " in read(system, "/proc/mounts") == read(system, "/proc/1/mounts")


# -- about a process --------------------------------------------------------------------------------------------------


def test_state_letters_follow_the_state(system: System) -> None:
    """R, S, T by what the task does."""
    for state, letter in ((State.RUNNABLE, b"R"), (State.WAITING, b"S"), (State.STOPPED, b"T")):
        system.task.state = state
        assert b"State:\t" + letter + b" (" in read(system, "/proc/1/status")
        assert b") " + letter + b" 0 1 1 " in read(system, "/proc/1/stat")


def test_names_with_strange_bytes_do_not_break_lines(system: System) -> None:
    """status escapes newline and backslash; stat has the bytes in parentheses; comm is up to 15 bytes."""
    assert write(system, "/proc/self/comm", b"a\nb\\c) R 1 and much more") == 24
    assert read(system, "/proc/self/comm") == b"a\nb\\c) R 1 and \n"
    assert read(system, "/proc/self/status").startswith(b"Name:\ta\\nb\\\\c) R 1 and \nUmask:")
    assert read(system, "/proc/self/stat").startswith(b"1 (a\nb\\c) R 1 and ) R 0 ")


def test_only_a_process_renames_itself(system: System) -> None:
    """comm of another process cannot be written (Linux comm_write); a thread's is its own."""
    fork(system)
    fork(system, THREAD)
    assert write(system, "/proc/2/comm", b"new") == "EINVAL"
    assert write(system, "/proc/self/task/3/comm", b"worker") == 6
    assert read(system, "/proc/1/task/3/comm") == b"worker\n"
    assert read(system, "/proc/1/comm") == b"program\n"


def test_signal_masks_are_shown(system: System) -> None:
    """Pending for the thread and the process, blocked, ignored, caught: bit n - 1 is signal n."""
    task = system.task
    task.blocked = 1 << 9
    task.send_signal(10)
    send_to_process(task.process, SigInfo(12))
    task.process.actions = {1: action(1), 2: action(0x400000), 3: action(0)}
    lines = dict(line.split(":\t") for line in read(system, "/proc/1/status").decode().splitlines() if ":\t" in line)
    assert [int(lines[key], 16) for key in ("SigPnd", "ShdPnd", "SigBlk", "SigIgn", "SigCgt")] == [
        1 << 9, 1 << 11, 1 << 9, 1, 2,
    ]  # fmt: skip
    assert lines["SigQ"] == "2/4096"


def action(handler: int) -> SigAction:
    return SigAction(handler)


def test_rights_are_shown(system: System) -> None:
    """Root has all capabilities, others none; no_new_privs stays once set."""
    assert b"CapEff:\t000001ffffffffff\n" in read(system, "/proc/self/status")
    assert prctl.sys_prctl(system.kernel, system.task, 38, 1, 0, 0, 0) == 0
    assert b"NoNewPrivs:\t1\n" in read(system, "/proc/self/status")
    system.task.set_cred(set_uid(set_groups(system.task.cred, (7, 5)), 1000))
    system.task.mm.dumpable = True  # as after execve(2): /proc shows it to the user again
    status = read(system, "/proc/self/status")
    assert b"CapEff:\t0000000000000000\n" in status
    assert b"Uid:\t1000\t1000\t1000\t1000\n" in status
    assert b"Groups:\t5 7 \n" in status
