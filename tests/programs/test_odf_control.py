"""Who gets on-demand forks: the switch as programs see it (prctl, /proc/PID/use_odf, the call), rows F1 to F10.

The ledger says which fork each one was. Programs: odf/control.c, and a real shell for the recipe of ODF's README.
"""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from program_lab import ENVIRONMENT, Run, assemble, compile_c, compiler_missing, in_lab

from emu.boot import Options, System
from emu.program import Program
from mini_kernel.fs.stream import BytesStream

SOURCE = Path(__file__).parent / "odf" / "control.c"
BUSYBOX = Path(shutil.which("busybox") or "/bin/busybox")

Control = Callable[..., tuple[list[str], dict[str, int]]]


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """control.c as a static executable."""
    missing = compiler_missing("gcc")
    if missing:
        pytest.skip(missing)
    return compile_c(SOURCE, tmp_path_factory.mktemp("odf") / "control").read_bytes()


@pytest.fixture
def control(program: bytes) -> Control:
    """Run one case: its output lines and the forks by kind."""

    def run(case: str, **options: object) -> tuple[list[str], dict[str, int]]:
        found: Run = in_lab(program, [case], name="control", **options)
        assert (found.status, found.stderr) == (0, b"")
        return found.stdout.decode().splitlines(), found.ledger["forks"]

    return run


ARM = "prctl(ODF, 0, 0, 0, 0): 0"
ACTIVE = "prctl(ODF, 0, 0, 0, 0): errno 22"


def test_F1_prctl_makes_the_next_fork_on_demand(control: Control) -> None:
    """prctl(65, 0, 0, 0, 0) returns 0; the fork before it was classic, those behind it are not."""
    lines, forks = control("arm-and-fork")
    assert lines == ["before: exit 0", ARM, "first: exit 0", "second: exit 0"]
    assert forks == {"classic": 1, "odf": 2}


def test_F2_arming_twice_is_harmless_and_refused_once_active(control: Control) -> None:
    """-EINVAL in both processes after the fork, and for other arguments at any time."""
    lines, forks = control("arm-again")
    assert lines == [
        "prctl(ODF, 1, 0, 0, 0): errno 22", "prctl(ODF, 0, 0, 0, 1): errno 22", ARM, ARM, "armed: 1",
        ACTIVE, "child: exit 0", ACTIVE, "active: 1",
    ]  # fmt: skip
    assert forks == {"odf": 1}


def test_F3_threads_and_vfork_leave_the_arm_for_the_next_fork(control: Control) -> None:
    """It is still only armed after both, and active after the fork."""
    lines, forks = control("not-consumed")
    assert lines == [ARM, "vfork: exit 0", ARM, ARM, "fork: exit 0", ACTIVE]
    assert forks == {"odf": 1, "thread": 1, "vfork": 1}


def test_F3_started_on_demand_a_process_is_active_from_the_beginning(control: Control) -> None:
    """--fork odf: every fork is one, and there is nothing to arm."""
    lines, forks = control("arm-and-fork", fork="odf")
    assert lines == ["before: exit 0", ACTIVE, "first: exit 0", "second: exit 0"]
    assert forks == {"odf": 3}


def test_F4_writing_1_arms_and_0_switches_off(control: Control) -> None:
    """For oneself; an active process that was switched off can be armed again."""
    lines, forks = control("by-file")
    assert lines == [
        "mode 644, begins 0", "write 1", ": 2", "armed 1", "write 0: 1", "off 0", "classic: exit 0",
        "write 0x1", ": 4", "on demand: exit 0", ACTIVE, "write 0: 1", "classic again: exit 0", ARM,
    ]  # fmt: skip
    assert forks == {"classic": 2, "odf": 1}


def test_F4_another_process_is_switched_by_its_number(control: Control) -> None:
    """The child's forks change, the parent's do not. F6: dead, it gives ESRCH through an open descriptor."""
    lines, forks = control("other-process")
    assert lines == [
        "before 0", "write 1: 1", "after 1", "parent 0", "child 1", "grandchild: exit 0",
        "read(fd, &c, 1): errno 3", 'write(fd, "1", 1): errno 3', "child: exit 0",
        "read(fd, &c, 1): errno 3", 'write(fd, "0", 1): errno 3', "open(path, O_RDWR): errno 2",
    ]  # fmt: skip
    assert forks == {"classic": 1, "odf": 1}


def test_F5_F6_values_are_read_in_any_base_and_others_ignored(control: Control) -> None:
    """1 and 0 in any form switch; other integers count as written; no integer is EINVAL, too large a one ERANGE."""
    lines, _forks = control("values")
    text = "\n".join(lines)
    assert "changed" not in text
    for wanted in (
        "write 2: 1", "write -1\n: 3", "write 010: 3", "write 0x10: 4", "write 2147483647: 10",
        "write 2147483648: errno 34", "write 99999999999999999999: errno 34", "write x: errno 22", "write 1x: errno 22",
        "write \n: errno 22", "write 0x: errno 22", "write 09: errno 22",
    ):  # fmt: skip
        assert wanted in text
    for one in ("1", "01", "0x1", "+1", " 1 \n"):
        assert f"write {one}: {len(one)}\n1\nwrite 00: 2\n0" in text


def test_F7_grandchildren_inherit(control: Control) -> None:
    """Armed once at the top, every generation is active."""
    lines, forks = control("grandchildren")
    assert lines == [
        ARM, "depth 3: 1", ACTIVE, "depth 2: 1", ACTIVE, "depth 1: 1", ACTIVE, *["child: exit 0"] * 3,
    ]  # fmt: skip
    assert forks == {"odf": 3}


@pytest.mark.parametrize(
    ("case", "before", "after", "forks"),
    [
        ("exec-armed", [ARM], [ARM, "after exec: exit 0"], {"odf": 1}),
        ("exec-active", [ARM, "before exec: exit 0"], [ACTIVE, "after exec: exit 0"], {"odf": 2}),
        ("exec-in-child", [ARM], [ACTIVE, "after exec: exit 0", "child: exit 0"], {"odf": 2}),
    ],
)
def test_F8_exec_keeps_the_switch(
    control: Control, case: str, before: list[str], after: list[str], forks: dict[str, int]
) -> None:
    """Armed or active, in the process that set it or in its child: the new program's forks are on-demand."""
    lines, found = control(case)
    assert lines == [*before, "1", *after]
    assert found == forks


def test_F9_the_call_forks_on_demand_once(control: Control) -> None:
    """odfork (2000) changes nothing about the other forks of parent or child."""
    lines, forks = control("by-call")
    assert lines == ["child 2 0", "its own: exit 0", "odfork: exit 7", "parent 1 0", "then: exit 0"]
    assert forks == {"classic": 2, "odf": 1}


def test_F9_the_call_has_its_name_in_assembly() -> None:
    """SYS_odfork: the child gets 0, the parent its number."""
    found = in_lab(
        assemble("""
        mov eax, SYS_odfork
        syscall
        test eax, eax
        jz child
        mov edi, -1
        lea rsi, [rsp - 8]
        xor edx, edx
        xor r10d, r10d
        mov eax, SYS_wait4
        syscall
        movzx edi, byte ptr [rsp - 7]
        inc edi
        mov eax, SYS_exit_group
        syscall
        child:
        mov edi, 40
        mov eax, SYS_exit_group
        syscall
        """)
    )
    assert (found.status, found.ledger["forks"]) == (41, {"odf": 1})


def test_F10_switched_off_with_tables_still_shared_a_classic_fork_is_right(control: Control) -> None:
    """One child shares the parent's tables from before, the next gets copies of its own; all keep their bytes."""
    lines, forks = control("switched-off")
    assert lines == [
        ARM,
        "write 0: 1",
        "child ca",
        "child: exit 0",
        "parent ap",
        "sharer has its bytes",
        "sharer: exit 0",
    ]
    assert forks == {"classic": 1, "odf": 1}


# -- the recipe of the README, in a shell -----------------------------------------------------------------------


def shell(script: str, *programs: tuple[str, bytes]) -> tuple[str, dict[str, int]]:
    """Output and forks of `sh -c script` with these programs in /bin."""
    if not BUSYBOX.exists() or BUSYBOX.read_bytes()[:4] != b"\x7fELF":
        pytest.skip("busybox-static is not installed")
    data = BUSYBOX.read_bytes()
    streams = (BytesStream(), BytesStream(), BytesStream())
    options = Options(memory=256 << 20, check=True, environment=ENVIRONMENT, timeout=60)
    with System(Program("busybox", "", data, None), ["-c", script], options, streams, argv0="sh") as system:
        for name, content in programs:
            system.kernel.vfs.write_file(f"/bin/{name}".encode(), content, 0o755)
        outcome = system.run()
        assert (outcome.ending, outcome.status) == ("exited", 0), system.stderr
        assert system.stderr == b""
        return system.stdout.decode(), system.stats()["total"]["forks"]


def test_F4_the_recipe_of_the_readme_works_in_a_shell(program: bytes) -> None:
    """A shell writes 1 to /proc/self/use_odf and runs a program: the shell's fork and the program's are on-demand."""
    output, forks = shell(
        "echo 1 > /proc/self/use_odf; cat /proc/self/use_odf; /bin/control executed; echo $?", ("control", program)
    )
    assert output.splitlines() == ["1", "1", ACTIVE, "after exec: exit 0", "0"]
    assert forks == {"odf": 3}


def test_F4_without_the_recipe_the_same_forks_are_classic(program: bytes) -> None:
    """What the shell and the program do otherwise; exec'd by the shell the program can still arm itself."""
    output, forks = shell("cat /proc/self/use_odf; exec /bin/control executed", ("control", program))
    assert output.splitlines() == ["0", "0", ARM, "after exec: exit 0"]
    assert forks == {"classic": 1, "odf": 1}


def test_F4_the_recipe_as_a_script_with_an_interpreter_line(program: bytes) -> None:
    """#!/bin/sh as in the README, and a pipeline in the armed shell."""
    script = b"#!/bin/busybox sh\necho 1 > /proc/self/use_odf\n/bin/control executed | cat\n"
    output, forks = shell("exec /tmp/../bin/recipe", ("control", program), ("recipe", script))
    assert output.splitlines() == ["1", ACTIVE, "after exec: exit 0"]
    assert forks == {"odf": 3}


def test_F6_a_shell_sees_the_errors() -> None:
    """What is no number is refused with words."""
    output, _forks = shell("(echo x > /proc/self/use_odf) 2>&1; (echo 99999999999 > /proc/$$/use_odf) 2>&1; echo $?")
    assert "Invalid argument" in output
    assert "Numerical result out of range" in output or "Result not representable" in output
    assert output.splitlines()[-1] == "1"
