"""Command lines of busybox sh, bash and zsh: same output, same end, same files as on the host, by both kinds of fork.

The lines are in shell/*.toml, by name; `DIFFERENT` says which of them do not agree, and why.
"""

import functools
import shutil
import tomllib
from pathlib import Path

import pytest
from oracle_lab import FORKS, Bench, File, Left, Link, Tree
from program_lab import NOT_NATIVE

HERE = Path(__file__).parent / "shell"
SHELLS = {"busybox": ("busybox", "sh"), "bash": ("bash",), "zsh": ("zsh", "-f")}  # name -> argv before -c
STATIC = {"busybox": "busybox", "bash": "bash-static", "zsh": "zsh-static"}  # name -> the host's program

STDIN = b"first line of input\nsecond \\line\nthird\n"
TREE: Tree = {
    "fruit": b"apple\nbanana\ncherry\napple\nkiwi\nbanana\napple\n",
    "numbers": b"1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n",
    "people.csv": b"name,age,city\nann,31,Paris\nbob,27,Rome\ncy,45,Paris\n",
    "empty": b"",
    "d/a.txt": b"a line\n",
    "d/.hidden": b"",
    "d/lib.inc": b"greet() {\n\techo hello $1\n}\n",
    "d/run": File(b"#!/proc/self/exe\n", 0o755),
    "d/link": Link("a.txt"),
    "d/dirlink": Link("sub"),
    "d/sub/b.txt": b"another line\n",
    "d/sub/c.txt": b"a third line\nand a fourth\n",
}
#: Lines that do not agree with the host, by shell and name: why.
DIFFERENT: dict[str, str] = {}


def lines() -> list[tuple[str, str, str]]:
    """(shell, name, command line) of all."""
    return [
        (shell, name, line)
        for shell in SHELLS
        for name, line in tomllib.loads((HERE / f"{shell}.toml").read_text()).items()
    ]


LINES = lines()


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    commands: dict[str, Path | str] = {}
    for name, program in STATIC.items():
        found = shutil.which(program)
        if found:
            commands[name] = Path(found)
    for applet in APPLETS:
        commands.setdefault(applet, "busybox")
    return Bench(tmp_path_factory.mktemp("shell"), commands, TREE)


#: What bash and zsh find on their PATH; busybox sh has its applets built in.
APPLETS = (
    "sh", "cat", "gzip", "gunzip", "sort", "uniq", "head", "tail", "wc", "tr", "sed", "grep", "sleep",
    "bc", "tee", "ls", "diff", "basename", "cut", "touch", "mkdir", "rm", "env", "seq", "cmp", "true",
)  # fmt: skip


@functools.cache
def _expected(bench: Bench, argv: tuple[str, ...]) -> Left:
    return bench.natively(argv, stdin=STDIN)


@pytest.mark.skipif(bool(NOT_NATIVE), reason=NOT_NATIVE)
@pytest.mark.parametrize("fork", FORKS)
@pytest.mark.parametrize(("shell", "name", "line"), LINES, ids=[f"{shell}-{name}" for shell, name, _line in LINES])
def test_command_line_does_what_it_does_on_the_host(bench: Bench, shell: str, name: str, line: str, fork: str) -> None:
    if not (bench.bin / shell).exists():
        pytest.skip(f"{STATIC[shell]} is not installed")
    argv = (*SHELLS[shell], "-c", line)
    expected = _expected(bench, argv)
    found = bench.in_lab(argv, stdin=STDIN, fork=fork)
    if f"{shell}-{name}" in DIFFERENT:
        assert str(found) != str(expected), "it agrees now"
    else:
        assert str(found) == str(expected), "the lab (left) against the host (right)"


def test_the_lines_are_many_and_none_is_excused_that_is_not_there() -> None:
    assert sum(shell != "zsh" for shell, _name, _line in LINES) >= 80
    assert set(DIFFERENT) <= {f"{shell}-{name}" for shell, name, _line in LINES}
