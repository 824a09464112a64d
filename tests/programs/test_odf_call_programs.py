"""Rows F54-F95 of the fork specification on the CPU: system calls, ends, pins and /proc of processes that share tables.

Each program is a few lines (odf_lab.py) and runs with every invariant recomputed after every kernel entry.
"""

import pytest
from odf_lab import BASE, IN_TABLE, C, P, Script, by_each_fork, parent_waits, where

from mini_kernel.uapi.signal import SIGKILL
from mini_kernel.x86 import PTE_W

# -- mappings ----------------------------------------------------------------------------------------


@by_each_fork
@pytest.mark.parametrize("kind", ["anonymous", "file"])
def test_F66_shared_mappings_stay_shared_on_the_cpu(kind: str, fork: str) -> None:
    """Beside private pages in one 2 MiB: what either writes the other reads, across breaks by both; never a copy."""
    s = Script().map(0, 2).store(0, 1)
    if kind == "file":
        s.call("SYS_memfd_create", "offset name", 0).asm("mov r14, rax").call("SYS_ftruncate", "r14", 8192)
        s.call("SYS_mmap", where(4), 8192, "PROT_READ|PROT_WRITE", "MAP_SHARED|MAP_FIXED", "r14", 0)
        s.expect("rax", where(4))
    else:
        s.map(4, 2, "MAP_SHARED|MAP_ANONYMOUS")
    s.store(4, 10).fork("child")
    s.store(0, 50).store(4, 60).until(5, 70)
    s.wait().sees(0, 50).sees(4, 61).exit()
    s.label("child").store(0, 90).label("until").asm(
        f"mov rbx, {where(4)}", "pause", "cmp byte ptr [rbx], 60", "jne until"
    )
    s.store(4, 61).store(5, 70).sees(0, 90).exit().bytes("name", '.asciz "m"')
    ran = s.run(fork, quantum=200)
    assert ran.ledger["pages_copied"] <= 4, "private pages and stacks only"


@by_each_fork
def test_F67_segments_are_attached_and_detached_around_a_fork(fork: str) -> None:
    """shmat before, shmdt in the child, attached again elsewhere: one memory, counted right to the end."""
    s = Script().call("SYS_shmget", "IPC_PRIVATE", 8192, "0x3b6").asm("mov r14, rax")
    s.map(0, 1).store(0, 1).call("SYS_shmat", "r14", where(4), 0).expect("rax", where(4)).store(4, 10).fork("child")
    s.wait().sees(4, 30).sees(0, 1).call("SYS_shmdt", where(4)).expect("rax", 0)
    s.call("SYS_shmctl", "r14", "IPC_RMID", 0).expect("rax", 0).exit()
    s.label("child").store(0, 5).sees(4, 10).call("SYS_shmdt", where(4)).expect("rax", 0)
    s.call("SYS_shmat", "r14", where(600), 0).expect("rax", where(600)).sees(600, 10).store(600, 30).exit()
    s.run(fork)


@by_each_fork
def test_F54_F56_madvise_and_mprotect_on_the_cpu(fork: str) -> None:
    """C drops a page and protects another; P's cached translations and pages are as they were."""
    child = Script().call("SYS_madvise", where(1), 4096, "MADV_DONTNEED").expect("rax", 0).sees(1, 0).sees(0, 1)
    child.call("SYS_mprotect", where(0), 4096, "PROT_READ").sees(0, 1).store(1, 9).sees(1, 9)
    child.call("SYS_mprotect", where(0), 4096, "PROT_READ|PROT_WRITE").store(0, 8).sees(2, 3)
    parent_waits(child=child).run(fork)


@by_each_fork
def test_F58_F60_moving_and_replacing_on_the_cpu(fork: str) -> None:
    """C moves two pages into the next 2 MiB and maps over the third; P has its three."""
    child = Script().call("SYS_mremap", where(0), 8192, 8192, "MREMAP_MAYMOVE|MREMAP_FIXED", where(IN_TABLE + 3))
    child.expect("rax", where(IN_TABLE + 3)).sees(IN_TABLE + 3, 1).sees(IN_TABLE + 4, 2).store(IN_TABLE + 3, 9)
    child.map(2, 1).sees(2, 0).store(2, 9).map(0, 2).sees(0, 0)
    parent_waits(child=child).run(fork)


@by_each_fork
def test_F62_F63_heap_and_stack_grow_after_a_fork(fork: str) -> None:
    """Both sides move the break and push deep stacks: each has its own, and the next fork inherits that."""
    s = Script().call("SYS_brk", 0).asm("mov r12, rax", "lea rdi, [r12 + 8192]", "mov eax, SYS_brk", "syscall")
    s.asm("mov byte ptr [r12], 1", "mov byte ptr [r12 + 4096], 2", "sub rsp, 65536", "mov qword ptr [rsp], 77")
    s.fork("child").wait().expect("byte ptr [r12]", 1).expect("byte ptr [r12 + 4096]", 2).expect("qword ptr [rsp]", 77)
    s.asm("mov qword ptr [rsp - 65536], 5").exit()
    s.label("child").asm("lea rdi, [r12 + 4096]", "mov eax, SYS_brk", "syscall", "lea rdi, [r12 + 12288]")
    s.asm("mov eax, SYS_brk", "syscall").expect("byte ptr [r12 + 4096]", 0).expect("byte ptr [r12]", 1)
    s.asm("mov byte ptr [r12 + 8192], 3", "mov qword ptr [rsp - 131072], 88", "mov qword ptr [rsp], 99")
    s.fork("grandchild").wait().expect("qword ptr [rsp]", 99).expect("byte ptr [r12 + 8192]", 3).exit()
    s.label("grandchild").expect("qword ptr [rsp - 131072]", 88).expect("byte ptr [r12 + 8192]", 3)
    s.asm("mov qword ptr [rsp], 5", "mov byte ptr [r12 + 8192], 9").exit()
    s.run(fork)


# -- ends, sizes -------------------------------------------------------------------------------------


@by_each_fork
def test_F73_exec_in_the_child_lets_go_of_everything(fork: str) -> None:
    """C, after a break in one 2 MiB and none in the next, becomes another program; P reuses both tables."""
    s = Script("mov rax, [rsp]", "cmp rax, 2", "je second")
    s.map(0, 1).map(IN_TABLE, 1).store(0, 1).store(IN_TABLE, 2).fork("child").wait(7 << 8)
    s.store(0, 3).store(IN_TABLE, 4).mark(lambda m: m.shapes(P)).exit()
    s.label("child").store(0, 9).call("SYS_execve", "offset path", "offset argv", 0).exit(99)
    s.label("second").call("SYS_getppid").expect("rax", P).map(0, 1).sees(0, 0).exit(7)
    s.bytes("path", '.asciz "/bin/program"').bytes("argv", ".quad path, path, 0")
    ran = s.run(fork)
    assert ran.notes == [[(1, True, True)] * 2]
    reused = ["table_reuse"] * 2 if fork == "odf" else ["cow_reuse"] * 2
    assert ran.kinds(P, 0, 2 * IN_TABLE)[2:] == reused


@by_each_fork
@pytest.mark.parametrize("writes", [False, True])
def test_F75_death_by_a_signal_frees_everything_once(fork: str, writes: bool) -> None:
    """P kills C in the middle of a loop, with T shared or broken, and writes on; nothing is left at the end."""
    s = Script().map(0, 3).store(0, 1).store(1, 2).map(4, 1, "MAP_SHARED|MAP_ANONYMOUS").store(4, 0).fork("child")
    s.asm("mov r12d, eax").until(4, 1).call("SYS_kill", "r12", SIGKILL).wait(SIGKILL).sees(0, 1).store(0, 5).store(
        1, 6
    ).sees(0, 5)
    s.mark(lambda m: m.shapes(P)).exit()
    s.label("child")
    if writes:
        s.store(0, 9)
    s.store(4, 1).label("for_ever").sees(1, 2).asm("jmp for_ever")
    assert s.run(fork, quantum=100).notes == [[(1, True, True)]]


def _exits(order: list[int], fork: str) -> None:
    """P, C and G end in this order (0, 1, 2); each waits for a count in shared memory to reach its turn."""
    s = Script().map(0, 3).store(0, 1).store(1, 2).store(2, 3).map(8, 1, "MAP_SHARED|MAP_ANONYMOUS").store(8, 0)
    s.fork("child").store(0, 50).asm(f"mov r13d, {order.index(0)}", "mov r14d, 50", "jmp turn")
    s.label("child").fork("grandchild").store(0, 60).asm(f"mov r13d, {order.index(1)}", "mov r14d, 60", "jmp turn")
    s.label("grandchild").store(0, 70).asm(f"mov r13d, {order.index(2)}", "mov r14d, 70")
    s.label("turn").asm(f"mov rbx, {where(8)}", "pause", "cmp byte ptr [rbx], r13b", "jne turn")
    s.asm(f"mov rbx, {where(0)}").expect("byte ptr [rbx]", "r14b").sees(1, 2).store(1, 9).sees(1, 9).sees(2, 3)
    s.asm(f"mov rbx, {where(8)}", "inc byte ptr [rbx]").exit()
    ran = s.run(fork, quantum=100)
    assert len(ran.forked) == 2


@by_each_fork
@pytest.mark.parametrize("order", [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]], ids=str)
def test_F72_F74_three_generations_end_in_every_order_on_the_cpu(order: list[int], fork: str) -> None:
    """Each sees its own first page and P's others until its end, whoever is gone by then."""
    _exits(order, fork)


@by_each_fork
def test_F80_reference_shape_at_1_gib_in_proc_status(fork: str) -> None:
    """The reference machine: VmRSS/VmPTE 1048688/2096 kB in a classic child, 2576/44 kB in an ODF child."""
    s = Script().map(0, 512 * IN_TABLE, "MAP_PRIVATE|MAP_ANONYMOUS|MAP_POPULATE").fork("child").wait().exit()
    s.label("child").call("SYS_open", "offset path", 0, 0).call("SYS_read", "rax", "offset text", 4096)
    s.call("SYS_write", 1, "offset text", "rax").exit()
    s.bytes("path", '.asciz "/proc/self/status"').bytes("text", ".zero 4096")
    ran = s.run(fork, memory=2 << 30, check=False)
    status = dict(line.split(b":", 1) for line in ran.stdout.splitlines() if b":" in line)
    rss, tables = (int(status[name].split()[0]) for name in (b"VmRSS", b"VmPTE"))
    if fork == "classic":
        assert 1 << 20 <= rss < (1 << 20) + 4096
        assert 2056 < tables <= 2096
    else:
        assert rss < 2576
        assert tables <= 60


def test_F83_break_and_copy_count_as_one_fault() -> None:
    """In the ledger of C: the write to a page below a shared T is one fault, of class table_break."""
    none = parent_waits(child=Script()).run()
    one = parent_waits(child=Script().store(0, 9)).run()
    before, after = (sum(ran.processes[C]["faults"].values()) for ran in (none, one))
    assert after - before == 1
    assert one.processes[C]["faults"].get("cow_copy", 0) == none.processes[C]["faults"].get("cow_copy", 0)


# -- the kernel's accesses, pins, /proc --------------------------------------------------------------


@by_each_fork
def test_F90_read_into_a_shared_table_breaks_it(fork: str) -> None:
    """read(2) of a pipe into C's memory, which it has just read through a cached translation: C sees it, P does not."""
    child = Script().call("SYS_pipe", "offset ends").asm("mov r14d, [rip + ends]", "mov r15d, [rip + ends + 4]")
    child.call("SYS_write", "r15", "offset text", 2).sees(0, 1).sees(1, 2).mark(lambda m: m.shapes(C))
    child.call("SYS_read", "r14", where(1) - 1, 2).expect("rax", 2).sees(0, 1).sees(0, 120, 4095).sees(1, 121)
    child.mark(lambda m: m.shapes(C)).bytes("ends", ".long 0, 0").bytes("text", '.ascii "xy"')
    ran = parent_waits(child=child).run(fork)
    before = [(2, False, False)] if fork == "odf" else [(1, True, True)]
    assert ran.notes == [before, [(1, True, True)]]
    assert ran.kinds(C, 0, 9) == [], "no fault of user code"


def test_F91_write_from_a_shared_table_leaves_it_shared() -> None:
    """write(2) of three pages of it: T.ref is 2 before and after."""
    child = Script().call("SYS_write", 1, BASE, 3 * 4096).expect("rax", 3 * 4096).mark(lambda m: m.shapes(C))
    ran = parent_waits(child=child).run()
    assert ran.notes == [[(2, False, False)]]
    assert ran.stdout == b"".join(bytes([n]) + bytes(4095) for n in (1, 2, 3))


@by_each_fork
def test_F90_wait_status_and_signal_frames_below_shared_tables(fork: str) -> None:
    """wait4 stores into C's copy, a signal frame goes onto C's stack: P's bytes there are its own."""
    s = Script().map(0, 2).store(0, 1).asm("mov qword ptr [rsp - 512], 5", "mov qword ptr [rsp - 1024], 5")
    s.fork("child").wait().sees(0, 1).expect("qword ptr [rsp - 512]", 5).expect("qword ptr [rsp - 1024]", 5).exit()
    s.label("child").fork("grandchild").call("SYS_wait4", -1, where(0), 0, 0).asm(f"mov rbx, {where(0)}")
    s.expect("dword ptr [rbx]", 9 << 8).call("SYS_rt_sigaction", "SIGUSR1", "offset action", 0, 8)
    s.call("SYS_getpid").call("SYS_kill", "rax", "SIGUSR1").expect("dword ptr [rip + seen]", 1).sees(1, 0).exit()
    s.label("grandchild").exit(9).label("handler").asm("inc dword ptr [rip + seen]", "ret")
    s.label("restorer").asm("mov eax, SYS_rt_sigreturn", "syscall")
    s.bytes("seen", ".long 0").bytes("action", ".quad handler, 0x04000000, restorer, 0")
    s.run(fork)


@by_each_fork
def test_F92_a_pinned_page_stays_with_its_pinner(fork: str) -> None:
    """pin(2002), fork, both write: what the pin's descriptor reads is P's, what it writes only P sees."""
    s = Script().map(0, 2).store(0, 1).store(1, 2).call("SYS_pin", BASE, 4096).asm("mov r14, rax").fork("child")
    s.store(0, 50).call("SYS_pread64", "r14", "offset buffer", 1, 0).expect("byte ptr [rip + buffer]", 50)
    s.wait().call("SYS_pwrite64", "r14", "offset text", 1, 0).sees(0, 120).call("SYS_close", "r14")
    s.fork("second").wait().sees(0, 120).exit()
    s.label("child").sees(0, 1).store(0, 60).call("SYS_pread64", "r14", "offset buffer", 1, 0)
    s.expect("byte ptr [rip + buffer]", 50).sees(0, 60).sees(1, 2).exit()
    s.label("second").sees(0, 120).store(0, 1).exit().bytes("buffer", ".quad 0").bytes("text", '.ascii "x"')
    s.run(fork)


def test_F93_pinning_below_a_shared_table_breaks_it() -> None:
    """C pins a page it has not written: the frame is a copy, and what the device writes there P does not see."""
    child = Script().call("SYS_pin", where(1), 1).asm("mov r14, rax").mark(lambda m: (m.shapes(P), m.shapes(C)))
    child.call("SYS_pwrite64", "r14", "offset text", 1, 0).expect("rax", 1).sees(1, 120).bytes("text", '.ascii "x"')
    ran = parent_waits(child=child).run()
    assert ran.notes == [([(1, False, True)], [(1, True, True)])]


@pytest.mark.parametrize("name", ["smaps", "pagemap", "status", "maps", "statm"])
def test_F95_looking_at_proc_leaves_tables_shared(name: str) -> None:
    """C reads its own and P's files of /proc to their end (of pagemap, its part): T.ref is 2 as before."""
    child = Script()
    for n, who in enumerate(("self", "1")):
        child.call("SYS_open", f"offset path{n}", 0, 0).asm("mov r14, rax")
        child.bytes(f"path{n}", f'.asciz "/proc/{who}/{name}"')
        if name == "pagemap":
            child.call("SYS_pread64", "r14", "offset text", 64, BASE >> 9).expect("rax", 64)
            continue
        child.label(f"more{n}").call("SYS_read", "r14", "offset text", 4096).asm("test rax, rax", f"jg more{n}")
    child.mark(lambda m: (m.shapes(P), m.shapes(C))).bytes("text", ".zero 4096")
    ran = parent_waits(child=child).run()
    assert ran.notes == [([(2, False, True)], [(2, False, False)])]


# -- bugs that only a CPU shows ----------------------------------------------------------------------


@by_each_fork
def test_B7_no_stale_translation_after_a_pmd_entry_was_switched(fork: str) -> None:
    """C reads through T, then the kernel breaks T and copies the page: C's next read goes through the new table."""
    child = Script().sees(0, 1).sees(1, 2)
    child.call("SYS_clock_gettime", "CLOCK_REALTIME", where(0) + 8).asm(f"mov rbx, {where(0)}")
    child.asm("mov rax, [rbx + 8]", "test rax, rax", "mov edi, 98", "jz leave")
    child.store(1, 77).sees(1, 77).call("SYS_munmap", where(2), 4096).map(2, 1).sees(2, 0).store(2, 5)
    s = parent_waits(child=child)
    s.run(fork)


def test_B17_getcwd_and_uname_write_to_the_callers_page_only() -> None:
    """Calls that fill a buffer below a shared T: C's page changes, P's does not, though PTE.W is set in T."""
    child = Script().mark(lambda m: m.entry(C, 0) & PTE_W).call("SYS_getcwd", where(0), 64).sees(0, 0x2F)
    child.call("SYS_uname", where(1)).sees(1, 0x4C)
    assert parent_waits(child=child).run().notes == [PTE_W]
