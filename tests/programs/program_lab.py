"""Running the same program on the host and in the lab, so that the host's kernel says what is right."""

import atexit
import fcntl
import functools
import os
import platform
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from emu.asm import Assembler, to_elf
from emu.boot import Options, System
from emu.program import Program, new_assembler
from mini_kernel.fs.stream import BytesStream
from mini_kernel.observe import FaultRecord

#: Why a program cannot run on this host, or "".
NOT_NATIVE = (
    ""
    if sys.platform == "linux" and platform.machine() == "x86_64"
    else "the host is not x86-64 Linux, so the program cannot run natively"
)
#: Only what keeps a program from being endless; nothing depends on how long it takes.
HOST_LIMIT_S = 60
STACK_LIMIT = 8 << 20
_LATE = 2  # times that the host is asked again
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "CR3LAB": "1"}


@dataclass(frozen=True)
class Run:
    """How a program ended: what it wrote, and its exit status (negative: the signal that killed it)."""

    stdout: bytes
    status: int
    ledger: dict[str, Any] = field(default_factory=dict[str, Any], compare=False)
    records: list[FaultRecord] = field(default_factory=list[FaultRecord], compare=False)
    stderr: bytes = field(default=b"", compare=False)


def in_lab(
    data: bytes,
    arguments: Sequence[str] = (),
    *,
    stdin: bytes = b"",
    name: str = "program",
    check: bool = True,
    memory: int = 256 << 20,
    **options: Any,
) -> Run:
    """Run an ELF image in a system of its own, and see that it leaves nothing behind."""
    streams = (BytesStream(stdin), BytesStream(), BytesStream())
    chosen = Options(memory=memory, check=check, environment=ENVIRONMENT, timeout=HOST_LIMIT_S, **options)
    program = Program(name, "", data, None)
    with System(program, arguments, chosen, streams, argv0=f"/bin/{name}") as system:
        outcome = system.run()
        assert outcome.ending == "exited", (outcome, system.kernel.deadlock, system.stdout, system.stderr)
        system.kernel.check()
        assert not system.kernel.tasks, "tasks are left"
        assert not system.kernel.processes, "processes are left"
        assert outcome.wait_status is not None
        signo = outcome.wait_status & 0x7F
        return Run(
            system.stdout,
            -signo if signo else outcome.wait_status >> 8,
            system.stats()["total"],
            system.records,
            system.stderr,
        )


@functools.cache
def limit_children() -> None:
    """What every program here starts with: no core file, the usual stack, no signal ignored since this process was
    started in the background. Inherited: preexec_fn costs more.
    """
    for signo in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
        if signal.getsignal(signo) == signal.SIG_IGN:
            signal.signal(signo, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _soft, hard = resource.getrlimit(resource.RLIMIT_STACK)
    resource.setrlimit(resource.RLIMIT_STACK, (STACK_LIMIT, hard))


def natively(path: Path, arguments: Sequence[str] = (), *, stdin: bytes = b"", cwd: Path | None = None) -> Run:
    """Run a static ELF file on the host, in `cwd` or a directory of its own.

    Programs of one name run one at a time, also those of other test processes: some use fixed names in /tmp.
    """
    limit_children()
    lock_path = Path(tempfile.gettempdir()) / f"cr3lab-native-{path.name}.lock"
    with open(lock_path, "w") as lock, tempfile.TemporaryDirectory(prefix="cr3lab-") as directory:
        fcntl.flock(lock, fcntl.LOCK_EX)
        ended = subprocess.run(
            [path.absolute(), *arguments],
            input=stdin,
            capture_output=True,
            timeout=HOST_LIMIT_S,
            env=ENVIRONMENT,
            cwd=cwd or directory,
            check=False,
        )
    return Run(ended.stdout, ended.returncode, stderr=ended.stderr)


def compiler_missing(name: str) -> str:
    """Why this C compiler cannot be used, or ""."""
    return "" if shutil.which(name) else f"{name} is not installed"


def compile_c(source: Path, output: Path, compiler: str = "gcc", *flags: str, libraries: Sequence[str] = ()) -> Path:
    """A static executable from one C file; `flags` may say -static-pie instead of -static."""
    kind = () if "-static-pie" in flags else ("-static",)
    command = [compiler, "-O2", *kind, "-Wno-unused-result", *flags, "-o", output, source, *libraries]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, f"{source.name} does not compile with {compiler}:\n{ended.stderr}"
    return output


def _outcome(run: Run) -> tuple[bytes, int, bytes]:
    return run.stdout, run.status, run.stderr


def runs_as_on_the_host(source: Path, directory: Path, compiler: str = "gcc", *flags: str) -> None:
    """One compilation and one run on the host; the same output and end in the lab, under every fork it can tell apart.

    Skips where the compiler is missing, or where the source says `/* not musl: why */`. The invariants are recomputed
    after each entry of the kernel, which takes four fifths of the time, with gcc's program alone; and at the end alone
    where the source says `/* checked once: why */` because it has very many faults. Programs that wait for each other
    by the clock come late on a busy host, which then is asked again; the lab's clock waits for nobody.
    """
    text = source.read_text()
    not_musl = re.search(r"^/\* not musl: (.+) \*/$", text, re.MULTILINE)
    missing = compiler_missing(compiler) or (not_musl[1] if not_musl and "musl" in compiler else "")
    if missing:
        pytest.skip(missing)
    path = compile_c(source, directory / source.stem, compiler, *flags)
    expected = natively(path)
    check = "musl" not in compiler and not re.search(r"^/\* checked once: .+ \*/$", text, re.MULTILINE)
    for fork in ("classic", "odf") if "fork" in text else ("classic",):
        found = in_lab(path.read_bytes(), name=source.stem, check=check, fork=fork)
        where = f"under {fork} fork"
        for _again in range(_LATE):
            if _outcome(found) == _outcome(expected):
                break
            expected = natively(path)
        assert found.stdout.decode(errors="replace") == expected.stdout.decode(errors="replace"), where
        assert found.status == expected.status, where
        assert found.stderr == expected.stderr, where
        assert fork == "classic" or "classic" not in found.ledger["forks"], where


def write_executable(path: Path, data: bytes) -> Path:
    """An executable file."""
    path.write_bytes(data)
    os.chmod(path, 0o755)
    return path


def assemble(source: str, name: str = "program.asm") -> bytes:
    """An ELF image of assembly source (Intel syntax)."""
    return to_elf(_assembler().assemble(source, name))


@functools.cache
def _assembler() -> Assembler:
    """One worker for all tests of a process; it ends with it."""
    assembler = new_assembler()
    atexit.register(assembler.close)
    return assembler
