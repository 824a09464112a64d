"""The pytest plugin as its users meet it: pytest is run on small projects."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from test_steering import RACE as COUNTERS

import emu.testing.cases
import emu.testing.emulate
import emu.testing.judge
from emu.testing.loading import warm_up

#: pytester forgets modules that a run imports: what is imported before is imported, and started, once for all.
assert emu.testing.cases, emu.testing.emulate
warm_up()

PASSES = r"""
# EXPECT exit == 7
# EXPECT rdi == 7
# EXPECT stdout == "hi\n"
# EXPECT stdout matches "^h.\n$"
# EXPECT stdout contains "i"
# EXPECT stderr == ""
# EXPECT syscalls.write == 1
# EXPECT faults.cow_copy == 1
# EXPECT faults.demand_zero <= 2
# EXPECT memory[counter] == 3
# EXPECT memory[counter + 1, 1] == 0
# EXPECT memory[text] == "hi"
# EXPECT leaks == 0
_start:
    mov eax, SYS_write
    mov edi, 1
    lea rsi, [rip+text]
    mov edx, 3
    syscall
    mov qword ptr [rip+counter], 3
    mov edi, 7
    mov eax, SYS_exit_group
    syscall
.data
counter: .quad 0
text: .ascii "hi\n"
"""
RACE = "# EXPECT exit == 100\n# RUN seeds 0 1 6" + COUNTERS
TRAP = "# EXPECT rax == 7\n# EXPECT signal == SIGTRAP\n_start: mov eax, 7\n int3\n"
FAULT = "# EXPECT signal == SIGSEGV\n# EXPECT si_code == SEGV_MAPERR\n_start: mov rax, [0x1234]\n"
LEAK = """
# EXPECT leaks == 0
_start:
    xor edi, edi
    mov esi, 8192
    mov edx, PROT_READ|PROT_WRITE
    mov r10d, MAP_PRIVATE|MAP_ANONYMOUS
    mov r8, -1
    xor r9d, r9d
    mov eax, SYS_mmap
    syscall
    xor edi, edi
    mov eax, SYS_exit_group
    syscall
"""
CHILDREN = """
# EXPECT exit == 0
# RUN fork classic odf sfork
_start:
    mov esi, CHILD_WRITE|PARENT_WRITE
    mov edi, 4096
    lea rdx, [rip+region]
    mov eax, FORK_CALL
    syscall
    test rax, rax
    js failed
    xor edi, edi
failed:
    mov eax, SYS_exit_group
    syscall
.data
region: .quad 0
"""
PYTHON = """
import pytest

def test_results(emulate):
    result = emulate("test_passes.asm")
    assert (result.status, result.stdout) == (7, b"hi\\n")

def test_kinds(emulate, fork_kind):
    assert emulate("test_children.asm").status == 0

def test_booted(machine):
    system = machine("test_passes.asm", memory=64 << 20)
    assert system.run().status == 7

def test_golden(emulate):
    emulate("test_passes.asm").golden("write", "syscalls(write)")

def test_fault(emulate):
    assert emulate("test_fault.asm").status == 0
"""


def run(pytester: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    return pytester.runpytest_inprocess(
        "-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:hypothesispytest", *arguments
    )


def write(pytester: pytest.Pytester, **files: str) -> None:
    for name, text in files.items():
        (pytester.path / f"test_{name}.asm").write_text(text)


def test_sources_are_tests_and_pass(pytester: pytest.Pytester) -> None:
    """Every kind of line once; sources that are not called test_* are left alone."""
    write(pytester, passes=PASSES, trap=TRAP, fault=FAULT, children=CHILDREN)
    (pytester.path / "other.asm").write_text("# EXPECT exit = 7")
    (pytester.path / "test_other.s").write_text(".text\nno test of ours: no line says what is expected\n")
    (pytester.path / "cases.toml").write_text("[settings]\nwhose = 'somebody else'\n")
    run(pytester).assert_outcomes(passed=6)


@pytest.mark.parametrize(("old", "new", "message"), [
    ("exit == 7", "exit == 8", ["*test_x.asm:2: EXPECT exit == 8", "*is 7"]),
    ("rdi == 7", "rdi < 7", ["*EXPECT rdi < 7", "*is 7"]),
    (r'== "hi\n"', r'== "ho\n"', ["*- 'ho\\n'", "*+ 'hi\\n'", "*write(1, *test_x.asm:20: syscall"]),
    ("contains", "matches", []),
    ('contains "i"', 'contains "j"', ['*EXPECT stdout contains "j"']),
    ("write == 1", "write == 2", ["*is 1", "*p1 syscall write(*"]),
    ("cow_copy == 1", "cow_copy == 0", ["*is 1", "*cow_copy write of counter*test_x.asm:21: mov qword ptr*"]),
    ("demand_zero <= 2", "demand_zero >= 2", ["*is 0"]),
    ("[counter] == 3", "[counter] == 4", ["*is 3"]),
    ("[counter] == 3", "[nothing] == 3", ["*is not there"]),
    ('[text] == "hi"', '[text] == "ha"', ["*- 'ha'", "*+ 'hi'"]),
])  # fmt: skip
def test_each_expectation_can_fail_and_says_what_is_different(
    pytester: pytest.Pytester, old: str, new: str, message: list[str]
) -> None:
    """No traceback: what was expected, what was found, and the instructions behind it."""
    assert PASSES.count(old) >= 1
    write(pytester, x=PASSES.replace(old, new, 1))
    result = run(pytester)
    result.assert_outcomes(failed=bool(message), passed=not message)
    result.stdout.fnmatch_lines(message)
    assert "Traceback" not in result.stdout.str()
    assert "emu/testing" not in result.stdout.str()


def test_an_unexpected_fault_is_reported_with_walk_and_source(pytester: pytest.Pytester) -> None:
    write(pytester, x=FAULT.replace("signal == SIGSEGV", "exit == 0"))
    result = run(pytester)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([
        "*it did not exit: killed by SIGSEGV, si_code 1*",
        "process 1 (test_x.asm) was killed: SIGSEGV (SEGV_MAPERR) at 0x1234",
        "*source*test_x.asm:3: _start: mov rax, [[]0x1234[]]",
        "*walk*",
    ])  # fmt: skip


def test_a_leak_names_who_mapped_it(pytester: pytest.Pytester) -> None:
    write(pytester, x=LEAK)
    result = run(pytester)
    result.stdout.fnmatch_lines(["*is 1", "*8192 bytes at 0x*mapped by _start+0x21 at test_x.asm:11"])


def test_a_race_fails_under_some_schedule_and_its_seed_fails_again(pytester: pytest.Pytester) -> None:
    """Both ways to ask for interleavings, and the two ways to have the failing one again."""
    write(pytester, x=RACE)
    first = run(pytester)
    first.assert_outcomes(failed=1, passed=2)
    first.stdout.fnmatch_lines(["*is 89*", "the CPU was taken from", "*task * at again+*", "*pytest*run[[]seed1[]]*"])
    run(pytester, "test_x.asm::run[seed1]").assert_outcomes(failed=1)
    write(pytester, x=RACE.replace("# RUN seeds 0 1 6", ""))
    run(pytester).assert_outcomes(passed=1)
    found = run(pytester, "--schedules", "6")
    found.assert_outcomes(failed=5, passed=1)
    found.stdout.fnmatch_lines(["*pytest --emu-seed 4 *"])
    run(pytester, "--emu-seed", "4").assert_outcomes(failed=1)


def test_a_seed_that_fails_comes_with_the_command_that_debugs_it(pytester: pytest.Pytester) -> None:
    """What it prints, typed into a shell, is the same run: input, arguments, memory and schedule are there."""
    more = '# RUN seeds 1\n# RUN args "a b" c\n# RUN stdin "x\\n"\n# RUN env K=v\n# RUN mem 64M\n'
    write(pytester, x=RACE.replace("# RUN seeds 0 1 6", more))
    found = run(pytester)
    found.stdout.fnmatch_lines(["*is 89*"])
    line = next(line for line in found.outlines if line.startswith("step by step"))
    command = line.partition("back: ")[2].replace("emu debug", "emu debug --batch -ex run", 1)
    assert "--mem 64M --schedule 1" in command
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    ended = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, check=False, env={**os.environ, "PATH": path}
    )
    assert ended.stdout == "the program has ended: exit status 89\n", ended.stderr


@pytest.mark.parametrize(("more", "said"), [("", True), ("# RUN fail mmap ENOMEM 9", False), ("# FORK_CALL", False)])
def test_what_no_command_line_can_say_is_not_said(pytester: pytest.Pytester, more: str, said: bool) -> None:
    write(pytester, x=RACE.replace("# RUN seeds 0 1 6", f"# RUN seeds 1\n{more}\n"))
    assert ("step by step" in run(pytester).stdout.str()) is said


CASE = '[[case]]\nname = "a"\nprogram = "p"\n'


@pytest.mark.parametrize(("files", "message"), [
    ({"test_x.asm": "# EXPECT exit = 7\nnop"}, "test_x.asm:1:15: error: expected an operator*"),
    ({"test_x.asm": "# EXPECT: exit == 7\nnop"}, "test_x.asm:1:3: error: write EXPECT or RUN, without a colon"),
    ({"test_x.asm": "; Expect exit == 7\nnop"}, "test_x.asm:1:3: error: write EXPECT"),
    ({"test_x.asm": '# EXPECT golden "../x"\nnop'}, "test_x.asm:1:17: error: a trace's name has*"),
    ({"cases.toml": CASE + 'expect = ["exit = 1"]'}, "cases.toml:4:17: error: *"),
    ({"cases.toml": CASE + CASE.replace('"a"', '"b"') + "expects = []"}, "cases.toml:7: error: a case has no expects*"),
    ({"cases.toml": CASE + 'run = "check"'}, "cases.toml:4: error: run is a list of strings"),
    ({"cases.toml": CASE + CASE}, "cases.toml:5: error: two cases are called a"),
    ({"cases.toml": "[[case]]\nname = 3"}, "cases.toml:2: error: a case needs a name, a string"),
    ({"cases.toml": CASE + "[other]"}, "cases.toml: error: only [[][[]case[]][]]*"),
    ({"cases.toml": "[case]\n"}, "cases.toml: error: write [[][[]case[]][]]*"),
    ({"cases.toml": "[[case]\n"}, "cases.toml:1:7: error: *"),
    ({"cases.toml": CASE + r'expect = ["golden \"x\" \"calls\""]'}, "cases.toml:4:12: error: trace filter*"),
])  # fmt: skip
def test_a_malformed_line_is_a_collection_error(pytester: pytest.Pytester, files: dict[str, str], message: str) -> None:
    for name, text in files.items():
        (pytester.path / name).write_text(text)
    result = run(pytester)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([message])


def test_a_source_that_does_not_assemble_fails_with_its_line(pytester: pytest.Pytester) -> None:
    write(pytester, x="# EXPECT exit == 0\n mov rax, nowhere\n")
    result = run(pytester)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*test_x.asm:2:*error: *nowhere*"])


def test_a_program_that_is_not_there_fails_with_the_line_that_names_it(pytester: pytest.Pytester) -> None:
    (pytester.path / "cases.toml").write_text(CASE)
    result = run(pytester)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["cases.toml:3: error: *p: cannot be read: No such file or directory"])


def test_a_mistake_ends_the_traceback_at_the_test_that_made_it(pytester: pytest.Pytester) -> None:
    """Nothing of the laboratory's own code is shown."""
    write(pytester, x=PASSES)
    pytester.makepyfile(
        test_python="""
        def test_absent(emulate):
            emulate("nothing.asm")

        def test_golden(emulate):
            emulate("test_x.asm").golden("calls")

        def test_option(emulate):
            emulate("test_x.asm", memry=3)
        """
    )
    result = run(pytester, "test_python.py")
    result.assert_outcomes(failed=3)
    result.stdout.fnmatch_lines([
        ">   *emulate(*nothing.asm*", "E * nothing.asm: error: cannot be read: *", "*test_python.py:2:*",
        ">   *golden(*",        "E *there is no golden trace golden/test_python.calls.trace*", "*test_python.py:5:*",
        "E *there is no option memry; *", "*test_python.py:8:*",
    ])  # fmt: skip
    assert "emulate.py" not in result.stdout.str()
    assert "program.py" not in result.stdout.str()


def test_what_the_host_refuses_is_one_line(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that cannot be read, a golden trace and a report that cannot be written."""
    write(pytester, x='# EXPECT golden "calls" "syscalls"\n' + PASSES)
    for name in ("golden", "cov"):
        (pytester.path / name).write_text("a file where a directory should be")
    result = run(pytester, "--emu-update", "--emu-cov", "cov")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["golden/test_x.calls.trace: error: *cannot be written: *", "error: *cov* cannot be written*"]
    )
    original = Path.read_bytes

    def read(path: Path) -> bytes:
        if path.name == "test_x.asm":
            raise PermissionError(errno.EACCES, "Permission denied")
        return original(path)

    monkeypatch.setattr(Path, "read_bytes", read)
    result = run(pytester)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["test_x.asm: error: cannot be read: Permission denied"])


def test_ids_are_shown_as_they_can_be_given(pytester: pytest.Pytester) -> None:
    write(pytester, x=PASSES)
    run(pytester, "-v").stdout.fnmatch_lines(["test_x.asm::run PASSED*"])
    run(pytester, "test_x.asm::run").assert_outcomes(passed=1)


def test_golden_traces_are_kept_compared_and_shown_as_a_diff(pytester: pytest.Pytester) -> None:
    """Absent, kept, the same, and changed by one system call."""
    write(pytester, x='# EXPECT golden "calls" "syscalls"\n' + PASSES)
    absent = run(pytester)
    absent.assert_outcomes(failed=1)
    absent.stdout.fnmatch_lines(["there is no golden trace golden/test_x.calls.trace: make it with --emu-update"])
    run(pytester, "--emu-update").assert_outcomes(passed=1)
    kept = (pytester.path / "golden" / "test_x.calls.trace").read_text()
    assert kept.splitlines()[:2] == ["# syscalls", 'p1 syscall write(1, "hi\\n", 3) = 3  < _start+0x16']
    run(pytester).assert_outcomes(passed=1)
    write(pytester, x='# EXPECT golden "calls" "syscalls"\n' + PASSES.replace("mov edx, 3", "mov edx, 2"))
    changed = run(pytester)
    changed.assert_outcomes(failed=1)
    changed.stdout.fnmatch_lines(['-p1 syscall write(1, "hi\\n", 3) = 3  < _start+0x16', '+p1 syscall write(1, "hi"*'])


def test_golden_traces_are_compared_where_the_test_decides_what_is_in_them(pytester: pytest.Pytester) -> None:
    """Not under interleavings and kinds of fork that the command line chooses, but whatever RAM it gives."""
    golden = '# EXPECT golden "calls" "syscalls, forks"\n'
    write(pytester, x=golden + PASSES, y=golden + CHILDREN)
    pytester.makepyfile(
        test_python="""
        def test_kinds(emulate, fork_kind):
            emulate("test_y.asm").golden("made", "forks")
        """
    )
    run(pytester, "--emu-update").assert_outcomes(passed=7)
    assert {path.name for path in (pytester.path / "golden").iterdir()} == {
        "test_x.calls.trace",
        *(
            f"{name}.{kind}.trace"
            for name in ("test_y.calls", "test_python.made")
            for kind in ("classic", "odf", "sfork")
        ),
    }
    run(pytester).assert_outcomes(passed=7)
    run(pytester, "--emu-mem", "64M,1G").assert_outcomes(passed=14)
    run(pytester, "--schedules", "2").assert_outcomes(passed=14)
    run(pytester, "test_x.asm", "--emu-fork", "odf").assert_outcomes(passed=1)
    write(pytester, x=golden + PASSES.replace("mov edx, 3", "mov edx, 2").replace(r'"hi\n"', '"hi"', 1))
    run(pytester, "test_x.asm", "--emu-mem", "64M").assert_outcomes(failed=1)


def test_fixtures_run_boot_and_follow_the_kind_of_fork(pytester: pytest.Pytester) -> None:
    write(pytester, passes=PASSES, fault=FAULT, children=CHILDREN)
    pytester.makepyfile(test_python=PYTHON)
    result = run(pytester, "test_python.py", "--emu-update")
    result.assert_outcomes(passed=6, failed=1)
    result.stdout.fnmatch_lines(["*test_fault.asm: fault report*", "process 1 (test_fault.asm) was killed: SIGSEGV*"])
    assert (pytester.path / "golden" / "test_python.write.trace").exists()
    run(pytester, "test_python.py", "-k", "golden or results", "--schedules", "2").assert_outcomes(passed=4)


def test_a_test_under_sfork_must_make_a_child_by_it(pytester: pytest.Pytester) -> None:
    """Asked for by a line it fails, by the command line or a fixture it is skipped; a failure stays one."""
    write(pytester, asked=PASSES + "# RUN fork sfork", unasked=PASSES, follows=CHILDREN.replace("# RUN fork", "#"))
    write(pytester, fails=PASSES.replace("exit == 7", "exit == 8"))
    result = run(pytester, "--emu-fork", "sfork", "-rs")
    result.assert_outcomes(passed=1, skipped=1, failed=2)
    result.stdout.fnmatch_lines(
        ["*test_asked.asm:28: RUN fork sfork", "*no child was made by sfork*", "SKIPPED*FORK_CALL"]
    )
    pytester.makepyfile(
        test_python="""
        def test_kinds(emulate, fork_kind):
            assert emulate("test_unasked.asm").status == 7

        def test_helped(emulate, fork_kind):
            assert emulate("test_unasked.asm").status == 7
            assert emulate("test_follows.asm").status == 0

        def test_wrong(emulate, fork_kind):
            assert emulate("test_unasked.asm").status == 8
        """
    )
    result = run(pytester, "test_python.py", "-rs")
    result.assert_outcomes(passed=5, skipped=1, failed=3)
    result.stdout.fnmatch_lines(["SKIPPED*test_python.py:1: *test_unasked.asm: no child was made by sfork*"])


@pytest.mark.parametrize("name", ["first.asm", "first.nasm"])
def test_fork_call_is_known_from_the_first_line_on(pytester: pytest.Pytester, name: str) -> None:
    """In every dialect."""
    (pytester.path / f"test_{name}").write_text("_start: mov eax, FORK_CALL\n int3\n# EXPECT rax == 2000\n".replace(
        "#", ";" if name.endswith("nasm") else "#"
    ))  # fmt: skip
    run(pytester, "--emu-fork", "odf").assert_outcomes(passed=1)


def test_the_command_line_chooses_for_tests_that_do_not_say(pytester: pytest.Pytester) -> None:
    write(pytester, x=PASSES)
    result = run(pytester, "--emu-fork", "classic,odf", "--emu-mem", "64M,1G", "-v")
    result.assert_outcomes(passed=4)
    result.stdout.fnmatch_lines(["*run[[]odf-64M[]]*"])
    assert run(pytester, "--emu-fork", "spoon").ret == pytest.ExitCode.USAGE_ERROR


def test_without_the_plugin_nothing_is_collected(pytester: pytest.Pytester) -> None:
    write(pytester, x="# EXPECT exit = 7")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:emu", "-p", "no:cacheprovider", str(pytester.path)]
    assert subprocess.run(command, capture_output=True, check=False).returncode == pytest.ExitCode.NO_TESTS_COLLECTED


def test_the_plugin_imports_nothing_of_the_laboratory() -> None:
    """A suite without guest programs pays for a module of a few functions."""
    code = "import sys, emu.pytest_plugin; sys.exit(str([m for m in sys.modules if m.startswith(('emu.', 'numpy'))]))"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.stderr.strip() == "['emu.pytest_plugin']"
