"""The life of processes: clone, exit, wait (Linux kernel/fork.c, kernel/exit.c)."""

from collections.abc import Callable
from functools import partial
from time import perf_counter_ns
from typing import TYPE_CHECKING

from mini_kernel import futex, jobs, signal
from mini_kernel.clock import NS_PER_BLOCK, NS_PER_TICK
from mini_kernel.cred import Credentials, after_exec
from mini_kernel.errors import SysError
from mini_kernel.exec import Loaded, start
from mini_kernel.fs.file import File
from mini_kernel.fs.inode import RegularFile
from mini_kernel.fs.path import MAY_EXEC, require
from mini_kernel.fs.proc.facts import THREADS_MAX, threads_max
from mini_kernel.mm import kmem, uaccess
from mini_kernel.mm.fork import fork_mm
from mini_kernel.mm.mm import Mm
from mini_kernel.mm.mmap import munmap
from mini_kernel.mm.odf import odfork_mm
from mini_kernel.mm.sfork import map_region, sfork_mm
from mini_kernel.mm.teardown import destroy
from mini_kernel.task import (
    ODF_ACTIVE,
    ODF_ARMED,
    ODF_OFF,
    Process,
    SigAction,
    SigInfo,
    State,
    Task,
    send_to_process,
)
from mini_kernel.uapi.errno import EACCES, EAGAIN, EEXIST, EINVAL
from mini_kernel.uapi.fcntl import S_ISGID, S_ISUID, S_IXGRP
from mini_kernel.uapi.poll import POLLIN
from mini_kernel.uapi.sched import (
    CLONE_CHILD_CLEARTID,
    CLONE_CHILD_SETTID,
    CLONE_CLEAR_SIGHAND,
    CLONE_DETACHED,
    CLONE_FILES,
    CLONE_FS,
    CLONE_IO,
    CLONE_PARENT,
    CLONE_PARENT_SETTID,
    CLONE_PTRACE,
    CLONE_SETTLS,
    CLONE_SIGHAND,
    CLONE_SYSVSEM,
    CLONE_THREAD,
    CLONE_UNTRACED,
    CLONE_VFORK,
    CLONE_VM,
    SCHED_RESET_ON_FORK,
)
from mini_kernel.uapi.signal import (
    CLD_DUMPED,
    CLD_EXITED,
    CLD_KILLED,
    SIG_IGN,
    SIGCHLD,
    SS_DISABLE,
)
from mini_kernel.uapi.structs import siginfo_child
from mini_kernel.wait import WaitQueue
from mini_kernel.x86 import RAX, RSP, page_up

if TYPE_CHECKING:
    from mini_kernel.kernel import Kernel

ForkPolicy = Callable[[Mm], Mm]

MAX_TASKS = THREADS_MAX  # less in a small machine, see facts.threads_max
PID_MAX = 1 << 22  # /proc/sys/kernel/pid_max
KNOWN_FLAGS = (
    CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_VFORK | CLONE_PARENT | CLONE_THREAD | CLONE_SETTLS
    | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID | CLONE_CHILD_SETTID
    | CLONE_CLEAR_SIGHAND
    | CLONE_PTRACE | CLONE_SYSVSEM | CLONE_DETACHED | CLONE_UNTRACED | CLONE_IO  # of no effect here
)  # fmt: skip


# -- birth -------------------------------------------------------------------------------------------


def clone(
    k: "Kernel",
    parent: Task,
    flags: int,
    exit_signal: int,
    stack: int = 0,
    ptid: int = 0,
    ctid: int = 0,
    tls: int = 0,
    memory: ForkPolicy | None = None,
    memory_kind: str = "",
    tid: int = 0,
) -> Task:
    """Make a new task as clone(2) does, runnable behind its parent. Raises SysError with nothing changed.

    Its address space comes from `memory`, which the ledger calls `memory_kind`, or else from the process's own policy.
    Its number is `tid`, if that is not 0.
    """
    _check_flags(flags)
    if tid and k.is_taken(tid):
        raise SysError(EEXIST)
    if len(k.tasks) >= min(MAX_TASKS, threads_max(k.frames.total)):
        raise SysError(EAGAIN)
    copies = len(parent.mm.vmas) * kmem.AREA + len(parent.files.fds) * kmem.DESCRIPTOR
    k.frames.kmem.ensure(kmem.TASK + (0 if flags & CLONE_THREAD else kmem.PROCESS + copies))
    began = perf_counter_ns()
    if flags & CLONE_VM:
        mm, kind = parent.mm, "thread" if flags & CLONE_THREAD else "vfork"
        mm.users += 1
    elif memory is not None:
        mm, kind = memory(parent.mm), memory_kind
    else:
        mm, kind = plain_fork(parent.process)(parent.mm), "odf" if parent.process.odf else "classic"
        if parent.process.odf == ODF_ARMED:
            parent.process.odf = ODF_ACTIVE
    child = _new_task(k, parent, flags, exit_signal, mm, tid or k.new_tid())
    _set_state(k, parent, child, stack, tls if flags & CLONE_SETTLS else None)
    parent.ledger.forks[kind] += 1
    elapsed = round((perf_counter_ns() - began) / 1000, 1)
    parent.ledger.fork_us[kind] += elapsed  # pyright: ignore[reportArgumentType]  # a float
    try:
        if flags & CLONE_PARENT_SETTID:
            uaccess.write_u32(parent.mm, ptid, child.tid)
        if flags & CLONE_CHILD_SETTID:
            uaccess.write_u32(mm, ctid, child.tid)
    except SysError:
        pass  # Linux does not look at the result of put_user either
    child.clear_child_tid = ctid if flags & CLONE_CHILD_CLEARTID else 0
    if flags & CLONE_VFORK:
        child.vfork_done = WaitQueue()
    k.sched.add(child)
    if k.observer:
        k.observer.forked(parent, child, kind)
    return child


def _check_flags(flags: int) -> None:
    if flags & ~KNOWN_FLAGS:
        raise SysError(EINVAL)
    if (flags & CLONE_THREAD and not flags & CLONE_SIGHAND) or (flags & CLONE_SIGHAND and not flags & CLONE_VM):
        raise SysError(EINVAL)
    if flags & CLONE_CLEAR_SIGHAND and flags & CLONE_SIGHAND:
        raise SysError(EINVAL)


def _inherited_actions(parent: Process, flags: int) -> dict[int, SigAction]:
    if flags & CLONE_SIGHAND:
        return parent.actions
    if flags & CLONE_CLEAR_SIGHAND:
        return {signo: action for signo, action in parent.actions.items() if action.handler == SIG_IGN}
    return dict(parent.actions)


def _new_task(k: "Kernel", parent: Task, flags: int, exit_signal: int, mm: Mm, tid: int) -> Task:
    if flags & CLONE_THREAD:
        process = parent.process
    else:
        above = parent.process.parent if flags & CLONE_PARENT else parent.process
        process = Process(tid, above, parent.pgid, parent.sid)
        process.exit_signal = exit_signal
        process.actions = _inherited_actions(parent.process, flags)
        process.parent_tid = parent.tid
        process.rlimits = dict(parent.process.rlimits)
        process.odf = parent.process.odf
        process.shown = parent.process.shown
        process.oom_score_adj = parent.process.oom_score_adj
        if not flags & CLONE_VM:
            charge(process, mm)
        process.name = parent.process.name
        if above is not None:
            above.children.append(process)
        k.processes[tid] = process
    files = parent.files.get_table() if flags & CLONE_FILES else parent.files.copy()
    fs = parent.fs if flags & CLONE_FS else parent.fs.copy()
    child = Task(tid, process, mm, files, fs, parent.run_queue)
    k.frames.kmem.owe(kmem.TASK + (0 if flags & CLONE_THREAD else kmem.PROCESS))
    child.blocked = parent.blocked
    child.timer_slack_ns, child.personality = parent.timer_slack_ns, parent.personality
    if not parent.policy & SCHED_RESET_ON_FORK:
        child.policy, child.rt_priority = parent.policy, parent.rt_priority
    child.cred, child.no_new_privileges = parent.cred, parent.no_new_privileges
    child.nice = parent.nice
    child.name, child.exe_path = parent.name, parent.exe_path
    if not flags & CLONE_VM or flags & CLONE_VFORK:
        child.altstack = parent.altstack
    k.tasks[tid] = child
    return child


def _set_state(k: "Kernel", parent: Task, child: Task, stack: int, tls: int | None) -> None:
    """The child's registers: the parent's, with RAX 0 and what else clone was told."""
    cpu = k.cpu
    parent_state = cpu.save()
    cpu.regs[RAX] = 0
    if stack:
        cpu.regs[RSP] = stack
    if tls is not None:
        cpu.fs_base = tls
    cpu.cr3 = child.mm.cr3
    child.cpu_state = cpu.save()
    cpu.load(parent_state)


def plain_fork(process: Process) -> ForkPolicy:
    """What fork(2) of this process does to memory."""
    return fork_mm if process.odf == ODF_OFF else odfork_mm


def charge(process: Process, mm: Mm) -> None:
    """What is done to the tables of `mm` counts as this process's from now on, as does what building it has cost."""
    process.ledger.memory.add(mm.pt.costs)
    mm.pt.costs = process.ledger.memory


def sfork(k: "Kernel", parent: Task, length: int, flags: int, addr: int) -> Task:
    """Map a region, store its address at `addr`, fork, and give each side its rights.

    Raises SysError with nothing mapped and at `addr` what was there. The rest of memory is forked as fork(2) of this
    process would.
    """
    mm = parent.mm
    if not addr:
        raise SysError(EINVAL)
    region = map_region(mm, length, flags)
    fork = partial(sfork_mm, fork=plain_fork(parent.process), address=region, length=length, flags=flags)
    try:
        before = uaccess.read(mm, addr, 8)
        uaccess.write_u64(mm, addr, region)
        try:
            child = clone(k, parent, 0, SIGCHLD, memory=fork, memory_kind="sfork")
        except SysError:
            uaccess.write(mm, addr, before)  # the table below is the parent's own or can be taken back: needs no frame
            raise
    except SysError:
        munmap(mm, region, page_up(length))
        raise
    for process in (parent.process, child.process):
        process.odf = ODF_ACTIVE if process.odf == ODF_ARMED else process.odf
    return child


def check_executable(task: Task, file: File) -> None:
    """SysError(EACCES) unless this is a regular file that may be executed."""
    if not isinstance(file.inode, RegularFile):
        raise SysError(EACCES)
    require(file.inode, MAY_EXEC, task.fs)


def identity_after(task: Task, file: File) -> tuple[Credentials, bool]:
    """Who the program runs as, and whether it must not trust its caller (execve(2), secure execution).

    Set-user-ID and set-group-ID count unless no_new_privs was set; the latter only with the group's right to execute.
    """
    inode, owner, group = file.inode, None, None
    if not task.no_new_privileges:
        owner = inode.uid if inode.mode & S_ISUID else None
        group = inode.gid if inode.mode & S_ISGID and inode.mode & S_IXGRP else None
    new = after_exec(task.cred, owner, group)
    gained = new.euid != task.cred.euid or new.egid != task.cred.egid
    return new, gained or new.ruid != new.euid or new.rgid != new.egid


def become(k: "Kernel", task: Task, loaded: Loaded) -> None:
    """The point of no return of execve(2): only this thread, the new address space, fresh signal handling."""
    process = task.process
    for other in list(process.tasks):
        if other is not task:
            exit_task(k, other, 0)
    _take_over_leader(k, task)
    limits = task.mm.limits
    release_mm(k, task)
    task.user_mm = loaded.mm
    loaded.mm.limits = limits
    charge(process, loaded.mm)
    if task.files.users > 1:
        table = task.files.copy()
        task.files.put_table()
        task.files = table
    task.files.close_on_exec()
    process.actions = {s: SigAction(SIG_IGN) for s, a in process.actions.items() if a.handler == SIG_IGN}
    changed = loaded.cred.euid != task.cred.euid or loaded.cred.egid != task.cred.egid
    task.set_cred(loaded.cred)
    task.mm.dumpable = not changed and (task.cred.ruid, task.cred.rgid) == (task.cred.euid, task.cred.egid)
    process.executed = True
    stop_timers(process)
    task.altstack = (0, SS_DISABLE, 0)
    process.exit_signal = SIGCHLD
    start(k, loaded)


def _take_over_leader(k: "Kernel", task: Task) -> None:
    """The thread that called execve(2) is the process from now on, number and all (Linux de_thread)."""
    del k.tasks[task.tid]
    task.tid = task.tgid
    k.tasks[task.tid] = task


# -- death -------------------------------------------------------------------------------------------


def exit_group(k: "Kernel", process: Process, status: int) -> None:
    """End every thread of a process with this wait status."""
    if process.exiting is None:
        process.exiting = status
    for task in list(process.tasks):
        exit_task(k, task, status)


def exit_task(k: "Kernel", task: Task, status: int) -> None:
    """End one thread; with the last one the process becomes a zombie (Linux do_exit)."""
    if not task.alive:
        return
    task.leave_queues()
    task.call = None
    k.sched.credit()
    k.sched.suspend(task, State.DEAD)
    task.attention = True
    release_mm(k, task)
    task.files.put_table()
    process = task.process
    process.tasks.remove(task)
    del k.tasks[task.tid]
    k.frames.kmem.give(kmem.TASK)
    if process.tasks:
        signal.pass_on(task, -1)
    else:
        process.last_uid = task.cred.ruid
        _become_zombie(k, process, status if process.exiting is None else process.exiting)
    if k.observer:
        k.observer.exited(task, status)


def _clear_child_tid(k: "Kernel", task: Task) -> None:
    """CLONE_CHILD_CLEARTID: tell a joiner, if the memory is still somebody's."""
    address, task.clear_child_tid = task.clear_child_tid, 0
    if address and task.mm.users > 1:
        try:
            uaccess.write_u32(task.mm, address, 0)
            k.futexes.wake(futex.key_of(task.mm, address, False), 1)
        except SysError:
            return


def release_mm(k: "Kernel", task: Task) -> None:
    """The task lets go of its address space (Linux mm_release); the last user frees it. Ends a vfork parent's wait."""
    futex.release(k, task)
    _clear_child_tid(k, task)
    mm = task.mm
    task.ledger.max_rss = max(task.ledger.max_rss, mm.rss)
    task.user_mm = None
    mm.users -= 1
    if not mm.users:
        destroy(mm)
    if task.vfork_done is not None:
        queue, task.vfork_done = task.vfork_done, None
        queue.wake()


def _become_zombie(k: "Kernel", process: Process, status: int) -> None:
    process.exit_status = status
    stop_timers(process)
    process.itimer_real.disarm()
    k.sems.process_ended(process.tgid)
    groups = jobs.held_groups(process)
    reaper = _reaper(process)
    for child in list(process.children):
        _reparent(k, child, process, reaper)
    process.children.clear()
    jobs.hang_up(k, groups)
    process.pending.clear()
    k.retire(process)
    _tell_end(k, process)
    process.end_events.wake(POLLIN)


def stop_timers(process: Process) -> None:
    """Delete what timer_create(2) has made: execve(2), and the end."""
    for timer in process.posix_timers.values():
        timer.stop()
    process.posix_timers.clear()


def _tell_end(k: "Kernel", process: Process) -> None:
    """A zombie's parent hears of it; without one, or with one that does not care, the zombie goes at once."""
    parent = process.parent
    if parent is None or parent.zombie:
        reap(k, process)
        return
    if process.exit_signal:
        send_to_process(parent, child_info(process, process.exit_signal))
    if process.exit_signal == SIGCHLD and parent.reaps_itself():
        reap(k, process)
    parent.child_events.wake()


def _reaper(process: Process) -> Process | None:
    """Who takes over the children: the next ancestor that asked for it (PR_SET_CHILD_SUBREAPER), or the kernel."""
    above = process.parent
    while above is not None and (above.zombie or not above.subreaper):
        above = above.parent
    return above


def _reparent(k: "Kernel", child: Process, old: Process, reaper: Process | None) -> None:
    """The parent is gone. Without a reaper the kernel itself waits for the child (Linux: init does)."""
    child.parent = reaper
    child.exit_signal = SIGCHLD
    for task in list(child.tasks):
        if task.pdeath_signal:
            send_to_process(child, SigInfo(task.pdeath_signal, pid=old.tgid))
    if reaper is not None:
        reaper.children.append(child)
        child.parent_tid = reaper.tasks[0].tid
    if child.zombie:
        _tell_end(k, child)


def reap(k: "Kernel", process: Process) -> None:
    """Forget a zombie."""
    if k.processes.pop(process.tgid, None) is not None:
        k.frames.kmem.give(kmem.PROCESS)
    process.reaped = True
    parent = process.parent
    if parent is not None:
        if process in parent.children:
            parent.children.remove(process)
        parent.children_ledger.add(process.ledger)
        parent.children_ledger.add(process.children_ledger)


def child_info(process: Process, signo: int) -> SigInfo:
    """The SIGCHLD of a child that ended."""
    status = process.exit_status or 0
    code, value = CLD_EXITED, status >> 8 & 0xFF
    if status & 0x7F:
        code, value = CLD_DUMPED if status & 0x80 else CLD_KILLED, status & 0x7F
    ticks = process.ledger.blocks * NS_PER_BLOCK // NS_PER_TICK
    fields = siginfo_child(process.tgid, process.last_uid, value, ticks)
    return SigInfo(signo, code, process.tgid, process.last_uid, value, fields=fields)
