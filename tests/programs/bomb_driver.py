"""One bomb in a host process of its own: run as a script, it prints how the guest ended and that nothing is left."""

import json
import sys
from pathlib import Path

from emu.boot import Options, System
from emu.program import Program
from mini_kernel.mm import kmem

LIMIT_S = 300


def charged_to(system: System) -> int:
    """Bytes of kernel memory that the first process is charged for before it runs."""
    task = system.task(1)
    areas, descriptors = task.mm.areas_paid, len(task.files.fds)
    return kmem.TASK + kmem.PROCESS + areas * kmem.AREA + descriptors * kmem.DESCRIPTOR


def peak_kib() -> int:
    """The most memory this process has had since its execve. (getrusage(2) would count the one it was forked from.)"""
    status = Path("/proc/self/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM:")).split()[1])


def main(path: str, memory: int, fork: str) -> None:
    """Run the ELF file at `path` in `memory` bytes of RAM. Raises if the kernel is not as empty as before."""
    name = Path(path).name
    program = Program(name, "", Path(path).read_bytes(), None)
    options = Options(memory=memory, fork=fork, timeout=LIMIT_S)
    with System(program, (), options, argv0=f"/bin/{name}") as system:
        kernel = system.kernel
        account = kernel.frames.kmem
        expected = account.used - charged_to(system)
        outcome = system.run()
        kernel.shutdown()
        kernel.check()
        assert not kernel.tasks
        assert not kernel.processes
        assert (account.used, account.pfns) == (expected, []), "kernel objects are left"
        print(json.dumps({
            "ending": outcome.ending,
            "status": outcome.status,
            "stdout": system.stdout.decode(),
            "victims": [record.victim.name if record.victim else "" for record in system.oom_records],
            "kills": kernel.oom.kills,
            "peak_kib": peak_kib(),
        }))  # fmt: skip


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
