"""What the command-line tests share: a working directory with small programs, and `emu` called in this process."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from emu.cli.main import main

PROGRAMS = {
    "exit7.asm": """
        mov edi, 7
        mov eax, SYS_exit_group
        syscall
    """,
    "hello.asm": """
        .text
        _start:
            mov eax, SYS_write
            mov edi, 1
            lea rsi, [rip+text]
            mov edx, 6
            syscall
            mov eax, SYS_write
            mov edi, 2
            syscall
            xor edi, edi
            mov eax, SYS_exit_group
            syscall
        .data
        text: .ascii "hello\\n"
    """,
    "loop.asm": "_start: jmp _start\n",
    "null.asm": """
        _start:
            mov ecx, 2
            xor eax, eax
            mov qword ptr [rax+rcx*8+0x10], rdx
    """,
    "term.asm": """
        mov eax, SYS_getpid
        syscall
        mov edi, eax
        mov esi, SIGTERM
        mov eax, SYS_kill
        syscall
    """,
    "deadlock.asm": """
        _start:
            mov eax, SYS_pipe
            lea rdi, [rip+ends]
            syscall
            xor eax, eax
            mov edi, dword ptr [rip+ends]
            lea rsi, [rip+ends]
            mov edx, 4
            syscall
        .bss
        ends: .zero 8
    """,
    "cat.asm": """
        _start:
            xor eax, eax
            xor edi, edi
            lea rsi, [rip+buffer]
            mov edx, 64
            syscall
            test rax, rax
            jle done
            mov edx, eax
            mov edi, 1
            mov eax, SYS_write
            syscall
            jmp _start
        done:
            mov edi, eax
            mov eax, SYS_exit_group
            syscall
        .bss
        buffer: .zero 64
    """,
    # prints argv[1..] and the environment, one string a line
    "strings.asm": """
        _start:
            lea r12, [rsp+16]
            mov r13d, 2
        next:
            mov rsi, [r12]
            add r12, 8
            test rsi, rsi
            jz list_ended
            xor edx, edx
        measure:
            cmp byte ptr [rsi+rdx], 0
            je print
            inc rdx
            jmp measure
        print:
            mov byte ptr [rsi+rdx], 10
            inc rdx
            mov eax, SYS_write
            mov edi, 1
            syscall
            jmp next
        list_ended:
            dec r13
            jnz next
            xor edi, edi
            mov eax, SYS_exit_group
            syscall
    """,
    # a child that exits with 5, a parent that waits, opens what is not there, and dies
    "family.asm": """
        .text
        _start:
            mov eax, SYS_fork
            syscall
            test eax, eax
            jz child
            mov edi, eax
            lea rsi, [rip+state]
            xor edx, edx
            xor r10d, r10d
            mov eax, SYS_wait4
            syscall
            lea rdi, [rip+path]
            mov esi, O_RDONLY
            mov eax, SYS_open
            syscall
            mov eax, dword ptr [0xdead000]
        child:
            mov edi, 5
            mov eax, SYS_exit_group
            syscall
        .data
        path: .asciz "/no/such/file"
        state: .long 0
    """,
    "wrong.asm": "    nop\n    mov rax, nowhere\n",
}


@dataclass(frozen=True)
class Run:
    """What a command left behind."""

    status: int
    out: bytes
    err: str

    @property
    def lines(self) -> list[str]:
        return self.err.splitlines()


class Cli:
    """Calls `emu` in this process, in a directory that has PROGRAMS."""

    def __init__(self, directory: Path, capture: pytest.CaptureFixture[bytes]) -> None:
        self.directory = directory
        self._capture = capture
        for name, text in PROGRAMS.items():
            (directory / name).write_text(text)

    def __call__(self, *arguments: str) -> Run:
        self._capture.readouterr()
        try:
            status = main(arguments)
        except SystemExit as exit_:
            status = exit_.code if isinstance(exit_.code, int) else -1
        out, err = self._capture.readouterr()
        return Run(status, out, err.decode())
