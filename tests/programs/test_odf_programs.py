"""Rows F10-F43 of the fork specification on the CPU: what user code can see of forks and of faults below shared tables.

Each program is a few lines (odf_lab.py) and runs with every invariant recomputed after every kernel entry.
"""

import struct
from collections import Counter

import pytest
from odf_lab import BASE, IN_TABLE, C, Moment, P, Script, by_each_fork, parent_waits, where

from mini_kernel.uapi.misc import OOM_SCORE_ADJ_MIN
from mini_kernel.uapi.signal import SEGV_ACCERR, SIGKILL, SIGSEGV
from mini_kernel.x86 import PTE_A, PTE_D

# -- fork --------------------------------------------------------------------------------------------


@by_each_fork
def test_F11_a_child_has_the_parents_registers_and_descriptors(fork: str) -> None:
    """All registers but rax, rcx and r11, XMM, flags; pids are right; one file offset is shared by both."""
    saved = ("rbx", "rdx", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r12", "r13", "r14", "r15")
    s = Script("mov rax, 0x1122334455667788", "movq xmm7, rax", "movddup xmm7, xmm7")
    s.asm(*(f"mov {name}, {0x1000 + n}" for n, name in enumerate(saved)), "std", "mov eax, SYS_fork", "syscall")
    s.asm("pushfq", "cld", "test eax, eax", "jz child", "mov [rip + child_pid], eax")
    s.wait().asm("mov eax, [rip + child_pid]").expect("eax", C)
    s.call("SYS_write", 1, "offset text", 1).exit()
    s.label("child").asm("mov rcx, rdi", "pop r11", "and r11d, 0x400")
    s.asm("cmp r11d, 0x400", "jne wrong")
    for n, name in enumerate(saved):
        s.asm(f"cmp {name if name != 'rdi' else 'rcx'}, {0x1000 + n}", "jne wrong")
    s.asm("movq rax, xmm7", "mov rbx, 0x1122334455667788", "cmp rax, rbx", "jne wrong")
    s.asm("movhlps xmm6, xmm7", "movq rax, xmm6", "cmp rax, rbx", "jne wrong")
    s.call("SYS_getpid").expect("rax", C).call("SYS_getppid").expect("rax", P)
    s.call("SYS_write", 1, "offset text + 1", 1).exit().label("wrong").exit(99)
    s.bytes("text", '.ascii "ba"').bytes("child_pid", ".quad 0")
    assert s.run(fork).stdout == b"ab"


def test_F13_tables_after_a_fork_on_the_cpu() -> None:
    """T.ref 2, W=0 in both PMD entries, P the owner; code, data and stack tables are shared as well."""
    s = parent_waits(child=Script().mark(lambda m: (m.shapes(P), m.shapes(C), len(m.mm(C).pt.tree().pte.child))))
    ran = s.run(status=0)
    p, c, tables = ran.notes[0]
    assert (p, c) == ([(2, False, True)], [(2, False, False)])
    assert ran.ledger["tables_shared"] == tables
    assert ran.ledger["forks"] == {"odf": 1}


@by_each_fork
def test_F14_the_parents_very_next_write_faults(fork: str) -> None:
    """P wrote through a cached translation just before fork: its next instruction is a write, and faults with 7."""
    s = Script().map(0, 1).store(0, 1).store(0, 2).asm("mov eax, SYS_fork", "syscall", "mov byte ptr [rbx], 3")
    s.asm("test eax, eax", "jz child").wait().sees(0, 3).exit().label("child").sees(0, 3).exit()
    ran = s.run(fork)
    kinds = {"classic": ("cow_copy", "cow_reuse"), "odf": ("table_break", "table_reuse")}[fork]
    assert [(f.error, f.kind) for f in ran.faults if f.pid == P and f.page == 0] == [(6, "demand_zero"), (7, kinds[0])]
    assert [(f.error, f.kind) for f in ran.faults if f.pid == C and f.page == 0] == [(7, kinds[1])]


def test_F25_vfork_and_threads_share_the_tree() -> None:
    """vfork's child writes into the parent's memory below W=1 tables: no table is shared, broken or reused for it."""
    s = Script().map(0, 1).store(0, 1).asm("mov eax, SYS_vfork", "syscall", "test eax, eax", "jz child")
    s.sees(0, 9).wait().exit().label("child").store(0, 9).mark(lambda m: m.shapes(C)).exit()
    ran = s.run("odf")
    assert ran.notes == [[(1, True, True)]]
    assert ran.forked == {C: "vfork"}
    assert [ran.ledger[name] for name in ("tables_shared", "tables_broken", "tables_reused")] == [0, 0, 0]
    assert ran.kinds(C, 0, 9) == []


def test_F10_the_odfork_call_in_a_process_that_forks_classically() -> None:
    """P odforks C, then C and P fork classically from the shared table: all four see their own."""
    s = Script().map(0, 2).store(0, 1).store(1, 2).fork("child", "SYS_odfork").fork("other")
    s.store(0, 50).wait().wait().sees(0, 50).sees(1, 2).exit()
    s.label("child").fork("grandchild").store(1, 60).wait().sees(0, 1).sees(1, 60).exit()
    s.label("grandchild").sees(0, 1).sees(1, 2).store(0, 70).sees(0, 70).exit()
    s.label("other").sees(0, 1).store(1, 80).sees(1, 80).exit()
    ran = s.run("classic")
    assert ran.ledger["forks"] == {"odf": 1, "classic": 2}


# -- faults ------------------------------------------------------------------------------------------


def test_F30_reading_through_a_shared_table_sets_A_and_faults_nowhere() -> None:
    """The CPU itself sets A in the shared T, of the page that was read only; D stays clear; T stays shared."""

    def clear(m: Moment) -> None:
        for page in range(3):
            m.clear(C, page, PTE_A | PTE_D)

    def look(m: Moment) -> tuple[list[int], list[int], list[tuple[int, bool, bool]]]:
        bits = [[m.entry(pid, page) & (PTE_A | PTE_D) for page in range(3)] for pid in (P, C)]
        return bits[0], bits[1], m.shapes(C)

    ran = parent_waits(child=Script().mark(clear).sees(1, 2).mark(look)).run()
    assert ran.notes == [([0, PTE_A, 0], [0, PTE_A, 0], [(2, False, False)])]
    assert ran.kinds(C, 0, 9) == []


@by_each_fork
def test_F32_the_childs_first_write_is_one_fault_with_error_7(fork: str) -> None:
    """And the very instruction that faulted then completes; P's entries are as before but for W."""
    frames = lambda m: [m.frame(pid, page) for pid in (P, C) for page in range(3)]  # noqa: E731
    child = Script().mark(frames).store(0, 9).sees(0, 9).mark(frames).mark(lambda m: (m.shapes(P), m.shapes(C)))
    ran = parent_waits(child=child).run(fork)
    assert [(f.page, f.error, f.kind) for f in ran.faults if f.pid == C and f.page in (0, 1, 2)] == [
        (0, 7, "table_break" if fork == "odf" else "cow_copy")
    ]
    before, after, (p, c) = ran.notes
    assert before[:3] == before[3:]
    assert after[:3] == before[:3]
    assert [a == b for a, b in zip(after[3:], before[3:], strict=True)] == [False, True, True]
    assert (p, c) == ([(1, fork == "classic", True)], [(1, True, True)])
    assert ran.processes[C]["pages_copied"] == 1


def test_F34_the_last_user_takes_the_table_back() -> None:
    """C exits without a write: P's next write is a fault, a table_reuse, and copies nothing."""
    s = Script().map(0, 2).store(0, 1).store(1, 2).fork("child").wait().store(0, 50).store(1, 60)
    s.sees(0, 50).sees(1, 60).mark(lambda m: m.shapes(P)).exit().label("child").sees(0, 1).exit()
    ran = s.run()
    assert ran.kinds(P, 0, 9) == ["demand_zero", "demand_zero", "table_reuse"]
    assert ran.notes == [[(1, True, True)]]


@by_each_fork
def test_F35_F36_zero_pages_holes_and_later_writes(fork: str) -> None:
    """The zero page read by P, holes, written pages: C reads and writes all, one fault each; the first is the break."""
    s = Script().map(0, 6).store(0, 1).store(1, 2).sees(2, 0).fork("child").wait().sees(2, 0).sees(3, 0).sees(0, 1)
    s.exit().label("child").store(0, 9).store(1, 9).store(2, 9).sees(3, 0).store(4, 9).store(0, 10).exit()
    ran = s.run(fork)
    first = "table_break" if fork == "odf" else "cow_copy"
    assert ran.kinds(C, 0, 9) == [first, "cow_copy", "cow_copy", "zero_page", "demand_zero"]


@by_each_fork
@pytest.mark.parametrize(
    ("name", "prot", "line", "error"),
    [
        ("F37 write", "PROT_READ", "mov byte ptr [rbx], 1", 7),
        ("F37 read of PROT_NONE", "PROT_NONE", "mov al, byte ptr [rbx]", 4),
        ("F38 fetch", "PROT_READ", "jmp rbx", 0x15),
    ],
    ids=["write", "none", "fetch"],
)
def test_F37_F38_refused_accesses_kill_and_break_nothing(
    fork: str, name: str, prot: str, line: str, error: int
) -> None:
    """SIGSEGV with SEGV_ACCERR; the record of the fault shows T with all its users still."""
    s = Script().map(0, 2).store(0, 1).store(1, 2).call("SYS_mprotect", BASE, 4096, prot).fork("child")
    s.wait(SIGSEGV).sees(1, 2).exit().label("child").asm(f"mov rbx, {BASE}", line).exit()
    ran = s.run(fork)
    (record,) = ran.records
    assert (record.signo, record.code, record.error, record.address) == (SIGSEGV, SEGV_ACCERR, error, BASE)
    assert record.table_count == (2 if fork == "odf" else 1), name
    assert ran.kinds(C, 0, 9) == ["protection"]


#: Instructions that touch bytes on both sides of the boundary at r12; r13 holds 0x1111111111111111.
ACROSS = {
    "mov": ("mov [r12 - 4], r13",),
    "movups": ("movups [r12 - 8], xmm0",),
    "push": ("mov r15, rsp", "lea rsp, [r12 + 4]", "push r13", "mov rsp, r15"),
    "call": ("mov r15, rsp", "lea rsp, [r12 + 4]", "call 1f", "1: mov rsp, r15"),
    "rep movsb": ("lea rdi, [r12 - 16]", "lea rsi, [rip + ones]", "mov ecx, 32", "rep movsb"),
    "rep stosq": ("lea rdi, [r12 - 16]", "mov rax, r13", "mov ecx, 4", "rep stosq"),
    "add": ("add [r12 - 4], r13",),
    "xchg": ("mov rax, r13", "xchg [r12 - 4], rax"),
}
#: What lies around the boundary afterwards, from 16 bytes before it; None for the return address of call.
RESULTS = {
    "mov": (12, 8), "movups": (8, 16), "push": (12, 8), "call": None, "rep movsb": (0, 32), "rep stosq": (0, 32),
    "add": (12, 8), "xchg": (12, 8),
}  # fmt: skip


@by_each_fork
@pytest.mark.parametrize("boundary", [1, IN_TABLE, 512 * IN_TABLE], ids=["page", "2 MiB", "1 GiB"])
@pytest.mark.parametrize("name", ACROSS)
def test_F39_an_access_across_a_boundary_is_restarted(name: str, boundary: int, fork: str) -> None:
    """Both sides are copy-on-write, in one table or two: the instruction completes as one, once, and P sees nothing."""
    s = Script().map(boundary - 1, 2).store(boundary - 1, 0).store(boundary, 0).fork("child").wait()
    s.asm(f"mov r12, {where(boundary)}")
    for at in (-16, -8, 0, 8):
        s.expect(f"qword ptr [r12 + {at}]", 0)
    s.exit().label("child").asm(f"mov r12, {where(boundary)}", "mov r13, 0x1111111111111111")
    s.asm("movq xmm0, r13", "movlhps xmm0, xmm0", *ACROSS[name])
    s.asm("lea rsi, [r12 - 16]", "mov edi, 1", "mov edx, 32", "mov eax, SYS_write", "syscall").exit().bytes(
        "ones", ".fill 32, 1, 0x11"
    )
    ran = s.run(fork)
    if (expected := RESULTS[name]) is not None:
        at, n = expected
        assert ran.stdout == bytes(at) + b"\x11" * n + bytes(32 - at - n)
    else:
        assert struct.unpack_from("<Q", ran.stdout, 12)[0] >> 20 == 4, "a return address into the text"
    repaired = ran.kinds(C, boundary - 1, boundary + 1)
    assert sorted(repaired) == sorted(
        ["cow_copy"] * 2 if fork == "classic" else ["table_break"] * 2 if boundary > 1 else ["table_break", "cow_copy"]
    )


def test_F40_a_child_without_memory_for_the_break_is_killed() -> None:
    """SIGKILL for who faults, as P is spared; T and its counts unchanged, so that P, which waits, has everything."""

    def no_more(m: Moment) -> None:
        m.frames.refuse_after = 0
        m.system.kernel.processes[P].oom_score_adj = OOM_SCORE_ADJ_MIN

    def again(m: Moment) -> None:
        m.frames.refuse_after = -1

    child = Script().mark(no_more).store(0, 9).exit(55)
    s = parent_waits(child=child, status=SIGKILL)
    s.at_exit = again
    ran = s.run()
    assert ran.kinds(C, 0, 9) == ["oom"]
    assert ran.processes[C]["tables_broken"] == 0


@pytest.mark.parametrize("quantum", [20, 50, 1000])
def test_F42_two_threads_that_write_at_once_break_once(quantum: int) -> None:
    """The threads of C write different pages of one shared T over and over, preempted anywhere: one break, no loss."""
    s = Script().map(0, 64).map(4 * IN_TABLE, 4)
    for page in range(64):
        s.store(page, 1)
    s.store(4 * IN_TABLE + 3, 0).fork("child").wait().sees(0, 1).sees(63, 1).exit()
    flags = "CLONE_VM|CLONE_FS|CLONE_FILES|CLONE_SIGHAND|CLONE_THREAD|CLONE_SYSVSEM"
    s.label("child").call("SYS_clone", flags, where(4 * IN_TABLE + 4), 0, 0, 0).asm("test eax, eax", "jz thread")
    s.asm("xor r13d, r13d", "jmp work").label("thread").asm("mov r13d, 1").label("work")
    s.asm(f"mov r12, {BASE}", "shl r13d, 12", "add r12, r13", "shr r13d, 12", "mov ecx, 32")
    s.label("next").asm("inc byte ptr [r12]", "add r12, 8192", "loop next")
    s.asm("lock inc dword ptr [rip + done]").label("both").asm("cmp dword ptr [rip + done], 2", "jne both")
    s.asm("test r13d, r13d", "jnz finished").sees(0, 2).sees(1, 2).sees(62, 2).sees(63, 2).exit()
    s.label("finished").asm("xor edi, edi", "mov eax, SYS_exit", "syscall").bytes("done", ".long 0")
    ran = s.run(quantum=quantum, status=0)
    kinds = Counter(ran.kinds(C, 0, 64))
    assert kinds == {"table_break": 1, "cow_copy": 63}


def test_F43_dirty_and_accessed_bits_that_the_cpu_set_are_in_both_tables() -> None:
    """Set by P's own accesses before the fork, by C's reads while T is shared; both tables have them after."""

    def clear(m: Moment) -> None:
        for page in range(4):
            m.clear(P, page, PTE_A | PTE_D)

    def look(m: Moment) -> list[list[int]]:
        return [[m.entry(pid, page) & (PTE_A | PTE_D) for page in range(4)] for pid in (P, C)]

    s = Script().map(0, 4).store(0, 1).store(1, 2).store(2, 3).store(3, 4).mark(clear).store(1, 5).sees(2, 3)
    s.fork("child").wait().mark(lambda m: [m.entry(P, n) & (PTE_A | PTE_D) for n in range(4)]).exit()
    s.label("child").sees(3, 4).store(0, 9).mark(look).exit()
    both = [PTE_A | PTE_D, PTE_A, PTE_A]
    ran = s.run()
    assert ran.notes[0] == [[0, *both], [PTE_A | PTE_D, *both]]
    assert ran.notes[1] == [0, *both]
