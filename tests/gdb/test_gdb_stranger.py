"""Somebody who knows gdb and nothing else: what it does natively it does here, in the same words."""

import shutil
import subprocess
from pathlib import Path

import pytest
from gdb_lab import compiled, in_order, natively, needs_gdb, plain, session

pytestmark = [needs_gdb, pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")]
SCRIPT = """\
tbreak main
continue
print add(2, 3)
call (int)getpid() > 0
print half(3.0)
print mirror(points[1])
x/s text
find &text, +sizeof(text), "here"
dump binary memory DUMP &text[0] &text[5]
set var text[0] = 'S'
restore DUMP binary &text[5]
x/s text
compare-sections .text
break factorial if n == 2
continue
bt
return 10
next
up
print sum
delete
watch -l go
continue
info threads
thread apply all bt 1
thread 3
print add(20, 3)
bt 2
thread 1
delete
hbreak add
continue
finish
tbreak forked
continue
until
jump 50
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled(tmp_path_factory.mktemp("stranger"), "stranger")


def test_a_long_session_reads_as_it_does_natively(program: Path, tmp_path: Path) -> None:
    """Functions called, also in a thread that waits, memory found, written and compared, frames left, threads."""
    script = SCRIPT.replace("DUMP", str(tmp_path / "dump"))
    here = plain(session(program, script))
    for _late in range(3):  # on a busy host its threads are not always where they are to be
        there = natively(program, script)
        if here == there:
            break
    assert here == there
    in_order(here, "= 5", "{x = 4, y = 3}", "1 pattern found", "matched", "factorial (n=5)", "__lll_lock_wait", "= 23")


def test_a_core_file_of_the_guest_is_one_to_gdb(program: Path, tmp_path: Path) -> None:
    core = tmp_path / "core"
    text = session(program, f"break factorial if n == 3\ncontinue\ngenerate-core-file {core}")
    in_order(text, "Breakpoint 1, factorial (n=3)", "Saved corefile")
    command = ["gdb", "-nx", "-batch", "-ex", "bt", "-ex", "p text", str(program), str(core)]
    looked = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    in_order(looked, "factorial (n=3)", "factorial (n=4)", "main ()", "some text here")
