"""The pieces of strace lines: strings, flags, structures, the table of calls, -e."""

import struct
from typing import Any, cast

import pytest

from emu.errors import EmuError
from emu.render.strace import Selection, flags, signatures, structs
from emu.render.strace.call import RENDERERS, Call, quote
from emu.render.strace.printer import Strace
from emu.render.strace.scalars import device, file_mode, octal, open_flags
from mini_kernel import syscalls
from mini_kernel.syscalls.table import TABLE
from mini_kernel.task import DEFAULT_ACTION, SigInfo, Task
from mini_kernel.uapi import ipc, numbers, syscall_names
from mini_kernel.uapi.fcntl import AT_FDCWD
from mini_kernel.uapi.signal import SI_KERNEL, SI_TKILL, SIGCHLD, SIGSEGV, SIGUSR1

U64 = (1 << 64) - 1


class FakeCall(Call):
    """A call whose memory is a dict of pieces."""

    def __init__(self, name: str, *arguments: int, result: int | None = None, memory: dict[int, bytes]) -> None:
        number = next(n for n, text in syscall_names.items() if text == name)
        super().__init__(cast("Task", FakeTask(1)), number, arguments)
        self.result = result
        self._pieces = memory

    def peek(self, address: int, n: int) -> bytes:
        for start, data in self._pieces.items():
            if start <= address < start + len(data):
                return data[address - start :][:n]
        return b""


class FakeTask:
    """What the printer looks at."""

    def __init__(self, tid: int) -> None:
        self.tid = tid
        self.user_mm = None
        self.blocked = 0
        self.process = self

    def action(self, signo: int) -> Any:
        del signo
        return DEFAULT_ACTION


def shown(name: str, *arguments: int, result: int | None = 0, memory: dict[int, bytes] | None = None) -> str:
    call = FakeCall(name, *arguments, result=result, memory=memory or {})
    return f"{signatures.whole(call)} = {signatures.outcome(call)}"


# -- pieces ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", '""'),
        (b'a"b\\\n\t\v\f\r', r'"a\"b\\\n\t\v\f\r"'),
        (b"\1\x00012\xff\x1b\0x", r'"\1\000012\377\33\0x"'),
        (b"x" * 32, '"' + "x" * 32 + '"'),
        (b"x" * 33, '"' + "x" * 32 + '"...'),
    ],
)
def test_strings_are_quoted_and_cut_as_strace_does(data: bytes, text: str) -> None:
    assert quote(data) == text


def test_modes_and_devices() -> None:
    assert [octal(v) for v in (0, 0o22, 0o644, 0o4755)] == ["000", "022", "0644", "04755"]
    assert file_mode(0o100644) == "S_IFREG|0644"
    assert device(0x103) == "makedev(0x1, 0x3)"
    assert open_flags(0o2) == "O_RDWR"
    assert open_flags(0o1102) == "O_RDWR|O_CREAT|O_TRUNC"


def test_flags_have_names_and_what_has_none_is_hexadecimal() -> None:
    assert flags.flags("prot", 3) == "PROT_READ|PROT_WRITE"
    assert flags.flags("prot", 0) == "PROT_NONE"
    assert flags.flags("prot", 0x83) == "PROT_READ|PROT_WRITE|0x80"
    assert flags.flags("prot", 0x80) == "0x80 /* PROT_??? */"
    assert flags.name("whence", 2) == "SEEK_END"
    assert flags.name("whence", 9) == "0x9 /* SEEK_??? */"


def test_signal_sets_are_written_the_short_way() -> None:
    assert structs.mask_text(0) == "[]"
    assert structs.mask_text(1 << 1 | 1 << 14) == "[INT TERM]"
    assert structs.mask_text(U64) == "~[]"
    assert structs.mask_text(U64 & ~(1 << 8)) == "~[KILL]"


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (0x500, "[{WIFEXITED(s) && WEXITSTATUS(s) == 5}]"),
        (11, "[{WIFSIGNALED(s) && WTERMSIG(s) == SIGSEGV}]"),
        (0x8B, "[{WIFSIGNALED(s) && WTERMSIG(s) == SIGSEGV && WCOREDUMP(s)}]"),
        (0x137F, "[{WIFSTOPPED(s) && WSTOPSIG(s) == SIGSTOP}]"),
        (0xFFFF, "[{WIFCONTINUED(s)}]"),
    ],
)
def test_wait_statuses(status: int, text: str) -> None:
    assert structs.wait_status(status) == text


# -- whole calls -------------------------------------------------------------------------------------

TIME = struct.pack("<qq", 1, 5)
SHM = {
    0x4000: ipc.pack_shmid_ds(ipc.IpcPerm(1, 2, 3, 4, 5, 0o640, 6), 7, 8, 9, 10, 11, 12, 13),
    0x5000: ipc.pack_shminfo(9, 1, 2, 3, 4),
    0x6000: ipc.pack_shm_info(2, 5, 1),
}
CALLS = [
    (("write", 1, 0x1000, 3), 3, 'write(1, "abc", 3) = 3'),
    (("write", 1, 0x9000, 3), -14, "write(1, 0x9000, 3) = -1 EFAULT (Bad address)"),
    (("read", 0, 0x1000, 100), 2, 'read(0, "ab", 100) = 2'),
    (("read", 0, 0x1000, 100), -4, "read(0, 0x1000, 100) = -1 EINTR (Interrupted system call)"),
    (("open", 0x1000, 0, 0), 3, 'open("abc", O_RDONLY) = 3'),
    (("openat", AT_FDCWD & U64, 0x1000, 0o101, 0o600), 3, 'openat(AT_FDCWD, "abc", O_WRONLY|O_CREAT, 0600) = 3'),
    (
        ("mmap", 0, 4096, 3, 0x22, U64, 0),
        0x7F00_0000_0000,
        "mmap(NULL, 4096, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = 0x7f0000000000",
    ),
    (("mremap", 0x1000, 1, 2, 1, 7), 0x1000, "mremap(0x1000, 1, 2, MREMAP_MAYMOVE) = 0x1000"),
    (("pipe", 0x2000), 0, "pipe([3, 4]) = 0"),
    (("wait4", U64, 0x2008, 0, 0), 2, "wait4(-1, [{WIFEXITED(s) && WEXITSTATUS(s) == 5}], 0, NULL) = 2"),
    (("wait4", U64, 0x2008, 1, 0), 0, "wait4(-1, 0x2008, WNOHANG, NULL) = 0"),
    (("nanosleep", 0x3000, 0), 0, "nanosleep({tv_sec=1, tv_nsec=5}, NULL) = 0"),
    (("nanosleep", 0x3000, 0x3000), 0, "nanosleep({tv_sec=1, tv_nsec=5}, 0x3000) = 0"),
    (("clock_gettime", 1, 0x3000), 0, "clock_gettime(CLOCK_MONOTONIC, {tv_sec=1, tv_nsec=5}) = 0"),
    (("kill", U64 - 4, 15), 0, "kill(-5, SIGTERM) = 0"),
    (("umask", 0o22), 0o27, "umask(022) = 027"),
    (("fcntl", 1, 3, 0), 0x8002, "fcntl(1, F_GETFL) = 0x8002 (flags O_RDWR|O_LARGEFILE)"),
    (("fcntl", 1, 2, 1), 0, "fcntl(1, F_SETFD, FD_CLOEXEC) = 0"),
    (("futex", 0x1000, 0x80, 2, 0, 9, 9), 0, "futex(0x1000, FUTEX_WAIT_PRIVATE, 2, NULL) = 0"),
    (("futex", 0x1000, 1, 1, 9, 9, 9), 1, "futex(0x1000, FUTEX_WAKE, 1) = 1"),
    (("getpid",), 1, "getpid() = 1"),
    (("exit_group", 3), None, "exit_group(3) = ?"),
    (("shmget", 0, 4096, 0o1600), 3, "shmget(IPC_PRIVATE, 4096, IPC_CREAT|0600) = 3"),
    (("shmget", 0x1234, 1, 0), -2, "shmget(0x1234, 1, 000) = -1 ENOENT (No such file or directory)"),
    (("shmget", 0, 1, 0o14777), 0, "shmget(IPC_PRIVATE, 1, SHM_HUGETLB|SHM_NORESERVE|0777) = 0"),
    (("shmat", 3, 0, 0), 0x7F00_0000_0000, "shmat(3, NULL, 0) = 0x7f0000000000"),
    (("shmat", 3, 0x10001, 0o130000), 0x10000, "shmat(3, 0x10001, SHM_RDONLY|SHM_RND|SHM_EXEC) = 0x10000"),
    (("shmdt", 0x10000), 0, "shmdt(0x10000) = 0"),
    (("shmctl", 3, 0, 0), 0, "shmctl(3, IPC_RMID, NULL) = 0"),
    (("shmctl", 3, 0x3E7, 0), -22, "shmctl(3, IPC_64|0x2e7 /* SHM_??? */, NULL) = -1 EINVAL (Invalid argument)"),
    (("shmctl", 3, 1, 0x4000), 0, "shmctl(3, IPC_SET, {shm_perm={uid=2, gid=3, mode=0640}}) = 0"),
    (
        ("shmctl", 3, 2, 0x4000),
        0,
        "shmctl(3, IPC_STAT, {shm_perm={uid=2, gid=3, mode=0640, key=0x1, cuid=4, cgid=5}, shm_segsz=7, shm_cpid=11, "
        "shm_lpid=12, shm_nattch=13, shm_atime=8, shm_dtime=9, shm_ctime=10}) = 0",
    ),
    (("shmctl", 3, 2, 0x4000), -13, "shmctl(3, IPC_STAT, 0x4000) = -1 EACCES (Permission denied)"),
    (
        ("shmctl", 0, 3, 0x5000),
        1,
        "shmctl(0, IPC_INFO, {shmmax=9, shmmin=1, shmmni=2, shmseg=3, shmall=4}) = 1",
    ),
    (
        ("shmctl", 0, 14, 0x6000),
        1,
        "shmctl(0, SHM_INFO, {used_ids=2, shm_tot=5, shm_rss=1, shm_swp=0, swap_attempts=0, swap_successes=0}) = 1",
    ),
    (("odfork",), 2, "odfork() = 2"),
    (("sfork", 4096, 3, 0x1000), 2, "sfork(4096, CHILD_WRITE|PARENT_WRITE, 0x1000) = 2"),
    (
        ("keyctl", 1, 0, 0x10, 0, 0, 0),
        -38,
        "keyctl(0x1, 0, 0x10, 0, 0, 0) = -1 ENOSYS (Function not implemented)",
    ),
]


@pytest.mark.parametrize(("call", "result", "text"), CALLS, ids=[text[:40] for _call, _result, text in CALLS])
def test_a_call_is_printed_as_strace_prints_it(call: Any, result: int | None, text: str) -> None:
    memory = {0x1000: b"abc\0", 0x2000: struct.pack("<iiI", 3, 4, 0x500), 0x3000: TIME} | SHM
    assert shown(*call, result=result, memory=memory) == text


def test_every_implemented_call_is_in_the_table_with_all_its_arguments() -> None:
    assert syscalls.TABLE is TABLE
    known = set(signatures.names())
    for number, entry in TABLE.items():
        name = syscall_names[number]
        assert name in known, f"{name}: no signature"
        kind = signatures.signature(name, entry.arity)
        covered = sum(signatures.WIDTHS.get(k, 1) for k in kind.kinds)
        assert covered >= entry.arity, f"{name}: {entry.arity} arguments, the table has {covered}"


def test_the_table_names_only_calls_and_kinds_that_exist() -> None:
    for name in signatures.names():
        assert f"SYS_{name}" in vars(numbers)
        assert set(signatures.kinds(name)) <= set(RENDERERS), name


def test_memory_that_cannot_be_read_never_stops_a_line() -> None:
    """Every call with nonsense in every argument, before and after it failed or succeeded."""
    for name in signatures.names():
        for value in (0, 1, 0x1000, U64):
            for result in (None, -22, 0, 5):
                assert shown(name, *[value] * 6, result=result).startswith(f"{name}(")


# -- lines -------------------------------------------------------------------------------------------


def printed(play: Any) -> list[str]:
    pieces: list[str] = []
    strace = Strace(pieces.append)
    play(strace, cast("Task", FakeTask(1)), cast("Task", FakeTask(2)))
    strace.close()
    return "".join(pieces).splitlines()


def test_results_stand_in_a_column() -> None:
    def play(strace: Strace, one: Task, _two: Task) -> None:
        strace.syscall_enter(one, numbers.SYS_getpid, ())
        strace.syscall_exit(one, numbers.SYS_getpid, (), 1)

    assert printed(play) == ["getpid()" + " " * 32 + "= 1"]


def test_pids_are_shown_while_there_are_several() -> None:
    def play(strace: Strace, one: Task, two: Task) -> None:
        strace.syscall_enter(one, numbers.SYS_fork, ())
        strace.forked(one, two, "classic")
        strace.syscall_exit(one, numbers.SYS_fork, (), 2)
        strace.syscall_enter(one, numbers.SYS_read, (3, 0, 1))
        strace.syscall_wait(one, numbers.SYS_read)
        strace.syscall_enter(two, numbers.SYS_exit_group, (0,))
        strace.syscall_exit(two, numbers.SYS_exit_group, (0,), None)
        strace.exited(two, 0)
        strace.syscall_exit(one, numbers.SYS_read, (3, 0, 1), -9)

    assert [" ".join(line.split()) for line in printed(play)] == [
        "fork() = 2",
        "[pid 1] read(3, <unfinished ...>",
        "[pid 2] exit_group(0) = ?",
        "[pid 2] +++ exited with 0 +++",
        "<... read resumed>NULL, 1) = -1 EBADF (Bad file descriptor)",
    ]


def test_a_call_that_a_signal_interrupts_ends_before_the_signal() -> None:
    def play(strace: Strace, one: Task, _two: Task) -> None:
        strace.syscall_enter(one, numbers.SYS_pause, ())
        strace.syscall_wait(one, numbers.SYS_pause)
        strace.signal(one, SigInfo(SIGUSR1, SI_TKILL, 7))
        strace.syscall_exit(one, numbers.SYS_pause, (), -4)
        strace.syscall_enter(one, numbers.SYS_getpid, ())
        strace.syscall_exit(one, numbers.SYS_getpid, (), 1)

    assert printed(play) == [
        "pause()" + " " * 33 + "= ? ERESTARTNOHAND (To be restarted if no handler)",
        "--- SIGUSR1 {si_signo=SIGUSR1, si_code=SI_TKILL, si_pid=7, si_uid=0} ---",
        "getpid()" + " " * 32 + "= 1",
    ]


def test_a_call_that_dies_with_its_process_has_no_result() -> None:
    def play(strace: Strace, one: Task, _two: Task) -> None:
        strace.syscall_enter(one, numbers.SYS_pause, ())
        strace.exited(one, 9)

    assert printed(play) == ["pause()" + " " * 33 + "= ?", "+++ killed by SIGKILL +++"]


def test_signals_show_the_fields_that_mean_something() -> None:
    def play(strace: Strace, one: Task, _two: Task) -> None:
        strace.signal(one, SigInfo(SIGSEGV, 1, address=0xDEAD000))
        strace.signal(one, SigInfo(SIGSEGV, SI_KERNEL))
        strace.signal(one, SigInfo(SIGCHLD, 1, 2, 0, 5))
        strace.signal(one, SigInfo(SIGCHLD, 2, 2, 0, 9))

    assert printed(play) == [
        "--- SIGSEGV {si_signo=SIGSEGV, si_code=SEGV_MAPERR, si_addr=0xdead000} ---",
        "--- SIGSEGV {si_signo=SIGSEGV, si_code=SI_KERNEL, si_addr=NULL} ---",
        "--- SIGCHLD {si_signo=SIGCHLD, si_code=CLD_EXITED, si_pid=2, si_uid=0, si_status=5, si_utime=0, "
        "si_stime=0} ---",
        "--- SIGCHLD {si_signo=SIGCHLD, si_code=CLD_KILLED, si_pid=2, si_uid=0, si_status=SIGKILL, si_utime=0, "
        "si_stime=0} ---",
    ]


# -- -e ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        ("all", "read fork mmap", ""),
        ("none", "", "read fork mmap"),
        ("trace=read,write", "read write", "open"),
        ("!read", "write", "read"),
        ("trace=!%memory", "read", "mmap brk munmap"),
        ("%file", "open execve stat unlinkat", "read mmap fork"),
        ("%process", "fork execve wait4 exit_group odfork sfork", "read"),
        ("%signal", "kill rt_sigaction", "read"),
        ("%desc", "read close mmap poll pipe openat", "fork kill"),
        ("%desc,fork", "read fork", "kill"),
        ("?nosuchcall,read", "read", "write"),
    ],
)
def test_selections(text: str, inside: str, outside: str) -> None:
    selection = Selection(text)
    assert all(name in selection for name in inside.split())
    assert not any(name in selection for name in outside.split())


@pytest.mark.parametrize("text", ["swim", "%swim", "signal=all", "trace=", "read,,write"])
def test_a_selection_of_what_does_not_exist_is_refused(text: str) -> None:
    with pytest.raises(EmuError):
        Selection(text)
