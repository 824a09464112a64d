"""Rows F70-F75 of the fork specification: the ends of processes that share tables, in every order."""

from contextlib import suppress
from itertools import combinations, permutations, product

import pytest
from mm_helpers import PAGE, RW, SHARED
from odf_helpers import BASE, CPU_WRITE, FORKS, READ, WRITE, Family, Page, Table, couple

from mini_kernel.errors import SysError
from mini_kernel.mm import mmap, protect, teardown
from mini_kernel.mm.odf import odfork_mm
from mini_kernel.uapi import mman


def test_F70_a_child_that_exits_without_writing_leaves_the_table_to_the_parent() -> None:
    """T.ref 2 -> 1, nothing copied or freed but the child's upper tables; P's next write reuses T."""
    f = couple(4)
    before, used = f.pages("P"), f.frames.in_use
    f.exit("C")
    assert f.frames.in_use == used - 3
    assert f.tables("P") == [Table(0, "T0", 1, False, "P")]
    assert f.fault("P", 0) == "table_reuse"
    assert f.tables("P") == [Table(0, "T0", 1, True, "P")]
    assert f.pages("P") == before
    assert f.spent("P") == {"tables_reused": 1}
    f.check()
    f.all_exit()


def test_F71_a_parent_that_exits_first_leaves_everything_to_the_child() -> None:
    """C reads and writes all four pages without a copy; it becomes the owner with its first write."""
    f = couple(4)
    f.exit("P")
    f.check()
    assert f.see("C", 0, 1, 2, 3) == [1, 2, 3, 4]
    allocated = f.frames.allocated
    f.write("C", 0, 1, value=70)
    assert f.frames.allocated == allocated
    assert f.tables("C") == [Table(0, "T0", 1, True, "C")]
    assert f.size("C") == (4, 0, 1)
    assert f.see("C", 0, 1, 2, 3) == [70, 70, 3, 4]
    f.check()
    f.all_exit()


def _three(kinds: tuple[str, str], between: bool, writers: tuple[str, ...]) -> tuple[Family, dict[str, list[int]]]:
    """P, C and G in two 2 MiB ranges with shared memory beside; and what each of them must see in pages 0, 1, 600."""
    f = Family(4)
    f.frames.poison = True
    f.map("P", 600, 2)
    f.map("P", 10, 1, RW, SHARED)
    f.write("P", 0, 1, 10, 600)
    sees = {"P": [1, 2, 89]}
    f.fork("P", "C", kinds[0])
    sees["C"] = list(sees["P"])
    if between:
        f.write("C", 1, value=50)
        sees["C"][1] = 50
    f.fork("C", "G", kinds[1])
    sees["G"] = list(sees["C"])
    for value, name in enumerate(writers, 60):
        f.write(name, 0, 600, value=value)
        sees[name][0] = sees[name][2] = value
    return f, sees


@pytest.mark.parametrize("order", list(permutations("PCG")), ids="".join)
@pytest.mark.parametrize("kinds", list(product(FORKS, FORKS)), ids="-".join)
def test_F72_F74_every_exit_order_of_three_generations(kinds: tuple[str, str], order: tuple[str, ...]) -> None:
    """With every mix of writes before, the rest see what is theirs, can write it, and nothing is left in the end.

    Every invariant holds after every exit: frames and tables freed exactly once, sizes equal to a recount.
    """
    for between in (False, True):
        for writers in (w for n in range(4) for w in combinations("PCG", n)):
            f, sees = _three(kinds, between, writers)
            f.check()
            for gone in order:
                f.exit(gone)
                f.check()
                assert {name: f.see(name, 0, 1, 600, 10) for name in f.mms} == {
                    name: [*sees[name], 11] for name in f.mms
                }
            f.expect_nothing()


@pytest.mark.parametrize("order", list(permutations("PCG")), ids="".join)
def test_F74_writes_between_the_exits(order: tuple[str, ...]) -> None:
    """Whoever is left after each exit writes everywhere, so that tables are broken, reused and taken over in turns."""
    for between, kinds in product((False, True), product(FORKS, FORKS)):
        f, sees = _three(kinds, between, ("G",))
        for n, gone in enumerate(order):
            f.exit(gone)
            for value, name in enumerate(list(f.mms), 100 + 10 * n):
                f.write(name, 0, 1, 600, value=value)
                sees[name] = [value] * 3
                f.check()
            assert {name: f.see(name, 0, 1, 600) for name in f.mms} == {name: sees[name] for name in f.mms}
        f.expect_nothing()


def test_F72_twelve_children_that_share_one_table_end_in_any_order() -> None:
    """T.ref goes from 13 to 1 whichever way they go, some after a break, and P reuses T at the end."""
    f = Family(4)
    f.write("P", 0, 1)
    for n in range(12):
        f.odf("P" if n < 6 else f"C{n - 6}", f"C{n}")
    assert f.tables("P") == [Table(0, "T0", 13, False, "P")]
    for left, n in enumerate((3, 11, 0, 7, 5, 2, 9, 1, 10, 4, 8, 6), 1):
        if n % 3 == 0:
            f.write(f"C{n}", 0, value=100 + n)
            assert f.tables(f"C{n}")[0].ref == 1
        f.exit(f"C{n}")
        assert f.tables("P")[0].ref == 13 - left
        f.check()
    assert f.fault("P", 0) == "table_reuse"
    assert f.size("P") == (2, 0, 1)
    f.all_exit()


@pytest.mark.parametrize("order", list(permutations("PCG")), ids="".join)
def test_F73_exec_in_a_process_that_shares_tables(order: tuple[str, ...]) -> None:
    """exec builds a new address space and drops the old one; the others keep T. Costs of later breaks are right."""
    f = Family(4)
    f.write("P", *range(4))
    f.odf("P", "C")
    f.odf("P", "G")
    for name in order:
        f.mms[f"{name}+"] = type(f.mms[name])(f.frames, f.mms[name].cpu)
        f.map(f"{name}+", 0, 4)
        f.write(f"{name}+", 1, value=99)
        f.exit(name)
        f.check()
        assert f.see(f"{name}+", 0, 1) == [0, 99]
        assert {n: f.see(n, 0, 1, 2, 3) for n in f.mms if "+" not in n} == {
            n: [1, 2, 3, 4] for n in f.mms if "+" not in n
        }
    f.all_exit()


def test_F10_F72_switching_policies_between_generations() -> None:
    """Classic and on-demand forks in turns, and protections changed between: all see their own, nothing is left."""
    f = couple(4)
    f.fork("C", "G", "classic")
    protect.mprotect(f.mms["G"], BASE, 2 * PAGE, mman.PROT_READ)
    f.odf("G", "H")
    f.fork("H", "I", "classic")
    mmap.munmap(f.mms["H"], BASE, PAGE)
    for value, name in enumerate("PCI", 60):
        if name == "I":
            protect.mprotect(f.mms["I"], BASE, 2 * PAGE, RW)
        f.write(name, 0, value=value)
        f.check()
    assert [f.see(name, 0, 1) for name in "PCGI"] == [[60, 2], [61, 2], [1, 2], [62, 2]]
    assert f.see("H", 1, 2) == [2, 3]
    f.all_exit()


def test_F72_destroying_needs_no_memory_and_no_flush() -> None:
    """exit_mmap cannot fail: with no frame left all end, and the CPU is not asked for anything."""
    f = couple(4)
    f.odf("C", "G")
    f.write("G", 0)
    f.frames.refuse_after = 0
    before = f.flushes()
    for name in "PCG":
        teardown.destroy(f.mms.pop(name))
    assert f.flushes() == before
    assert f.frames.used().tolist() == [f.frames.zero_page]


@pytest.mark.parametrize("error", [WRITE, READ, CPU_WRITE])
def test_F70_the_reuse_is_one_fault_of_any_kind(error: int) -> None:
    """After the child's exit the first change below T, a hole read or written or a page, is a `table_reuse`."""
    f = couple(2)
    f.map("P", 2, 2)
    f.exit("C")
    page = 0 if error == CPU_WRITE else 3
    assert f.fault("P", page, error) == "table_reuse"
    assert f.spent("P") == {"tables_reused": 1}
    assert f.pages("P")[:2] == [Page(0, "a", "rw", 1), Page(1, "b", "rw", 1)]
    f.check()
    f.all_exit()


def test_F24_F72_a_family_at_the_edge_of_memory_loses_nothing() -> None:
    """Forks refused at every point while others exit: the survivors' pages are whole, and all comes back."""
    for n in range(8):
        f = couple(4)
        f.frames.refuse_after = n
        with suppress(SysError):
            f.mms["G"] = odfork_mm(f.mms["C"])
        f.frames.refuse_after = -1
        f.exit("C")
        f.check()
        assert f.see("P", 0, 1, 2, 3) == [1, 2, 3, 4]
        f.all_exit()
