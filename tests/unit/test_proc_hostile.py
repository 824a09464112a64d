"""/proc under random use: whatever is opened, read and written while processes come and go, the kernel stands."""

from random import Random

import pytest
from fs_helpers import BUFFER, System

from mini_kernel import process as life
from mini_kernel.mm import check, uaccess
from mini_kernel.mm.mmap import mmap, munmap
from mini_kernel.mm.odf import odfork_mm
from mini_kernel.task import Task
from mini_kernel.uapi.mman import MAP_ANONYMOUS, MAP_FIXED, MAP_PRIVATE, MAP_SHARED, PROT_READ, PROT_WRITE
from mini_kernel.uapi.sched import CLONE_FILES, CLONE_FS, CLONE_SIGHAND, CLONE_THREAD, CLONE_VM

NAMES = (
    "", "self", "thread-self", "1", "2", "3", "4", "5", "99", "status", "stat", "statm", "maps", "smaps",
    "smaps_rollup",
    "pagemap", "use_odf", "comm", "cmdline", "environ", "clear_refs", "fd", "task", "exe", "cwd", "root", "mounts", "0",
    "..", ".", "meminfo", "sys", "vm", "kernel", "pid_max", "cpuinfo", "x", "uptime", "loadavg",
)  # fmt: skip
TEXTS = (b"", b"0", b"1", b"4", b"\n", b"x" * 5000, b"9" * 5000, b"-1", b"\0\xff", b"1\n")
NUMBERS = (0, 1, 7, 8, 4096, 1 << 31, 1 << 40, (1 << 63) - 1, 1 << 63, (1 << 64) - 8, (1 << 64) - 1)
AREA = 0x4000_0000
THREAD = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD


class Crowd:
    """Processes that fork, end, are waited for, map and touch memory, and use /proc meanwhile."""

    def __init__(self, seed: int) -> None:
        self.system = System(32)
        self.rng = Random(seed)
        self.k = self.system.kernel
        self.k.processes[1] = self.system.task.process
        self.k.main = self.system.task.process

    def any_task(self) -> Task:
        task = self.rng.choice(list(self.k.tasks.values()))
        self.k.sched.current = task
        return task

    def path(self) -> bytes:
        return "/".join(["/proc", *self.rng.choices(NAMES, k=self.rng.randint(0, 4))]).encode()

    def fork(self, task: Task) -> None:
        if len(self.k.tasks) < 6:
            flags, memory = self.rng.choice([(0, None), (0, odfork_mm), (CLONE_VM, None), (THREAD, None)])
            life.clone(self.k, task, flags, 17, memory=memory, memory_kind="odf")

    def leave(self, task: Task) -> None:
        if task.process is not self.system.task.process:
            self.rng.choice([life.exit_task, lambda k, t, s: life.exit_group(k, t.process, s)])(self.k, task, 0)

    def reap(self, task: Task) -> None:
        for process in [p for p in self.k.processes.values() if p.zombie][:1]:
            life.reap(self.k, process)

    def map(self, task: Task) -> None:
        start = AREA + self.rng.randint(0, 1 << 12) * 4096
        kind = self.rng.choice([MAP_PRIVATE, MAP_SHARED])
        mmap(task.mm, start, 64 * 4096, PROT_READ | PROT_WRITE, kind | MAP_ANONYMOUS | MAP_FIXED)
        uaccess.write(task.mm, start + self.rng.randint(0, 63) * 4096, b"x")

    def unmap(self, task: Task) -> None:
        munmap(task.mm, AREA + self.rng.randint(0, 1 << 12) * 4096, 64 * 4096)

    def open(self, task: Task) -> None:
        self.system.call(task, "open", self.path(), self.rng.choice([0, 1, 2, 0o200000, 0o1102, 0o10000000]), 0o600)

    def use(self, task: Task) -> None:
        """One call on some descriptor."""
        rng, fds = self.rng, [fd for fd in task.files.fds if fd > 2]
        if not fds:
            return
        fd, text, number = rng.choice(fds), rng.choice(TEXTS), rng.choice(NUMBERS)
        buffer = BUFFER + rng.choice([0, 1, 4095, 62 * 4096, 63 * 4096 + 4090, 64 * 4096])
        calls = (
            ("read", fd, buffer, rng.choice([0, 1, 8, 100, 8192, 1 << 40])),
            ("pread64", fd, buffer, rng.choice([8, 64, 4096, 8192]), number),
            ("write", fd, text, len(text)), ("pwrite64", fd, text, len(text), number),
            ("lseek", fd, number, rng.randint(0, 5)), ("getdents64", fd, buffer, 4096), ("fstat", fd, buffer),
            ("ftruncate", fd, number & 0xFFFF), ("openat", fd, rng.choice(NAMES).encode(), 0), ("fchdir", fd),
            ("fcntl", fd, rng.randint(0, 12), number), ("ioctl", fd, 0x541B, buffer), ("close", fd),
        )  # fmt: skip
        self.system.call(task, *rng.choice(calls))

    def name(self, task: Task) -> None:
        """One call on some path."""
        path = self.path()
        calls = (
            ("readlink", path, BUFFER, 100), ("stat", path, BUFFER), ("lstat", path, BUFFER), ("chdir", path),
            ("getcwd", BUFFER, 4096), ("unlink", path), ("mkdir", path, 0o755), ("rename", path, self.path()),
            ("chmod", path, 0o777), ("truncate", path, 7), ("access", path, 7), ("symlink", b"x", path),
            ("statfs", path, BUFFER), ("link", path, b"/tmp/link"), ("chown", path, 5, 5),
        )  # fmt: skip
        self.system.call(task, *self.rng.choice(calls))


@pytest.mark.parametrize("seed", range(8))
def test_nothing_done_to_proc_breaks_the_kernel(seed: int) -> None:
    """Only errno comes back, tables and counts stay right, and everything is free in the end."""
    crowd = Crowd(seed)
    steps = [
        crowd.fork,
        crowd.leave,
        crowd.reap,
        crowd.map,
        crowd.unmap,
        *[crowd.open] * 6,
        *[crowd.use] * 10,
        crowd.name,
    ]
    for _ in range(1500):
        crowd.rng.choice(steps)(crowd.any_task())
    k = crowd.k
    check.check(k.frames, k.mms(), k.caches())
    for process in list(k.processes.values()):
        if not process.zombie:
            life.exit_group(k, process, 0)
    assert k.frames.in_use == 1 + sum(len(cache.pages) for cache in k.vfs.caches())  # the zero page, and files
