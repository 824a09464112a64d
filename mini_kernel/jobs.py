"""Job control: stopping processes, and groups that nobody could continue (Linux kernel/signal.c, kernel/exit.c)."""

from typing import TYPE_CHECKING

from mini_kernel.task import Process, SigInfo, State, send_to_process, tell_parent
from mini_kernel.uapi.signal import CLD_STOPPED, SI_KERNEL, SIGCONT, SIGHUP

if TYPE_CHECKING:
    from mini_kernel.kernel import Kernel


def stop_process(k: "Kernel", process: Process, signo: int) -> None:
    """Stop every thread (SIGSTOP and kin) and tell the parent. Threads that wait stop when their wait is over."""
    process.stopped = True
    process.stop_signal = signo
    process.continued = False
    for task in process.tasks:
        if task.state is State.RUNNABLE:
            k.sched.suspend(task, State.STOPPED)
    tell_parent(process, CLD_STOPPED, signo)


def is_orphaned(k: "Kernel", pgid: int) -> bool:
    """True if no member of the group has a parent in another group of its session: nobody would continue it."""
    for member in k.processes.values():
        parent = member.parent
        if member.pgid != pgid or member.zombie or parent is None:
            continue
        if parent.pgid != pgid and parent.sid == member.sid:
            return False
    return True


def held_groups(process: Process) -> list[int]:
    """Process groups that this process keeps from being orphaned: its children's, and its own by its parent."""
    groups = [c.pgid for c in process.children if c.pgid != process.pgid and c.sid == process.sid]
    parent = process.parent
    if parent is not None and parent.pgid != process.pgid and parent.sid == process.sid:
        groups.append(process.pgid)
    return list(dict.fromkeys(groups))


def hang_up(k: "Kernel", groups: list[int]) -> None:
    """SIGHUP and SIGCONT to those groups that are orphaned now and have stopped members (Linux kill_orphaned_pgrp)."""
    for pgid in groups:
        members = [p for p in k.processes.values() if p.pgid == pgid]
        if any(p.stopped for p in members) and is_orphaned(k, pgid):
            for signo in (SIGHUP, SIGCONT):
                for member in members:
                    send_to_process(member, SigInfo(signo, SI_KERNEL))
