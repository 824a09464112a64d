"""The table of system calls: name, kinds of arguments, and how the result is shown if not in decimal.

The kinds are those registered in scalars, structs and special; one beginning with `o` and those marked late there are
filled by the call and printed when it has returned. An argument that the kernel was not given is left out.
"""

import os
from collections.abc import Callable
from functools import cache
from typing import Final, NamedTuple

from emu.render.strace import ipc, scalars, sockets, special
from emu.render.strace.call import RENDERERS, Call, Renderer, hexadecimal
from mini_kernel.uapi import errno_names

_TABLE: Final = """
read                fd out len
write               fd in len
open                path oflags omode
close               fd
stat                path ostat
fstat               fd ostat
lstat               path ostat
poll                pollfds uint int                            = poll
lseek               fd off whence
mmap                ptr len prot mapflags fd hex                = hex
mprotect            ptr len prot
munmap              ptr len
brk                 ptr                                         = hex
rt_sigaction        sig sigaction osigaction len
rt_sigprocmask      how sigset osigset len
rt_sigreturn        sigmask
ioctl               fd ioctlreq ioctlarg
pread64             fd out len off
pwrite64            fd in len off
readv               fd oiov len
writev              fd iov len
access              path rwx
pipe                opipe
select              int fdset fdset fdset timeval               = select
sched_yield
mremap              ptr len len mremapflags newaddr             = hex
msync               ptr len msyncflags
mincore             ptr len mincore
madvise             ptr len advice
process_madvise     fd iov len advice hex
mseal               ptr len hex
pkey_mprotect       ptr len prot int
pkey_alloc          hex hex
pkey_free           int
unshare             hex
kcmp                int int int hex hex
process_vm_readv    int oiov len iov len hex
process_vm_writev   int iov len iov len hex
futex_wait          ptr hex hex hex timespec int
futex_wake          ptr hex int hex
futex_waitv         ptr uint hex timespec int
futex_requeue       ptr hex int int
shmget              shmkey len shmgetflags
shmat               int ptr shmatflags                          = hex
shmctl              int shmcommand shmbuffer
dup                 fd
dup2                fd fd
pause
nanosleep           timespec timeleft
getitimer           itimer oitimerval
alarm               uint
setitimer           itimer itimerval oitimerval
getpid
sendfile            fd fd off* len
shmdt               ptr
clone               cstack cdetails
fork
vfork
odfork
pin                 ptr len
sfork               len sforkflags ptr
execve              path argv envp
exit                int
wait4               int wstatus waitflags orusage
kill                int sig
uname               outsname
fcntl               fd fcntlcmd fcntlarg                        = fcntl
flock               fd flockops
fsync               fd
fdatasync           fd
truncate            path off
ftruncate           fd off
getcwd              cwd len
chdir               path
fchdir              fd
rename              path path
mkdir               path mode
rmdir               path
creat               path mode
link                path path
unlink              path
symlink             path path
readlink            path out len
chmod               path mode
fchmod              fd mode
chown               path id id
fchown              fd id id
lchown              path id id
umask               mode                                        = octal
gettimeofday        otimeval ptr
getrlimit           resource orlimit
getrusage           rusagewho orusage
sysinfo             osysinfo
times               otms
getuid
getgid
setuid              id
setgid              id
geteuid
getegid
setpgid             int int
getppid
getpgrp
setsid
setreuid            id id
setregid            id id
getgroups           int ids
setgroups           len ptr
setresuid           id id id
getresuid           oint* oint* oint*
setresgid           id id id
getresgid           oint* oint* oint*
getpgid             int
getsid              int
rt_sigpending       osigset len
rt_sigtimedwait     sigset osiginfo timespec len
rt_sigqueueinfo     int sig siginfo
rt_sigsuspend       sigset len
rt_tgsigqueueinfo   int int sig siginfo
setfsuid            id
setfsgid            id
capget              ptr ptr
capset              ptr ptr
personality         hex
sethostname         ptr len
setdomainname       ptr len
syslog              int ptr int
sched_setparam      int ptr
sched_get_priority_max policy
sched_get_priority_min policy
sched_rr_get_interval int otimespec
sched_setattr       int ptr uint
sched_getattr       int ptr uint uint
pidfd_open          int hex
pidfd_send_signal   fd sig siginfo uint
pidfd_getfd         fd int uint
restart_syscall
sigaltstack         stack ostack
utime               path utimbuf
mknod               path filemode dev
ustat               hex ptr
statfs              path ostatfs
fstatfs             fd ostatfs
getpriority         priowhich int
setpriority         priowhich int int
sched_getparam      int ptr
sched_setscheduler  int policy ptr
sched_getscheduler  int
mlock               ptr len
munlock             ptr len
mlockall            mclflags
munlockall
prctl               prctlop prctlarg hex hex hex
arch_prctl          archcode archarg
setrlimit           resource rlimit
chroot              path
sync
getdents            fd ptr len
mount               path path path hex ptr
umount2             path hex
pivot_root          path path
gettid
readahead           fd off len
setxattr            path path ptr len hex
lsetxattr           path path ptr len hex
fsetxattr           fd path ptr len hex
getxattr            path path ptr len
lgetxattr           path path ptr len
fgetxattr           fd path ptr len
listxattr           path ptr len
llistxattr          path ptr len
flistxattr          fd ptr len
removexattr         path path
lremovexattr        path path
fremovexattr        fd path
tkill               int sig
time                ooff*
futex               ptr futexop uint futexrest
sched_setaffinity   int len ptr
sched_getaffinity   int len cpus
epoll_create        int
getdents64          fd entries len
set_tid_address     ptr
restart_syscall
fadvise64           fd off len fadvice
clock_settime       clock timespec
timer_delete        int
timer_getoverrun    int
timer_gettime       int oitimerspec
timer_settime       int timerflags itimerspec oitimerspec
timer_create        clock ptr oint*
clock_adjtime       clock ptr
adjtimex            ptr
settimeofday        timeval ptr
clock_gettime       clock otimespec
clock_getres        clock otimespec
clock_nanosleep     clock timerflags timespec timeleft
exit_group          int
epoll_wait          fd oepollevents int int
epoll_ctl           fd epollop fd epollevent
tgkill              int int sig
utimes              path timevals
waitid              idtype int osiginfo waitflags orusage
inotify_init
inotify_add_watch   fd path hex
inotify_rm_watch    fd int
openat              dirfd path oflags omode
mkdirat             dirfd path mode
mknodat             dirfd path filemode dev
fchownat            dirfd path id id statflags
futimesat           dirfd path timevals
newfstatat          dirfd path ostat statflags
unlinkat            dirfd path unlinkflags
renameat            dirfd path dirfd path
linkat              dirfd path dirfd path statflags
symlinkat           path dirfd path
readlinkat          dirfd path out len
fchmodat            dirfd path mode
faccessat           dirfd path rwx
pselect6            int fdset fdset fdset timespec sigmaskpair  = select
ppoll               pollfds uint timespec sigset len            = poll
set_robust_list     ptr len
get_robust_list     int oint* oint*
getcpu              oint* oint*
splice              fd off* fd off* len spliceflags
tee                 fd fd len spliceflags
sync_file_range     fd off off hex
vmsplice            fd iov len spliceflags
utimensat           dirfd path utimes statflags
epoll_pwait         fd oepollevents int int sigset len
signalfd            fd sigset len
timerfd_create      clock timerfdflags
eventfd             uint
fallocate           fd fallocmode off off
timerfd_settime     fd timerflags itimerspec oitimerspec
timerfd_gettime     fd oitimerspec
signalfd4           fd sigset len signalfdflags
eventfd2            uint eventfdflags
epoll_create1       epollflags
dup3                fd fd oflagsonly
pipe2               opipe oflagsonly
inotify_init1       oflagsonly
preadv              fd oiov len off skip
pwritev             fd iov len off skip
prlimit64           int resource rlimit orlimit
name_to_handle_at   dirfd path ptr ptr hex
open_by_handle_at   fd ptr oflags
syncfs              fd
renameat2           dirfd path dirfd path renameflags
getrandom           random len grndflags
memfd_create        str mfdflags
execveat            dirfd path argv envp statflags
membarrier          int uint int
mlock2              ptr len mlockflags
copy_file_range     fd off* fd off* len hex
preadv2             fd oiov len off skip rwfflags
pwritev2            fd iov len off skip rwfflags
statx               dirfd path statxflags statxmask ostatx
rseq                ptr hex int hex
clone3              clone3args len
close_range         uint uint closerangeflags
openat2             dirfd path ptr len
faccessat2          dirfd path rwx accessflags
socket              sockfamily socktype sockproto
socketpair          sockfamily socktype sockproto opipe
bind                fd sockaddr len
connect             fd sockaddr len
listen              fd int
accept              fd osockaddr oint*
accept4             fd osockaddr oint* sockflags
getsockname         fd osockaddr oint*
getpeername         fd osockaddr oint*
sendto              fd in len msgflags sockaddr len
recvfrom            fd out len msgflags osockaddr oint*
sendmsg             fd msghdr msgflags
recvmsg             fd omsghdr msgflags
sendmmsg            fd ptr uint msgflags
recvmmsg            fd ptr uint msgflags timespec
shutdown            fd shuthow
setsockopt          fd optlevel optname optval len
getsockopt          fd optlevel optname ooptval oint*
semget              shmkey int shmgetflags
semop               int sembufs len
semtimedop          int sembufs len timespec
semctl              int int semcmd hex
msgget              shmkey shmgetflags
msgsnd              int ptr len sysvmsgflags
msgrcv              int ptr len off sysvmsgflags
msgctl              int shmcommand ptr
mq_open             path oflags omode ptr
mq_unlink           path
mq_timedsend        fd in len uint timespec
mq_timedreceive     fd out len oint* timespec
mq_notify           fd ptr
mq_getsetattr       fd ptr ptr
epoll_pwait2        fd oepollevents int timespec sigset len
fchmodat2           dirfd path mode statflags
"""


_FAMILIES: Final = (ipc, scalars, sockets, special)  # to import them is to register their renderers


class Signature(NamedTuple):
    """How a call is printed. `early` renderers run when it begins, `late` ones when it ends; with argument indices."""

    early: tuple[tuple[int, Renderer], ...]
    late: tuple[tuple[int, Renderer], ...]
    result: Callable[[Call, int], str]
    kinds: tuple[str, ...]


_RESULTS: Final[dict[str, Callable[[Call, int], str]]] = {
    "decimal": lambda _call, result: str(result),
    "hex": lambda _call, result: hexadecimal(result),
    "octal": lambda _call, result: scalars.octal(result),
    "fcntl": special.fcntl_result,
    "poll": special.poll_result,
    "select": special.select_result,
}
#: Renderers that print more than one argument, and so where the next one is.
WIDTHS: Final = {"cstack": 2, "cdetails": 3, "futexrest": 3}


@cache
def _rows() -> dict[str, tuple[tuple[str, ...], str]]:
    rows: dict[str, tuple[tuple[str, ...], str]] = {}
    for line in _TABLE.strip().splitlines():
        left, _, result = line.partition("=")
        name, *kinds = left.split()
        rows[name] = tuple(kinds), result.strip() or "decimal"
    return rows


def names() -> list[str]:
    """Every call in the table."""
    return list(_rows())


def kinds(name: str) -> tuple[str, ...]:
    """The kinds of a call's arguments, () if the table does not have it."""
    return _rows().get(name, ((), ""))[0]


@cache
def signature(name: str, given: int) -> Signature:
    """How to print a call that the kernel was given `given` arguments of. Unknown calls show all in hexadecimal."""
    kinds, result = _rows().get(name, (("hex",) * 6, "decimal"))
    indexed: list[tuple[int, Renderer]] = []
    i = 0
    for kind in kinds:
        renderer = RENDERERS[kind]
        if i < given or renderer.free:
            indexed.append((i, renderer))
        i += WIDTHS.get(kind, 1)
    cut = next((n for n, (_i, renderer) in enumerate(indexed) if renderer.late), len(indexed))
    return Signature(tuple(indexed[:cut]), tuple(indexed[cut:]), _RESULTS[result], kinds)


def render(call: Call, renderers: tuple[tuple[int, Renderer], ...]) -> list[str]:
    """The texts of these arguments, those that are left out apart."""
    texts = (renderer.show(call, i) for i, renderer in renderers)
    return [text for text in texts if text is not None]


def whole(call: Call) -> str:
    """`name(arguments)` of a call as it stands now."""
    kind = signature(call.name, len(call.arguments))
    return f"{call.name}({', '.join(render(call, (*kind.early, *kind.late)))})"


#: What a call that a signal cuts short would return, in strace's words, by call; the rest is ERESTARTSYS.
_NOT_RESTARTED: Final = frozenset((
    "pause", "poll", "ppoll", "select", "pselect6", "rt_sigsuspend", "rt_sigtimedwait", "epoll_wait", "epoll_pwait",
))  # fmt: skip


def interruption(call: Call) -> str:
    """The result of a call in the moment a signal interrupts it."""
    if call.name in ("nanosleep", "clock_nanosleep"):
        return "? ERESTART_RESTARTBLOCK (Interrupted by signal)"
    if call.name in _NOT_RESTARTED:
        return "? ERESTARTNOHAND (To be restarted if no handler)"
    return "? ERESTARTSYS (To be restarted if SA_RESTART is set)"


def outcome(call: Call) -> str:
    """What stands behind the `=`."""
    result = call.result
    if result is None:
        return "?"
    if -4096 < result < 0:
        return error_text(-result)
    return signature(call.name, len(call.arguments)).result(call, result)


def error_text(errno: int) -> str:
    """`-1 ENOENT (No such file or directory)`."""
    return f"-1 {errno_names.get(errno, errno)} ({os.strerror(errno)})"
