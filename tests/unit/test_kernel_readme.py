"""Is the walk-through in mini_kernel/README.md what the code does? Its blocks are made here and compared."""

from pathlib import Path

from fakes import new_mm

from mini_kernel.mm import fault, fork, mmap
from mini_kernel.mm.mm import Mm
from mini_kernel.mm.walk import LEVEL_NAMES
from mini_kernel.uapi.mman import MAP_ANONYMOUS, MAP_PRIVATE, PROT_READ, PROT_WRITE
from mini_kernel.x86 import PF_USER, PF_WRITE, PTE_A, PTE_ADDR, PTE_D, PTE_NX, PTE_P, PTE_U, PTE_W

README = Path(__file__).parents[2] / "mini_kernel" / "README.md"
BITS = (("P", PTE_P), ("W", PTE_W), ("U", PTE_U), ("A", PTE_A), ("D", PTE_D), ("NX", PTE_NX))


def walk(mm: Mm, name: str, address: int) -> str:
    """The walk of one address, a line per level."""
    lines = [f"{name}: cr3 {mm.cr3:#x}"]
    for step in mm.pt.walk(address):
        bits = " ".join(bit for bit, mask in BITS if step.entry & mask) or "not present"
        count = ""
        if step.level == 3 and step.entry:
            pfn = (step.entry & PTE_ADDR) >> 12
            count = f"   frame {pfn:#x}, count {mm.frames.counts[pfn]}"
            if pfn == mm.frames.zero_page:
                count = "   the zero page"
        lines.append(f"  {LEVEL_NAMES[step.level]}[{step.slot & 511:3}] {step.entry:#018x}  {bits}{count}")
    return "\n".join(lines)


def walk_through() -> list[str]:
    """The blocks of the README, in order."""
    parent = new_mm(1)
    blocks: list[str] = []
    address = mmap.mmap(parent, 0, 2 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS)
    blocks.append(f"{parent.vmas[0]}\n" + walk(parent, "parent", address))
    fault.handle(parent, address, PF_USER)
    blocks.append(walk(parent, "parent", address))
    fault.handle(parent, address, PF_USER | PF_WRITE)
    blocks.append(walk(parent, "parent", address))
    child = fork.fork_mm(parent)
    blocks.append(walk(parent, "parent", address) + "\n" + walk(child, "child ", address))
    fault.handle(child, address, PF_USER | PF_WRITE)
    blocks.append(walk(parent, "parent", address) + "\n" + walk(child, "child ", address))
    fault.handle(parent, address, PF_USER | PF_WRITE)
    blocks.append(walk(parent, "parent", address))
    mmap.munmap(parent, address, 4096)
    blocks.append(f"{parent.vmas[0]}\n" + walk(parent, "parent", address))
    return blocks


def test_the_walk_through_shows_real_entries() -> None:
    """Every block of entries in the README is what the code produces now."""
    text = README.read_text()
    for block in walk_through():
        assert block in text


if __name__ == "__main__":
    print("\n\n".join(walk_through()))
