"""Is every flush needed? Each place in the kernel that asks for one has a guest program here that goes wrong without.

The program exits with 0 when all is well. It runs twice: as it is, and with the requests of that one place swallowed.
The list of places is read from the source, so a new flush without a scenario fails too.
"""

import ast
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import mini_kernel
from emu.asm import to_elf
from emu.boot import Options, System
from emu.program import Program, new_assembler
from mini_kernel.errors import KernelBug
from mini_kernel.mm.tlb import Gather

RESTORE = ("kernel.py", "restore", "flush_code")
KERNEL = Path(mini_kernel.__file__).parent
REQUESTS = ("flush_tlb", "flush_code", "stale")
#: Not a place of its own: it passes on what `stale` asked for. Destroying an address space flushes nothing.
NOT_A_SITE = {("mm/tlb.py", "__exit__", "flush_tlb"), ("mm/teardown.py", "destroy", "stale")}

# Helpers for all scenarios. r12 is the page, r13 a second one. `bad` exits with 1, `good` with 0.
COMMON = """
.text
map:                                 # rdi address or 0, rsi length, rdx prot, r10 flags -> rax
    mov r8, -1
    xor r9d, r9d
    mov rax, SYS_mmap
    syscall
    ret
anon:                                # one RW page -> rax
    xor edi, edi
    mov rsi, 4096
    mov rdx, PROT_READ|PROT_WRITE
    mov r10, MAP_PRIVATE|MAP_ANONYMOUS
    jmp map
rwx:                                 # one RWX page at rdi -> rax
    mov rsi, 4096
    mov rdx, PROT_READ|PROT_WRITE|PROT_EXEC
    mov r10, MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED
    jmp map
kernel_write:                        # the kernel stores a struct timespec at rdi
    mov rsi, rdi
    mov rdi, CLOCK_REALTIME
    mov rax, SYS_clock_gettime
    syscall
    ret
on_segv:                             # a SIGSEGV from now on means that all is well
    lea rsi, [rip + action]
    mov rdi, SIGSEGV
    xor edx, edx
    mov r10, 8
    mov rax, SYS_rt_sigaction
    syscall
    ret
good:
    xor edi, edi
    jmp leave
bad:
    mov rdi, 1
leave:
    mov rax, SYS_exit_group
    syscall
.data
.balign 8
action: .quad good, 0x04000000, good, 0
status: .quad 0
name: .asciz "code"
one:   .byte 0xb8, 1, 0, 0, 0, 0xc3  # mov eax, 1; ret
two:   .byte 0xb8, 2, 0, 0, 0, 0xc3
pipefd: .long 0, 0
.text
_start:
"""

SCENARIOS: dict[tuple[str, str, str], str] = {
    # A page read while it was the zero page; the kernel writes it; user code must see that.
    ("mm/fault.py", "_write_protected#0", "flush_tlb"): """
        call anon
        mov r12, rax
        cmp qword ptr [r12], 0
        jne bad
        mov rdi, r12
        call kernel_write
        cmp qword ptr [r12], 0
        je bad
        jmp good
    """,
    # The same with a page that a child shares.
    ("mm/fault.py", "_write_protected#1", "flush_tlb"): """
        call anon
        mov r12, rax
        mov qword ptr [r12], 5
        mov rax, SYS_fork
        syscall
        test eax, eax
        jz pause_
        cmp qword ptr [r12], 5
        jne bad
        mov rdi, r12
        call kernel_write
        cmp qword ptr [r12], 5
        je bad
        jmp good
    pause_:
        mov rax, SYS_sched_yield
        syscall
        jmp good
    """,
    # The parent's writable translation must not survive fork.
    ("mm/fork.py", "fork_mm", "flush_tlb"): """
        call anon
        mov r12, rax
        mov qword ptr [r12], 5
        mov rax, SYS_fork
        syscall
        test eax, eax
        jz child
        mov qword ptr [r12], 6
        mov rdi, -1
        lea rsi, [rip + status]
        xor edx, edx
        xor r10d, r10d
        mov rax, SYS_wait4
        syscall
        cmp qword ptr [rip + status], 0
        jne bad
        jmp good
    child:
        cmp qword ptr [r12], 5
        jne bad
        jmp good
    """,
    # munmap: even the zero page, which no frame count shows, must be out of reach.
    ("mm/mm.py", "zap#1", "stale"): """
        call on_segv
        call anon
        mov r12, rax
        mov rbx, [r12]
        mov rdi, r12
        mov rsi, 4096
        mov rax, SYS_munmap
        syscall
        mov rbx, [r12]
        jmp bad
    """,
    # The same for whole 2 MiB tables.
    ("mm/mm.py", "zap#0", "stale"): """
        call on_segv
        mov rdi, 0x40000000
        mov rsi, 0x400000
        mov rdx, PROT_READ|PROT_WRITE
        mov r10, MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED
        call map
        mov r12, 0x40200000
        mov rbx, [r12]
        mov rdi, 0x40000000
        mov rsi, 0x400000
        mov rax, SYS_munmap
        syscall
        mov rbx, [r12]
        jmp bad
    """,
    # A page of a file that shrank raises SIGBUS; here: MADV_REMOVE of shared memory reads as zero.
    ("mm/mm.py", "zap_cached", "stale"): """
        xor edi, edi
        mov rsi, 4096
        mov rdx, PROT_READ|PROT_WRITE
        mov r10, MAP_SHARED|MAP_ANONYMOUS
        call map
        mov r12, rax
        mov qword ptr [r12], 5
        mov rdi, r12
        mov rsi, 4096
        mov rdx, MADV_REMOVE
        mov rax, SYS_madvise
        syscall
        test rax, rax
        jne bad
        cmp qword ptr [r12], 0
        jne bad
        jmp good
    """,
    # mprotect to read-only.
    ("mm/mm.py", "change", "stale"): """
        call on_segv
        call anon
        mov r12, rax
        mov qword ptr [r12], 5
        mov rdi, r12
        mov rsi, 4096
        mov rdx, PROT_READ
        mov rax, SYS_mprotect
        syscall
        mov qword ptr [r12], 6
        jmp bad
    """,
    # mremap with MREMAP_DONTUNMAP: the old page reads as zero.
    ("mm/remap.py", "_move", "stale"): """
        call anon
        mov r12, rax
        mov qword ptr [r12], 5
        mov rdi, r12
        mov rsi, 4096
        mov rdx, 4096
        mov r10, MREMAP_MAYMOVE|MREMAP_DONTUNMAP
        xor r8d, r8d
        mov rax, SYS_mremap
        syscall
        cmp qword ptr [rax], 5
        jne bad
        cmp qword ptr [r12], 0
        jne bad
        jmp good
    """,
    # The kernel overwrites code that has run.
    ("mm/frame.py", "wrote", "flush_code"): """
        mov rdi, 0x50000000
        call rwx
        mov r12, rax
        mov rbx, [rip + one]
        mov [r12], rbx
        call r12
        cmp eax, 1
        jne bad
        lea rdi, [rip + pipefd]
        mov rax, SYS_pipe
        syscall
        mov edi, [rip + pipefd + 4]
        lea rsi, [rip + two]
        mov rdx, 6
        mov rax, SYS_write
        syscall
        mov edi, [rip + pipefd]
        mov rsi, r12
        mov rdx, 6
        mov rax, SYS_read
        syscall
        call r12
        cmp eax, 2
        jne bad
        jmp good
    """,
}

# A frame that held code becomes a hole of a file, read as zeros, at the same address. Zeros are `add [rax], al`:
# with rax = 0 that faults.
SCENARIOS["mm/frame.py", "_forget_code", "flush_code"] = """
    call on_segv
    lea rdi, [rip + name]
    xor esi, esi
    mov rax, SYS_memfd_create
    syscall
    mov r13, rax
    mov rdi, r13
    mov rsi, 4096
    mov rax, SYS_ftruncate
    syscall
    mov rdi, 0x50001000                  # keeps the PTE table, so that the data frame is the last one freed
    call rwx
    mov byte ptr [rax], 1
    mov rdi, 0x50000000
    call rwx
    mov r12, rax
    mov rbx, [rip + one]
    mov [r12], rbx
    call r12
    mov rdi, r12
    mov rsi, 4096
    mov rax, SYS_munmap
    syscall
    mov rdi, 0x50000000
    mov rsi, 4096
    mov rdx, PROT_READ|PROT_EXEC
    mov r10, MAP_PRIVATE|MAP_FIXED
    mov r8, r13
    xor r9d, r9d
    mov rax, SYS_mmap
    syscall
    xor eax, eax
    call r12
    jmp bad
"""
# The same with the bulk allocation of MAP_POPULATE.
SCENARIOS["mm/frame.py", "_recycle", "flush_code"] = """
    call on_segv
    mov rdi, 0x50000000
    call rwx
    mov r12, rax
    mov rbx, [rip + one]
    mov [r12], rbx
    call r12
    mov rdi, r12
    mov rsi, 4096
    mov rax, SYS_munmap
    syscall
    mov rdi, 0x50000000
    mov rsi, 0x3000
    mov rdx, PROT_READ|PROT_WRITE|PROT_EXEC
    mov r10, MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED|MAP_POPULATE
    call map
    xor eax, eax
    call r12
    jmp bad
"""
# Shared memory mapped twice, once to write and once to run.
ALIAS = """
    lea rdi, [rip + name]
    xor esi, esi
    mov rax, SYS_memfd_create
    syscall
    mov r14, rax
    mov rdi, r14
    mov rsi, 4096
    mov rax, SYS_ftruncate
    syscall
    mov rdx, PROT_READ|PROT_WRITE
    call alias
    mov r12, rax
    mov rdx, PROT_READ|PROT_EXEC
    call alias
    mov r13, rax
    mov rbx, [rip + one]
    mov [r12], rbx
    call r13
    cmp eax, 1
    jne bad
    mov rbx, [rip + two]
    mov [r12], rbx
    call r13
    cmp eax, 2
    jne bad
    mov rbx, [rip + one]
    mov [r12], rbx
    call r13
    cmp eax, 1
    jne bad
    jmp good
alias:
    xor edi, edi
    mov rsi, 4096
    mov r10, MAP_SHARED
    mov r8, r14
    xor r9d, r9d
    mov rax, SYS_mmap
    syscall
    ret
"""
SCENARIOS["mm/alias.py", "claim_for_code", "flush_tlb"] = ALIAS
SCENARIOS["mm/alias.py", "claim_for_writing", "flush_tlb"] = ALIAS


@pytest.fixture(scope="module")
def assemble() -> Iterator[Any]:
    with new_assembler() as assembler:
        yield lambda text: Program("flush", "", to_elf(assembler.assemble(COMMON + text, "flush.asm")), None)


def sites() -> list[tuple[str, str, str]]:
    """(file, function[#n], request) of every request in the kernel's source; #n where a function has several."""
    found: list[tuple[str, str, str]] = []
    for path in sorted(KERNEL.rglob("*.py")):
        for function in ast.walk(ast.parse(path.read_text())):
            if not isinstance(function, ast.FunctionDef):
                continue
            calls = [
                node.func.attr
                for node in ast.walk(function)
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in REQUESTS
            ]
            for request in REQUESTS:
                n = calls.count(request)
                name = str(path.relative_to(KERNEL))
                found += [(name, function.name + (f"#{i}" if n > 1 else ""), request) for i in range(n)]
    return [site for site in found if site not in NOT_A_SITE and site[0] != "hw.py"]


@contextmanager
def swallowed(system: System, site: tuple[str, str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Ignore the requests that come from one place."""
    path, function, request = site
    name, _, nth = function.partition("#")
    owner: Any = Gather if request == "stale" else system.machine
    real = getattr(owner, request)

    def filtered(*args: Any) -> None:
        frame = sys._getframe(1)
        here = Path(frame.f_code.co_filename) == KERNEL / path and frame.f_code.co_name == name
        if not (here and (not nth or frame.f_lineno == lines(site)[int(nth)])):
            real(*args)

    with monkeypatch.context() as patch:
        patch.setattr(owner, request, filtered)
        yield


def lines(site: tuple[str, str, str]) -> list[int]:
    """The source lines of a function's requests, in order."""
    path, function, request = site
    for node in ast.walk(ast.parse((KERNEL / path).read_text())):
        if isinstance(node, ast.FunctionDef) and node.name == function.partition("#")[0]:
            return sorted(
                n.lineno
                for n in ast.walk(node)
                if isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute) and n.func.attr == request
            )
    raise AssertionError(site)


def wait_status(program: Program, site: tuple[str, str, str] | None, monkeypatch: pytest.MonkeyPatch) -> int:
    with System(program, options=Options(memory=64 << 20)) as system:
        if site is None:
            return system.run().status
        with swallowed(system, site, monkeypatch):
            try:
                return system.run().status
            except KernelBug:  # the gather notices frames that are given up without a flush
                return -1


def test_every_flush_in_the_kernel_has_a_scenario() -> None:
    """A flush nobody can show to be needed is either useless or untested."""
    assert set(sites()) == {*SCENARIOS, RESTORE}


@pytest.mark.parametrize("site", SCENARIOS, ids="-".join)
def test_a_program_goes_wrong_without_this_flush(
    site: tuple[str, str, str], assemble: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Right with all flushes, wrong when the requests of one place are swallowed."""
    program = assemble(SCENARIOS[site])
    assert wait_status(program, None, monkeypatch) == 0
    assert wait_status(program, site, monkeypatch) != 0


#: The snapshot is taken at getpid. What follows leaves a translation, or code, for the second run to stumble over.
RESTORED = {
    "translation": """
        call anon
        mov r12, rax
        mov qword ptr [r12], 5
        mov rax, SYS_getpid
        syscall
        cmp qword ptr [r12], 5
        jne bad
        mov rdi, r12                     # the same address gets another frame
        mov rsi, 4096
        mov rdx, 4096
        mov r10, MREMAP_MAYMOVE|MREMAP_DONTUNMAP
        xor r8d, r8d
        mov rax, SYS_mremap
        syscall
        mov qword ptr [r12], 6
        jmp good
    """,
    "code": """
        mov rdi, 0x50000000
        call rwx
        mov r12, rax
        mov rbx, [rip + one]
        mov [r12], rbx
        mov rax, SYS_getpid
        syscall
        call r12
        cmp eax, 1
        jne bad
        mov rbx, [rip + two]
        mov [r12], rbx
        call r12
        jmp good
    """,
}


class Stopper:
    """Stops the machine at the first getpid."""

    def __init__(self, system: System) -> None:
        self.system = system

    def __getattr__(self, name: str) -> Any:
        return lambda *_args: None

    def syscall_exit(self, _task: Any, number: int, _arguments: Any, _result: Any) -> None:
        if number == 39:
            self.system.interrupt()


@pytest.mark.parametrize("stale", RESTORED)
def test_restoring_a_snapshot_needs_its_flush(stale: str, assemble: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a restore neither translations nor code of the abandoned future may be used."""
    for site in (None, RESTORE):
        with System(assemble(RESTORED[stale]), options=Options(memory=64 << 20)) as system:
            system.observe(Stopper(system))
            assert system.run().ending == "interrupted"
            image = system.snapshot()
            assert system.run().status == 0
            if site is None:
                system.restore(image)
                assert system.run().status == 0
            else:
                with swallowed(system, site, monkeypatch):
                    system.restore(image)
                assert system.run().status != 0
