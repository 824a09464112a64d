"""Snapshots of whole systems: what is restored is equal, and goes on to the same end with the same costs."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from program_lab import ENVIRONMENT, assemble, compile_c, compiler_missing

from emu.boot import Options, System
from emu.program import Program
from mini_kernel.fs.stream import BytesStream
from mini_kernel.mm.vma import VM_SFORK
from mini_kernel.task import State

HERE = Path(__file__).parent
#: Kernel entries after which a snapshot is taken; a program that ends before has fewer.
MOMENTS = (1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 233, 377, 610, 987)


class Stopper:
    """Passes entries on to the kernel and stops the machine after a number of them."""

    def __init__(self, system: System) -> None:
        self.system = system
        self.left = -1
        system.machine.attach(self)

    def run(self, entries: int) -> bool:
        """Run that many entries; False if the system came to its end before."""
        self.left = entries
        self.system.machine.run()
        return self.left <= 0 and self.system.kernel.sched.current is not None

    def _count(self) -> None:
        self.left -= 1
        if self.left == 0:
            self.system.machine.stop()

    def syscall(self) -> None:
        self.system.kernel.traps.syscall()
        self._count()

    def exception(self, vector: int, error: int, cr2: int) -> None:
        self.system.kernel.traps.exception(vector, error, cr2)
        self._count()

    def tick(self) -> None:
        self.system.kernel.traps.tick()
        self._count()


def boot(data: bytes, fork: str = "classic") -> System:
    """A system that keeps its output; slices short enough to have tasks in the middle of everything."""
    streams = (BytesStream(), BytesStream(), BytesStream())
    options = Options(memory=64 << 20, quantum=300, environment=ENVIRONMENT, fork=fork)
    return System(Program("program", "", data, None), (), options, streams, argv0="/bin/program")


def finish(system: System) -> tuple[bytes, int, dict[str, Any]]:
    """Run to the end: output from here on, exit status, costs (but for host microseconds)."""
    stream = system.streams[1]
    assert isinstance(stream, BytesStream)
    stream.written.clear()
    outcome = system.run()
    assert outcome.ending == "exited"
    costs = system.stats()
    del costs["tlb_flushes"], costs["code_flushes"]  # the machine's count goes on: a restore is a flush itself
    for ledger in (costs["total"], *costs["processes"]):
        del ledger["fork_us"]
    return bytes(stream.written), outcome.status, costs


def same_future(data: bytes, moments: tuple[int, ...] = MOMENTS, fork: str = "classic") -> set[str]:
    """Snapshot at each moment, finish, restore, compare, finish again. Returns what the snapshots had in them."""
    seen: set[str] = set()
    with boot(data, fork) as system:
        stopper = Stopper(system)
        reached = 0
        for moment in moments:
            if not stopper.run(moment - reached):
                break
            reached = moment
            image = system.snapshot()
            seen |= contents(system)
            first = finish(system)
            system.restore(image)
            assert system.snapshot() == image, f"not equal after {moment} entries"
            system.kernel.check()
            assert finish(system) == first, f"another future after {moment} entries"
            system.restore(image)
    return seen


def contents(system: System) -> set[str]:
    """What makes this moment interesting."""
    kernel = system.kernel
    tasks = list(kernel.tasks.values())
    found = {f"{len(kernel.processes)} processes"}
    if any(t.state is State.WAITING for t in tasks):
        found.add("waiting")
    if any(t.sleep.armed for t in tasks):
        found.add("sleeping")
    if any(t.pending or t.process.pending for t in tasks):
        found.add("pending signal")
    if any(p.zombie for p in kernel.processes.values()):
        found.add("zombie")
    if kernel.futexes.plain:
        found.add("futex")
    if any(mm.pt.unclaimed for mm in kernel.mms()):
        found.add("shared table")
    if any(vma.flags & VM_SFORK for mm in kernel.mms() for vma in mm.vmas):
        found.add("region")
    if kernel.frames.pins:
        found.add("pin")
    return found


FAMILY = """
# A child sleeps with a blocked signal pending, another waits at a pipe, a third is a zombie.
.text
_start:
    mov eax, SYS_pipe
    lea rdi, [rip + ends]
    syscall
    mov eax, SYS_rt_sigprocmask
    mov edi, SIG_BLOCK
    lea rsi, [rip + mask]
    xor edx, edx
    mov r10d, 8
    syscall
    mov eax, SYS_fork
    syscall
    test eax, eax
    jz sleeper
    mov r12d, eax
    mov eax, SYS_fork
    syscall
    test eax, eax
    jz reader
    mov eax, SYS_fork
    syscall
    test eax, eax
    jz zombie
    mov eax, SYS_kill
    mov edi, r12d
    mov esi, SIGUSR1
    syscall
    mov ebx, 40
work:
    mov eax, SYS_getppid
    syscall
    inc qword ptr [rip + shared]
    mov ecx, 500
spin:
    loop spin
    dec ebx
    jnz work
    mov eax, SYS_write
    mov edi, [rip + ends + 4]
    lea rsi, [rip + text]
    mov edx, 4
    syscall
    mov ebx, 3
reap:
    mov eax, SYS_wait4
    mov edi, -1
    lea rsi, [rip + status]
    xor edx, edx
    xor r10d, r10d
    syscall
    movzx eax, byte ptr [rip + status + 1]
    add [rip + total], eax
    dec ebx
    jnz reap
    mov eax, SYS_write
    mov edi, 1
    lea rsi, [rip + text]
    mov edx, 4
    syscall
    mov edi, [rip + total]
    mov eax, SYS_exit_group
    syscall

sleeper:
    inc qword ptr [rip + shared]
    mov eax, SYS_nanosleep
    lea rdi, [rip + pause]
    xor esi, esi
    syscall
    mov edi, 1
    mov eax, SYS_exit_group
    syscall

reader:
    xor eax, eax
    mov edi, [rip + ends]
    lea rsi, [rip + text]
    mov edx, 4
    syscall
    mov edi, eax
    mov eax, SYS_exit_group
    syscall

zombie:
    mov edi, 10
    mov eax, SYS_exit_group
    syscall

.data
ends:   .long 0, 0
mask:   .quad 0x200            # SIGUSR1
pause:  .quad 0, 3000000
shared: .quad 0
status: .quad 0
total:  .long 0
text:   .ascii "abc\\n"
"""


def test_system_in_the_middle_of_everything_is_restored_and_goes_on_the_same() -> None:
    """Children that sleep, wait at a pipe, are zombies, with a blocked signal pending."""
    seen = same_future(assemble(FAMILY), (*range(1, 60), 80, 100))
    assert {"waiting", "sleeping", "pending signal", "zombie", "4 processes"} <= seen


def test_restoring_twice_and_out_of_order_gives_each_its_own_future() -> None:
    """Two snapshots of one run can be gone back to in any order."""
    with boot(assemble(FAMILY)) as system:
        stopper = Stopper(system)
        stopper.run(10)
        early = system.snapshot()
        stopper.run(15)
        late = system.snapshot()
        assert early != late
        end = finish(system)
        for image in (early, late, early, late):
            system.restore(image)
            assert system.snapshot() == image
            output, status, costs = finish(system)
            assert (status, costs) == end[1:]
            assert output == b"abc\n"


def test_snapshot_after_the_end_is_equal_and_stays_ended() -> None:
    """A system that has ended can be put back to its end."""
    with boot(assemble(FAMILY)) as system:
        start = system.snapshot()
        _output, status, costs = finish(system)
        end = system.snapshot()
        system.restore(start)
        assert system.snapshot() == start
        system.restore(end)
        assert system.snapshot() == end
        assert (system.run().status, system.stats()["frames"]) == (status, costs["frames"])


@pytest.fixture(
    params=[
        "fork_tree", "pipe_pingpong", "sa_restart", "sigmask", "threads", "mmap_shared_anon", "files",
        "signals/posix_timers", "process/pidfd",
    ]
)  # fmt: skip
def program(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[bytes]:
    missing = compiler_missing("gcc")
    if missing:
        pytest.skip(missing)
    source = HERE / "c" / f"{request.param}.c"
    yield compile_c(source, tmp_path / "program", "gcc", f"-I{HERE / 'c'}").read_bytes()


def test_c_program_has_the_same_future_from_every_snapshot(program: bytes) -> None:
    """Pipes, futexes, pending and queued signals, timers, files, shared memory: all of it is in the snapshot."""
    same_future(program)


SHARING = """
.text
_start:
    lea rdi, [rip + cell]
    mov rsi, 8
    mov rax, SYS_pin
    syscall
    mov rdi, 8192
    mov rsi, CHILD_WRITE|PARENT_WRITE
    lea rdx, [rip + region]
    mov rax, SYS_sfork
    syscall
    mov rbx, [rip + region]
    test eax, eax
    jz child
    mov qword ptr [rip + cell], 3
    mov rax, SYS_fork
    syscall
    test eax, eax
    jz child
    lock inc qword ptr [rbx + 8]
reap:
    mov rdi, -1
    xor esi, esi
    xor edx, edx
    xor r10d, r10d
    mov rax, SYS_wait4
    syscall
    test rax, rax
    jg reap
    mov rdi, [rbx + 8]
    mov rax, SYS_exit_group
    syscall
child:
    lock inc qword ptr [rbx + 8]
    add qword ptr [rip + cell], 4
    mov rax, SYS_sched_yield
    syscall
    lock inc qword ptr [rbx + 8]
    xor edi, edi
    mov rax, SYS_exit_group
    syscall
.data
region: .quad 0
cell: .quad 0
"""


def test_shared_tables_regions_and_pins_are_part_of_a_snapshot() -> None:
    """On-demand children that share tables, an sfork region and a pinned page: the same future from every moment."""
    seen = same_future(assemble(SHARING), tuple(range(1, 40)), fork="odf")
    assert {"shared table", "region", "pin", "3 processes"} <= seen


LARGE = """
_start:
    mov esi, 16 << 20
    xor edi, edi
    mov edx, PROT_READ|PROT_WRITE
    mov r10d, MAP_PRIVATE|MAP_ANONYMOUS
    mov r8, -1
    xor r9d, r9d
    mov rax, SYS_mmap
    syscall
    mov rbx, rax
    mov ecx, 4096
fill:
    mov [rbx], rcx
    add rbx, 4096
    dec ecx
    jnz fill
    mov rax, SYS_fork
    syscall
    mov ecx, 50
again:
    sub rbx, 8192
    inc qword ptr [rbx]
    dec ecx
    jnz again
    mov rdi, [rbx]
    mov rax, SYS_exit_group
    syscall
"""


@pytest.mark.parametrize("fork", ["classic", "odf"])
def test_a_large_system_is_the_same_each_time_it_is_restored(fork: str) -> None:
    """From the second time on only the pages written to go back; a run in between is the same as the first."""
    with boot(assemble(LARGE), fork) as system:
        stopper = Stopper(system)
        assert stopper.run(4120)
        early = system.snapshot()
        assert stopper.run(20)
        late = system.snapshot()
        assert early != late
        end = finish(system)
        for image in (early, early, early, late, late, late, early, late):
            system.restore(image)
            assert system.snapshot() == image
            assert finish(system) == end
            system.kernel.check()
