"""The project of examples/project, as someone who copies it meets it; broken in five ways, it says what and where."""

import shutil
from pathlib import Path

import pytest
from program_lab import compiler_missing

import emu.testing.cases
import emu.testing.emulate
import emu.testing.judge
from emu.testing.loading import warm_up

PROJECT = Path(__file__).parents[2] / "examples" / "project"
MISSING = compiler_missing("gcc") or compiler_missing("make")

pytestmark = pytest.mark.skipif(bool(MISSING), reason=MISSING)
assert emu.testing.cases, emu.testing.emulate
warm_up()


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    shutil.copytree(PROJECT, pytester.path, dirs_exist_ok=True, ignore=shutil.ignore_patterns("build"))
    return pytester


def run(project: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    return project.runpytest_inprocess("-p", "no:xdist", "-p", "no:hypothesispytest", "-q", *arguments)


def test_the_project_passes_as_it_is(project: pytest.Pytester) -> None:
    """The golden traces that come with it, too: whatever C library this host has."""
    run(project).assert_outcomes(passed=22)


@pytest.mark.parametrize(("file", "old", "new", "tests", "message"), [
    ("tests/ring_pipe.c", "= '\\n'", "= '!'", "ring_pipe", [
        "*cases.toml:9: EXPECT stdout ==*", "*- 'onetwo\\n'", "*+ 'onetwo!'",
        "*write(1, *< main at *ring_pipe.c:35: write*",
    ]),
    ("tests/ring_pipe.c", "counted != 40", "counted != 41", "ring_pipe", [
        "*cases.toml:8: EXPECT exit == 0", "*is 13", "it ended with exit status 13*",
    ]),
    ("src/sum.inc", "    xor eax, eax\n", "    xor eax, eax\n    mov [rsp - 8192], al\n", "sum", [
        "*test_sum.asm:7: EXPECT faults.demand_zero == 0", "*is 1",
        "*demand_zero write of [[]stack[]]  < sum+0x2 at *src/sum.inc:4: mov [[]rsp - 8192[]], al",
    ]),
    ("src/ring.c", "    munmap(ring, BYTES);\n", "    (void)ring;\n", "ring_pipe", [
        "*EXPECT leaks == 0", "*is 1", "*4096 bytes at 0x*, mapped by ring_new+0x*at *ring.c:16",
        "-p1 syscall munmap(map0, 4096) = 0  < ring_free",
    ]),
    ("src/ring.c", "    __atomic_add_fetch(&ring->counted, 1, __ATOMIC_RELAXED);\n",
     "    long n = __atomic_load_n(&ring->counted, __ATOMIC_RELAXED);\n"
     "    __atomic_store_n(&ring->counted, n + 1, __ATOMIC_RELAXED);\n", "ring_race", [
        "*EXPECT exit == 0", "*is 13", "the CPU was taken from", "*task * at *ring_count+0x*at *ring.c:4*",
        "*the same again: pytest *cases.toml::ring_race[[]seed*[]]*",
    ]),
], ids=["output", "status", "fault", "leak", "race"])  # fmt: skip
def test_a_broken_project_says_what_changed_and_where(
    project: pytest.Pytester, file: str, old: str, new: str, tests: str, message: list[str]
) -> None:
    """One failing expectation at least for each, and no traceback of ours."""
    path = project.path / file
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))
    result = run(project, "-k", tests)
    assert result.parseoutcomes().get("failed", 0) >= 1
    result.stdout.fnmatch_lines(message)
    assert "Traceback" not in result.stdout.str()
