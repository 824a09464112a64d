"""/proc/PID/{maps,smaps,status,statm,pagemap} against what was mapped, touched and forked."""

import struct
from collections.abc import Iterator

import numpy as np
import pytest
from fs_helpers import BUFFER, BUFFER_END, LAST, System
from mm_helpers import RW

from mini_kernel import process as life
from mini_kernel.fs.proc.pagemap import PM_EXCLUSIVE, PM_FILE, PM_PRESENT, PM_SOFT_DIRTY, read_entries
from mini_kernel.mm import fault, uaccess
from mini_kernel.mm.advise import madvise, mlock
from mini_kernel.mm.mm import Mm
from mini_kernel.mm.mmap import mmap
from mini_kernel.mm.odf import odfork_mm
from mini_kernel.mm.protect import mprotect
from mini_kernel.task import Task
from mini_kernel.uapi import mman
from mini_kernel.uapi.errno import EFAULT, EINVAL
from mini_kernel.uapi.fcntl import O_CREAT, O_RDONLY, O_RDWR, O_WRONLY
from mini_kernel.x86 import PF_WRITE, TASK_SIZE

PAGE = 4096
FIXED = mman.MAP_FIXED
PRIVATE = mman.MAP_PRIVATE | mman.MAP_ANONYMOUS | FIXED
SHARED = mman.MAP_SHARED | mman.MAP_ANONYMOUS | FIXED
AREA = 0x4000_0000  # a table of its own
SHM = AREA + (8 << 21)
FILE = AREA + (16 << 21)
FILE_PAGES = 5


@pytest.fixture
def system() -> System:
    """A process that has touched some of private memory, shared memory, a file, and read one page of nothing."""
    system = System(64)
    k, task = system.kernel, system.task
    k.processes[task.tid] = task.process
    k.main = task.process
    k.sched.current = task
    mm = task.mm
    mmap(mm, AREA, 16 * PAGE, RW, PRIVATE)
    mmap(mm, SHM, 16 * PAGE, RW, SHARED)
    k.vfs.write_file(b"/data", bytes(FILE_PAGES * PAGE))
    file = k.vfs.open(task, b"/data", O_RDWR)
    mmap(mm, FILE, FILE_PAGES * PAGE, mman.PROT_READ, mman.MAP_PRIVATE | FIXED, file, 0)
    for page in range(3):
        uaccess.write(mm, AREA + page * PAGE, b"own")
    for page in range(4):
        uaccess.write(mm, SHM + page * PAGE, b"shm")
    uaccess.read(mm, AREA + 8 * PAGE, 1)
    fault.handle(mm, FILE, 0)
    system.unlink(b"/nothing")
    for page in range(16):
        uaccess.write(mm, BUFFER + page * PAGE, b"x")  # read into by the tests: in memory from now on
    return system


def text(system: System, path: str, task: Task | None = None) -> str:
    """A file as the kernel makes it, without going through guest memory."""
    task = task or system.task
    inode = system.kernel.vfs.lookup(task, path.encode())
    return inode.text().decode()  # type: ignore[attr-defined]


def kilobytes(text: str) -> dict[str, int]:
    """The lines of status that hold sizes."""
    lines = (line.split(":", 1) for line in text.splitlines() if line.endswith(" kB"))
    return {key: int(value.split()[0]) for key, value in lines}


def areas(text: str) -> Iterator[tuple[str, dict[str, int], str]]:
    """(header, sizes, flags) of each area of smaps."""
    for block in text.split("VmFlags: ")[:-1]:
        header, sizes = block.rsplit("\nSize:", 1)
        flags = text.split(header + "\nSize:")[1].split("VmFlags: ")[1].splitlines()[0]
        yield header.splitlines()[-1], kilobytes("Size:" + sizes), flags


def area(text: str, address: int) -> dict[str, int]:
    return next(sizes for header, sizes, _flags in areas(text) if header.startswith(f"{address:08x}-"))


def odf_child(system: System) -> Task:
    return life.clone(system.kernel, system.task, 0, 17, memory=odfork_mm, memory_kind="odf")


# -- sizes --------------------------------------------------------------------------------------------------


def test_status_counts_each_kind_of_page(system: System) -> None:
    """Anonymous, file and shared pages apart; the zero page is none of them; VmRSS is their sum."""
    sizes = kilobytes(text(system, "/proc/self/status"))
    mm = system.task.mm
    touched = len([e for e in mm.pt.read(BUFFER, BUFFER_END) if e])
    assert sizes["RssAnon"] == (3 + touched) * 4
    assert sizes["RssShmem"] == 4 * 4
    assert sizes["RssFile"] == mm.rss_file * 4 - 4 * 4 > 0
    assert sizes["VmRSS"] == sizes["RssAnon"] + sizes["RssShmem"] + sizes["RssFile"] == mm.rss * 4
    assert sizes["VmSize"] == (64 + 16 + 16 + FILE_PAGES) * 4
    assert sizes["VmData"] == (64 + 16) * 4
    assert sizes["VmPTE"] == (mm.pt.tables - 1) * 4 == (1 + 1 + 1 + 1 + 3) * 4
    assert sizes["VmLck"] == 0
    mlock(mm, AREA, 2 * PAGE, False)
    assert kilobytes(text(system, "/proc/self/status"))["VmLck"] == 8


def test_statm_agrees_with_status(system: System) -> None:
    """The same sizes in pages: total, resident, shared, text, 0, data and stack, 0."""
    sizes = kilobytes(text(system, "/proc/self/status"))
    assert [4 * int(n) for n in text(system, "/proc/self/statm").split()] == [
        sizes["VmSize"], sizes["VmRSS"], sizes["RssFile"] + sizes["RssShmem"], sizes["VmExe"], 0,
        sizes["VmData"] + sizes["VmStk"], 0,
    ]  # fmt: skip


def test_stat_has_52_fields(system: System) -> None:
    """The number, the name in parentheses, and fifty more; sizes and addresses where proc_pid_stat(5) puts them."""
    mm = system.task.mm
    mm.arguments = (BUFFER, BUFFER + 8)
    number, rest = text(system, "/proc/self/stat").split(" (", 1)
    fields = [number, *rest.rsplit(") ", 1)[1].split()]
    assert len(fields) == 51  # and the name
    assert (fields[0], fields[1], fields[22 - 1], fields[23 - 1]) == (
        "1",
        "R",
        str(mm.total_pages() * PAGE),
        str(mm.rss),
    )
    assert fields[48 - 2 : 50 - 2] == [str(BUFFER), str(BUFFER + 8)] or fields[46:48] == [str(BUFFER), str(BUFFER + 8)]


def test_rss_of_smaps_adds_up_to_vmrss_for_who_owns_its_tables(system: System) -> None:
    """Walking the tables and the accounting agree; so do the parts of each area, and smaps_rollup."""
    mapped = list(areas(text(system, "/proc/self/smaps")))
    sizes = kilobytes(text(system, "/proc/self/status"))
    assert sum(part["Rss"] for _h, part, _f in mapped) == sizes["VmRSS"]
    assert sum(part["Anonymous"] for _h, part, _f in mapped) == sizes["RssAnon"]
    parts = ("Shared_Clean", "Shared_Dirty", "Private_Clean", "Private_Dirty")
    rollup = kilobytes(text(system, "/proc/self/smaps_rollup"))
    for part in (*(part for _h, part, _f in mapped), rollup):
        assert sum(part[name] for name in parts) == part["Rss"]
    for name in (*parts, "Rss", "Pss", "Pss_Dirty", "Referenced", "Anonymous"):
        assert rollup[name] == sum(part[name] for _h, part, _f in mapped)
    assert rollup["Pss_Anon"] + rollup["Pss_File"] + rollup["Pss_Shmem"] == rollup["Pss"]
    assert rollup["Pss_Shmem"] == 16


def test_smaps_tells_dirty_private_and_shared_apart(system: System) -> None:
    """What was written is dirty, what a fork shares is shared, and a locked area's share is Locked."""
    before = area(text(system, "/proc/self/smaps"), AREA)
    assert (before["Rss"], before["Pss"], before["Private_Dirty"], before["Referenced"]) == (12, 12, 12, 12)
    child = life.clone(system.kernel, system.task, 0, 17)
    uaccess.write(child.mm, AREA, b"copy")
    mine, theirs = (area(text(system, f"/proc/{tid}/smaps"), AREA) for tid in (1, child.tid))
    for part in (mine, theirs):
        assert (part["Rss"], part["Pss"], part["Private_Dirty"], part["Shared_Dirty"]) == (12, 8, 4, 8)
    mlock(system.task.mm, AREA, 16 * PAGE, True)
    assert area(text(system, "/proc/1/smaps"), AREA)["Locked"] == 8


@pytest.mark.parametrize("kind", ["classic", "odf"])
def test_shares_of_all_add_up_to_what_is_in_memory(system: System, kind: str) -> None:
    """The Pss of everybody who maps a page is that page: three processes, both ways of forking (F95)."""
    memory = odfork_mm if kind == "odf" else None
    tasks = [system.task]
    tasks += [life.clone(system.kernel, system.task, 0, 17, memory=memory, memory_kind=kind) for _ in range(2)]
    for address, pages in ((AREA, 3), (SHM, 4)):
        shares = [area(text(system, f"/proc/{task.tid}/smaps"), address) for task in tasks]
        assert [share["Rss"] for share in shares] == [4 * pages] * 3
        assert sum(share["Pss"] for share in shares) in range(4 * pages - 3, 4 * pages + 1)  # each rounded down
    uaccess.write(tasks[1].mm, AREA, b"apart")
    shares = [area(text(system, f"/proc/{task.tid}/smaps"), AREA) for task in tasks]
    assert sum(share["Pss"] for share in shares) in range(16 - 3, 16 + 1)


def test_F80_only_the_owner_of_a_shared_table_counts_its_pages(system: System) -> None:
    """The ODF child has no resident pages and only its upper tables; its smaps shows what is mapped all the same."""
    before = kilobytes(text(system, "/proc/1/status"))
    child = odf_child(system)
    mine, theirs = (kilobytes(text(system, f"/proc/{tid}/status")) for tid in (1, child.tid))
    assert mine == before
    assert (theirs["VmRSS"], theirs["RssAnon"], theirs["RssFile"], theirs["RssShmem"]) == (0, 0, 0, 0)
    upper = child.mm.pt.tables - 1
    assert theirs["VmPTE"] == 4 * upper == mine["VmPTE"] - 4 * len(child.mm.pt.tree().pte.child)
    assert {**theirs, "VmRSS": 0, "VmPTE": 0}.keys() == mine.keys()
    strip = str.maketrans("", "", "0123456789")
    ours, others = (text(system, f"/proc/{tid}/smaps") for tid in (1, child.tid))
    assert [sizes["Rss"] for _h, sizes, _f in areas(ours)] == [sizes["Rss"] for _h, sizes, _f in areas(others)]
    assert ours.translate(strip) == others.translate(strip)


def test_F81_a_table_without_an_owner_counts_for_nobody_until_it_is_taken(system: System) -> None:
    """The owner writes and gets a copy; the old table is nobody's, then the other's who writes next."""
    child = odf_child(system)
    uaccess.write(system.task.mm, AREA, b"mine now")
    assert kilobytes(text(system, f"/proc/{child.tid}/status"))["RssAnon"] == 0
    assert area(text(system, f"/proc/{child.tid}/smaps"), AREA)["Rss"] == 12
    uaccess.write(child.mm, AREA, b"and mine")
    assert kilobytes(text(system, f"/proc/{child.tid}/status"))["RssAnon"] == 12


def test_pins_do_not_make_a_page_shared(system: System) -> None:
    """A pin is a reference, not a mapping."""
    mm = system.task.mm
    pfn = int(mm.pt.read(AREA, AREA + PAGE)[0]) >> 12 & 0xFF_FFFF
    mm.frames.pin(pfn)
    assert area(text(system, "/proc/self/smaps"), AREA)["Private_Dirty"] == 12
    assert int(read_entries(mm, AREA >> 12, 1)[0]) & PM_EXCLUSIVE
    mm.frames.unpin(pfn)


def test_huge_empty_areas_cost_nothing(system: System) -> None:
    """64 TiB that nobody touched but at both ends: counted without an entry for each page."""
    mm = system.task.mm
    start, length = 0x1000_0000_0000, 64 << 40
    mmap(mm, start, length, RW, PRIVATE | mman.MAP_NORESERVE)
    for address in (start, start + length - PAGE):
        uaccess.write(mm, address, b"x")
    sizes = area(text(system, "/proc/self/smaps"), start)
    assert (sizes["Size"], sizes["Rss"]) == (64 << 30, 8)


# -- lines ------------------------------------------------------------------------------------------------


def test_maps_lines(system: System) -> None:
    """Addresses, rights, offset, device, inode and name, in the columns of Linux."""
    mm, vfs = system.task.mm, system.kernel.vfs
    fd = system.open(b"/tmp/odd\nname", O_CREAT | O_RDWR, 0o600)
    file = system.file(fd)
    mmap(mm, 0x7000_0000_0000, PAGE, mman.PROT_READ | mman.PROT_EXEC, mman.MAP_SHARED | FIXED, file.get(), 3)
    system.unlink(b"/tmp/odd\nname")
    data = vfs.lookup(system.task, b"/data").ino
    mprotect(mm, AREA + PAGE, PAGE, 0)
    assert text(system, "/proc/self/maps") == "".join(
        f"{line}\n"
        for line in (
            "00100000-00140000 rw-p 00000000 00:00 0 ",
            "40000000-40001000 rw-p 00000000 00:00 0 ",
            "40001000-40002000 ---p 00000000 00:00 0 ",
            "40002000-40010000 rw-p 00000000 00:00 0 ",
            f"{'41000000-41010000 rw-s 00000000 00:01 0 ':<72} /dev/zero (deleted)",
            f"{f'42000000-42005000 r--p 00000000 00:01 {data} ':<72} /data",
            f"{f'700000000000-700000001000 r-xs 00003000 00:01 {file.inode.ino} ':<72} /tmp/odd\\012name (deleted)",
        )
    )
    assert file.inode.stat().dev == 1


def test_vmflags_follow_the_flags_of_the_area(system: System) -> None:
    """Two letters each, in the order of the bits."""
    mm = system.task.mm
    madvise(mm, AREA, PAGE, mman.MADV_DONTFORK)
    madvise(mm, AREA + PAGE, PAGE, mman.MADV_WIPEONFORK)
    mlock(mm, AREA + 2 * PAGE, PAGE, True)
    shown = {int(header.split("-")[0], 16): flags for header, _s, flags in areas(text(system, "/proc/self/smaps"))}
    assert shown[AREA] == "rd wr mr mw me dc sd "
    assert shown[AREA + PAGE] == "rd wr mr mw me wf sd "
    assert shown[AREA + 2 * PAGE] == "rd wr mr mw me lo lf sd "
    assert shown[SHM].startswith("rd wr sh mr mw me ms ")
    assert shown[FILE].startswith("rd mr mw me ")


def test_strings_are_read_from_where_the_program_keeps_them(system: System) -> None:
    """cmdline is the argument strings as they are now; what is not in memory is left out, and stays out."""
    mm = system.task.mm
    system.put(b"program\0-v\0")
    mm.arguments = (BUFFER, BUFFER + 11)
    assert text(system, "/proc/self/cmdline") == "program\0-v\0"
    before = mm.rss
    mm.arguments = (AREA + 10 * PAGE, AREA + 12 * PAGE)
    assert text(system, "/proc/self/cmdline") == ""
    mm.arguments = (AREA + 2 * PAGE, AREA + 12 * PAGE)
    assert len(text(system, "/proc/self/cmdline")) == PAGE
    assert mm.rss == before


# -- pagemap ------------------------------------------------------------------------------------------------


def pagemap(system: System, address: int, pages: int, task: Task | None = None) -> list[int]:
    """Entries as a program gets them."""
    task = task or system.task
    fd = system.open(f"/proc/{task.tid}/pagemap".encode(), O_RDONLY)
    assert system.pread64(fd, BUFFER, 8 * pages, address >> 9) == 8 * pages
    system.close(fd)
    return list(struct.unpack(f"<{pages}Q", system.got(8 * pages)))


def plain(entries: list[int]) -> list[int]:
    """Without frame numbers and soft-dirty bits."""
    return [entry & (PM_PRESENT | PM_FILE | PM_EXCLUSIVE | 1 << 62) for entry in entries]


def test_pagemap_bits(system: System) -> None:
    """Present, of a file or shared memory, mapped by nobody else; the zero page is present and nobody's."""
    own = PM_PRESENT | PM_EXCLUSIVE
    assert plain(pagemap(system, AREA, 10)) == [own] * 3 + [0] * 5 + [PM_PRESENT, 0]
    assert plain(pagemap(system, SHM, 5)) == [own | PM_FILE] * 4 + [0]
    assert plain(pagemap(system, FILE, 1)) == [own | PM_FILE]
    mprotect(system.task.mm, AREA, PAGE, 0)
    assert plain(pagemap(system, AREA, 1)) == [own]
    assert plain(pagemap(system, AREA - PAGE, 1)) == [0]


def test_pagemap_frame_numbers_are_those_of_the_tables(system: System) -> None:
    """The low 55 bits; a process and its fork show the same ones."""
    entries = pagemap(system, AREA, 3)
    slots = [system.task.mm.pt.slot(AREA + page * PAGE) for page in range(3)]
    words = system.kernel.frames.ram.words
    assert [e & (1 << 55) - 1 for e in entries] == [words[slot] >> 12 & (1 << 40) - 1 for slot in slots]
    child = odf_child(system)
    assert [e & (1 << 55) - 1 for e in pagemap(system, AREA, 3, child)] == [e & (1 << 55) - 1 for e in entries]


@pytest.mark.parametrize("kind", ["classic", "odf"])
def test_pagemap_exclusive_goes_with_a_fork_and_comes_back(system: System, kind: str) -> None:
    """A page is nobody else's if its frame has one mapping and its PTE table one user."""
    memory = odfork_mm if kind == "odf" else None
    child = life.clone(system.kernel, system.task, 0, 17, memory=memory, memory_kind=kind)
    assert plain(pagemap(system, AREA, 3)) == plain(pagemap(system, AREA, 3, child)) == [PM_PRESENT] * 3
    uaccess.write(child.mm, AREA, b"copy")
    assert plain(pagemap(system, AREA, 2, child)) == [PM_PRESENT | PM_EXCLUSIVE, PM_PRESENT]
    life.exit_group(system.kernel, child.process, 0)
    assert plain(pagemap(system, AREA, 3)) == [PM_PRESENT | PM_EXCLUSIVE] * 3


def test_soft_dirty_is_a_bit_of_the_page_or_of_its_area(system: System) -> None:
    """Bit 55 from the PTE; an area that is new is soft-dirty as a whole, pages or not."""
    mm = system.task.mm
    for vma in mm.vmas:
        vma.soft_clean = True
    vma = mm.find(SHM)
    assert vma is not None
    vma.soft_clean = False
    words = mm.frames.ram.words
    for page in range(3):
        words[mm.pt.slot(AREA + page * PAGE)] &= ~(1 << 11)
    words[mm.pt.slot(AREA + PAGE)] |= 1 << 11
    assert [bool(e & PM_SOFT_DIRTY) for e in pagemap(system, AREA, 4)] == [False, True, False, False]
    assert all(e & PM_SOFT_DIRTY for e in pagemap(system, SHM, 16))
    assert not any(e & PM_SOFT_DIRTY for e in pagemap(system, SHM + 16 * PAGE, 2))


def test_clear_refs_makes_pages_clean_until_written(system: System) -> None:
    """4 clears soft-dirty everywhere; then the pages written since have it, and new areas as a whole."""
    fd = system.open(b"/proc/self/clear_refs", O_WRONLY)
    assert [system.write(fd, system.put(text), len(text)) for text in (b"1", b"2\n", b"3", b"5")] == [1, 2, 1, 1]
    assert all(e & PM_SOFT_DIRTY for e in pagemap(system, AREA, 16))
    assert [system.write(fd, system.put(text), len(text)) for text in (b"0", b"6", b"x", b"-4", b"9" * 99)] == [
        -EINVAL
    ] * 5
    assert system.write(fd, system.put(b"4\n"), 2) == 2
    uaccess.write(system.task.mm, AREA + PAGE, b"again")
    mmap(system.task.mm, AREA + 32 * PAGE, 2 * PAGE, RW, PRIVATE)
    assert [page for page in range(34) if pagemap(system, AREA + page * PAGE, 1)[0] & PM_SOFT_DIRTY] == [1, 32, 33]


def test_pagemap_of_a_large_range_is_that_of_each_page(system: System) -> None:
    """Many chunks at once, tables and holes, equal one page at a time."""
    mm = system.task.mm
    rng = np.random.default_rng(1)
    base = 0x7000_0000_0000
    mmap(mm, base, 64 << 21, RW, PRIVATE | mman.MAP_NORESERVE)
    for page in rng.choice(64 << 9, 300, replace=False).tolist():
        fault.handle(mm, base + page * PAGE, PF_WRITE if page & 1 else 0)
    whole = read_entries(mm, base >> 12, 64 << 9)
    for page in [*rng.integers(0, 64 << 9, 200).tolist(), 0, 511, 512]:
        assert read_entries(mm, (base >> 12) + page, 1)[0] == whole[page]
    assert np.count_nonzero(whole & np.uint64(PM_PRESENT)) == np.count_nonzero(mm.pt.read(base, base + (64 << 21)))


def test_pagemap_reads_are_whole_entries_inside_the_address_space(system: System) -> None:
    """Offset and length in eights (EINVAL); nothing behind the last page; any offset is safe."""
    fd = system.open(b"/proc/self/pagemap", O_RDONLY)
    end = (TASK_SIZE >> 12) * 8
    assert system.pread64(fd, BUFFER, 7, 0) == -EINVAL
    assert system.pread64(fd, BUFFER, 8, 4) == -EINVAL
    assert system.pread64(fd, BUFFER, 64, end - 8) == 8
    for offset in (end, 1 << 40, (1 << 63) - 4096):
        assert system.pread64(fd, BUFFER, 64, offset) == 0
    assert system.lseek(fd, end - 16, 0) == end - 16
    assert [system.read(fd, BUFFER, 8) for _ in range(3)] == [8, 8, 0]


def test_pagemap_made_in_pieces_is_the_same_at_odd_addresses(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    """A piece may end in the middle of a page of the buffer."""
    entries = pagemap(system, AREA, 16)
    monkeypatch.setattr("mini_kernel.fs.proc.pagemap._CHUNK", 3)
    fd = system.open(b"/proc/self/pagemap", O_RDONLY)
    odd = BUFFER + PAGE - 13
    assert system.pread64(fd, odd, 8 * 16, AREA >> 9) == 8 * 16
    assert list(struct.unpack("<16Q", system.got(8 * 16, odd))) == entries


def test_pagemap_into_memory_at_odd_addresses_and_at_its_end(system: System) -> None:
    """Entries may lie across pages of the buffer; bad memory behind it ends the read with whole entries."""
    entries = pagemap(system, AREA, 16)
    fd = system.open(b"/proc/self/pagemap", O_RDONLY)
    odd = BUFFER + PAGE - 13
    assert system.pread64(fd, odd, 8 * 16, AREA >> 9) == 8 * 16
    assert list(struct.unpack("<16Q", system.got(8 * 16, odd))) == entries
    uaccess.write(system.task.mm, LAST, bytes(10))
    assert system.pread64(fd, LAST, 8 * 16, AREA >> 9) == 8
    assert struct.unpack("<Q", system.got(8, LAST))[0] == entries[0]
    assert system.pread64(fd, BUFFER_END, 8, AREA >> 9) == -EFAULT


# -- looking changes nothing ------------------------------------------------------------------------------------


def test_F95_reading_changes_no_table_and_no_count(system: System) -> None:
    """After an on-demand fork, for parent and child, every file of both: tables, counts and owners stay as they are."""
    child = odf_child(system)
    frames = system.kernel.frames

    def state(mm: Mm) -> tuple[object, ...]:
        tree = mm.pt.tree()
        tables = np.concatenate([[mm.pt.pgd], *(links.child for links in tree)])
        return frames.ram.tables[tables].tobytes(), frames.count.tobytes(), frames.owner.tobytes(), mm.rss, mm.pt.tables

    before = [state(task.mm) for task in (system.task, child)]
    for tid in (1, child.tid):
        for file in ("maps", "smaps", "smaps_rollup", "status", "statm", "stat", "cmdline", "environ"):
            text(system, f"/proc/{tid}/{file}")
    for task in (system.task, child):
        read_entries(task.mm, 0, 1 << 20)
    assert [state(task.mm) for task in (system.task, child)] == before
