"""Rows F30-F43 of the fork specification: faults below shared PTE tables, as the kernel sees them.

What the CPU makes of the same tables is in tests/programs/test_odf_programs.py.
"""

from collections.abc import Callable
from typing import Any

import pytest
from mm_helpers import PAGE, PRIVATE, RW, SHARED
from odf_helpers import CPU_WRITE, FETCH, IN_TABLE, READ, WRITE, Family, Page, Table, Watcher, spied_family, where

from mini_kernel.errors import SysError
from mini_kernel.mm import advise, fault, protect, uaccess
from mini_kernel.mm.mm import Mm
from mini_kernel.uapi import mman
from mini_kernel.uapi.errno import EFAULT, ENOMEM
from mini_kernel.uapi.signal import SEGV_ACCERR, SIGKILL, SIGSEGV
from mini_kernel.x86 import PTE_A, PTE_D

R, RX = mman.PROT_READ, mman.PROT_READ | mman.PROT_EXEC


def couple() -> Family:
    """P and C share T, P's, with two written pages (0, 1), the zero page (2), and nothing at 3 and behind."""
    f = Family(8)
    f.write("P", 0, 1)
    f.fault("P", 2, READ)
    f.odf("P", "C")
    f.settle()
    return f


SHARED_PAGES = [Page(0, "a", "rw", 1), Page(1, "b", "rw", 1), Page(2, "zero", "r", 1)]


def test_F30_reading_present_pages_changes_nothing() -> None:
    """Reads by the kernel through a shared T, of all its pages, in both processes: no fault, not one bit changed."""
    f = couple()
    before, flushes = f.state(), f.flushes()
    for name in "PC":
        assert f.see(name, 0, 1, 2) == [1, 2, 0]
        assert uaccess.read_cstr(f.mms[name], where(0)) == b"\1"
        assert uaccess.probe(f.mms[name], where(0), 3 * PAGE)[PAGE] == 2
    assert f.state() == before
    assert f.flushes() == flushes
    assert f.spent("P") == f.spent("C") == {}


@pytest.mark.parametrize("name", ["P", "C"])
def test_F31_reading_a_hole_breaks_the_table_first(name: str) -> None:
    """The zero page goes into the reader's copy; nothing appears in the other's table. Later holes cost no break."""
    f = couple()
    other = "PC".replace(name, "")
    assert f.fault(name, 3, READ) == "table_break"
    owner = "P" if name == "C" else ""
    assert f.tables(other) == [Table(0, "T0", 1, False, owner)]
    assert f.tables(name) == [Table(0, "T1", 1, True, name)]
    both = [Page(0, "a", "r", 2), Page(1, "b", "r", 2), Page(2, "zero", "r", 1)]
    assert f.pages(other) == both
    assert f.pages(name) == [*both, Page(3, "zero", "r", 1)]
    assert f.spent(name) == {"tables_allocated": 1, "tables_broken": 1, "ptes_copied": 3}
    assert f.fault(name, 4, READ) == "zero_page"
    assert f.fault(other, 3, READ) == "table_reuse"
    assert f.spent(name) == {}
    f.check()
    f.all_exit()


def test_F31_no_kind_of_hole_puts_a_pte_into_a_shared_table() -> None:
    """Anonymous, file and shared memory holes; read, written, fetched, by C, with a third process to keep T shared."""
    for error in (READ, WRITE, FETCH):
        f = Family(1)
        f.map("P", 1, 2, RW | mman.PROT_EXEC)
        f.map("P", 3, 2, RW | mman.PROT_EXEC, mman.MAP_SHARED, f.file(2))
        f.map("P", 5, 2, RW | mman.PROT_EXEC, PRIVATE, f.file(2))
        f.map("P", 7, 2, RW | mman.PROT_EXEC, SHARED)
        f.write("P", 0)
        for page in range(1, 9, 2):
            f.odf("P", f"C{page}")
            f.odf("P", f"D{page}")
            before = f.pages("P")
            assert f.fault(f"C{page}", page, error) == "table_break"
            assert [(p.at, p.frame) for p in f.pages("P")] == [(p.at, p.frame) for p in before]
            assert f.pages(f"D{page}") == f.pages("P")
            f.check()
        f.all_exit()


def test_F32_child_write_breaks_table() -> None:
    """One fault: T' with all present PTEs, private ones W=0 in both, each frame +1, C owns T', the page is copied.

    P's PMD entry stays W=0 and T stays P's with T.ref 1.
    """
    f = couple()
    before = f.flushes()
    assert f.fault("C", 0) == "table_break"
    assert f.tables("P") == [Table(0, "T0", 1, False, "P")]
    assert f.tables("C") == [Table(0, "T1", 1, True, "C")]
    assert f.pages("P") == [Page(0, "a", "r", 1), Page(1, "b", "r", 2), Page(2, "zero", "r", 1)]
    assert f.pages("C") == [Page(0, "c", "rw", 1), Page(1, "b", "r", 2), Page(2, "zero", "r", 1)]
    assert (f.size("P"), f.size("C")) == ((2, 0, 1), (2, 0, 1))
    assert f.spent("C") == {"tables_allocated": 1, "tables_broken": 1, "ptes_copied": 3, "pages_copied": 1}
    assert f.spent("P") == {}
    assert f.flushes() > before
    assert f.see("C", 0, 1, 2) == f.see("P", 0, 1, 2) == [1, 2, 0]
    f.check()
    f.all_exit()


def test_F32_the_break_itself_takes_one_reference_for_every_present_frame() -> None:
    """Without the page fault behind it (an mprotect that changes no page): counts of all frames are 2, none copied."""
    f = couple()
    f.map("P", 20, 1, RW, SHARED)  # breaks nothing: T has nothing there
    f.write("P", 20)
    f.odf("P", "G")
    pages = f.pages("P")
    f.mms["G"].pt.claim(where(0), where(1))
    expected = [Page(p.at, p.frame, "r" if p.at < 3 else "rw", p.count + (p.frame != "zero")) for p in pages]
    assert f.pages("G") == f.pages("P") == expected
    f.check()
    f.all_exit()


def test_F32_write_rights_of_shared_memory_survive_the_break() -> None:
    """Only private writable entries lose W; those of MAP_SHARED keep it in both tables, the others stay as they are."""
    f = Family(2)
    f.map("P", 2, 1, RW, SHARED)
    f.map("P", 3, 1)
    f.write("P", 0, 1, 2, 3)
    protect.mprotect(f.mms["P"], where(1), PAGE, R)
    protect.mprotect(f.mms["P"], where(3), PAGE, 0)
    f.odf("P", "C")
    assert f.fault("C", 0) == "table_break"
    assert f.pages("P") == [
        Page(0, "a", "r", 1), Page(1, "b", "r", 2), Page(2, "c", "rw", 3), Page(3, "d", "-", 2),
    ]  # fmt: skip
    assert f.pages("C") == [Page(0, "e", "rw", 1), *f.pages("P")[1:]]
    assert f.size("C") == (3, 1, 1)
    f.check()
    f.all_exit()


def test_F33_parent_write_breaks_table() -> None:
    """The mirror image: P gets T' and owns it; T, which was P's, is C's alone now, and has no owner."""
    f = couple()
    assert f.fault("P", 1) == "table_break"
    assert f.tables("C") == [Table(0, "T0", 1, False, "")]
    assert f.tables("P") == [Table(0, "T1", 1, True, "P")]
    assert f.pages("C") == [Page(0, "a", "r", 2), Page(1, "b", "r", 1), Page(2, "zero", "r", 1)]
    assert f.pages("P") == [Page(0, "a", "r", 2), Page(1, "c", "rw", 1), Page(2, "zero", "r", 1)]
    assert (f.size("P"), f.size("C")) == ((2, 0, 1), (0, 0, 0))
    assert f.spent("P") == {"tables_allocated": 1, "tables_broken": 1, "ptes_copied": 3, "pages_copied": 1}
    f.check()
    f.all_exit()


def test_F33_a_break_of_somebody_elses_table_leaves_its_owner() -> None:
    """C breaks P's T while G shares it too: T.ref 3 -> 2, P keeps it and counts its pages."""
    f = couple()
    f.odf("C", "G")
    f.fault("C", 0)
    assert f.tables("P") == f.tables("G") == [Table(0, "T0", 2, False, "P")]
    assert (f.size("P"), f.size("G")) == ((2, 0, 1), (0, 0, 0))
    f.check()
    f.all_exit()


def test_F34_the_last_user_reuses_the_table() -> None:
    """C is gone: P's write costs no frame and no copy. PMD.W=1, the same T, the same frame."""
    f = couple()
    f.exit("C")
    assert f.tables("P") == [Table(0, "T0", 1, False, "P")]
    used = f.frames.allocated
    assert f.fault("P", 0) == "table_reuse"
    assert f.frames.allocated == used
    assert f.tables("P") == [Table(0, "T0", 1, True, "P")]
    assert f.pages("P") == SHARED_PAGES
    assert f.spent("P") == {"tables_reused": 1}
    f.check()
    f.all_exit()


def test_F34_a_non_owner_takes_the_accounting_over() -> None:
    """P, the owner, is gone: C counts nothing until its write takes T back, and then all of it."""
    f = couple()
    f.exit("P")
    assert f.tables("C") == [Table(0, "T0", 1, False, "")]
    assert f.size("C") == (0, 0, 0)
    assert f.fault("C", 1) == "table_reuse"
    assert f.tables("C") == [Table(0, "T0", 1, True, "C")]
    assert f.pages("C") == SHARED_PAGES
    assert f.size("C") == (2, 0, 1)
    assert f.spent("C") == {"tables_reused": 1}
    f.check()
    f.all_exit()


def test_F34_reuse_after_a_break_still_copies_pages_that_others_hold() -> None:
    """T.ref is 1, but the frame is in T' too: taking T back does not make the page writable (R3)."""
    f = couple()
    f.fault("C", 0)
    f.settle()
    assert f.fault("P", 1) == "table_reuse"
    assert f.tables("P") == [Table(0, "T0", 1, True, "P")]
    assert f.pages("P") == [Page(0, "a", "r", 1), Page(1, "c", "rw", 1), Page(2, "zero", "r", 1)]
    assert f.pages("C") == [Page(0, "d", "rw", 1), Page(1, "b", "r", 1), Page(2, "zero", "r", 1)]
    assert f.spent("P") == {"tables_reused": 1, "pages_copied": 1}
    assert f.fault("P", 0) == "cow_reuse"
    assert f.fault("C", 1) == "cow_reuse"
    f.check()
    f.all_exit()


def test_F35_later_writes_in_the_same_2_mib_are_page_faults_only() -> None:
    """After the break: copy, copy, reuse; no more table work on either side but P's one reuse."""
    f = couple()
    f.fault("C", 0)
    f.settle()
    assert f.fault("C", 1) == "cow_copy"
    assert f.spent("C") == {"pages_copied": 1}
    assert [f.fault("P", 0), f.fault("P", 1)] == ["table_reuse", "cow_reuse"]
    assert f.spent("P") == {"tables_reused": 1}
    assert f.pages("P") == SHARED_PAGES
    f.check()
    f.all_exit()


def test_F36_zero_page_and_holes_after_the_break() -> None:
    """A write to the zero page copies, a write to a hole gets a frame, a read of one the zero page: as ever."""
    f = couple()
    f.fault("C", 0)
    assert f.fault("C", 2) == "cow_copy"
    assert f.fault("C", 3, WRITE) == "demand_zero"
    assert f.fault("C", 4, READ) == "zero_page"
    assert [page.rights for page in f.pages("C")] == ["rw", "r", "rw", "rw", "r"]
    assert [page.at for page in f.pages("P")] == [0, 1, 2]
    assert f.see("C", 2, 3, 4) == [0, 0, 0]
    f.check()


def test_F36_a_first_write_to_the_zero_page_or_a_hole_breaks_too() -> None:
    """The break comes first, the ordinary repair in the same fault; it counts as one."""
    for page, error in ((2, CPU_WRITE), (5, WRITE)):
        f = couple()
        assert f.fault("C", page, error) == "table_break"
        assert f.pages("C")[-1].rights == "rw"
        assert [page.at for page in f.pages("P")] == [0, 1, 2]
        assert f.spent("C") == {"tables_allocated": 1, "tables_broken": 1, "ptes_copied": 3}
        f.check()


@pytest.mark.parametrize(
    ("prot", "error"),
    [(R, CPU_WRITE), (RX, CPU_WRITE), (0, READ), (0, WRITE), (0, CPU_WRITE), (R, FETCH | 1), (RW, FETCH | 1)],
)
def test_F37_F38_refused_accesses_do_not_break_the_table(prot: int, error: int) -> None:
    """A write to read-only memory, a fetch of NX, anything to PROT_NONE: SIGSEGV, SEGV_ACCERR; nothing has changed."""
    f = Family(3)
    f.write("P", 0, 1, 2)
    protect.mprotect(f.mms["P"], where(0), PAGE, prot)
    for how in ("odf", "odf"):
        f.fork("P", f"C{len(f.mms)}", how)
    before = f.state()
    with pytest.raises(fault.BadAccess) as refused:
        f.fault("C1", 0, error)
    assert (refused.value.signal, refused.value.code, refused.value.fault_class) == (SIGSEGV, SEGV_ACCERR, "protection")
    assert f.state() == before
    assert f.tables("C1") == [Table(0, "T0", 3, False, "P")]


def test_F37_the_kernel_is_refused_as_user_code_is() -> None:
    """A system call that writes to read-only memory below a shared T: EFAULT, T not broken."""
    f = Family(1)
    f.write("P", 0)
    protect.mprotect(f.mms["P"], where(0), PAGE, R)
    f.odf("P", "C")
    before = f.state()
    with pytest.raises(SysError) as refused:
        uaccess.write(f.mms["C"], where(0), b"x")
    assert refused.value.errno == EFAULT
    assert f.state() == before


@pytest.mark.parametrize("page", [0, IN_TABLE - 1])
def test_F39_a_kernel_write_across_a_boundary_breaks_what_it_needs(page: int) -> None:
    """Eight bytes astride a page: one break; astride 2 MiB: two. The bytes arrive, the sharer sees none."""
    f = Family(2 * IN_TABLE)
    f.write("P", page, page + 1)
    f.odf("P", "C")
    f.settle()
    uaccess.write(f.mms["C"], where(page + 1) - 4, b"abcdefgh")
    assert uaccess.read(f.mms["C"], where(page + 1) - 4, 8) == b"abcdefgh"
    assert uaccess.read(f.mms["P"], where(page + 1) - 4, 5) == bytes([0, 0, 0, 0, (page + 2) & 0xFF])
    assert f.spent("C")["tables_broken"] == (2 if page else 1)
    f.check()


@pytest.mark.parametrize("name", ["P", "C"])
@pytest.mark.parametrize(("page", "error"), [(0, CPU_WRITE), (2, CPU_WRITE), (3, READ), (3, WRITE)])
def test_F40_no_memory_for_the_table_changes_nothing(name: str, page: int, error: int) -> None:
    """The fault reports OOM; tables, counts, owners, W bits, sizes, costs are as before; a second try succeeds."""
    f = couple()
    before = f.state()
    f.frames.refuse_after = 0 if error != WRITE else 1  # a demand-zero fault takes its page first
    with pytest.raises(fault.BadAccess) as refused:
        f.fault(name, page, error)
    f.frames.refuse_after = -1
    assert (refused.value.signal, refused.value.fault_class) == (SIGKILL, "oom")
    assert f.state() == before
    assert f.spent(name) == {}
    f.check()
    assert f.fault(name, page, error) == "table_break"
    f.all_exit()


def test_F40_no_memory_for_the_page_behind_a_break() -> None:
    """The table could be had, the page not: OOM; what everybody sees is as before, and the next try needs one frame."""
    f = couple()
    f.frames.refuse_after = 1
    with pytest.raises(fault.BadAccess) as refused:
        f.fault("C", 0)
    assert refused.value.fault_class == "oom"
    f.frames.refuse_after = -1
    f.check()
    assert f.see("C", 0, 1, 2) == f.see("P", 0, 1, 2) == [1, 2, 0]
    assert f.tables("P") == [Table(0, "T0", 1, False, "P")]
    used = f.frames.allocated
    f.write("C", 0, value=50)
    assert f.frames.allocated - used == 1
    assert f.see("P", 0) == [1]
    f.check()
    f.all_exit()


@pytest.mark.parametrize("who", ["P", "C"])
@pytest.mark.parametrize(("page", "error"), [(0, CPU_WRITE), (2, CPU_WRITE), (3, READ), (3, WRITE)])
def test_F41_nobody_ever_sees_a_partly_filled_table(who: str, page: int, error: int) -> None:
    """After every single store of the fault the CPU would read the same bytes as before, in both processes.

    And what it could write to is neither a shared frame nor below a shared table.
    """
    f = spied_family()
    f.write("P", 0, 1)
    f.fault("P", 2, READ)
    f.odf("P", "C")
    with Watcher(f, {0: 1, 1: 2, 2: 0}) as watcher:
        f.fault(who, page, error)
    assert watcher.stores >= 4, "entries of T and T', the PMD entry, the page"


def test_F42_the_second_writer_of_a_process_finds_the_table_broken() -> None:
    """Two threads fault at once: the first breaks, the second gets page work only, in either order of pages."""
    f = couple()
    assert f.fault("C", 0) == "table_break"
    assert f.fault("C", 1) == "cow_copy"
    assert f.spent("C") == {"tables_allocated": 1, "tables_broken": 1, "ptes_copied": 3, "pages_copied": 2}
    assert f.tables("P")[0].ref == 1
    f.check()


def _flag(f: Family, name: str, page: int, bits: int) -> None:
    """What the CPU does when it uses a page."""
    f.frames.ram.words[f.mms[name].pt.slot(where(page))] |= bits


@pytest.mark.parametrize("breaker", ["P", "C"])
def test_F43_accessed_and_dirty_bits_are_in_both_tables_after_a_break(breaker: str) -> None:
    """Bits set in T before and while it was shared are in T and T'; bits not set are not."""
    f = couple()
    words, table = f.frames.ram.words, f.table("P")
    for page in (0, 1, 2):
        words[table << 9 | page] &= ~(PTE_A | PTE_D)
    _flag(f, "P", 1, PTE_D)
    _flag(f, "C", 1, PTE_A)
    _flag(f, "C", 2, PTE_A)
    f.mms[breaker].pt.claim(where(0), where(1))
    for name in "PC":
        assert [f.entry(name, page) & (PTE_A | PTE_D) for page in (0, 1, 2)] == [0, PTE_A | PTE_D, PTE_A]
    f.check()


def test_F43_reuse_keeps_the_bits() -> None:
    """Taking T back changes no PTE."""
    f = couple()
    _flag(f, "C", 2, PTE_A)
    f.exit("C")
    before = f.frames.ram.tables[f.table("P")].copy()
    f.mms["P"].pt.claim(where(0), where(1))
    assert (f.frames.ram.tables[f.table("P")] == before).all()


def operations() -> list[tuple[str, Callable[[Mm], Any]]]:
    """Calls that must not need memory although a table is shared, as they change nothing in it."""
    return [
        ("mincore", lambda mm: advise.mincore(mm, where(0), 4 * PAGE)),
        ("msync", lambda mm: advise.msync(mm, where(0), 4 * PAGE, mman.MS_SYNC)),
        ("read", lambda mm: uaccess.read(mm, where(0), 3 * PAGE)),
        ("madvise", lambda mm: advise.madvise(mm, where(0), 4 * PAGE, mman.MADV_WILLNEED)),
        ("mlock on fault", lambda mm: advise.mlock(mm, where(0), 4 * PAGE, True)),
    ]


@pytest.mark.parametrize(("_name", "call"), operations(), ids=[name for name, _ in operations()])
def test_F40_what_changes_no_pte_needs_no_memory(_name: str, call: Callable[[Mm], Any]) -> None:
    """With no frame left these succeed, and T stays shared."""
    f = couple()
    f.frames.refuse_after = 0
    call(f.mms["C"])
    assert f.tables("C") == [Table(0, "T0", 2, False, "P")]
    f.check()


def test_F40_oom_is_an_error_of_kernel_writes_too() -> None:
    """copy_to_user below a shared T without memory: EFAULT, T not broken."""
    f = couple()
    f.frames.refuse_after = 0
    with pytest.raises(SysError) as refused:
        uaccess.write(f.mms["C"], where(0), b"x")
    assert refused.value.errno in (EFAULT, ENOMEM)
    assert f.tables("C") == [Table(0, "T0", 2, False, "P")]
    f.check()
