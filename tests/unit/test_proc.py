"""/proc as a tree of files: who is listed, how files read and refuse, and what is left when a process goes."""

import stat as modes
import struct

import pytest
from fs_helpers import BUFFER, System
from proc_helpers import THREAD, fork, names, read, read_on, running_system, write

from mini_kernel import process as life
from mini_kernel.cred import set_resgid, set_resuid
from mini_kernel.fs.inode import Directory
from mini_kernel.fs.proc.pid import PidDirectory
from mini_kernel.mm import uaccess
from mini_kernel.task import Task
from mini_kernel.uapi.errno import EINVAL, ENOENT, EPERM, ESRCH
from mini_kernel.uapi.fcntl import O_CREAT, O_DIRECTORY, O_RDONLY, O_RDWR, O_WRONLY

PFN_BITS = (1 << 55) - 1
FILES = (
    "auxv", "cgroup", "clear_refs", "cmdline", "comm", "environ", "io", "limits", "maps", "mountinfo", "mounts",
    "oom_score", "oom_score_adj", "pagemap", "smaps", "smaps_rollup", "stat", "statm", "status", "use_odf", "wchan",
)  # fmt: skip


@pytest.fixture
def system() -> System:
    return running_system()


# -- who is there ---------------------------------------------------------------------------------------


def test_self_is_a_link_to_the_callers_process(system: System) -> None:
    """Its target is the number, another one's for another caller; thread-self names the thread as well."""
    child = fork(system)
    assert system.readlink(b"/proc/self", BUFFER, 100) == 1
    assert system.got(1) == b"1"
    thread = fork(system, THREAD)
    assert system.call(thread, "readlink", b"/proc/self", BUFFER, 100) == 1
    assert system.call(thread, "readlink", b"/proc/thread-self", BUFFER, 100) == len("1/task/3")
    assert system.got(8) == b"1/task/3"
    assert system.call(child, "readlink", b"/proc/self", BUFFER, 100) == 1
    assert read(system, "/proc/self/status") == read(system, "/proc/1/status")


def test_processes_are_listed_and_threads_only_found(system: System) -> None:
    """A zombie is listed until it is waited for; a thread's number works but is not listed."""
    child, thread = fork(system), fork(system, THREAD)
    digits = [entry for entry in names(system, "/proc") if entry.isdigit()]
    assert digits == ["1", "2"]
    assert names(system, "/proc/1/task") == ["1", "3"]
    assert b"Pid:\t3\n" in read(system, "/proc/3/status")
    assert b"Tgid:\t1\n" in read(system, "/proc/3/status")
    life.exit_group(system.kernel, child.process, 0)
    assert "2" in names(system, "/proc")
    life.reap(system.kernel, child.process)
    assert "2" not in names(system, "/proc")
    life.exit_task(system.kernel, thread, 0)
    assert system.open(b"/proc/3/status", O_RDONLY) == -ENOENT


@pytest.mark.parametrize("number", ["0", "01", "-1", "+1", "99", "1x", "4294967297", "1" * 200, "\u0661"])
def test_only_a_live_number_in_its_plain_form_is_a_name(system: System, number: str) -> None:
    """No leading zeros or signs, no digits of other scripts, nothing beyond what a number can be."""
    assert system.open(f"/proc/{number}".encode(), O_RDONLY) == -ENOENT
    assert system.open(f"/proc/1/fd/{number}".encode(), O_RDONLY) == -ENOENT or number == "0"


def test_a_process_directory_has_its_files(system: System) -> None:
    """All of them, with Linux's types and modes; a thread's has the same but task/."""
    assert sorted(names(system, "/proc/1")) == sorted([*FILES, "cwd", "exe", "fd", "fdinfo", "root", "task"])
    assert sorted(names(system, "/proc/1/task/1")) == sorted([*FILES, "cwd", "exe", "fd", "fdinfo", "root"])
    rights = {entry: system.kernel.vfs.lookup(system.task, b"/proc/1/" + entry.encode()).mode for entry in FILES}
    assert {modes.S_IFMT(mode) for mode in rights.values()} == {modes.S_IFREG}
    others = {"comm": 0o644, "use_odf": 0o644, "clear_refs": 0o200, "pagemap": 0o400, "environ": 0o400, "auxv": 0o400}
    others |= {"oom_score_adj": 0o644, "io": 0o400}
    assert {entry: modes.S_IMODE(mode) for entry, mode in rights.items()} == {e: others.get(e, 0o444) for e in FILES}


def test_inode_numbers_stay_and_are_nobody_elses(system: System) -> None:
    """Looking twice gives the same number, and no two nodes under /proc share one."""
    fork(system)
    fork(system, THREAD)

    def walk(directory: Directory, path: str, seen: dict[str, int]) -> dict[str, int]:
        for entry, node in directory.items(system.task):
            seen[f"{path}/{entry.decode()}"] = node.ino
            if isinstance(node, Directory):
                walk(node, f"{path}/{entry.decode()}", seen)
        return seen

    root = system.kernel.vfs.lookup(system.task, b"/proc")
    assert isinstance(root, Directory)
    first, second = walk(root, "", {}), walk(root, "", {})
    assert first == second
    assert len(set(first.values())) == len(first) > 100


# -- reading ----------------------------------------------------------------------------------------------


def test_content_is_made_at_the_start_and_stays_until_there_again(system: System) -> None:
    """A change in the middle of reading is not seen before the file is read from its beginning (seq_file)."""
    fd = system.open(b"/proc/self/status", O_RDONLY)
    assert system.read(fd, BUFFER, 8) == 8
    before = read(system, "/proc/self/status")
    system.task.name = "another"
    assert read_on(system, fd) == before[8:]
    assert system.pread64(fd, BUFFER, 8, 3) == 8
    assert system.got(8) == before[3:11]
    assert system.lseek(fd, 0, 0) == 0
    assert read_on(system, fd).startswith(b"Name:\tanother\n")


def test_reads_in_the_middle_come_first_too(system: System) -> None:
    """pread behind the start of a file never read from makes the content."""
    fd = system.open(b"/proc/self/comm", O_RDONLY)
    assert system.pread64(fd, BUFFER, 100, 3) == 5
    assert system.got(5) == b"gram\n"


@pytest.mark.parametrize("offset", [8, 1 << 40, (1 << 63) - 4096])
def test_reading_behind_the_end_gives_nothing(system: System, offset: int) -> None:
    """Whatever the offset; positions can be set there as well."""
    fd = system.open(b"/proc/self/comm", O_RDONLY)
    assert system.pread64(fd, BUFFER, 100, offset) == 0
    assert system.lseek(fd, offset, 0) == offset
    assert system.read(fd, BUFFER, 100) == 0
    assert system.lseek(fd, (1 << 63) - offset, 1) == -EINVAL
    assert system.pread64(fd, BUFFER, 100, (1 << 63) - 100) == -EINVAL


@pytest.mark.parametrize("file", ["comm", "pagemap"])
def test_seeking_refuses_what_has_no_answer(system: System, file: str) -> None:
    """There is no end to count from; positions are not negative."""
    fd = system.open(f"/proc/self/{file}".encode(), O_RDONLY)
    assert system.lseek(fd, 0, 2) == -EINVAL
    assert system.lseek(fd, -8, 0) == -EINVAL
    assert system.lseek(fd, 0, 7) == -EINVAL


def test_a_huge_read_gives_what_there_is(system: System) -> None:
    """More bytes asked for than any file here has, into a buffer that is large enough for what comes."""
    fd = system.open(b"/proc/self/status", O_RDONLY)
    assert system.read(fd, BUFFER, 60 * 4096) == len(read(system, "/proc/self/status"))


# -- refusing -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "file",
    [*sorted({*FILES} - {"comm", "use_odf", "clear_refs", "oom_score_adj"}), "../meminfo", "../sys/vm/nr_hugepages"],
)
def test_what_is_only_read_takes_no_writes(system: System, file: str) -> None:
    """Not even from root, who may open it."""
    assert write(system, f"/proc/self/{file}", b"1") == "EINVAL"


def test_what_is_only_written_gives_nothing(system: System) -> None:
    """clear_refs cannot be read."""
    fd = system.open(b"/proc/self/clear_refs", O_RDWR)
    assert system.read(fd, BUFFER, 10) == -EINVAL


@pytest.mark.parametrize("path", ["/proc", "/proc/1", "/proc/1/fd", "/proc/1/task", "/proc/sys/vm"])
def test_nothing_can_be_made_removed_or_changed(system: System, path: str) -> None:
    """Directories of /proc take no names, give none up, and keep their modes."""
    assert system.mkdir(f"{path}/new".encode(), 0o755) == -ENOENT
    assert system.open(f"{path}/new".encode(), O_CREAT | O_WRONLY, 0o644) == -ENOENT
    assert system.chmod(path.encode(), 0o777) == -EPERM
    assert system.rmdir(path.encode()) < 0
    assert system.rename(path.encode(), b"/elsewhere") < 0
    assert system.unlink(b"/proc/1/status") == -EPERM
    assert system.chmod(b"/proc/1/status", 0o777) == -EPERM


def test_other_users_see_no_frame_numbers_and_no_environment(system: System) -> None:
    """Files of mode 0400 belong to whom the process runs as."""
    child = fork(system)
    child.set_cred(set_resuid(set_resgid(child.cred, 1000, 1000, 1000), 1000, 1000, 1000))
    child.mm.dumpable = True  # as after execve(2)
    assert system.call(child, "open", b"/proc/1/environ", O_RDONLY) == -13
    assert system.call(child, "open", b"/proc/1/pagemap", O_RDONLY) == -13
    fd = system.call(child, "open", b"/proc/self/pagemap", O_RDONLY)
    assert fd >= 0
    assert system.call(child, "pread64", fd, BUFFER, 8, BUFFER >> 9) == 8
    (entry,) = struct.unpack("<Q", uaccess.read(child.mm, BUFFER, 8))
    assert entry >> 63 == 1
    assert entry & PFN_BITS == 0
    fd = system.open(b"/proc/self/pagemap", O_RDONLY)
    assert system.pread64(fd, BUFFER, 8, BUFFER >> 9) == 8
    assert struct.unpack("<Q", system.got(8))[0] & PFN_BITS
    assert system.kernel.vfs.lookup(system.task, b"/proc/2/pagemap").uid == 1000


# -- those who go ---------------------------------------------------------------------------------------------


def _opened(system: System, child: Task) -> dict[str, int]:
    return {
        file: system.open(f"/proc/{child.tid}/{file}".encode(), O_WRONLY if file == "clear_refs" else O_RDONLY)
        for file in FILES
    }


def test_open_files_of_a_zombie_read_as_far_as_there_is_something(system: System) -> None:
    """No memory: maps and its kin are empty, status is short and says Z; nothing can be armed."""
    child = fork(system)
    files = _opened(system, child)
    life.exit_group(system.kernel, child.process, 256)
    for file in ("maps", "smaps", "smaps_rollup", "cmdline", "environ", "pagemap"):
        assert read_on(system, files[file]) == b"", file
        assert read(system, f"/proc/{child.tid}/{file}") == b"", file
    status = read_on(system, files["status"])
    assert b"State:\tZ (zombie)\n" in status
    assert b"Vm" not in status
    assert read_on(system, files["statm"]) == b"0 0 0 0 0 0 0\n"
    assert read_on(system, files["comm"]) == b"program\n"
    assert b"(program) Z 1 " in read_on(system, files["stat"])
    assert system.read(files["use_odf"], BUFFER, 10) == -ESRCH
    assert system.write(files["clear_refs"], system.put(b"4"), 1) == -ESRCH
    assert names(system, f"/proc/{child.tid}/fd") == []
    assert names(system, f"/proc/{child.tid}/task") == []
    assert system.readlink(b"/proc/2/cwd", BUFFER, 100) == -ENOENT
    assert system.open(b"/proc/2/exe", O_RDONLY) == -ENOENT


def test_open_files_of_the_gone_say_so(system: System) -> None:
    """ESRCH from a descriptor; the directory is empty, and found by nobody."""
    child = fork(system)
    files = _opened(system, child)
    directory = system.open(b"/proc/2", O_RDONLY | O_DIRECTORY)
    system.chdir(b"/proc/2")
    life.exit_group(system.kernel, child.process, 0)
    life.reap(system.kernel, child.process)
    for file in sorted({*FILES} - {"clear_refs", "pagemap"}):
        assert system.read(files[file], BUFFER, 10) == -ESRCH, file
    assert system.read(files["pagemap"], BUFFER, 8) == 0
    assert system.write(files["clear_refs"], system.put(b"4"), 1) == -ESRCH
    assert system.open(b"status", O_RDONLY) == -ENOENT
    assert system.openat(directory, b"status", O_RDONLY) == -ENOENT
    assert system.getdents64(directory, BUFFER, 4096) == -ENOENT
    assert system.open(b"/proc/2", O_RDONLY) == -ENOENT


def test_open_files_of_a_thread_that_ended_say_so(system: System) -> None:
    """Though its process lives on."""
    thread = fork(system, THREAD)
    files = [system.open(b"/proc/1/task/2/" + file, O_RDONLY) for file in (b"status", b"comm")]
    life.exit_task(system.kernel, thread, 0)
    assert [system.read(fd, BUFFER, 10) for fd in files] == [-ESRCH, -ESRCH]
    assert read(system, "/proc/1/comm") == b"program\n"


def test_a_number_used_again_is_another_process(system: System) -> None:
    """What was opened for the first one stays with it."""
    child = fork(system)
    old = system.open(b"/proc/2/comm", O_RDONLY)
    life.exit_group(system.kernel, child.process, 0)
    life.reap(system.kernel, child.process)
    system.kernel.last_tid = 1
    assert fork(system).tid == 2
    assert system.read(old, BUFFER, 10) == -ESRCH
    assert read(system, "/proc/2/comm") == b"program\n"


def test_pagemap_stays_with_the_memory_it_was_opened_for(system: System) -> None:
    """After the address space is gone there is nothing to read, though the process lives on with another."""
    child = fork(system)
    fd = system.open(b"/proc/2/pagemap", O_RDONLY)
    assert system.pread64(fd, BUFFER, 8, BUFFER >> 9) == 8
    fresh = fork(system)
    life.release_mm(system.kernel, child)
    child.user_mm = fresh.mm
    fresh.mm.users += 1
    assert system.pread64(fd, BUFFER, 8, BUFFER >> 9) == 0


def test_nothing_is_kept_of_those_who_went(system: System) -> None:
    """The tree of /proc holds no node about a process."""
    root = system.kernel.vfs.lookup(system.task, b"/proc")
    assert isinstance(root, Directory)
    for _ in range(5):
        child = fork(system)
        read(system, f"/proc/{child.tid}/maps")
        names(system, f"/proc/{child.tid}")
        life.exit_group(system.kernel, child.process, 0)
        life.reap(system.kernel, child.process)
    assert not any(isinstance(node, PidDirectory) for node in root.nodes.values())


# -- links ------------------------------------------------------------------------------------------------------


def test_links_of_another_process_are_that_ones(system: System) -> None:
    """cwd, root and fd are the child's, not the reader's."""
    child = fork(system)
    assert system.call(child, "chdir", b"/tmp") == 0
    assert system.readlink(b"/proc/2/cwd", BUFFER, 100) == 4
    assert system.got(4) == b"/tmp"
    fd = system.call(child, "open", b"/etc/passwd", O_RDONLY)
    assert str(fd) in names(system, "/proc/2/fd")
    assert str(fd) not in names(system, "/proc/1/fd")
    assert read(system, f"/proc/2/fd/{fd}").startswith(b"root:")


def test_a_file_opened_through_a_descriptor_has_its_own_name(system: System) -> None:
    """/proc/self/fd/N leads to the file, and so does the name that is shown; with a note once it is removed."""
    fd = system.open(b"/tmp/file", O_CREAT | O_RDWR, 0o600)
    again = system.open(b"/proc/self/fd/%d" % fd, O_RDONLY)
    assert system.file(again).path == b"/tmp/file"
    system.unlink(b"/tmp/file")
    length = system.readlink(b"/proc/self/fd/%d" % fd, BUFFER, 100)
    assert system.got(length) == b"/tmp/file (deleted)"
    rights = system.kernel.vfs.lookup(system.task, b"/proc/self/fd/%d" % fd, follow=False).mode
    assert (rights, system.kernel.vfs.lookup(system.task, b"/proc/self/fd/%d" % again, follow=False).mode) == (
        modes.S_IFLNK | 0o700,
        modes.S_IFLNK | 0o500,
    )


def test_a_removed_working_directory_is_still_shown_and_entered(system: System) -> None:
    """cwd shows the path it had."""
    system.mkdir(b"/tmp/gone", 0o755)
    system.chdir(b"/tmp/gone")
    system.rmdir(b"/tmp/gone")
    length = system.readlink(b"/proc/self/cwd", BUFFER, 100)
    assert system.got(length) == b"/tmp/gone (deleted)"
    assert system.open(b"/proc/self/cwd", O_RDONLY | O_DIRECTORY) >= 0
