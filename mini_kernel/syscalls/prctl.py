"""prctl(2): what a thread or process says about itself."""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from mini_kernel.cred import ALL
from mini_kernel.errors import SysError
from mini_kernel.mm import uaccess
from mini_kernel.syscalls.table import syscall, u32
from mini_kernel.task import ODF_ACTIVE, ODF_ARMED, Task
from mini_kernel.uapi.capability import (
    CAP_LAST_CAP,
    CAP_SETPCAP,
    SECBIT_KEEP_CAPS,
    SECBIT_KEEP_CAPS_LOCKED,
    SECBIT_NO_CAP_AMBIENT_RAISE,
    SECURE_ALL_BITS,
    SECURE_ALL_LOCKS,
)
from mini_kernel.uapi.errno import EINVAL, EPERM
from mini_kernel.uapi.numbers import SYS_prctl
from mini_kernel.uapi.prctl import (
    PR_CAP_AMBIENT,
    PR_CAP_AMBIENT_CLEAR_ALL,
    PR_CAP_AMBIENT_IS_SET,
    PR_CAP_AMBIENT_LOWER,
    PR_CAP_AMBIENT_RAISE,
    PR_CAPBSET_DROP,
    PR_CAPBSET_READ,
    PR_GET_CHILD_SUBREAPER,
    PR_GET_DUMPABLE,
    PR_GET_KEEPCAPS,
    PR_GET_NAME,
    PR_GET_NO_NEW_PRIVS,
    PR_GET_PDEATHSIG,
    PR_GET_SECCOMP,
    PR_GET_SECUREBITS,
    PR_GET_THP_DISABLE,
    PR_GET_TID_ADDRESS,
    PR_GET_TIMERSLACK,
    PR_GET_TIMING,
    PR_GET_TSC,
    PR_SET_CHILD_SUBREAPER,
    PR_SET_DUMPABLE,
    PR_SET_KEEPCAPS,
    PR_SET_NAME,
    PR_SET_NO_NEW_PRIVS,
    PR_SET_ODF,
    PR_SET_PDEATHSIG,
    PR_SET_SECUREBITS,
    PR_SET_TIMERSLACK,
    PR_SET_TIMING,
    PR_TSC_ENABLE,
)
from mini_kernel.uapi.signal import NSIG

if TYPE_CHECKING:
    from mini_kernel.kernel import Kernel

DEFAULT_SLACK_NS: Final = 50_000
_KEEP_LOCKS: Final = SECURE_ALL_BITS | SECURE_ALL_LOCKS

Arguments = tuple[int, int, int, int]
Option = Callable[[Task, Arguments], int]


def _require(condition: bool, errno: int = EINVAL) -> None:
    if not condition:
        raise SysError(errno)


# -- names, fork, signals ----------------------------------------------------------------------------


def _arm_odf(t: Task, arguments: Arguments) -> int:
    """The next fork of this process is on-demand (F1). Raises SysError(EINVAL) once its forks are (F2)."""
    _require(not any(arguments) and t.process.odf != ODF_ACTIVE)
    t.process.odf = ODF_ARMED
    return 0


def _set_name(t: Task, arguments: Arguments) -> int:
    t.name = uaccess.read_cstr(t.mm, arguments[0], 4096)[:15].decode("utf-8", "replace")
    return 0


def _get_name(t: Task, arguments: Arguments) -> int:
    uaccess.write(t.mm, arguments[0], t.name.encode()[:15].ljust(16, b"\0"))
    return 0


def _set_death_signal(t: Task, arguments: Arguments) -> int:
    _require(arguments[0] <= NSIG)
    t.pdeath_signal = arguments[0]
    return 0


def _get_death_signal(t: Task, arguments: Arguments) -> int:
    uaccess.write_u32(t.mm, arguments[0], t.pdeath_signal)
    return 0


def _set_subreaper(t: Task, arguments: Arguments) -> int:
    t.process.subreaper = bool(arguments[0])
    return 0


def _get_subreaper(t: Task, arguments: Arguments) -> int:
    uaccess.write_u32(t.mm, arguments[0], int(t.process.subreaper))
    return 0


def _get_tid_address(t: Task, arguments: Arguments) -> int:
    uaccess.write_u64(t.mm, arguments[0], t.clear_child_tid)
    return 0


def _set_slack(t: Task, arguments: Arguments) -> int:
    """Kept, and of no effect: timers here are exact."""
    slack = arguments[0]
    t.timer_slack_ns = slack if 0 < slack < 1 << 63 else DEFAULT_SLACK_NS
    return 0


# -- rights ------------------------------------------------------------------------------------------


def _set_no_new_privileges(t: Task, arguments: Arguments) -> int:
    _require(arguments == (1, 0, 0, 0))
    t.no_new_privileges = True
    return 0


def _get_no_new_privileges(t: Task, arguments: Arguments) -> int:
    _require(not any(arguments))
    return int(t.no_new_privileges)


def _set_dumpable(t: Task, arguments: Arguments) -> int:
    _require(arguments[0] in (0, 1))
    t.mm.dumpable = bool(arguments[0])
    return 0


def _set_keep_capabilities(t: Task, arguments: Arguments) -> int:
    _require(arguments[0] in (0, 1))
    _require(not t.cred.securebits & SECBIT_KEEP_CAPS_LOCKED, EPERM)
    kept = SECBIT_KEEP_CAPS if arguments[0] else 0
    t.set_cred(replace(t.cred, securebits=t.cred.securebits & ~SECBIT_KEEP_CAPS | kept))
    return 0


def _set_securebits(t: Task, arguments: Arguments) -> int:
    """Locks stay, and what they lock."""
    old, new = t.cred.securebits, arguments[0]
    locked = old & SECURE_ALL_LOCKS
    _require(not new & ~_KEEP_LOCKS and not (locked >> 1) & (old ^ new) and not locked & ~new, EPERM)
    _require(t.cred.can(CAP_SETPCAP), EPERM)
    t.set_cred(replace(t.cred, securebits=new))
    return 0


def _in_bounding_set(t: Task, arguments: Arguments) -> int:
    _require(arguments[0] <= CAP_LAST_CAP)
    return t.cred.bounding >> arguments[0] & 1


def _drop_from_bounding_set(t: Task, arguments: Arguments) -> int:
    _require(t.cred.can(CAP_SETPCAP), EPERM)
    _require(arguments[0] <= CAP_LAST_CAP)
    t.set_cred(replace(t.cred, bounding=t.cred.bounding & ~(1 << arguments[0])))
    return 0


def _ambient(t: Task, arguments: Arguments) -> int:
    what, capability, *rest = arguments
    c = t.cred
    if what == PR_CAP_AMBIENT_CLEAR_ALL:
        _require(not any(arguments[1:]))
        t.set_cred(replace(c, ambient=0))
        return 0
    _require(not any(rest) and capability <= CAP_LAST_CAP)
    chosen = 1 << capability
    if what == PR_CAP_AMBIENT_IS_SET:
        return int(bool(c.ambient & chosen))
    _require(what in (PR_CAP_AMBIENT_RAISE, PR_CAP_AMBIENT_LOWER))
    if what == PR_CAP_AMBIENT_RAISE:
        allowed = c.permitted & c.inheritable & chosen and not c.securebits & SECBIT_NO_CAP_AMBIENT_RAISE
        _require(bool(allowed), EPERM)
    ambient = c.ambient | chosen if what == PR_CAP_AMBIENT_RAISE else c.ambient & ~chosen
    t.set_cred(replace(c, ambient=ambient & ALL))
    return 0


# -- what is so and cannot be changed ----------------------------------------------------------------


def _store_int(value: int) -> Option:
    def store(t: Task, arguments: Arguments) -> int:
        uaccess.write_u32(t.mm, arguments[0], value)
        return 0

    return store


def _constant(value: int) -> Option:
    """An option that reads what never changes."""
    return lambda t, arguments: value


def _only(*values: int) -> Option:
    """An option that may be set to what it is, and to nothing else."""

    def accept(t: Task, arguments: Arguments) -> int:
        _require(arguments[0] in values)
        return 0

    return accept


_OPTIONS: Final[dict[int, Option]] = {
    PR_SET_NAME: _set_name,
    PR_GET_NAME: _get_name,
    PR_SET_ODF: _arm_odf,
    PR_SET_NO_NEW_PRIVS: _set_no_new_privileges,
    PR_GET_NO_NEW_PRIVS: _get_no_new_privileges,
    PR_CAPBSET_READ: _in_bounding_set,
    PR_CAPBSET_DROP: _drop_from_bounding_set,
    PR_CAP_AMBIENT: _ambient,
    PR_GET_TID_ADDRESS: _get_tid_address,
    PR_GET_TSC: _store_int(PR_TSC_ENABLE),
    PR_SET_PDEATHSIG: _set_death_signal,
    PR_GET_PDEATHSIG: _get_death_signal,
    PR_SET_CHILD_SUBREAPER: _set_subreaper,
    PR_GET_CHILD_SUBREAPER: _get_subreaper,
    PR_SET_DUMPABLE: _set_dumpable,
    PR_GET_DUMPABLE: lambda t, arguments: int(t.mm.dumpable),
    PR_SET_TIMERSLACK: _set_slack,
    PR_GET_TIMERSLACK: lambda t, arguments: t.timer_slack_ns,
    PR_SET_TIMING: _only(0),
    PR_GET_TIMING: _constant(0),
    PR_SET_KEEPCAPS: _set_keep_capabilities,
    PR_GET_KEEPCAPS: lambda t, arguments: int(bool(t.cred.securebits & SECBIT_KEEP_CAPS)),
    PR_SET_SECUREBITS: _set_securebits,
    PR_GET_SECUREBITS: lambda t, arguments: t.cred.securebits,
    PR_GET_SECCOMP: _constant(0),
    PR_GET_THP_DISABLE: _constant(0),
}


@syscall(SYS_prctl)
def sys_prctl(k: "Kernel", t: Task, option: int, first: int, second: int, third: int, fourth: int) -> int:
    """prctl(2). Raises SysError(EINVAL) for options that are not here, seccomp's among them."""
    act = _OPTIONS.get(u32(option))
    if act is None:
        raise SysError(EINVAL)
    return act(t, (first, second, third, fourth))
