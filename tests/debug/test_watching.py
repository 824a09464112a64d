"""Watchpoints see every load and store of what they watch: by user code, by the kernel, from any side."""

import pytest
from debug_lab import debugged, run_to_end, source

from emu.debug import AtBeginning, Debugger, EntryChanged, EntryWatch, Watched, Watchpoint
from emu.debug.points import WatchKind
from emu.debug.watching import physical
from mini_kernel.x86 import PTE_A, PTE_D

KERNEL = """.text
_start:
    mov edi, 1
    lea rsi, [rip + text]
    mov edx, 6
    mov eax, SYS_write              # reads 6 bytes of text
    syscall
    lea rdi, [rip + clock]
    mov esi, 0
    mov eax, SYS_getcpu             # stores 0 where 0 is
    lea rdi, [rip + cpu]
    xor edx, edx
    syscall
    lea rdi, [rip + path]
    mov esi, 0
    mov eax, SYS_access             # reads the string
    syscall
    lea rdi, [rip + ends]
    mov eax, SYS_pipe               # stores two descriptors
    syscall
    mov edi, 0
    mov eax, SYS_exit_group
    syscall
.data
text: .ascii "hello\\n"
cpu: .long 0
path: .asciz "/none"
after: .byte 1
clock: .quad 0
ends: .long 9, 9
"""


def watched(d: Debugger, name: str, length: int, kind: WatchKind, **more: object) -> list[Watched]:
    """What a watchpoint tells of a whole run; backwards it must tell the same."""
    point = d.add(Watchpoint(address=d.locate(name), length=length, kind=kind, **more))  # type: ignore[arg-type]
    there = [stop for stop in run_to_end(d) if isinstance(stop, Watched)]
    back: list[Watched] = []
    while not isinstance(stop := d.back_cont(), AtBeginning):
        assert isinstance(stop, Watched)
        back.append(stop)
    assert back[::-1] == there
    run_to_end(d)
    d.points.remove(point.number)
    found = d.last(Watchpoint(address=point.address, length=length, kind=kind, physical=point.physical))
    assert repr(found).partition("point=")[0] == repr(there[-1] if there else None).partition("point=")[0]
    return there


CASES: list[tuple[str, int, WatchKind, list[tuple[str, bytes, bytes]]]] = [
    ("text+5", 1, "read", [("read", b"\n", b"\n")]),
    ("text+5", 1, "access", [("read", b"\n", b"\n")]),
    ("text+5", 1, "write", []),
    ("cpu", 4, "write", [("write", bytes(4), bytes(4))]),
    ("cpu", 4, "access", [("write", bytes(4), bytes(4))]),
    ("cpu", 4, "change", []),
    ("cpu", 4, "read", []),
    ("path+5", 1, "read", [("read", b"\0", b"\0")]),
    ("after", 1, "access", []),
    ("ends", 8, "change", [("write", b"\x09\0\0\0\x09\0\0\0", b"\3\0\0\0\4\0\0\0")]),
]


@pytest.mark.parametrize(("place", "length", "kind", "expected"), CASES)
def test_the_kernel_reads_and_stores(
    place: str, length: int, kind: WatchKind, expected: list[tuple[str, bytes, bytes]]
) -> None:
    """write(2) reads its buffer and no more, a path is read to its end, a store of the same bytes is one, no change."""
    with debugged(source(KERNEL)) as d:
        met = watched(d, place, length, kind)
        assert [(stop.access, stop.old, stop.new) for stop in met] == expected
        assert all(stop.kernel and stop.by == 1 and stop.rip == stop.where + 2 for stop in met)


CROSSING = """.text
_start:
    mov rbx, 0x700000000000
    lea rdi, [rbx]
    mov r15d, 2
map:                                # two neighbours from the end of memory backwards: their frames are none
    mov esi, 4096
    mov edx, 3
    mov r10d, 0x32
    mov r8, -1
    xor r9d, r9d
    mov eax, SYS_mmap
    syscall
    lea rdi, [rbx + 4096]
    dec r15d
    jnz map
    mov byte ptr [rbx + 4096], 1
    mov byte ptr [rbx], 1
    mov qword ptr [rbx + 4092], -1  # bytes 0 to 3 of the second page
    mov rax, [rbx + 4089]           # byte 0
    mov eax, [rbx + 4092]           # none
    mov ecx, [rbx + 4095]           # bytes 0 to 2
    mov edi, 0
    mov eax, SYS_exit_group
    syscall
"""


@pytest.mark.parametrize("by_frame", [False, True])
@pytest.mark.parametrize(("offset", "kinds"), [(0, "write write read read"), (3, "write"), (4, ""), (2, "write read")])
def test_accesses_that_begin_in_another_page(by_frame: bool, offset: int, kinds: str) -> None:
    """What reaches over from the page before is seen, by virtual and by physical address, and what does not is not."""
    address = 0x7000_0000_1000 + offset
    with debugged(source(CROSSING)) as d:
        d.until("map")
        d.step(28)
        mm = d.current.mm if d.current else None
        assert mm is not None
        first, second = physical(mm, 0x7000_0000_0000), physical(mm, 0x7000_0000_1000)
        assert first is not None and second is not None and first != second - 4096
        at = second + offset if by_frame else address
        d.go(0)
        d.add(Watchpoint(address=at, length=1, kind="access", physical=by_frame))
        met = [stop for stop in run_to_end(d) if isinstance(stop, Watched) and not stop.kernel]
        assert [stop.access for stop in met] == kinds.split()


def test_bits_set_by_the_cpu_are_told_one_by_one() -> None:
    """A load sets A and a later store D: going on stops behind each, going back meets the later one first."""
    text = """.text
_start:
    lea rbx, [rip + cell]
    mov byte ptr [rbx], 1
    mov eax, SYS_getpid
    syscall
    nop
    nop
    mov al, [rbx]
    nop
    mov byte ptr [rbx], 3
    nop
    mov edi, 0
    mov eax, SYS_exit_group
    syscall
.data
cell: .quad 0
"""
    with debugged(source(text)) as d:
        d.until(d.locate("_start") + 17)
        slot = d.current.mm.pt.slot(d.locate("cell")) if d.current else 0
        start = d.now
        d.intervene()
        d.kernel.ram.words[slot] &= ~(PTE_A | PTE_D)
        d.kernel.cpu.flush_tlb()
        d.add(EntryWatch(address=d.locate("cell")))
        stops = [d.cont(), d.cont()]
        assert all(isinstance(stop, EntryChanged) for stop in stops)
        last = [stop.new[-1].entry ^ stop.old[-1].entry for stop in stops if isinstance(stop, EntryChanged)]
        assert last == [PTE_A, PTE_D]
        assert [stop.time.instructions - start.instructions for stop in stops] == [3, 5]
        d.cont(limit=start.instructions + 6)
        assert [d.back_cont().time, d.back_cont().time] == [stops[1].time, stops[0].time]


SPLIT = """
_start:
    lea rbx, [rip + area]
    {fault}
    mov dword ptr [rip + cell], 7
    mov eax, SYS_exit_group
    xor edi, edi
    syscall
.balign 4096
.skip 4093
crossing:
    mov eax, [rip + cell]
    ret
.bss
.balign 4096
area: .skip 8192
.data
cell: .quad 0
"""


@pytest.mark.parametrize("fault", ["mov rax, [rbx + 4092]", "mov qword ptr [rbx + 4092], 1", "call crossing"])
def test_nothing_is_missed_behind_a_fault_between_two_pages(fault: str) -> None:
    """A load, a store or an instruction that lies in two pages, of which the second is not there yet."""
    with debugged(source(SPLIT.format(fault=f"mov byte ptr [rbx], 1\n    {fault}"))) as d:
        d.add(Watchpoint(address=d.locate("cell"), length=4))
        stop = d.cont()
        assert isinstance(stop, Watched)
        assert not stop.kernel
        assert stop.new == b"\x07\0\0\0"


HALVES = """
_start:
    mov edi, 0x500000
    mov esi, 65536
    mov edx, PROT_READ | PROT_WRITE
    mov r10d, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED
    mov r8, -1
    xor r9d, r9d
    mov eax, SYS_mmap
    syscall
    mov edi, 0x500000
    {access}
    mov dword ptr [rip + cell], 5
    mov dword ptr [rip + cell], 6
    xor edi, edi
    mov eax, SYS_exit_group
    syscall
.data
cell: .quad 0
"""


@pytest.mark.parametrize(
    "access",
    [
        "mov eax, [rdi + 4094]",
        "mov al, [rdi]\n mov rax, [rdi + 4089]",
        "mov [rdi + 4094], eax",
        "lock add dword ptr [rdi + 4094], 1",
        "movups xmm0, [rdi + 4090]",
    ],
)
def test_every_store_behind_an_access_by_halves_is_seen(access: str) -> None:
    """The engine's memory hooks fall silent there (emu/machine/muted.py)."""
    with debugged(source(HALVES.format(access=access))) as d:
        d.add(Watchpoint(address=d.locate("cell"), length=4))
        values: list[int] = []
        while isinstance(stop := d.cont(), Watched):
            values.append(int.from_bytes(stop.new, "little"))
        assert values == [5, 6]
