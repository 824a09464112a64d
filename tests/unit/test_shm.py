"""System V shared memory at the level of the calls: ids, rights, counts, bytes, limits, failures, snapshots."""

import random
import struct
from typing import Any

import pytest
from fs_helpers import BUFFER, PAGE, System
from mm_helpers import state_of

from mini_kernel.errors import SysError
from mini_kernel.ipc import shm
from mini_kernel.mm import fork, mmap, odf, protect, remap, uaccess
from mini_kernel.mm.frame import K_CACHE
from mini_kernel.mm.teardown import destroy
from mini_kernel.syscalls.table import TABLE
from mini_kernel.task import Task
from mini_kernel.uapi import ipc
from mini_kernel.uapi.errno import (
    EACCES,
    EEXIST,
    EFAULT,
    EIDRM,
    EINVAL,
    ENOENT,
    ENOMEM,
    ENOSPC,
    EPERM,
)
from mini_kernel.uapi.ipc import (
    IPC_CREAT,
    IPC_EXCL,
    IPC_INFO,
    IPC_PRIVATE,
    IPC_RMID,
    IPC_SET,
    IPC_STAT,
    SHM_DEST,
    SHM_INFO,
    SHM_LOCK,
    SHM_LOCKED,
    SHM_NORESERVE,
    SHM_RDONLY,
    SHM_REMAP,
    SHM_RND,
    SHM_STAT,
    SHM_STAT_ANY,
    SHM_UNLOCK,
    SHMMAX,
)
from mini_kernel.uapi.mman import MAP_ANONYMOUS, MAP_FIXED, MAP_PRIVATE, PROT_READ, PROT_WRITE
from mini_kernel.uapi.numbers import SYS_shmat, SYS_shmctl, SYS_shmdt, SYS_shmget

KEY = 0x1234
AT = 5 << 30  # a 1 GiB boundary, where nothing is


class Machine(System):
    """A kernel and one task, which is the one that runs."""

    def __init__(self) -> None:
        super().__init__(mib=8)
        self.run_as(self.task)
        self.kernel.boot_frames = self.kernel.frames.in_use

    def run_as(self, task: Task) -> None:
        """The following calls are this task's."""
        self.task = self.kernel.sched.loaded = task

    def become(self, uid: int, gid: int, *groups: int) -> None:
        """Change the ids of the task."""
        self.task.fs.uid, self.task.fs.gid, self.task.fs.groups = uid, gid, groups

    def issue(self, number: int, *arguments: int) -> int:
        """A system call; -errno on failure."""
        entry = TABLE[number]
        padded = [a & 0xFFFF_FFFF_FFFF_FFFF for a in (*arguments, 0, 0, 0)][: entry.arity]
        try:
            return entry.handler(self.kernel, self.task, *padded)
        except SysError as error:
            return -error.errno

    def shmget(self, key: int, size: int, flags: int = 0o600) -> int:
        return self.issue(SYS_shmget, key, size, flags)

    def shmat(self, ident: int, address: int = 0, flags: int = 0) -> int:
        return self.issue(SYS_shmat, ident, address, flags)

    def shmdt(self, address: int) -> int:
        return self.issue(SYS_shmdt, address)

    def shmctl(self, ident: int, command: int, buffer: int = BUFFER) -> int:
        return self.issue(SYS_shmctl, ident, command, buffer)

    def stat(self, ident: int) -> tuple[Any, ...]:
        """(perm, size, atime, dtime, ctime, cpid, lpid, nattch)."""
        assert self.shmctl(ident, SHM_STAT_ANY) == ident
        return ipc.unpack_shmid_ds(self.got(ipc.SHMID_DS_SIZE))

    def attached(self, ident: int) -> int:
        return self.stat(ident)[7]

    def check(self) -> None:
        """Every invariant, segments included."""
        self.kernel.check()


@pytest.fixture
def m() -> Machine:
    return Machine()


def poke(m: Machine, address: int, data: bytes) -> None:
    uaccess.write(m.task.mm, address, data)


def peek(m: Machine, address: int, n: int = 1) -> bytes:
    return uaccess.read(m.task.mm, address, n)


def files_of(m: Machine) -> set[int]:
    """The frames of what files there are."""
    return {pfn for cache in m.kernel.vfs.caches() for pfn in cache.pages.values()}


# -- ids and keys ------------------------------------------------------------------------------------


def test_ids_go_round_and_a_stale_one_is_told_apart(m: Machine) -> None:
    """64 indices are used in turn before the first comes again, with a new sequence number: EIDRM, not EINVAL."""
    ids: list[int] = []
    for _ in range(70):
        ident = m.shmget(IPC_PRIVATE, PAGE)
        ids.append(ident)
        m.shmctl(ident, IPC_RMID)
    assert ids == [*range(64), *(0x8000 + n for n in range(6))]
    assert m.shmctl(ids[0], IPC_STAT) == -EINVAL
    again = m.shmget(IPC_PRIVATE, PAGE)
    assert again == 0x8006
    for command in (IPC_STAT, IPC_RMID, SHM_LOCK):
        assert m.shmctl(6, command) == -EIDRM
    assert m.shmat(6) == -EIDRM
    assert m.shmctl(6, SHM_STAT) == again
    assert m.shmctl(again, IPC_STAT) == 0
    assert struct.unpack_from("<H", m.got(32, BUFFER), 24) == (1,)


def test_keys_find_segments_and_ipc_private_never_does(m: Machine) -> None:
    """ENOENT without IPC_CREAT, EEXIST with IPC_EXCL, EINVAL for one that is smaller than asked; any 32-bit key."""
    assert m.shmget(KEY, PAGE, 0o600) == -ENOENT
    ident = m.shmget(KEY, 5000, IPC_CREAT | 0o600)
    assert m.shmget(KEY | 7 << 32, 5000, 0o600 | 9 << 32) == ident
    assert m.shmget(KEY, 0, 0) == ident
    assert m.shmget(KEY, 5001, 0) == -EINVAL
    assert m.shmget(KEY, 5000, IPC_CREAT | IPC_EXCL) == -EEXIST
    assert m.shmget(KEY, 5000, IPC_EXCL) == ident
    assert m.shmget(0xFFFF_FFFF, 1, IPC_CREAT) == ident + 1
    assert m.shmget(IPC_PRIVATE, 1, IPC_CREAT | IPC_EXCL) == ident + 2
    assert m.shmget(IPC_PRIVATE, 1, 0) == ident + 3


def test_sizes_have_limits(m: Machine) -> None:
    """EINVAL outside SHMMIN and SHMMAX, ENOMEM for what RAM could never hold unless nothing is reserved."""
    for size in (0, SHMMAX + 1, (1 << 64) - 1, 1 << 63):
        assert m.shmget(IPC_PRIVATE, size) == -EINVAL
    assert m.shmget(IPC_PRIVATE, 9 << 20) == -ENOMEM
    assert m.shmget(IPC_PRIVATE, 9 << 20, SHM_NORESERVE | 0o600) == 0
    address = m.shmat(0)
    poke(m, address + (9 << 20) - 1, b"x")
    assert m.shmget(IPC_PRIVATE, 1, ipc.SHM_HUGETLB | 0o600) == -EINVAL
    assert m.shmget(IPC_PRIVATE, 1) == 1
    m.check()


def test_the_limits_of_the_system_hold(m: Machine) -> None:
    """ENOSPC for one segment more than SHMMNI, and for one page more than SHMALL."""
    m.kernel.shm.shmmni = 2
    assert [m.shmget(IPC_PRIVATE, PAGE) for _ in range(3)] == [0, 1, -ENOSPC]
    m.shmctl(0, IPC_RMID)
    assert m.shmget(IPC_PRIVATE, PAGE) == 2
    m.kernel.shm.shmmni, m.kernel.shm.shmall = 4096, 3
    assert m.shmget(IPC_PRIVATE, 2 * PAGE) == -ENOSPC
    assert m.shmget(IPC_PRIVATE, 1) == 3
    m.kernel.shm.shmmax = 10
    assert m.shmget(IPC_PRIVATE, 11) == -EINVAL


# -- rights ------------------------------------------------------------------------------------------


def test_modes_decide_who_may_find_attach_and_look(m: Machine) -> None:
    """EACCES by owner, group and other bits, those of the creator as of the present owner; root may all."""
    m.become(10, 20)
    ident = m.shmget(KEY, PAGE, IPC_CREAT | 0o640)
    assert m.shmat(ident, 0, ipc.SHM_EXEC) == -EACCES
    assert m.shmat(ident) > 0
    m.become(11, 20)
    assert (m.shmget(KEY, 0, 0o400), m.shmget(KEY, 0, 0o600), m.shmget(KEY, 0, 0)) == (ident, -EACCES, ident)
    assert m.shmat(ident) == -EACCES
    assert m.shmat(ident, 0, SHM_RDONLY) > 0
    assert m.shmctl(ident, IPC_STAT) == 0
    m.become(11, 21, 20)
    assert m.shmctl(ident, IPC_STAT) == 0
    m.become(11, 21)
    for call in (m.shmctl(ident, IPC_STAT), m.shmctl(ident, SHM_STAT), m.shmat(ident, 0, SHM_RDONLY)):
        assert call == -EACCES
    assert m.shmget(KEY, 0, 0o004) == -EACCES
    assert m.shmctl(ident, SHM_STAT_ANY) == ident
    m.become(0, 0)
    assert m.shmat(ident, 0, ipc.SHM_EXEC) > 0


def test_only_owners_change_remove_and_lock(m: Machine) -> None:
    """EPERM for others, whatever the mode; the creator keeps the right when the owner changes; EINVAL for no uid."""
    m.become(10, 20)
    ident = m.shmget(KEY, PAGE, IPC_CREAT | 0o666)
    m.shmctl(ident, IPC_STAT)
    m.become(11, 20)
    for command in (IPC_SET, IPC_RMID, SHM_LOCK, SHM_UNLOCK):
        assert m.shmctl(ident, command) == -EPERM
    m.become(10, 20)
    data = bytearray(m.got(ipc.SHMID_DS_SIZE))
    struct.pack_into("<II", data, 4, 11, 21)
    struct.pack_into("<I", data, 20, 0o7777)
    m.put(bytes(data))
    assert m.shmctl(ident, IPC_SET) == 0
    assert m.stat(ident)[0] == (KEY, 11, 21, 10, 20, 0o777, 0)
    m.become(11, 99)
    assert m.shmctl(ident, SHM_LOCK) == 0
    m.put(struct.pack("<I", 0xFFFF_FFFF), BUFFER + 4)
    assert m.shmctl(ident, IPC_SET) == -EINVAL
    assert m.shmctl(ident, IPC_RMID) == 0


def test_locking_is_marked_and_limited(m: Machine) -> None:
    """SHM_LOCKED stands in the mode; RLIMIT_MEMLOCK bounds the unprivileged: EPERM at 0, ENOMEM for too much."""
    m.become(10, 20)
    ident = m.shmget(IPC_PRIVATE, 3 * PAGE)
    m.task.mm.limits.locked = 2 * PAGE
    assert m.shmctl(ident, SHM_LOCK) == -ENOMEM
    m.task.mm.limits.locked = 0
    assert m.shmctl(ident, SHM_LOCK) == -EPERM
    assert m.shmctl(ident, SHM_UNLOCK) == 0
    m.task.mm.limits.locked = 3 * PAGE
    assert m.shmctl(ident, SHM_LOCK) == 0
    assert m.stat(ident)[0].mode == SHM_LOCKED | 0o600
    assert m.shmctl(ident, SHM_UNLOCK) == 0
    assert m.stat(ident)[0].mode == 0o600


# -- attaching ---------------------------------------------------------------------------------------


def test_a_read_only_attach_stays_read_only(m: Machine) -> None:
    """It shows what others write; neither a write nor mprotect gets through; maps show the key of the creation."""
    ident = m.shmget(0xABCD, PAGE, IPC_CREAT | 0o600)
    writable, only = m.shmat(ident), m.shmat(ident, 0, SHM_RDONLY)
    poke(m, writable, b"seen")
    assert peek(m, only, 4) == b"seen"
    with pytest.raises(SysError):
        poke(m, only, b"x")
    with pytest.raises(SysError) as caught:
        protect.mprotect(m.task.mm, only, PAGE, PROT_READ | PROT_WRITE)
    assert caught.value.errno == EACCES
    m.shmctl(ident, IPC_RMID)
    vma = m.task.mm.find(only)
    assert vma is not None
    assert vma.file is not None
    assert vma.file.name == "/SYSV0000abcd (deleted)"
    m.check()


def test_every_area_counts(m: Machine) -> None:
    """Attach, fork, split, move, unmap, exit: nattch is the number of areas, and areas of one attach never join."""
    mm = m.task.mm
    ident = m.shmget(IPC_PRIVATE, 4 * PAGE)
    m.shmat(ident, AT)
    m.shmat(ident, AT + 4 * PAGE)
    assert m.attached(ident) == 2
    protect.mprotect(mm, AT + PAGE, 2 * PAGE, PROT_READ)
    protect.mprotect(mm, AT + PAGE, 2 * PAGE, PROT_READ | PROT_WRITE)
    assert m.attached(ident) == 4
    child = fork.fork_mm(mm)
    assert m.attached(ident) == 8
    mmap.munmap(mm, AT + PAGE, PAGE)
    assert m.attached(ident) == 8
    assert remap.mremap(mm, AT, PAGE, PAGE, 3, AT + (1 << 30)) == AT + (1 << 30)
    assert m.attached(ident) == 8
    destroy(child)
    assert m.attached(ident) == 4
    assert m.shmdt(AT) == 0
    assert m.attached(ident) == 2
    assert m.shmdt(AT + (1 << 30)) == 0
    assert m.shmdt(AT + 4 * PAGE) == 0
    assert m.attached(ident) == 0
    m.check()


def test_the_last_detach_of_a_removed_segment_frees_its_frames(m: Machine) -> None:
    """Until then it can be attached by its id, its key is free, and SHM_DEST stands in the mode."""
    frames = m.kernel.frames
    ident = m.shmget(KEY, 3 * PAGE, IPC_CREAT | 0o600)
    address = m.shmat(ident)
    poke(m, address, b"x" * 3 * PAGE)
    assert m.shmctl(ident, IPC_RMID) == 0
    assert m.stat(ident)[0].mode == SHM_DEST | 0o600
    assert m.shmget(KEY, PAGE, IPC_CREAT | 0o600) == ident + 1
    again = m.shmat(ident, AT, SHM_RDONLY)
    assert peek(m, again, 3) == b"xxx"
    m.shmdt(address)
    assert peek(m, again, 3) == b"xxx"
    m.shmdt(again)
    assert m.shmctl(ident, IPC_STAT) == -EINVAL
    assert m.shmctl(ident + 1, IPC_RMID) == 0
    assert not any(frames.kinds[pfn] & K_CACHE for pfn in frames.used().tolist() if pfn not in files_of(m))
    m.check()


def test_an_attach_over_itself_does_not_lose_the_segment(m: Machine) -> None:
    """SHM_REMAP of the only attach of a removed segment: Linux holds it meanwhile, so do we."""
    ident = m.shmget(IPC_PRIVATE, 2 * PAGE)
    address = m.shmat(ident)
    poke(m, address + PAGE, b"kept")
    m.shmctl(ident, IPC_RMID)
    assert m.shmat(ident, address, SHM_REMAP) == address
    assert peek(m, address + PAGE, 4) == b"kept"
    assert m.attached(ident) == 1
    m.shmdt(address)
    assert m.shmctl(ident, IPC_STAT) == -EINVAL
    m.check()


def test_addresses_that_do_not_fit_are_refused(m: Machine) -> None:
    """EINVAL for unaligned, occupied, wrapping; ENOMEM behind user space; nothing is attached by any of them."""
    ident = m.shmget(IPC_PRIVATE, 2 * PAGE)
    mmap.mmap(m.task.mm, AT + PAGE, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED)
    for address, flags, errno in (
        (AT + 1, 0, EINVAL),
        (AT, 0, EINVAL),
        (AT + PAGE, 0, EINVAL),
        (-PAGE & (1 << 64) - 1, 0, EINVAL),
        (0, SHM_REMAP, EINVAL),
        (5, SHM_RND | SHM_REMAP, EINVAL),
        (5, SHM_RND, EPERM),
        (1 << 47, 0, ENOMEM),
        (1 << 62, SHM_REMAP, ENOMEM),
    ):
        assert m.shmat(ident, address, flags) == -errno, hex(address)
    assert m.attached(ident) == m.stat(ident)[2] == m.stat(ident)[6] == 0  # nor is there a trace of the attempt
    assert m.shmat(ident, AT + 5, SHM_RND | SHM_REMAP) == AT
    m.check()


def test_detaching_takes_what_is_left_of_one_attach(m: Machine) -> None:
    """The pieces at their places; not another attach's, nor a piece that moved away."""
    mm = m.task.mm
    ident = m.shmget(IPC_PRIVATE, 4 * PAGE)
    m.shmat(ident, AT)
    m.shmat(ident, AT + 8 * PAGE)
    mmap.munmap(mm, AT, PAGE)
    mmap.munmap(mm, AT + 2 * PAGE, PAGE)
    remap.mremap(mm, AT + 3 * PAGE, PAGE, PAGE, 3, AT + 20 * PAGE)

    def areas() -> list[int]:
        return [(v.start - AT) // PAGE for v in mm.vmas if isinstance(v.file, shm.Attachment)]

    assert areas() == [1, 8, 20]
    assert (m.shmdt(AT + PAGE), m.shmdt(AT + 3), m.shmdt(AT + 20 * PAGE)) == (-EINVAL,) * 3
    assert m.shmdt(AT) == 0
    assert areas() == [8, 20]
    assert (m.shmdt(AT), m.shmdt(AT + 17 * PAGE)) == (-EINVAL, 0)
    assert areas() == [8]
    m.check()


# -- what is reported --------------------------------------------------------------------------------


def test_the_structures_are_linux_s_byte_for_byte(m: Machine) -> None:
    """shmid_ds, shminfo and shm_info at the offsets of asm-generic/shmbuf.h; times and pids of who did what."""
    clock = m.kernel.clock
    start = clock.real_ns() // 10**9
    m.become(3, 4)
    ident = m.shmget(KEY, 10000, IPC_CREAT | 0o640)
    clock.skipped_ns += 5 * 10**9
    other = m.new_task()
    creator = m.task
    m.run_as(other)
    address = m.shmat(ident, AT)
    clock.skipped_ns += 5 * 10**9
    m.shmat(ident, AT + (1 << 21))
    m.shmdt(AT + (1 << 21))
    m.run_as(creator)
    m.put(b"\xff" * 128)
    assert m.shmctl(ident, IPC_STAT) == 0
    expected = struct.pack("<6IHHIQQ", KEY, 3, 4, 3, 4, 0o640, 0, 0, 0, 0, 0)
    expected += struct.pack("<QqqqiiQQQ", 10000, start + 10, start + 10, start, creator.tgid, other.tgid, 1, 0, 0)
    assert m.got(128) == expected + b"\xff" * 16
    m.run_as(other)
    poke(m, address, b"x")
    m.run_as(creator)
    m.shmget(IPC_PRIVATE, 1)
    assert m.shmctl(0, IPC_INFO) == 1
    assert m.got(73) == struct.pack("<9Q", SHMMAX, 1, 4096, 4096, SHMMAX, 0, 0, 0, 0) + expected[72:73]
    assert m.shmctl(0, SHM_INFO) == 1
    assert m.got(48) == struct.pack("<iiQQQQQ", 2, 0, 4, 1, 0, 0, 0)


def test_proc_sysvipc_shm_lists_the_segments(m: Machine) -> None:
    """The columns of Linux."""
    m.shmget(0x8000_0001, 10000, IPC_CREAT | 0o640)
    poke(m, m.shmat(0), b"x")
    start = m.kernel.clock.real_ns() // 10**9
    pid = m.task.tgid
    assert m.kernel.shm.listing().decode() == (
        "       key      shmid perms                  size  cpid  lpid nattch   uid   gid  cuid  cgid      atime"
        "      dtime      ctime                   rss                  swap\n"
        f"-2147483647          0   640                 10000 {pid:5} {pid:5}      1     0     0     0     0 {start}"
        f"          0 {start}                  4096                     0\n"
    )


@pytest.mark.parametrize("command", [IPC_STAT, IPC_SET, IPC_INFO, SHM_INFO, SHM_STAT, SHM_STAT_ANY])
def test_bad_buffers_are_efault(m: Machine, command: int) -> None:
    """And change nothing."""
    ident = m.shmget(IPC_PRIVATE, PAGE)
    before = m.kernel.shm.listing()
    for address in (0, 8, 1 << 47, (1 << 64) - 8):
        assert m.shmctl(ident, command, address) == -EFAULT
    assert m.kernel.shm.listing() == before


def test_nonsense_is_refused_and_breaks_nothing(m: Machine) -> None:
    """3,000 calls with random arguments: a result or an errno each, and every invariant holds all along."""
    rng = random.Random(5)
    numbers = (SYS_shmget, SYS_shmat, SYS_shmdt, SYS_shmctl)
    interesting = [
        0, 1, 2, 3, 5, 11, 13, 14, 15, PAGE, 3 * PAGE, AT, AT + PAGE, AT + 1, BUFFER, 1 << 47, 1 << 63, (1 << 64) - 1,
        0o600, 0o1600, 0o3600, SHM_RDONLY, SHM_RND, SHM_REMAP, ipc.SHM_EXEC, KEY, 0x7FFF_FFFF, 0x8000_0000, 0x8000,
    ]  # fmt: skip
    for step in range(3000):
        arguments = [rng.choice(interesting) | (rng.choice(interesting) if rng.random() < 0.2 else 0) for _ in "abc"]
        if rng.random() < 0.5:
            arguments[0] = rng.choice([*(s.id for s in m.kernel.shm.objects.values()), *m.task.mm.starts])
        m.issue(rng.choice(numbers), *arguments)
        if step % 100 == 0:
            m.check()
            areas = [v.file for v in m.task.mm.vmas if isinstance(v.file, shm.Attachment)]
            for segment in m.kernel.shm.objects.values():
                assert segment.nattch == sum(a.segment is segment for a in areas)
    m.check()


# -- failures and snapshots --------------------------------------------------------------------------


def _whole(m: Machine) -> Any:
    return state_of(m.task.mm), m.kernel.shm.listing(), sorted(m.kernel.shm.objects)


@pytest.mark.parametrize("policy", ["classic", "odf"])
def test_running_out_of_memory_at_any_frame_leaves_nothing_behind(policy: str) -> None:
    """shmget, shmat over a mapping and shmdt, tables shared with a child or not: refused, they change nothing."""
    total, far = 0, AT + (4 << 20)
    for n in range(12):
        m = Machine()
        for place in (AT, far + 8 * PAGE):
            mmap.mmap(m.task.mm, place, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED)
            poke(m, place, b"y" * 4 * PAGE)
        ident = m.shmget(IPC_PRIVATE, 2 * PAGE)
        poke(m, m.shmat(ident, far), b"x" * PAGE)
        child = m.new_task()
        destroy(child.mm)
        child.user_mm = odf.odfork_mm(m.task.mm) if policy == "odf" else fork.fork_mm(m.task.mm)
        frames = m.kernel.frames
        refused = 0
        for call in (
            lambda m=m: m.shmget(KEY, 4 * PAGE, IPC_CREAT | 0o600),
            lambda m=m, i=ident: m.shmat(i, AT + PAGE, SHM_REMAP),
            lambda m=m: m.shmdt(AT + PAGE),
            lambda m=m: m.shmdt(far),
        ):
            before = _whole(m)
            frames.refuse_after = n
            result = call()
            frames.refuse_after = -1
            if result < 0:
                assert result == -ENOMEM
                assert _whole(m) == before
                refused += 1
                assert call() >= 0
            m.check()
        total += refused
        for task in (child, m.task):
            destroy(task.mm)
            del m.kernel.tasks[task.tid]
        for segment in list(m.kernel.shm.objects.values()):
            m.kernel.shm.remove(segment)
        m.check()
    assert total == (2 if policy == "odf" else 0)  # on demand, one call in each of two tables has to break it


def test_detaching_pieces_in_tables_that_are_shared_is_all_or_nothing() -> None:
    """One piece on each side of a table's end, neighbours in both: refused memory for the second, the first stays."""
    refused = 0
    for n in range(4):
        m = Machine()
        for place in (AT - 8 * PAGE, AT + 8 * PAGE):
            mmap.mmap(m.task.mm, place, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED)
            poke(m, place, b"y")
        ident = m.shmget(IPC_PRIVATE, 4 * PAGE)
        start = m.shmat(ident, AT - 2 * PAGE)
        poke(m, start, b"x" * 4 * PAGE)
        protect.mprotect(m.task.mm, AT, 2 * PAGE, PROT_READ)
        child = odf.odfork_mm(m.task.mm)
        before = m.attached(ident)
        m.kernel.frames.refuse_after = n
        result = m.shmdt(start)
        m.kernel.frames.refuse_after = -1
        refused += result == -ENOMEM
        assert m.attached(ident) == before - (0 if result else 2)
        assert (m.shmdt(start) == 0) is (result != 0)
        destroy(child)
        m.check()
    assert refused == 2


def test_a_snapshot_has_the_segments(m: Machine) -> None:
    """Content, ids, counts and keys come back; segments made since are gone with their frames."""
    ident = m.shmget(KEY, 2 * PAGE, IPC_CREAT | 0o600)
    address = m.shmat(ident)
    poke(m, address, b"before")
    image = m.kernel.snapshot()
    listing, used = m.kernel.shm.listing(), m.kernel.frames.in_use
    poke(m, address, b"after!")
    poke(m, m.shmat(m.shmget(KEY + 1, PAGE, IPC_CREAT | 0o600)), b"new")
    m.shmdt(address)
    m.shmctl(ident, IPC_RMID)
    m.kernel.restore(image)
    assert m.kernel.snapshot() == image
    m.run_as(m.kernel.tasks[m.task.tid])
    assert m.kernel.shm.listing() == listing
    assert m.kernel.frames.in_use == used
    assert peek(m, address, 6) == b"before"
    assert m.shmget(KEY, 0, 0) == ident
    assert m.shmget(KEY + 1, 0, 0) == -ENOENT
    assert m.kernel.shm.running is m.kernel.sched
    m.shmctl(ident, IPC_RMID)
    m.shmdt(address)
    assert m.shmctl(ident, IPC_STAT) == -EINVAL
    m.check()
