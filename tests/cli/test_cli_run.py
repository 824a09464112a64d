"""Options of `emu run`: arguments, input, output, and what ends a run from outside."""

import json
import os
import re
import signal
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from cli_lab import Cli

EMU = [sys.executable, "-m", "emu.cli.main"]


def test_everything_behind_the_program_belongs_to_the_guest(cli: Cli) -> None:
    run = cli("run", "--seed", "1", "strings.asm", "--", "-h", "--stats", "", "a b")
    assert run.out.splitlines()[:5] == [b"--", b"-h", b"--stats", b"", b"a b"]
    assert run.err == ""


def test_a_leading_double_dash_ends_our_options(cli: Cli) -> None:
    assert cli("run", "--", "strings.asm", "x").out.startswith(b"x\n")


def test_env_adds_to_the_default_environment(cli: Cli) -> None:
    environment = cli("run", "--env", "A=1", "--env", "HOME=/elsewhere", "strings.asm").out.splitlines()
    assert b"A=1" in environment
    assert b"HOME=/elsewhere" in environment
    assert sum(line.startswith(b"PATH=") for line in environment) == 1


def test_stdin_comes_from_a_file(cli: Cli) -> None:
    data = bytes(range(256)) * 3
    (cli.directory / "input").write_bytes(data)
    assert cli("run", "--stdin", "input", "cat.asm").out == data


def test_the_program_may_come_from_stdin(cli: Cli) -> None:
    source = (cli.directory / "exit7.asm").read_bytes()
    assert subprocess.run([*EMU, "run", "-"], input=source, check=False).returncode == 7


def test_stats_json_has_the_ledger_in_all_and_per_process(cli: Cli) -> None:
    cli("run", "--stats-json", "out.json", "family.asm")
    stats = json.loads((cli.directory / "out.json").read_text())
    assert stats["schema"] == 1
    assert stats["total"]["syscalls"] == {"exit_group": 1, "fork": 1, "open": 1, "wait4": 1}
    assert [(p["pid"], p["name"], p["syscalls"]) for p in stats["processes"]] == [
        (2, "family.asm", {"exit_group": 1}),
        (1, "family.asm", {"fork": 1, "open": 1, "wait4": 1}),
    ]


def test_stats_are_printed_on_stderr_behind_everything_else(cli: Cli) -> None:
    run = cli("run", "--stats", "hello.asm")
    assert run.lines[:2] == ["hello", "ledger"]
    assert "  system calls      3: write 2, exit_group 1" in run.lines


def test_limits_still_give_stats(cli: Cli) -> None:
    run = cli("run", "--max-insns", "10", "--stats", "loop.asm")
    assert any(line.startswith("  user code") and line.endswith("10 instructions") for line in run.lines)


def test_strace_prints_what_strace_prints(cli: Cli) -> None:
    run = cli("run", "--strace", "family.asm")
    assert run.lines[:10] == [
        'execve("/bin/family.asm", ["/bin/family.asm"], /* 3 vars */) = 0',
        "fork()                                  = 2",
        "[pid 1] wait4(2,  <unfinished ...>",
        "[pid 2] exit_group(5)                   = ?",
        "[pid 2] +++ exited with 5 +++",
        "<... wait4 resumed>[{WIFEXITED(s) && WEXITSTATUS(s) == 5}], 0, NULL) = 2",
        'open("/no/such/file", O_RDONLY)         = -1 ENOENT (No such file or directory)',
        "--- SIGSEGV {si_signo=SIGSEGV, si_code=SEGV_MAPERR, si_addr=0xdead000} ---",
        "+++ killed by SIGSEGV +++",
        "process 1 (family.asm) was killed: SIGSEGV (SEGV_MAPERR) at 0xdead000",
    ]


def test_strace_lines_go_to_a_file_and_can_be_selected(cli: Cli) -> None:
    run = cli("run", "-e", "trace=%file", "--strace-out", "lines", "family.asm")
    assert not any("open" in line for line in run.lines)
    assert (cli.directory / "lines").read_text().splitlines() == [
        'execve("/bin/family.asm", ["/bin/family.asm"], /* 3 vars */) = 0',
        "[pid 2] +++ exited with 5 +++",
        'open("/no/such/file", O_RDONLY)         = -1 ENOENT (No such file or directory)',
        "--- SIGSEGV {si_signo=SIGSEGV, si_code=SEGV_MAPERR, si_addr=0xdead000} ---",
        "+++ killed by SIGSEGV +++",
    ]


def test_strings_in_memory_that_nobody_touched_yet_are_shown(cli: Cli) -> None:
    """The page of the text is first touched by the kernel, inside the call."""
    assert cli("run", "-e", "write", "hello.asm").lines[0].startswith('write(1, "hello\\n", 6)')


def test_a_call_that_never_returns_is_left_unfinished(cli: Cli) -> None:
    lines = cli("run", "-e", "trace=read", "deadlock.asm").lines
    assert lines[0] == "read(3,  <unfinished ...>"


REPORT = """\
process 1 (null.asm) was killed: SIGSEGV (SEGV_MAPERR) at 0x20
  access       page fault (#PF), CR2 = 0x20
               error code 0x6: a write, from user mode, to a page that is not present
  instruction  0x401007 <_start+0x7>: mov qword ptr [rax + rcx*8 + 0x10], rdx  [48 89 54 c8 10]
               rax=0x0 + rcx=0x2*8 + 0x10 = 0x20
  source       null.asm:5: mov qword ptr [rax+rcx*8+0x10], rdx
  registers    rax  0x0000000000000000   r8   0x0000000000000000
               rbx  0x0000000000000000   r9   0x0000000000000000
               rcx  0x0000000000000002   r10  0x0000000000000000
               rdx  0x0000000000000000   r11  0x0000000000000000
               rsi  0x0000000000000000   r12  0x0000000000000000
               rdi  0x0000000000000000   r13  0x0000000000000000
               rbp  0x0000000000000000   r14  0x0000000000000000
               rsp  0x00007fffffffde10   r15  0x0000000000000000
               rip  0x0000000000401007   flags 0x246 [PF ZF IF]
  walk         PGD 0x000000000000N027 ([0] of table 0xN): present, writable, user, accessed -> table 0xN
               PUD 0x000000000000N027 ([0] of table 0xN): present, writable, user, accessed -> table 0xN
               PMD 0x0000000000000000 ([0] of table 0xN): empty: not present
               the PMD entry is not present: the walk ends there
  mapping      nothing is mapped at 0x20
               0x3fffe0 bytes below the start of /bin/null.asm 0x400000-0x401000 r--p
  sharing      nobody: there is no PTE table
  decision     nothing is mapped there: SIGSEGV, and there is no handler, so process 1 is killed
"""


def test_a_fatal_fault_leaves_a_report(cli: Cli) -> None:
    """Which frames the tables got is the allocator's business; everything else is compared."""
    run = cli("run", "null.asm")
    assert run.status == 139
    text = re.sub(r"table 0x[0-9a-f]+", "table 0xN", run.err)
    assert re.sub(r"0x0{10}[0-9a-f]{3}027", "0x000000000000N027", text) == REPORT


def test_reports_of_many_faults_are_cut(cli: Cli) -> None:
    (cli.directory / "many.asm").write_text("""
        mov ebx, 7
        again:
            mov eax, SYS_vfork
            syscall
            test eax, eax
            jz fail
            dec ebx
            jnz again
            mov eax, SYS_exit_group
            syscall
        fail: ud2
    """)
    lines = cli("run", "many.asm").lines
    assert sum("was killed: SIGILL (ILL_ILLOPN)" in line for line in lines) == 5
    assert lines[-1] == "and 2 more faults"


def test_ctrl_c_ends_a_computation_with_130_and_still_gives_stats(cli: Cli) -> None:
    """The guest says when it is ready, so nothing here depends on time."""
    (cli.directory / "busy.asm").write_text("""
        mov eax, SYS_write
        mov edi, 1
        lea rsi, [rip+text]
        mov edx, 6
        syscall
        stay: jmp stay
        .data
        text: .ascii "ready\\n"
    """)
    _interrupt([*EMU, "run", "--stats", "busy.asm"], cli.directory)


def test_ctrl_c_ends_a_read_that_waits_for_the_terminal(cli: Cli) -> None:
    (cli.directory / "waiting.asm").write_text("""
        mov eax, SYS_write
        mov edi, 1
        lea rsi, [rip+text]
        mov edx, 6
        syscall
        xor eax, eax
        xor edi, edi
        syscall
        stay: jmp stay
        .data
        text: .ascii "ready\\n"
    """)
    _interrupt([*EMU, "run", "--stats", "waiting.asm"], cli.directory)


def _interrupt(command: list[str], directory: Path) -> None:
    """Start, wait for the guest's line, press Ctrl-C."""
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=directory, stdin=pipe, stdout=pipe, stderr=pipe) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGINT)
        try:
            _out, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 130
    lines = err.decode().splitlines()
    assert lines[0] == "emu: interrupted"
    assert "ledger" in lines


def test_a_time_limit_ends_a_read_that_waits(cli: Cli) -> None:
    """The end of input never comes here, so only the limit can end it."""
    read_end, write_end = os.pipe()
    try:
        done = subprocess.run(
            [*EMU, "run", "--timeout", "0.01", "cat.asm"], stdin=read_end, capture_output=True, check=False, timeout=60
        )
    finally:
        os.close(read_end)
        os.close(write_end)
    assert done.returncode == 124
    assert done.stderr.decode().startswith("emu: stopped after 0.01 s (--timeout)\n")


def test_a_reader_that_goes_away_is_the_guests_sigpipe(cli: Cli) -> None:
    (cli.directory / "yes.asm").write_text("""
        _start:
            mov eax, SYS_write
            mov edi, 1
            lea rsi, [rip+text]
            mov edx, 2
            syscall
            jmp _start
        .data
        text: .ascii "y\\n"
    """)
    with subprocess.Popen([*EMU, "run", "yes.asm"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.read(2) == b"y\n"
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == b""
    assert process.returncode == 128 + signal.SIGPIPE


def test_the_same_seed_gives_the_same_run(cli: Cli) -> None:
    def ledger(seed: str) -> str:
        cli("run", "--seed", seed, "--stats-json", "out.json", "hello.asm")
        return (cli.directory / "out.json").read_text()

    assert ledger("1") == ledger("1")


@pytest.mark.parametrize("name", ["numpy", "capstone", "keystone", "emu.boot", "emu.render"])
def test_asking_for_help_imports_nothing_heavy(name: str) -> None:
    code = f"import sys, emu, emu.cli.main as m; m._parser().format_help(); sys.exit({name!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_strace_says_where_each_call_comes_from(cli: Cli) -> None:
    """-k: function, offset, file and line under each call, from source and from the executable made of it."""
    cli("asm", "hello.asm", "-o", "hello.elf")
    for program in ("hello.asm", "hello.elf"):
        lines = cli("run", "-k", "-e", "trace=write,exit_group", program).lines
        assert [line for line in lines if line.startswith(" > ")] == [
            " > _start+0x16 at hello.asm:8 [0x401016]",
            " > _start+0x22 at hello.asm:11 [0x401022]",
            " > _start+0x2b at hello.asm:14 [0x40102b]",
        ]


def test_strace_says_where_a_signal_came(cli: Cli) -> None:
    """The instruction that faulted itself."""
    lines = cli("run", "-k", "null.asm").lines
    at = next(i for i, line in enumerate(lines) if line.startswith("--- SIGSEGV"))
    assert lines[at + 1] == " > _start+0x7 at null.asm:5 [0x401007]"


def test_an_executable_of_ours_is_reported_with_its_source(cli: Cli) -> None:
    """What the fault report says of the source, it says of the ELF file with its line numbers."""
    reports = []
    for program in (("null.asm",), ("asm", "null.asm", "-o", "null.elf")):
        if len(program) > 1:
            cli(*program)
            program = ("null.elf",)
        reports.append(cli("run", *program).err)
    rows = [[row for row in report.splitlines() if "instruction" in row or "source" in row] for report in reports]
    assert rows[0] == rows[1]
    assert any("null.asm:5: mov qword ptr" in row for row in rows[1])


def _exits(cli: Cli, path: str, status: int, mode: int = 0o755) -> None:
    """Make an ELF file that exits with a status."""
    source = cli.directory / "exits.asm"
    source.write_text(f"mov edi, {status}\nmov eax, SYS_exit_group\nsyscall\n")
    assert cli("asm", "exits.asm", "-o", path).status == 0
    (cli.directory / path).chmod(mode)


def test_a_bare_name_that_is_no_file_here_is_looked_for_on_path(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a shell does: what cannot be executed is passed over. A file here comes first."""
    for name, status, mode in (("first", 1, 0o644), ("second", 2, 0o755), ("third", 3, 0o755)):
        (cli.directory / name).mkdir()
        _exits(cli, f"{name}/tool", status, mode)
    monkeypatch.setenv("PATH", os.pathsep.join(str(cli.directory / name) for name in ("first", "second", "third")))
    assert cli("run", "tool").status == 2
    _exits(cli, "tool", 9)
    assert cli("run", "tool").status == 9


def test_cwd_is_a_directory_of_the_guest(cli: Cli) -> None:
    """The program starts there; what is no directory is an error of usage."""
    (cli.directory / "tree" / "inside").mkdir(parents=True)
    (cli.directory / "cwd.asm").write_text("""
        .text
        _start:
            lea rdi, [rip+text]
            mov esi, 64
            mov eax, SYS_getcwd
            syscall
            mov edx, eax
            lea rsi, [rip+text]
            mov edi, 1
            mov eax, SYS_write
            syscall
            xor edi, edi
            mov eax, SYS_exit_group
            syscall
        .bss
        text: .zero 64
    """)
    run = cli("run", "--root", "tree", "--cwd", "/inside", "cwd.asm")
    assert (run.status, run.out) == (0, b"/inside\0")
    run = cli("run", "--cwd", "/nowhere", "cwd.asm")
    assert (run.status, run.lines) == (2, ["emu: error: --cwd /nowhere: ENOENT"])


def test_a_trace_is_a_line_an_event_without_addresses(cli: Cli) -> None:
    """All that is usually of interest, and what a filter leaves; instructions of a function too."""
    assert cli("run", "--trace", "t", "hello.asm").out == b"hello\n"
    rows = (cli.directory / "t").read_text().splitlines()
    assert rows[0] == "p1 fault   file fetch of _start  < _start"
    assert 'p1 syscall write(1, "hello\\n", 6) = 6  < _start+0x16' in rows
    assert rows[-1] == "p1 exit    exit status 0"
    cli("run", "--trace", "t", "--trace-filter", "exits, insns(_start)", "hello.asm")
    rows = (cli.directory / "t").read_text().splitlines()
    assert rows[2] == "p1 insn    _start lea rsi, [text]"
    assert rows[-1] == "p1 exit    exit status 0"


def test_a_trace_filter_that_cannot_be_is_refused_before_the_run(cli: Cli) -> None:
    wrong = cli("run", "--trace", "t", "--trace-filter", "swims", "exit7.asm")
    assert (wrong.status, wrong.err.count("column 1: swims is none of")) == (2, 1)
    assert cli("run", "--trace-filter", "faults", "exit7.asm").status == 2


def test_coverage_is_written_for_every_process(cli: Cli) -> None:
    """What each of two ran, for disassemblers; what all ran by lines; what a trace of instructions asks for as well."""
    (cli.directory / "two.asm").write_text("""
        _start: mov eax, SYS_fork
            syscall
            test eax, eax
            jz child
            mov eax, SYS_exit
            syscall
        child:
            mov edi, 3
            mov eax, SYS_exit_group
            syscall
    """)
    run = cli("run", "--coverage", "made/here", "--trace", "t", "--trace-filter", "insns(child)", "two.asm")
    assert run.lines[-1].split()[:3] == ["all", "9/9", "100%"]
    directory = cli.directory / "made" / "here"
    assert sorted(path.name for path in directory.iterdir()) == ["lcov.info", "two.asm.1.drcov", "two.asm.2.drcov"]
    parent, child = (drcov_blocks((directory / f"two.asm.{pid}.drcov").read_bytes()) for pid in (1, 2))
    assert [start for start, _size in parent] == [0x1000, 0x1007, 0x100B]
    assert [start for start, _size in child] == [0x1007, 0x1012]
    assert "\nDA:9,1\n" in (directory / "lcov.info").read_text()
    assert (cli.directory / "t").read_text().splitlines()[0] == "p2 insn    child mov edi, 3"


def drcov_blocks(data: bytes) -> list[tuple[int, int]]:
    """(offset, size) of the blocks of a drcov file."""
    head, _, rows = data.partition(b" bbs\n")
    blocks = list(struct.iter_unpack("<IHH", rows))
    assert len(blocks) == int(head.rsplit(b": ", 1)[1])
    return [(start, size) for start, size, module in blocks if module == 0]


def test_coverage_that_cannot_be_is_refused_before_the_run(cli: Cli) -> None:
    (cli.directory / "file").write_text("")
    for option, path in (("--coverage", "file"), ("--coverage", "a\0b")):
        run = cli("run", option, path, "hello.asm")
        assert (run.status, run.out) == (2, b""), run.err
        assert "--coverage" in run.err
    run = cli("run", "--coverage", "c", "--record", "r", "hello.asm")
    assert (run.status, run.out) == (2, b"")
    assert "without coverage" in run.err
