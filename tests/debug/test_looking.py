"""What there is to see and to change at a stop: expressions, traces, pokes, who maps what, why an access faults."""

import pytest
from debug_lab import debugged, example, fingerprint, run_to_end, source

from emu.debug import BeforeFault, Catchpoint, DebugError, EntryChanged, EntryWatch, Watched, Watchpoint
from emu.debug.events import Faulted, FrameCopied, SyscallEntered, TableBroken
from emu.debug.expression import Expression
from emu.debug.frames import backtrace
from emu.debug.paging import differences, picture, sharing, who_maps
from emu.debug.state import areas, code, read, registers, set_register, stack, tasks, write
from emu.debug.steps import steps
from emu.debug.why import why
from emu.render.debug import (
    area_lines,
    backtrace_lines,
    code_lines,
    difference_lines,
    event_line,
    frame_lines,
    point_lines,
    register_lines,
    sharing_lines,
    stack_lines,
    step_lines,
    stop_lines,
    task_lines,
    tree_lines,
    why_lines,
)
from mini_kernel.x86 import PAGE_SHIFT, PTE_ADDR, PTE_D, RAX, RIP

REGION = 1 << 40  # what odf_first_write.asm maps

CALLS = """
.text
_start:
    xor eax, eax
    call outer
    mov edi, eax
    mov eax, SYS_exit_group
    syscall
outer:
    push rbp
    mov rbp, rsp
    call inner
    pop rbp
    ret
inner:
    push rbp
    mov rbp, rsp
    inc qword ptr [rip + count]
    mov rax, [rip + count]
    pop rbp
    ret
.data
count: .quad 41
"""


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1 + 2 * 3", 7), ("(1 + 2) * 3", 9), ("1 << 4 | 3", 19), ("-1", (1 << 64) - 1), ("7 % 4 == 3 && !0", 1),
        ("1 || 1 / 0", 1), ("0 && 1 / 0", 0), ("$rip == _start", 1), ("$eax", 0), ("[count] + 1", 42),
        ("byte [count]", 41), ("0x10 / 3", 5), ("~0 >> 60", 15), ("count - count", 0), ("$pc", None),
    ],
)  # fmt: skip
def test_expression(text: str, value: int | None) -> None:
    """Numbers, registers, symbols, memory and C's precedence."""
    with debugged(source(CALLS)) as d:
        assert Expression(text)(d) == (d.machine.regs[RIP] if value is None else value)


@pytest.mark.parametrize("text", ["", "1 +", "(1", "[1", "1 2", "#", "1 / 0", "$nothing", "nothing", "[8]", "+"])
def test_expression_that_is_none(text: str) -> None:
    """One line that says what is wrong, when it is read or when it is worked out."""
    with debugged(source(CALLS)) as d, pytest.raises(DebugError):
        Expression(text)(d)


def test_condition_decides_at_the_breakpoint() -> None:
    """A breakpoint stops only where its condition holds; hits of others are not counted."""
    with debugged(example("fork_cow.asm")) as d:
        point = d.break_at("print", condition=Expression("$rsi == parent_line").condition)
        stops = run_to_end(d)
        assert len(stops) == 2 and point.hits == 1
        assert stops[0].tgid == 1


def test_stepping_over_and_out_of_calls() -> None:
    """`next` runs a call as one, `finish` comes back behind it, and the way back is the same backwards."""
    with debugged(source(CALLS)) as d:
        d.step()
        before = fingerprint(d)
        assert d.next().rip == d.locate("_start") + 7
        assert d.machine.regs[RAX] == 42
        d.back_over()
        assert fingerprint(d) == before
        d.until("inner")
        assert [frame.name for frame in backtrace(d).frames] == ["inner", "outer+0x9", "_start+0x7"]
        here = fingerprint(d)
        assert d.finish().rip == d.locate("outer") + 9
        d.go(here[0])
        assert d.back_out().rip == d.locate("outer") + 4


def test_trace_is_every_instruction() -> None:
    """Steps at once are the single steps, with the same registers, and a line each; with both tasks after a fork."""
    with debugged(example("fork_cow.asm"), quantum=3) as d:
        single: list[tuple[int, ...]] = []
        while d.current is not None:
            single.append((d.current.tid, *registers(d).general))
            d.cont(limit=d.now.instructions + 1)
        d.go(0)
        found = steps(d, 1000)
        assert not found.complete
        rows = [(tid, *row[:17]) for tid, row in zip(found.tids.tolist(), found.rows.tolist(), strict=True)]
        assert len(rows) == found.stop.time.instructions and {row[0] for row in rows} == {1, 2}
        assert [(row[0], row[17]) for row in rows] == [(state[0], state[17]) for state in single]
        d.go(0)
        lines = list(step_lines(d, steps(d, 10)))
        assert len(lines) == 10 and lines[0].startswith("0 pid 1 0x401000 <_start> lea rbx")


def test_a_poke_reaches_one_process_only() -> None:
    """Writing into a page that processes share, by table and by frame: the other one sees nothing; invariants hold."""
    with debugged(example("odf_first_write.asm")) as d:
        d.step_fork()
        write(d, REGION, b"poked", 2)
        write(d, 0x401000, b"\x90", 2)  # read-only code
        d.kernel.check()
        assert read(d, REGION, 5, 2) == b"poked" and read(d, REGION, 1, 1) == b"P"
        assert read(d, 0x401000, 1, 2) == b"\x90" != read(d, 0x401000, 1, 1)
        assert d.kernel.tasks[2].mm.pt.walk(0x401000)[-1].entry & 2 == 0
        set_register(d, "rax", 7, 2)
        assert registers(d, 2).general[RAX] == 7
        with pytest.raises(DebugError):
            write(d, 0x10, b"x")
        run_to_end(d)
        assert b"the parent has: P" in d.system.stdout


CROSSING = """
.text
_start:
    lea rbx, [rip + page]
    mov byte ptr [rbx], 1
    mov byte ptr [rbx + 4096], 1
    mov rax, 0x1122334455667788
    mov [rbx + 4092], rax
    mov [rbx + 4088], rax
    lea rdi, [rbx + 4090]
    mov rsi, rbx
    mov ecx, 3
    rep movsd
    mov eax, SYS_exit_group
    syscall
.data
.balign 4096
page: .zero 8192
"""


def test_watchpoint_sees_an_access_that_begins_in_the_page_before() -> None:
    """A store over the end of a page changes a watched byte of the next; one that ends before it does not."""
    with debugged(source(CROSSING)) as d:
        d.add(Watchpoint(address=d.locate("page") + 4096, length=1))
        stops = [s for s in run_to_end(d) if isinstance(s, Watched)]
        lines = [line.line for s in stops if (line := d.symbols().line(s.where))]
        assert lines == [6, 8, 13] and [s.new for s in stops] == [b"\x01", b"\x44", b"\0"]


DIRTY = """
.text
_start:
    xor edi, edi
    mov esi, 4096
    mov edx, 3
    mov r10d, MAP_SHARED|MAP_ANONYMOUS
    mov r8, -1
    xor r9d, r9d
    mov eax, SYS_mmap
    syscall
    mov rbx, rax
    mov al, [rbx]
    mov ecx, 1000
spin:
    loop spin
store:
    mov byte ptr [rbx], 1
    mov ecx, 1000
more:
    loop more
    mov eax, SYS_exit_group
    syscall
"""


def test_the_instruction_that_made_the_cpu_set_a_bit() -> None:
    """D of a shared page comes with a store, without any fault: the watch on its entry stops behind that store."""
    with debugged(source(DIRTY)) as d:
        d.until("spin")
        d.add(EntryWatch(address=registers(d).named()["rbx"]))
        stop = d.cont()
        assert isinstance(stop, EntryChanged) and not stop.kernel
        assert stop.rip == d.locate("store") + 3
        assert stop.new[-1].entry == stop.old[-1].entry | PTE_D


def test_changed_by_hand_is_another_future() -> None:
    """What is poked at a moment of the past holds from there on, and going back before it undoes it."""
    with debugged(source(CALLS)) as d:
        run_to_end(d)
        assert d.kernel.exit_status == 42 << 8
        d.go(3)
        write(d, d.locate("count"), (9).to_bytes(8, "little"))
        run_to_end(d)
        assert d.kernel.exit_status == 10 << 8
        d.go(2)
        assert read(d, d.locate("count"), 1) == b"\x29"
        run_to_end(d)
        assert d.kernel.exit_status == 10 << 8


def test_why_a_write_after_on_demand_fork_faults() -> None:
    """The walk, who shares, and the kernel's decision; what was foreseen is what happens."""
    with debugged(example("odf_first_write.asm")) as d:
        d.step_fork()
        point = d.add(Catchpoint(kind=Faulted, only=frozenset(("table_break",)), before=True))
        stop = d.cont()
        assert isinstance(stop, BeforeFault) and stop.point is point
        found = why(d)
        text = "\n".join(why_lines(found, d.symbols()))
        assert "the PMD entry does not allow writing" in text and "also in process 1, owned by process 1" in text
        assert "its own copy of the PTE table" in text and "rbx=0x10000000000" in text
        assert found.decision is not None and (found.decision.fault_class, found.decision.page) == (
            "table_break",
            "cow_copy",
        )
        before = picture(d.kernel.tasks[2].mm)
        point.enabled = False
        caught = d.step_event(FrameCopied)
        assert [type(e) for e in d.log.at(caught.time)][:2] == [TableBroken, FrameCopied]
        changes = differences(before, picture(d.kernel.tasks[2].mm))
        assert {c.level for c in changes} == {2, 3} and len(changes) == 513
        pfn = (d.kernel.tasks[2].mm.pt.walk(REGION)[-1].entry & PTE_ADDR) >> PAGE_SHIFT
        assert [m.tgid for m in who_maps(d.kernel, pfn).mappings] == [2]
        assert {s.tgid: s.shared_tables for s in sharing(d.kernel)} == {1: 2, 2: 2}


def test_everything_can_be_shown() -> None:
    """Each renderer gives lines, at stops of every kind, without an error."""
    with debugged(example("odf_first_write.asm")) as d:
        d.add(Watchpoint(address=REGION, length=1, kind="access"))
        d.add(Catchpoint(kind=SyscallEntered, before=True))
        d.add(Catchpoint(kind=FrameCopied))
        d.break_at("child")
        for stop in run_to_end(d):
            assert stop_lines(stop, d.symbols())
        d.go(30)
        shown = [
            register_lines(registers(d)), stack_lines(stack(d)), code_lines(code(d)), area_lines(areas(d)),
            task_lines(tasks(d)), backtrace_lines(backtrace(d)), point_lines(d.points),
            sharing_lines(sharing(d.kernel)), tree_lines(picture(d.kernel.tasks[1].mm)),
            frame_lines(who_maps(d.kernel, d.kernel.tasks[1].mm.pt.pgd)),
            [event_line(event) for event in d.log[:]], difference_lines([]),
        ]  # fmt: skip
        assert all(shown)
