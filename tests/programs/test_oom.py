"""The OOM killer: it kills who has most, not who asks, and says why; whoever asked goes on."""

from collections.abc import Callable

import pytest
from odf_lab import P
from program_lab import assemble

from emu.boot import Options, System
from emu.program import Program
from emu.render.oom import oom_report
from mini_kernel.task import Task
from mini_kernel.uapi.signal import SIGKILL

MEMORY = 4 << 20
#: The child takes 512 KiB, says so, and sleeps; then the parent takes what is left, and more.
SOURCE = """
_start:
    mov eax, SYS_pipe
    lea rdi, [rip + ends]
    syscall
    mov eax, SYS_fork
    syscall
    test eax, eax
    jz child
    mov [rip + pid], eax
    xor eax, eax
    mov edi, [rip + ends]
    lea rsi, [rip + buffer]
    mov edx, 1
    syscall                     # read: the child is done
    mov r12d, {parent}
    call take
    mov eax, SYS_wait4
    mov edi, [rip + pid]
    lea rsi, [rip + status]
    mov edx, 1                  # WNOHANG
    xor r10d, r10d
    syscall
    movzx edi, byte ptr [rip + status]
    mov eax, SYS_exit_group
    syscall
child:
    mov r12d, 128
    call take
    mov eax, SYS_write
    mov edi, [rip + ends + 4]
    lea rsi, [rip + buffer]
    mov edx, 1
    syscall
    mov eax, SYS_pause
    syscall
take:                           # r12 pages, each touched: by a store, or if r13 is set by read(2) of /dev/zero
    mov eax, SYS_mmap
    xor edi, edi
    mov rsi, r12
    shl rsi, 12
    mov edx, PROT_READ | PROT_WRITE
    mov r10d, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE
    mov r8, -1
    xor r9d, r9d
    syscall
    mov rbx, rax
more:
    {touch}
    add rbx, 4096
    dec r12d
    jnz more
    ret
.data
ends: .quad 0
pid: .long 0
status: .long 0
buffer: .byte 1
"""
STORE = "mov byte ptr [rbx], 1"
BY_THE_KERNEL = "mov eax, SYS_getrandom\nmov rdi, rbx\nmov esi, 8\nxor edx, edx\nsyscall\ncmp eax, 8\njne bad"
BAD = "\n.text\nbad: mov edi, 99\nmov eax, SYS_exit_group\nsyscall\n"


def run(parent_pages: int, touch: str, adjust: tuple[int, int] = (0, 0)) -> System:
    """A finished system; `adjust` is oom_score_adj of parent and child."""
    source = SOURCE.format(parent=parent_pages, touch=touch) + BAD
    chosen = Options(memory=MEMORY, timeout=60)
    system = System(Program("oom", "", assemble(source), None), (), chosen, argv0="/bin/oom")
    system.kernel.processes[P].oom_score_adj = adjust[0]
    system.observe(_Adjust(adjust[1]))
    assert system.run().ending == "exited"
    system.kernel.shutdown()  # a child that its parent has left alone waits for ever
    system.kernel.check()
    assert not system.kernel.tasks
    return system


class _Adjust:
    """An observer that sets the oom_score_adj of children at birth."""

    def __init__(self, value: int) -> None:
        self.value = value

    def forked(self, _task: Task, child: Task, _kind: str) -> None:
        child.process.oom_score_adj = self.value

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_about: None


@pytest.mark.parametrize("touch", [STORE, BY_THE_KERNEL], ids=["store", "system call"])
def test_who_asks_lives_if_another_is_worse(touch: str) -> None:
    """The parent's access is made again once the child is gone; nothing of it is lost."""
    with run(900, touch, (-900, 0)) as system:
        assert system.kernel.exit_status == SIGKILL << 8, "the parent saw its child killed"
        (record,) = system.oom_records
        assert record.victim is not None
        assert (record.asker[0], record.victim.tgid) == (P, P + 1)
        assert record.freed > 128
        report = oom_report(record)
        assert "oom invoked oom-killer: thread 1, order=0, oom_score_adj=-900" in report
        assert f"Out of memory: Killed process {P + 1} (oom)" in report


@pytest.mark.parametrize("touch", [STORE, BY_THE_KERNEL], ids=["store", "system call"])
def test_who_asks_dies_if_it_is_worst(touch: str) -> None:
    with run(2000, touch) as system:
        assert system.kernel.exit_status == SIGKILL
        (record,) = system.oom_records
        assert record.victim is not None
        assert record.victim.tgid == P
        assert system.ledger().faults["oom"] == (touch == STORE)


def test_nobody_may_be_killed() -> None:
    """All are spared: who cannot go on has to go."""
    with run(2000, STORE, (-1000, -1000)) as system:
        assert system.kernel.exit_status == SIGKILL
        (record,) = system.oom_records
        assert record.victim is None
        assert "no killable processes" in oom_report(record)


def test_a_run_with_a_kill_can_be_taken_back_and_repeated() -> None:
    """The killer's memory is part of snapshots: restored before the kill, the same happens again."""
    source = SOURCE.format(parent=2000, touch=STORE) + BAD
    with System(Program("oom", "", assemble(source), None), (), Options(memory=MEMORY), argv0="/bin/oom") as system:
        before = system.snapshot()
        system.run()
        first = list(system.oom_records)
        assert len(first) == 1
        system.restore(before)
        assert not system.oom_records
        system.run()
        assert system.oom_records == first
