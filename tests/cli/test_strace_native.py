"""The same executable under strace(1) and under `emu run --strace`: the same lines."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from cli_lab import Cli

STRACE = shutil.which("strace")

#: One system call a line; what is not a number is a constant or a label below.
CALLS = """
write 1, 0x10000, 3
mmap 0x20000, 8192, 3, 0x32, -1, 0
mprotect 0x20000, 4096, 0
madvise 0x21000, 4096, MADV_DONTNEED
munmap 0x20000, 8192
munmap 0x20001, 8192
close 77
lseek 99, -5, SEEK_END
pipe ends
pipe2 ends, 0x80000
write 4, text, 40
read 3, buffer, 100
dup2 4, 9
fcntl 9, F_GETFD
fcntl 9, F_SETFD, 1
fcntl 9, F_GETFD
fcntl 3, F_DUPFD, 20
open path, 0
openat -100, path, 0x241, 0x1a4
stat path, buffer
access path, 5
unlink path
rename path, path
mkdir path, 0x1ed
newfstatat -100, path, buffer, 0x100
rt_sigprocmask SIG_BLOCK, mask, buffer, 8
rt_sigprocmask SIG_SETMASK, 0, buffer, 8
nanosleep brief, 0
poll polled, 1, 0
writev 4, vectors, 2
readv 3, wide, 2
futex mask, 129, 1
kill 999999999, SIGTERM
ioctl 3, 0x541b, buffer
umask 0x12
rt_sigaction SIGUSR1, action, 0, 8
rt_sigaction SIGUSR1, 0, buffer, 8
getcwd 0x10000, 0
sched_yield
"""

END = """
    mov dword ptr [0xdead000], 1
.data
text: .ascii "line one\\n\\ttab \\"quoted\\" and more than thirty-two"
path: .asciz "/no/such/file"
.balign 8
ends: .zero 8
mask: .quad 0x4002
brief: .quad 0, 1
polled: .long 3
        .word 1, 0
vectors: .quad text, 3, path, 8
wide: .quad buffer, 3, buffer+8, 20
action: .quad 1, 0x10000000, 0, 0
buffer: .zero 256
"""


def program() -> str:
    """The source: every argument register is set before every call."""
    lines = ["_start:"]
    for call in CALLS.strip().splitlines():
        name, _, rest = call.partition(" ")
        values = [value.strip() for value in rest.split(",")] if rest else []
        values += ["0"] * (6 - len(values))
        for register, value in zip(("rdi", "rsi", "rdx", "r10", "r8", "r9"), values, strict=True):
            lines.append(f"lea {register}, [rip+{value}]" if value in LABELS else f"mov {register}, {value}")
        lines += [f"mov eax, SYS_{name}", "syscall"]
    return "\n".join(lines) + END


LABELS = frozenset(re.findall(r"^(\w+):", END, re.MULTILINE))


@pytest.mark.skipif(STRACE is None, reason="strace is not installed")
def test_lines_are_those_of_strace(cli: Cli) -> None:
    assert STRACE is not None
    (cli.directory / "calls.asm").write_text(program())
    assert cli("asm", "calls.asm", "-o", "calls").status == 0
    subprocess.run([STRACE, "-o", "native", "./calls"], stdout=subprocess.PIPE, check=False, timeout=60)
    native = lines(cli.directory / "native")
    if not native:
        pytest.skip("strace may not trace here")
    cli("run", "--strace-out", "ours", "calls")
    assert lines(cli.directory / "ours") == native


def lines(path: Path) -> list[str]:
    """Without the first (the execve of who started it) and with runs of spaces made one."""
    text = path.read_text().splitlines()[1:]
    return [re.sub(" +", " ", line) for line in text]
