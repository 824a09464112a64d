"""Rows S2-S18 and X1 of the fork specification on the CPU: the system call sfork(2001), and regions under both forks.

The region's address is kept in r12; pages of it are named by what the tables and faults of the processes say.
"""

import pytest
from odf_lab import BASE, C, Moment, P, Ran, Script, by_each_fork

from mini_kernel.mm.check import check
from mini_kernel.uapi.errno import EACCES, EFAULT, EINVAL, ENOMEM
from mini_kernel.uapi.signal import SIGSEGV

lazy_and_populated = pytest.mark.parametrize("populate", ["", "|SFORK_POPULATE"], ids=["lazy", "populated"])
BOTH = "CHILD_WRITE|PARENT_WRITE"
G = 3


def sforked(flags: str = BOTH, length: int = 3 * 4096) -> Script:
    """P wrote private pages 0 and 1, and makes C by sfork, which goes on at `child`; r12 is the region in both."""
    s = Script().map(0, 2).store(0, 1).store(1, 2).call("SYS_sfork", length, flags, "offset addr")
    s.asm("mov r12, [rip + addr]", "test eax, eax", "jz child").expect("rax", C)
    return s.bytes("addr", ".quad 0")


def areas_of(m: Moment, pid: int) -> list[tuple[int, int, int]]:
    """All areas of a process."""
    return [(vma.start, vma.end, vma.flags) for vma in m.mm(pid).vmas]


def on_region(ran: Ran, pid: int) -> list[str]:
    """The classes of a process's faults in the mmap area, where regions are."""
    low, high = (0x7FFF_0000_0000 - BASE) >> 12, (0x7FFF_F800_0000 - BASE) >> 12
    return ran.kinds(pid, low, high)


@by_each_fork
def test_S2_bad_arguments_do_nothing(fork: str) -> None:
    """Length 0, no place for the address, a bad one, no writer, unknown flags: no child, no region, addr untouched."""
    s = Script().map(0, 1).mark(lambda m: areas_of(m, P))
    cases = [
        (EINVAL, 0, BOTH, "offset addr"),
        (EINVAL, 4096, BOTH, 0),
        (EFAULT, 4096, BOTH, 0x10),
        (EINVAL, 4096, 0, "offset addr"),
        (EINVAL, 4096, "SFORK_POPULATE", "offset addr"),
        (EINVAL, 4096, "CHILD_WRITE|8", "offset addr"),
        (ENOMEM, 1 << 62, BOTH, "offset addr"),
    ]
    for errno, length, flags, addr in cases:
        s.call("SYS_sfork", length, flags, addr).expect("rax", -errno).expect("qword ptr [rip + addr]", 7)
    s.mark(lambda m: areas_of(m, P)).exit().bytes("addr", ".quad 7")
    ran = s.run(fork)
    assert ran.notes[0] == ran.notes[1]
    assert ran.forked == {}


@by_each_fork
@lazy_and_populated
def test_S1_S3_both_get_the_address_and_share_the_region(populate: str, fork: str) -> None:
    """P gets C's number, C 0; *addr is set before the fork, page aligned, the same in both; the rest is private."""
    s = sforked(BOTH + populate).asm("mov byte ptr [r12], 5").wait().expect("byte ptr [r12 + 4096]", 6)
    s.sees(0, 1).asm("test r12, 0xfff", "mov edi, 99", "jnz leave").exit()
    s.label("child").store(0, 9).asm("wait_5: cmp byte ptr [r12], 5", "jne wait_5", "mov byte ptr [r12 + 4096], 6")
    s.expect("[rip + addr]", "r12").sees(1, 2).exit()
    ran = s.run(fork, quantum=100)
    assert ran.forked == {C: "sfork"}


@by_each_fork
@lazy_and_populated
@pytest.mark.parametrize("flags", ["CHILD_WRITE", "PARENT_WRITE"])
def test_S4_the_reader_is_killed_at_a_write_and_cannot_get_the_right(flags: str, populate: str, fork: str) -> None:
    """mprotect is EACCES; reading works; a write is SIGSEGV with a page that is there, below a table of its own."""
    s = sforked(flags + populate)
    attempt = Script().call("SYS_mprotect", "r12", 4096, "PROT_READ|PROT_WRITE").expect("rax", -EACCES).lines[2:]
    if flags == "PARENT_WRITE":
        s.asm("mov byte ptr [r12], 5").wait(SIGSEGV).expect("byte ptr [r12]", 5).exit()
        s.label("child").label("again").asm("cmp byte ptr [r12], 5", "jne again", *attempt, "mov byte ptr [r12], 1")
        s.exit(55).run(fork, quantum=100)
        return
    s.asm("again: cmp byte ptr [r12], 5", "jne again", *attempt, "mov byte ptr [r12], 1").exit(55)
    s.label("child").asm("mov byte ptr [r12], 5").expect("byte ptr [r12]", 5).exit()
    s.run(fork, quantum=100, status=128 + SIGSEGV)


@by_each_fork
@lazy_and_populated
def test_S5_a_ball_is_played_through_the_region(populate: str, fork: str) -> None:
    """200 strokes by turns, each waiting for the other's in a loop: every store is seen at once, nothing is copied."""
    s = sforked(BOTH + populate).asm("mov ecx, 1", "pin_: cmp [r12], ecx", "jne pin_", "inc dword ptr [r12]")
    s.asm("add ecx, 2", "cmp ecx, 200", "jb pin_").wait().expect("dword ptr [r12]", 201).exit()
    s.label("child").asm("inc dword ptr [r12]", "mov ecx, 2", "pong: cmp [r12], ecx", "jne pong", "inc dword ptr [r12]")
    s.asm("add ecx, 2", "cmp ecx, 202", "jb pong").exit()
    s.run(fork, quantum=150)


@by_each_fork
@pytest.mark.parametrize("flags", [BOTH, "CHILD_WRITE", "PARENT_WRITE"])
def test_S9_X1_a_populated_region_takes_no_fault(flags: str, fork: str) -> None:
    """600 pages, in two tables, read by both and written by those who may: not one fault after the system call."""
    pages = 600
    touch = ["mov rbx, r12", f"mov ecx, {pages}"]
    s = sforked(flags + "|SFORK_POPULATE", pages * 4096)
    for label, flag in (("parent_", "PARENT_WRITE"), ("child", "CHILD_WRITE")):
        s.label(label).asm(*touch, f"{label}next: mov al, [rbx]", *(["inc byte ptr [rbx]"] if flag in flags else []))
        s.asm("add rbx, 4096", f"loop {label}next")
        (s.wait() if label == "parent_" else s).exit()
    ran = s.run(fork)
    assert on_region(ran, P) == on_region(ran, C) == []


@by_each_fork
@pytest.mark.parametrize("write", [True, False])
def test_S10_a_lazy_region_costs_one_fault_for_each_page(write: bool, fork: str) -> None:
    """32 pages, touched by both: 32 faults in all, whoever comes first; each page is in both trees then."""
    line = "inc byte ptr [rbx]" if write else "mov al, [rbx]"
    s = sforked(BOTH, 32 * 4096)
    s.asm("mov rbx, r12", "mov ecx, 32", f"one: {line}", "add rbx, 8192", "sub ecx, 2", "jnz one").wait()
    s.asm("mov rbx, r12", "mov ecx, 32", f"all: {line}", "add rbx, 4096", "loop all").exit()
    s.label("child").asm("mov rbx, r12", "mov ecx, 32", f"two: {line}", "add rbx, 4096", "loop two").exit()
    ran = s.run(fork, quantum=200)
    kinds = on_region(ran, P) + on_region(ran, C)
    assert len(kinds) == 32
    assert set(kinds) <= {"sfork_install", "table_break", "table_reuse"}
    if fork == "classic":
        assert ran.ledger["faults"]["sfork_install"] == 32


@by_each_fork
@lazy_and_populated
@pytest.mark.parametrize("plain", ["SYS_fork", "SYS_odfork"])
def test_S12_a_grandchild_by_plain_fork_joins(plain: str, populate: str, fork: str) -> None:
    """C, the only writer, forks G: G writes, P reads it; P's own later child reads too and dies at a write."""
    s = sforked("CHILD_WRITE" + populate).asm("again: cmp byte ptr [r12 + 4096], 7", "jne again").fork("reader", plain)
    s.call("SYS_wait4", -1, 0, 0, 0).call("SYS_wait4", -1, 0, 0, 0).expect("byte ptr [r12]", 9).exit()
    s.label("child").fork("grandchild", plain).wait().expect("byte ptr [r12 + 4096]", 7).exit()
    s.label("grandchild").asm("mov byte ptr [r12], 9", "mov byte ptr [r12 + 4096], 7").exit()
    s.label("reader").expect("byte ptr [r12]", 9).asm("mov byte ptr [r12], 1").exit(55)
    ran = s.run(fork, quantum=100)
    assert [(record.signo, record.address & 0xFFF) for record in ran.records] == [(SIGSEGV, 0)]


def exec_script(keep: bool, populate: str) -> Script:
    """C becomes the program anew, which finds the region's address in a pipe and tries to use it."""
    s = Script("mov rax, [rsp]", "cmp rax, 2", "je second")
    s.call("SYS_pipe", "offset ends").call("SYS_sfork", 3 * 4096, BOTH + populate, "offset addr")
    s.asm("mov r12, [rip + addr]", "test eax, eax", "jz child", "mov byte ptr [r12], 5")
    s.wait(0 if keep else SIGSEGV).expect("byte ptr [r12 + 4096]", 6 if keep else 0).exit()
    s.label("child").call("SYS_write", 4, "offset addr", 8).expect("rax", 8)
    if keep:
        s.call("SYS_madvise", "r12", 3 * 4096, "MADV_KEEPONEXEC").expect("rax", 0)
    s.call("SYS_execve", "offset path", "offset argv", 0).exit(99)
    s.label("second").call("SYS_read", 3, "offset addr", 8).expect("rax", 8).asm("mov r12, [rip + addr]")
    s.asm("again: cmp byte ptr [r12], 5", "jne again", "mov byte ptr [r12 + 4096], 6").exit()
    s.bytes("ends", ".quad 0").bytes("addr", ".quad 0")
    return s.bytes("path", '.asciz "/bin/program"').bytes("argv", ".quad path, path, 0")


@by_each_fork
@lazy_and_populated
@pytest.mark.parametrize("keep", [False, True], ids=["dropped", "kept"])
def test_S14_S17_exec_drops_the_region_unless_asked_to_keep_it(keep: bool, populate: str, fork: str) -> None:
    """Dropped: the new program dies at the address. Kept: it is there, and both see each other's stores."""
    exec_script(keep, populate).run(fork, quantum=100)


@by_each_fork
def test_S14_munmap_by_one_side(fork: str) -> None:
    """C unmaps the region and maps zeros there; P goes on with its pages."""
    s = sforked().asm("mov byte ptr [r12], 5").wait().expect("byte ptr [r12]", 5).asm("mov byte ptr [r12 + 4096], 6")
    s.expect("byte ptr [r12 + 4096]", 6).exit().label("child").asm("again: cmp byte ptr [r12], 5", "jne again")
    s.call("SYS_munmap", "r12", 3 * 4096).expect("rax", 0)
    s.call("SYS_mmap", "r12", 8192, "PROT_READ|PROT_WRITE", "MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED", -1, 0)
    s.expect("byte ptr [r12]", 0).asm("mov byte ptr [r12], 9").exit()
    s.run(fork, quantum=100)


def _attempts(number: str, fork: str, *arguments: str | int) -> list[int]:
    """Issue a forking call with ever more frames to be had, until it succeeds; each failure leaves all as it was."""
    state: list[object] = []
    tried: list[int] = []

    def before(m: Moment) -> None:
        mm = m.mm(P)
        state[:] = [areas_of(m, P), mm.rss_anon, mm.rss_file, len(mm.pt.tree().pte.child)]
        tried.append(m.frames.in_use)
        m.frames.refuse_after = len(tried) - 1

    def after(m: Moment) -> None:
        m.frames.refuse_after = -1
        mm = m.mm(P)
        assert state == [areas_of(m, P), mm.rss_anon, mm.rss_file, len(mm.pt.tree().pte.child)]
        assert list(m.system.kernel.processes) == [P]
        check(m.frames, m.system.kernel.mms(), m.system.kernel.caches())

    s = Script().map(0, 2).map(600, 1).store(0, 1).store(600, 2).asm("mov qword ptr [rip + addr], 7")
    s.label("retry").mark(before).call(number, *arguments).asm("mov r14, rax", "test rax, rax", "jz child", "jg done")
    s.mark(after).expect("r14", -ENOMEM).expect("qword ptr [rip + addr]", 7).sees(0, 1).asm("jmp retry")
    s.label("done").mark(lambda m: setattr(m.frames, "refuse_after", -1)).wait().sees(0, 1).sees(600, 2).exit()
    s.label("child").mark(lambda m: setattr(m.frames, "refuse_after", -1)).store(0, 9).exit()
    s.bytes("addr", ".quad 0").run(fork)
    return tried


@by_each_fork
@pytest.mark.parametrize("number", ["SYS_fork", "SYS_odfork"])
def test_F24_forking_calls_that_run_out_of_memory(number: str, fork: str) -> None:
    """-ENOMEM for every n: no process, no area, no resident page more or less than before; then it works."""
    assert len(_attempts(number, fork)) >= 5


@by_each_fork
@lazy_and_populated
def test_S18_sfork_that_runs_out_of_memory_unmaps_the_region(populate: str, fork: str) -> None:
    """-ENOMEM for every n, in the mapping, the fork or the rights after it: no region, no child, *addr as it was."""
    tried = _attempts("SYS_sfork", fork, 5 * 4096, "CHILD_WRITE" + populate, "offset addr")
    assert len(tried) >= (12 if populate else 6)


@by_each_fork
def test_X1_an_odf_process_sforks_and_forks_again(fork: str) -> None:
    """Private pages are copy-on-write on demand, the region is one, through three generations that all write both."""
    s = sforked(BOTH + "|SFORK_POPULATE").store(0, 50).asm("lock inc dword ptr [r12]").wait().sees(0, 50)
    s.expect("dword ptr [r12]", 4).exit().label("child").fork("grandchild").store(0, 60).asm("lock inc dword ptr [r12]")
    s.fork("second").wait().wait().sees(0, 60).sees(1, 2).exit()
    s.label("grandchild").store(0, 70).asm("lock inc dword ptr [r12]").sees(0, 70).sees(1, 2).exit()
    s.label("second").sees(0, 60).store(0, 80).asm("lock inc dword ptr [r12]").sees(0, 80).exit()
    ran = s.run(fork)
    assert ran.forked == {C: "sfork", G: fork, 4: fork}
    assert [kind for pid in (P, C, G, 4) for kind in on_region(ran, pid)] == []
