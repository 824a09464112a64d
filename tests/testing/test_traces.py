"""Traces: names instead of numbers, the same whatever the layout; and the language that says what is recorded."""

import re
from pathlib import Path

import pytest
from program_lab import assemble, compile_c, compiler_missing

import emu.trace
from emu.boot import Options, System
from emu.errors import EmuError
from emu.program import Program, new_assembler
from emu.render.trace import lines, recorder
from emu.trace import KINDS, Filter
from mini_kernel.mm.fault import FAULT_CLASSES

FAMILY = """
_start:
    xor edi, edi
    mov esi, 8192
    mov edx, PROT_READ|PROT_WRITE
    mov r10d, MAP_PRIVATE|MAP_ANONYMOUS
    mov r8, -1
    xor r9d, r9d
    mov eax, SYS_mmap
    syscall
    mov rbx, rax
    mov byte ptr [rbx + 4097], 1
    mov eax, SYS_fork
    syscall
    mov byte ptr [rbx + 4098], 2
    mov byte ptr [rip + cell], 1
    test eax, eax
    jz done
    mov edi, eax
    xor esi, esi
    xor edx, edx
    xor r10d, r10d
    mov eax, SYS_wait4
    syscall
done:
    xor edi, edi
    mov eax, SYS_exit_group
    syscall
.data
cell: .quad 0
"""
TRACE = """\
p1 fault   file fetch of _start  < _start
p1 syscall mmap(NULL, 8192, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = map0  < _start+0x21
p1 fault   demand_zero write of map0+0x1001  < _start+0x26
p1 table   share 3 with a child
p1 fork    odf p2  < _start+0x32
p1 syscall fork() = 2  < _start+0x32
p1 table   break t0 -> t1
p1 frame   copy f0 -> f1 for map0+0x1002
p1 fault   table_break write of map0+0x1002  < _start+0x34
p1 table   break t2 -> t3
p1 frame   copy f2 -> f3 for cell
p1 fault   table_break write of cell  < _start+0x3b
p1 table   reuse t0
p2 fault   table_reuse write of map0+0x1002  < _start+0x34
"""


def program(source: str) -> Program:
    with new_assembler() as assembler:
        return Program("family", "", assemble(source), assembler.assemble(source, "family.asm"))


@pytest.fixture(scope="module")
def family() -> Program:
    return program(FAMILY)


def trace(program: Program, chosen: str = "", **options: object) -> list[str]:
    with System(program, options=Options(memory=64 << 20, **options)) as system:  # type: ignore[arg-type]
        made = recorder(system, chosen)
        system.run()
        return lines(made.events)


def test_a_trace_names_what_it_is_about(family: Program) -> None:
    """Mappings, frames, tables and processes have names in the order in which they are met."""
    found = trace(family, "all", fork="odf")
    assert "\n".join(found).startswith(TRACE.strip())
    assert found[-1] == "p1 exit    exit status 0"


def test_a_trace_is_the_same_when_everything_is_elsewhere(family: Program) -> None:
    """More RAM, other frame numbers, a longer environment and path, time slices of one block: no line changes."""
    usual = trace(family, "all", fork="odf")
    moved = Program("family", "", family.data, family.image)
    with System(
        moved,
        ["some", "arguments"],
        Options(memory=512 << 20, fork="odf", quantum=100_000, environment={"A": "b" * 9000}),
    ) as system:
        for _ in range(50):
            system.kernel.frames.alloc()
        made = recorder(system, "all")
        system.run()
        assert lines(made.events) == usual


def test_code_that_moves_changes_places_by_name_only() -> None:
    """A function put before another: the other's lines stay as they are."""
    body = "_start: call f\n mov eax, SYS_exit_group\n xor edi, edi\n syscall\n{}f: mov byte ptr [rip+cell], 1\n ret\n"
    data = ".data\n{}cell: .quad 0\n"
    plain = program(body.format("") + data.format(""))
    moved = program(body.format("g: .skip 9000, 0x90\n") + data.format("more: .skip 16\n"))
    assert trace(plain, "faults(cow_copy), syscalls") == trace(moved, "faults(cow_copy), syscalls")


C_SOURCE = """
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
static char big[64 << 12];
int main(void)
{
    memset(malloc(300000), 1, 300000);
    memset(malloc(100), 1, 100);
    big[77] = 1;
    if (!fork()) {
        big[50 << 12] = 2;
        _exit(3);
    }
    wait(0);
    char *map = mmap(0, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    map[5000] = 1;
    return munmap(map, 1 << 20);
}
"""


@pytest.mark.skipif(bool(compiler_missing("gcc")), reason=compiler_missing("gcc"))
def test_a_compiled_program_that_is_linked_elsewhere_has_the_same_trace(tmp_path: Path) -> None:
    """Whatever is recorded, its break included; with more RAM and a longer environment, too."""
    source = tmp_path / "prog.c"
    source.write_text(C_SOURCE)
    usual, moved = (
        Program("prog", "", compile_c(source, tmp_path / name, "gcc", "-g", *flags).read_bytes(), None)
        for name, flags in (("usual", ()), ("moved", ("-Wl,-Ttext-segment=0x20000000",)))
    )
    assert usual.data != moved.data
    found = trace(usual, "all")
    assert any(line.startswith("p1 syscall brk([heap]+") for line in found)
    assert trace(moved, "all") == trace(moved, "all", environment={"A": "b" * 70_000}) == found


PAGE = Path(emu.trace.__file__).with_name("README.md").read_text()


def test_the_page_on_traces_says_what_there_is() -> None:
    """Its kinds and names are the filter's, and its examples are filters."""
    page = PAGE.partition("## The filter")[2]
    rows = [row.split("|")[1:-1] for row in page.splitlines() if row.startswith("| `")]
    kinds = {row[0].strip().strip("`"): row[2] for row in rows if len(row) == 3}
    assert set(kinds) == {f"{kind}s" for kind in KINDS} | {"all"}
    assert re.findall(r"`(\w+)`", kinds["faults"]) == list(FAULT_CLASSES)
    examples = [row[0].strip().strip("`") for row in rows if len(row) == 2]
    assert len(examples) == 7
    for example in examples:
        assert Filter(example).kinds()


def test_times_are_left_out() -> None:
    source = """
    _start:
        mov eax, SYS_clock_gettime
        mov edi, CLOCK_MONOTONIC
        lea rsi, [rsp - 64]
        syscall
        hlt
    """
    assert trace(program(source), "syscalls") == [
        "p1 syscall clock_gettime(CLOCK_MONOTONIC, {tv_sec=*, tv_nsec=*}) = 0  < _start+0xf"
    ]


LOOP = """
_start:
    mov ecx, 2
    call add
    hlt
add:
    inc qword ptr [rip + cell]
    dec ecx
    jnz add
    ret
.data
cell: .quad 0
"""
INSTRUCTIONS = """\
p1 insn    add inc qword ptr [cell]
p1 insn    add dec ecx
p1 insn    add jne add
p1 insn    add inc qword ptr [cell]
p1 insn    add dec ecx
p1 insn    add jne add
p1 insn    add ret
"""


def test_instructions_of_a_function_are_recorded_as_they_run() -> None:
    """Once each, also where one faults first; addresses by name."""
    with System(program(LOOP), options=Options(traced=True)) as system:
        made = recorder(system, "insns(a*)")
        system.run()
        made.close()
        found = lines(made.events)
    assert found == INSTRUCTIONS.splitlines()


@pytest.mark.parametrize(("text", "kept"), [
    ("", {"syscall", "fault", "signal", "fork", "exit"}),
    ("all", {"syscall", "fault", "signal", "fork", "exit", "table", "frame", "insn"}),
    ("faults", {"fault"}),
    ("syscalls, forks", {"syscall", "fork"}),
    ("!faults", {"syscall", "signal", "fork", "exit"}),
    ("all, !tables,!frames", {"syscall", "fault", "signal", "fork", "exit", "insn"}),
])  # fmt: skip
def test_a_filter_chooses_kinds(text: str, kept: set[str]) -> None:
    assert {kind for kind in KINDS if Filter(text).wants(kind, "anything")} == kept


def test_a_filter_chooses_names_and_the_last_term_that_fits_decides() -> None:
    chosen = Filter("syscalls, !syscalls(brk, m*), syscalls(mmap), faults(cow_*)")
    wanted = [n for n in ("read", "brk", "munmap", "mmap") if chosen.wants("syscall", n)]
    assert wanted == ["read", "mmap"]
    assert [n for n in ("cow_copy", "file") if chosen.wants("fault", n)] == ["cow_copy"]
    assert Filter("insns(loop, f_*)").functions() == ("loop", "f_*")


@pytest.mark.parametrize(("text", "message"), [
    ("swims", "column 1: swims is none of all, syscalls"),
    ("syscalls, faults(", "column 10: expected KIND"),
    ("syscalls faults", "column 1: expected KIND"),
    ("syscalls, !!faults", "column 10"),
    ("insns", "insns needs the names"),
])  # fmt: skip
def test_a_filter_that_says_nothing_is_refused_with_its_column(text: str, message: str) -> None:
    with pytest.raises(EmuError, match=message):
        Filter(text)
