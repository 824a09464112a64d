"""sfork that runs out of memory at any frame: the system call leaves nothing behind (S18)."""

from collections.abc import Iterator
from typing import Any

import pytest

from emu.asm import to_elf
from emu.boot import Options, System
from emu.program import Program, new_assembler
from mini_kernel.uapi.numbers import SYS_sfork

SOURCE = """
.text
_start:
    mov qword ptr [rip + where], 1       # the page is there before the memory is not
    mov rdi, 0x4000
    mov rsi, CHILD_WRITE | {populate}
    lea rdx, [rip + where]
    mov rax, SYS_sfork
    syscall
    mov rdi, rax
    shr rdi, 63                          # 1 if it failed
    mov rax, SYS_exit_group
    syscall
.data
where: .quad 0
"""


class Squeeze:
    """Leaves the next sfork only so many frames, and compares the process before and after a failure."""

    def __init__(self, system: System, frames: int) -> None:
        self.system = system
        self.frames = frames
        self.before: Any = None
        self.result = 0

    def __getattr__(self, name: str) -> Any:
        return lambda *_args: None

    def _state(self, task: Any) -> Any:
        return [v.key() for v in task.mm.vmas], task.mm.rss, task.mm.pt.tables, self.system.kernel.frames.in_use

    def syscall_enter(self, task: Any, number: int, _arguments: Any) -> None:
        if number == SYS_sfork:
            self.before = self._state(task)
            self.system.kernel.frames.refuse_after = self.frames

    def syscall_exit(self, task: Any, number: int, _arguments: Any, result: int | None) -> None:
        if number == SYS_sfork and self.system.kernel.frames.refuse_after >= 0:
            self.system.kernel.frames.refuse_after = -1
            assert result is not None
            self.result = result
            if result < 0:
                assert self._state(task) == self.before


@pytest.fixture(scope="module")
def assemble() -> Iterator[Any]:
    with new_assembler() as assembler:
        yield lambda text: Program("squeeze", "", to_elf(assembler.assemble(text, "squeeze.asm")), None)


@pytest.mark.parametrize("populate", ["0", "SFORK_POPULATE"])
@pytest.mark.parametrize("fork", ["classic", "odf"])
def test_an_sfork_without_memory_has_not_happened(assemble: Any, fork: str, populate: str) -> None:
    """For every number of frames up to what it needs: areas, pages, tables and frames are as before."""
    program = assemble(SOURCE.format(populate=populate))
    refused = 0
    for frames in range(60):
        with System(program, options=Options(memory=64 << 20, fork=fork, check=True)) as system:
            squeeze = Squeeze(system, frames)
            system.observe(squeeze)
            status = system.run().status
            assert status == (squeeze.result < 0)
            if squeeze.result > 0:
                break
            refused += 1
    assert 4 <= refused < 59
