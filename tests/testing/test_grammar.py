"""EXPECT and RUN lines mean what they say, and what they cannot mean is an error with its place."""

from pathlib import Path

import pytest

from emu.errors import EmuError
from emu.testing import parse_source, variants
from emu.testing.cases import parse_cases
from mini_kernel.uapi.errno import EINTR, ENOMEM
from mini_kernel.uapi.signal import SIGSEGV


def plan_of(directory: Path, *lines: str):
    path = directory / "test_x.asm"
    path.write_text("\n".join([*lines, "nop"]))
    return parse_source(path)


@pytest.mark.parametrize(("line", "parsed"), [
    ("# EXPECT exit == 7", ("exit", "==", 7)),
    ("; EXPECT signal == SIGSEGV", ("signal", "==", SIGSEGV)),
    ("// EXPECT rax != -1", ("rax", "!=", -1)),
    ("  #EXPECT r15 >= 0x10", ("r15", ">=", 16)),
    (r'# EXPECT stdout == "a\n\x41\"\\"', ("stdout", "==", b'a\nA"\\')),
    ('# EXPECT stdout == "ä"', ("stdout", "==", "ä".encode())),
    (r'# EXPECT stderr matches "^\d+$"', ("stderr", "matches", rb"^\d+$")),
    ('# EXPECT stdout contains "x"', ("stdout", "contains", b"x")),
    ("# EXPECT faults.cow_copy <= 3", ("faults.cow_copy", "<=", 3)),
    ("# EXPECT syscalls.mmap < 2", ("syscalls.mmap", "<", 2)),
    ("# EXPECT tables_shared == 0", ("tables_shared", "==", 0)),
    ("# EXPECT frames.peak > 2K", ("frames.peak", ">", 2048)),
    ("# EXPECT leaks == 0", ("leaks", "==", 0)),
    ('# EXPECT ending == "deadlock"', ("ending", "==", b"deadlock")),
])  # fmt: skip
def test_expectations_are_a_subject_an_operator_and_a_value(
    line: str, parsed: tuple[str, str, object], tmp_path: Path
) -> None:
    (found,) = plan_of(tmp_path, line).expectations
    assert (found.subject, found.operator, found.value) == parsed


@pytest.mark.parametrize(("line", "place"), [
    ("memory[counter] == 3", ("counter", 0, 8)),
    ("memory[table + 8, 4] == 3", ("table", 8, 4)),
    ('memory[text+1] == "abc"', ("text", 1, 3)),
])  # fmt: skip
def test_memory_has_a_symbol_an_offset_and_a_size(line: str, place: tuple[str, int, int], tmp_path: Path) -> None:
    (found,) = plan_of(tmp_path, f"# EXPECT {line}").expectations
    assert (found.symbol, found.offset, found.size) == place


@pytest.mark.parametrize(("line", "column", "message"), [
    ("# EXPECT exit = 7", 15, "expected an operator"),
    ("# EXPECT exit == 7 8", 20, "nothing more is understood here: 8"),
    ("# EXPECT exit ==", 17, "expected a value"),
    ("# EXPECT", 9, "expected what is expected: exit"),
    ("# EXPECT rxa == 7", 10, "nothing is called rxa"),
    ("# EXPECT faults.cow == 1", 10, "nothing is called faults.cow"),
    ("# EXPECT syscalls.swim == 1", 10, "nothing is called syscalls.swim"),
    ("# expect: exit == 7", 3, "without a colon"),
    ("# EXPECT exit == SIGNOTHING", 18, "SIGNOTHING is neither a number nor a name"),
    ('# EXPECT exit == "7"', 18, "exit is a number"),
    ("# EXPECT stdout == 7", 20, "stdout is text"),
    (r'# EXPECT stdout == "\q"', 20, r"\q means nothing in a string"),
    ('# EXPECT stdout matches "("', 25, "not a regular expression"),
    ('# EXPECT rax contains "a"', 23, "contains is for stdout and stderr"),
    ("# EXPECT memory == 1", 17, "expected [symbol]"),
    ("# EXPECT memory[a == 1", 19, "expected ], + OFFSET or , SIZE"),
    ('# EXPECT golden "x" "swims"', 21, "swims is none of all, syscalls"),
    ("# EXPECT: exit == 7", 3, "without a colon"),
    ("# RUN", 6, "expected an option"),
    ("# RUN forks odf", 7, "RUN has no option forks"),
    ("# RUN fork spoon", 12, "expected classic or odf or sfork, not spoon"),
    ("# RUN mem lots", 11, "expected a size, not lots"),
    ("# RUN timeout soon", 15, "expected seconds"),
    ("# RUN fail swim EIO", 12, "no system call is named swim"),
    ("# RUN file etc x", 12, "begins with /"),
    ("# RUN schedules 0", 17, "between 1 and"),
    ("# RUN env A", 12, "expected NAME=value"),
    ("# RUN check it", 13, "nothing more is understood here: it"),
])  # fmt: skip
def test_what_a_line_cannot_mean_is_an_error_with_its_place(
    line: str, column: int, message: str, tmp_path: Path
) -> None:
    with pytest.raises(EmuError) as caught:
        plan_of(tmp_path, "nop", line)
    assert (caught.value.line, caught.value.source) == (2, line)
    assert message in caught.value.message
    assert caught.value.column == column


def test_run_lines_say_how(tmp_path: Path) -> None:
    plan = plan_of(
        tmp_path,
        '# RUN args one "two words" --x',
        r'# RUN stdin "a\n"',
        "# RUN env A=1",
        '# RUN env B=""',
        r'# RUN file /etc/motd "hi\n"',
        "# RUN timeout 1.5",
        "# RUN max-insns 1000",
        "# RUN fail mmap ENOMEM 2",
        "# RUN fail any EINTR",
        "# RUN refuse 5 1",
        "# RUN check",
        "# RUN syntax nasm",
    )
    assert (plan.args, plan.stdin, plan.env) == (["one", "two words", "--x"], b"a\n", {"A": "1", "B": ""})
    assert (plan.files, plan.timeout, plan.max_insns) == ({"/etc/motd": b"hi\n"}, 1.5, 1000)
    assert plan.failures == [(ENOMEM, "mmap", 2), (EINTR, "", 1)]
    assert (plan.refused, plan.check, plan.syntax) == ((5, 1), True, "nasm")


def test_each_combination_is_a_variant_with_a_name(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, "# RUN fork classic odf", "# RUN mem 64M 1G", "# RUN seeds 3 9")
    names = [variant.id for variant in variants(plan)]
    assert names[:3] == ["classic-64M-seed3", "classic-64M-seed9", "classic-1G-seed3"]
    assert len(names) == len(set(names)) == 8
    assert [v.id for v in variants(plan_of(tmp_path, "# RUN schedules 2"), seeds=[7])] == ["seed1", "seed2"]
    bare = plan_of(tmp_path)
    assert [v.id for v in variants(bare)] == [""]
    assert [v.id for v in variants(bare, [7], ["odf"], [1 << 20])] == ["odf-1M-seed7"]


def test_a_children_call_goes_with_the_kind_of_fork(tmp_path: Path) -> None:
    """sfork has to be called by the program: plain fork stays what it is, and FORK_CALL says what to call."""
    plan = plan_of(tmp_path, "# RUN fork classic odf sfork")
    assert [(v.policy, v.environment) for v in variants(plan)] == [
        ("classic", {"FORK_CALL": "57"}),
        ("odf", {"FORK_CALL": "2000"}),
        ("classic", {"FORK_CALL": "2001"}),
    ]


CASES = """
[[case]]
name = "first"
program = "build/prog"
run = ["args a"]
expect = ["exit == 0", 'stdout == "x"']

[[case]]
name = "second"
program = "other"
expect = ["exit == 1"]
"""


def test_cases_hold_the_same_lines(tmp_path: Path) -> None:
    path = tmp_path / "cases.toml"
    path.write_text(CASES)
    plans = parse_cases(path)
    assert list(plans) == ["first", "second"]
    assert plans["first"].program == str(tmp_path / "build" / "prog")
    assert [(e.subject, e.where.rsplit(":", 1)[1]) for e in plans["first"].expectations] == [
        ("exit", "6"),
        ("stdout", "6"),
    ]


@pytest.mark.parametrize(("old", "new", "message"), [
    ("exit == 1", "exit = 1", r"cases.toml:11:17: error: expected an operator"),
    ("run = [", "runs = [", r"cases.toml:5: error: a case has no runs"),
    ('"second"', '"first"', r"cases.toml:9: error: two cases are called first"),
    ('program = "other"', "", r"cases.toml:8: error: a case needs a program"),
    ("[[case]]", "[case", r"cases.toml:2:6: error: "),
])  # fmt: skip
def test_a_mistake_in_cases_is_an_error_with_its_place(old: str, new: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "cases.toml"
    path.write_text(CASES.replace(old, new))
    with pytest.raises(EmuError, match=message):
        parse_cases(path)
