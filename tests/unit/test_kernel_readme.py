"""Are the two traces in mini_kernel/README.md what the code does? Their blocks are made here and compared.

`PYTHONPATH=tests python tests/unit/test_kernel_readme.py` writes them anew.
"""

import re
from pathlib import Path

from fakes import new_mm

from mini_kernel.mm import fault, fork, mmap, odf
from mini_kernel.mm.mm import Mm
from mini_kernel.mm.teardown import destroy
from mini_kernel.mm.walk import LEVEL_NAMES, Step
from mini_kernel.uapi.mman import MAP_ANONYMOUS, MAP_PRIVATE, PROT_READ, PROT_WRITE
from mini_kernel.x86 import PF_USER, PF_WRITE, PTE_A, PTE_ADDR, PTE_D, PTE_NX, PTE_P, PTE_SOFT_DIRTY, PTE_U, PTE_W

KERNEL = Path(__file__).parents[2] / "mini_kernel"
README = KERNEL / "README.md"
BITS = (
    ("P", PTE_P), ("W", PTE_W), ("U", PTE_U), ("A", PTE_A), ("D", PTE_D), ("SD", PTE_SOFT_DIRTY), ("NX", PTE_NX),
)  # fmt: skip
READ, WRITE = PF_USER, PF_USER | PF_WRITE


def walk(mm: Mm, name: str, address: int, sharers: dict[str, Mm] | None = None) -> str:
    """The walk of one address, a line per level; with `sharers`, whose the PTE table is and what each has of its own.

    "table 0x3, count 2, parent's": the second number is T.ref.
    """
    head = f"{name:6}: cr3 {mm.cr3:#x}"
    if sharers is not None:
        head += f", {mm.rss} pages resident, {mm.pt.tables} tables"
    return "\n".join([head, *(f"  {entry_line(mm, step, sharers)}" for step in mm.pt.walk(address))])


def entry_line(mm: Mm, step: Step, sharers: dict[str, Mm] | None) -> str:
    bits = " ".join(bit for bit, mask in BITS if step.entry & mask) or "not present"
    pfn = (step.entry & PTE_ADDR) >> 12
    note = ""
    if step.level == 2 and step.entry and sharers is not None:
        owners = [f"{name}'s" for name, other in sharers.items() if other.pt.pgd == mm.frames.owner[pfn]]
        note = f"   table {pfn:#x}, count {mm.frames.counts[pfn]}, {''.join(owners) or 'unowned'}"
    elif step.level == 3 and step.entry:
        zero = pfn == mm.frames.zero_page
        note = "   the zero page" if zero else f"   frame {pfn:#x}, count {mm.frames.counts[pfn]}"
    return f"{LEVEL_NAMES[step.level]}[{step.slot & 511:3}] {step.entry:#018x}  {bits}{note}"


def walks(address: int, **sharers: Mm) -> str:
    """The walks of one address in several processes."""
    return "\n".join(walk(mm, name, address, sharers) for name, mm in sharers.items())


def two_pages(mm: Mm) -> int:
    """A private anonymous mapping."""
    return mmap.mmap(mm, 0, 2 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS)


def walk_through() -> list[str]:
    """The blocks of the first chapter, in order."""
    parent = new_mm(1)
    blocks: list[str] = []
    address = two_pages(parent)
    blocks.append(f"{parent.vmas[0]}\n" + walk(parent, "parent", address))
    fault.handle(parent, address, READ)
    blocks.append(walk(parent, "parent", address))
    fault.handle(parent, address, WRITE)
    blocks.append(walk(parent, "parent", address))
    child = fork.fork_mm(parent)
    blocks.append(walk(parent, "parent", address) + "\n" + walk(child, "child", address))
    fault.handle(child, address, WRITE)
    blocks.append(walk(parent, "parent", address) + "\n" + walk(child, "child", address))
    fault.handle(parent, address, WRITE)
    blocks.append(walk(parent, "parent", address))
    mmap.munmap(parent, address, 4096)
    blocks.append(f"{parent.vmas[0]}\n" + walk(parent, "parent", address))
    return blocks


def on_demand() -> list[str]:
    """The blocks of the chapter on on-demand fork, in order."""
    parent = new_mm(1)
    blocks: list[str] = []
    address = two_pages(parent)
    fault.handle(parent, address, WRITE)
    fault.handle(parent, address + 4096, WRITE)
    blocks.append(walks(address, parent=parent))
    child = odf.odfork_mm(parent)
    blocks.append(walks(address, parent=parent, child=child))
    blocks.append(write(child, address) + walks(address, parent=parent, child=child))
    blocks.append(write(parent, address) + walks(address, parent=parent))
    destroy(child)
    destroy(odf.odfork_mm(parent))
    blocks.append(walks(address, parent=parent))
    blocks.append(write(parent, address) + walks(address, parent=parent))
    return blocks


def ownership() -> list[str]:
    """The blocks of the chapter on whose pages they are: a fork after which the parent writes first."""
    parent = new_mm(1)
    address = two_pages(parent)
    fault.handle(parent, address, WRITE)
    fault.handle(parent, address + 4096, WRITE)
    child = odf.odfork_mm(parent)
    return [write(mm, address) + pmd_lines(address, parent=parent, child=child) for mm in (parent, child)]


def write(mm: Mm, address: int) -> str:
    """Write to an address as user code does: the class of the fault, and what it copied."""
    costs = mm.pt.costs
    before = costs.ptes_copied, costs.pages_copied
    fault_class = fault.handle(mm, address, WRITE)
    return f"{fault_class}: {costs.ptes_copied - before[0]} PTEs and {costs.pages_copied - before[1]} pages copied\n"


def pmd_lines(address: int, **sharers: Mm) -> str:
    """Head and PMD line of the walks of one address in several processes."""
    lines = [walk(mm, name, address, sharers).splitlines() for name, mm in sharers.items()]
    return "\n".join(line for head, _pgd, _pud, pmd, _pte in lines for line in (head, pmd))


def test_the_walk_through_shows_real_entries() -> None:
    """Every block of entries in the README is what the code produces now."""
    text = README.read_text()
    for block in walk_through():
        assert block in text


def test_the_trace_of_on_demand_fork_shows_real_entries() -> None:
    """The same of two processes that share a PTE table, and of whose it is."""
    text = README.read_text()
    for block in on_demand() + ownership():
        assert block in text


def test_every_file_of_memory_management_has_a_row() -> None:
    """The table of who may do what names each module of mm/, and only files that exist."""
    rows = re.findall(r"^\| (`[^|]*\.py`) \|", README.read_text(), re.M)
    named = {name for row in rows for name in re.findall(r"`([^`]*)`", row)}
    assert {f"mm/{path.name}" for path in (KERNEL / "mm").glob("*.py")} - {"mm/__init__.py"} <= named
    assert not [name for name in named if not (KERNEL / name).exists()]


def update() -> None:
    """Write the blocks anew: they are all the fenced blocks there are."""
    made = iter([*walk_through(), *on_demand(), *ownership()])
    README.write_text(re.sub(r"```\n.*?```", lambda _: f"```\n{next(made)}\n```", README.read_text(), flags=re.S))


if __name__ == "__main__":
    update()
