"""Which blocks, lines and branches ran: counted exactly, as lcov and drcov, in one run and in all of a session."""

import json
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from program_lab import compiler_missing

from emu.boot import Options, System
from emu.coverage import Collector, Counts, covered, merged, summary, to_drcov, to_lcov
from emu.program import Program, load_program

PROJECT = Path(__file__).parents[2] / "examples" / "project"
SOURCE = """\
_start:
    mov ecx, 5
again:
    inc qword ptr [rip + cell]
    dec ecx
    jnz again
    test ecx, ecx
    jnz never
    call leaf
    mov eax, SYS_exit_group
    xor edi, edi
    syscall
never:
    hlt
leaf:
    ret
.data
cell: .quad 0
"""
#: By line of SOURCE that has code: how often it runs.
LINES = {2: 1, 4: 5, 5: 5, 6: 5, 7: 1, 8: 1, 9: 1, 10: 1, 11: 1, 12: 1, 14: 0, 16: 1}


@pytest.fixture
def program(tmp_path: Path) -> Program:
    path = tmp_path / "prog.asm"
    path.write_text(SOURCE)
    return load_program(str(path))


def counted(program: Program, **options: object) -> Counts:
    with System(program, options=Options(traced=True, **options)) as system:  # type: ignore[arg-type]
        collector = Collector(system)
        system.run()
        return collector.counts


def test_lines_functions_and_branches_are_counted(program: Program) -> None:
    """The store faults in the middle of a block and is begun again: that counts once."""
    (found,) = covered(program, counted(program))
    assert found.file == program.path
    assert found.lines == LINES
    assert [(b.line, b.taken, b.passed) for b in sorted(found.branches)] == [(6, 4, 1), (8, 0, 1)]
    assert found.functions == {"_start": (2, 1), "leaf": (16, 1)}  # `again` and `never` are labels, not functions


@pytest.mark.parametrize("seed", range(4))
def test_preemption_in_the_middle_of_blocks_changes_no_count(program: Program, seed: int) -> None:
    assert covered(program, counted(program, schedule=seed))[0].lines == LINES


def test_what_is_killed_in_a_block_has_not_run_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "prog.asm"
    path.write_text("_start:\n    nop\n    mov rax, [0x1234]\n    nop\n    hlt\n")
    program = load_program(str(path))
    assert covered(program, counted(program))[0].lines == {2: 1, 3: 0, 4: 0, 5: 0}


def test_a_jump_to_a_page_that_must_be_brought_in_is_an_edge(tmp_path: Path) -> None:
    path = tmp_path / "prog.asm"
    path.write_text("_start:\n    xor eax, eax\n    jz away\n    hlt\n.balign 4096\naway:\n    hlt\n")
    program = load_program(str(path))
    assert [(b.taken, b.passed) for b in covered(program, counted(program))[0].branches] == [(1, 0)]


def test_runs_add_up(program: Program) -> None:
    total = counted(program)
    total.add(counted(program))
    assert covered(program, total)[0].lines == {line: 2 * count for line, count in LINES.items()}


def test_lcov_says_it_in_its_words(program: Program) -> None:
    text = to_lcov(covered(program, counted(program)), "a test[1]")
    assert text.startswith(f"TN:a_test_1_\nSF:{program.path}\n")
    for row in ("FN:16,leaf", "FNDA:1,leaf", "BRDA:6,0,0,4", "BRDA:6,0,1,1", "BRDA:8,0,0,0", "BRF:4", "BRH:3",
                "DA:4,5", "DA:14,0", "LF:12", "LH:11"):  # fmt: skip
        assert f"\n{row}\n" in text, row
    assert text.endswith("end_of_record\n")


def test_drcov_names_each_block_of_the_module(program: Program) -> None:
    counts = counted(program)
    data = to_drcov(program.path, program.data, counts)
    head, _, table = data.partition(b" bbs\n")
    lines = head.decode().splitlines()
    assert lines[:4] == [
        "DRCOV VERSION: 2",
        "DRCOV FLAVOR: cr3lab",
        "Module Table: version 2, count 1",
        "Columns: id, base, end, entry, path",
    ]
    base = int(lines[4].split(",")[1], 16)
    blocks = [(base + start, size) for start, size, module in struct.iter_unpack("<IHH", table) if module == 0]
    assert blocks == sorted(counts.blocks)
    assert lines[5] == f"BB Table: {len(blocks)}"


def test_a_summary_has_a_row_for_each_file_and_one_for_all(program: Program) -> None:
    rows = [row.split() for row in summary(covered(program, counted(program)))]
    assert rows[1][1:] == rows[2][1:] == ["11/12", "91%", "2/2", "100%", "3/4", "75%"]


NEVER_RUN = """\
_start:
    mov edi, 0
    call sum
    hlt
sum:
    ret
product:
    test edi, edi
    jz 1f
    dec edi
    loop product
1:  ret
.global product
"""


def test_what_never_ran_counts_too(tmp_path: Path) -> None:
    """Its lines, its functions and both ways of its jumps, of which nothing is known."""
    path = tmp_path / "prog.asm"
    path.write_text(NEVER_RUN)
    program = load_program(str(path))
    (found,) = covered(program, counted(program))
    assert found.functions == {"_start": (2, 1), "sum": (6, 1), "product": (8, 0)}
    assert {line for line, count in found.lines.items() if not count} == {8, 9, 10, 11, 12, 4}
    text = to_lcov([found])
    for row in ("BRDA:9,0,0,-", "BRDA:9,0,1,-", "BRDA:11,0,0,-", "BRDA:11,0,1,-", "BRF:4", "BRH:0", "FNF:3", "FNH:2"):
        assert f"\n{row}\n" in text, row
    assert summary([found])[-1].split()[1:] == ["3/9", "33%", "2/3", "66%", "0/4", "0%"]


def test_a_file_that_two_programs_have_is_one(program: Program, tmp_path: Path) -> None:
    """Counts add up; what one of them never ran is what the other says."""
    (one,) = covered(program, counted(program))
    (none,) = covered(program, Counts())
    assert all(count == 0 for count in none.lines.values())
    assert merged([none, one]) == merged([one, none]) == [one]
    (both,) = merged([one, one])
    assert both.lines == {line: 2 * count for line, count in LINES.items()}
    assert [(b.taken, b.passed) for b in both.branches] == [(8, 2), (0, 2)]


C_SOURCE = """\
#include <stdio.h>
#include <string.h>
int never(int n) {
    if (n > 3 && n < 9)
        return n;
    while (n--)
        puts("never");
    return 0;
}
int sign(int n) {
    if (n < 0)
        return -1;
    return n > 0 ? 1 : 0;
}
int main(int argc, char **argv) {
    int sum = 0;
    for (int i = 0; i < 7; i++) {
        if (i % 3 == 1 || i == 6)
            sum += i;
        else
            sum -= sign(i);
    }
    do
        sum--;
    while (sum > 2);
    if (argc > 5)
        sum += never(argc);
    printf("%d %zu\\n", sum, strlen(argv[0]) > 0);
    return 0;
}
"""


@pytest.mark.skipif(bool(compiler_missing("gcc")), reason=compiler_missing("gcc"))
def test_gcov_says_the_same_of_a_c_program(tmp_path: Path) -> None:
    """The same lines (and the braces at the ends of functions), functions and branches, each as often or not at all."""
    source = tmp_path / "prog.c"
    source.write_text(C_SOURCE)
    for flags in (["--coverage", "-o", "native"], ["-static", "-o", "guest"]):
        subprocess.run(["gcc", "-O0", "-g", *flags, "prog.c"], cwd=tmp_path, check=True)
    subprocess.run([tmp_path / "native"], cwd=tmp_path, check=True, capture_output=True)
    command = ["gcov", "--json-format", "--branch-probabilities", "--stdout", "native-prog.gcda"]
    told = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True).stdout
    (gcov,) = [file for file in json.loads(told)["files"] if file["file"] == "prog.c"]
    program = load_program(str(tmp_path / "guest"))
    (found,) = [file for file in covered(program, counted(program)) if file.file == str(source)]
    told_lines = {line["line_number"]: bool(line["count"]) for line in gcov["lines"]}
    rows = C_SOURCE.splitlines()
    assert {n: bool(count) for n, count in found.lines.items() if n in told_lines or rows[n - 1] != "}"} == told_lines
    assert {name: count for name, (_line, count) in found.functions.items()} == {
        function["name"]: function["execution_count"] for function in gcov["functions"]
    }
    ours: dict[int, list[int]] = {}
    for branch in found.branches:
        ours.setdefault(branch.line, []).extend((branch.taken, branch.passed))
    theirs = {line["line_number"]: [branch["count"] for branch in line["branches"]] for line in gcov["lines"]}
    assert {line: sorted(counts) for line, counts in ours.items()} == {
        line: sorted(counts) for line, counts in theirs.items() if counts
    }


@pytest.mark.skipif(bool(compiler_missing("gcc")), reason=compiler_missing("gcc"))
def test_a_session_writes_what_all_its_workers_covered(tmp_path: Path) -> None:
    """With two workers of pytest-xdist: merged, by test, by program, and a table for the terminal."""
    project, out = tmp_path / "project", tmp_path / "cov"
    shutil.copytree(PROJECT, project, ignore=shutil.ignore_patterns("build"))
    chosen = ["-n", "2", "-p", "no:cacheprovider", "-k", "memory or sum or without", f"--emu-cov={out}"]
    command = [sys.executable, "-m", "pytest", "-q", *chosen]
    ended = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout
    assert "src/sum.inc" in ended.stdout
    assert (out / "lcov.info").read_text().count("SF:") == 4
    assert {path.name for path in out.glob("*.drcov")} == {"ring_pipe.drcov", "test_sum.asm.drcov"}
    assert len(list((out / "tests").glob("*.info"))) == 2
