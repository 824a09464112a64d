"""use_odf and prctl: what arms, what does not, and what is refused."""

from typing import Any

import pytest
from fs_helpers import BUFFER, System, name

from mini_kernel import process as life
from mini_kernel.errors import SysError
from mini_kernel.fs.proc import odf
from mini_kernel.syscalls.prctl import sys_prctl
from mini_kernel.task import ODF_ACTIVE, ODF_ARMED, ODF_OFF
from mini_kernel.uapi import errno_names
from mini_kernel.uapi import prctl as p
from mini_kernel.uapi.errno import EINVAL, ENOENT, ESRCH
from mini_kernel.uapi.fcntl import O_APPEND, O_RDWR, O_WRONLY


@pytest.fixture
def system() -> System:
    """One process, number 1, that runs."""
    system = System()
    system.kernel.processes[1] = system.task.process
    system.kernel.sched.current = system.task
    return system


def write(system: System, data: bytes, pid: int = 1) -> Any:
    fd = system.open(b"/proc/%d/use_odf" % pid, O_RDWR)
    result = system.write(fd, system.put(data), len(data))
    system.close(fd)
    return name(result)


def read(system: System, pid: int = 1) -> bytes:
    fd = system.open(b"/proc/%d/use_odf" % pid, O_RDWR)
    data = system.got(system.read(fd, BUFFER, 100))
    assert system.read(fd, BUFFER, 100) == 0
    system.close(fd)
    return data


def prctl(system: System, option: int, *arguments: int) -> Any:
    padded = [argument & (1 << 64) - 1 for argument in (*arguments, 0, 0, 0, 0)[:4]]
    try:
        return sys_prctl(system.kernel, system.task, option, *padded)
    except SysError as error:
        return errno_names[error.errno]


def test_F4_the_file_holds_the_states_of_a_process() -> None:
    """What /proc writes is what fork looks at."""
    assert (odf._OFF, odf._ARMED) == (ODF_OFF, ODF_ARMED)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b"1", 1), (b"1\n", 1), (b"0", 0), (b"+1", 1), (b"-1", -1), (b"-0", 0), (b"0x1", 1), (b"0X0a\n", 10),
        (b"01", 1), (b"00", 0), (b"017", 15), (b" 1", 1), (b"1 \n", 1), (b"\t1\t\n\n", 1),
        (b"1\x00", 1), (b"1\0garbage", 1),
        (b"2147483647", 2**31 - 1), (b"-2147483648", -(2**31)), (b"0x7fffffff", 2**31 - 1),
        (b"017777777777", 2**31 - 1),
        (b"0" * 3000 + b"1", 1), (b"0x" + b"0" * 3000 + b"1", 1),
    ],
)  # fmt: skip
def test_F6_integers_in_any_base_of_c(text: bytes, value: int) -> None:
    """Decimal, octal, hexadecimal, with a sign, with blanks around."""
    assert odf.parse_int(text) == value


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (b"", "EINVAL"), (b"\n", "EINVAL"), (b"x", "EINVAL"), (b"1x", "EINVAL"), (b"1 1", "EINVAL"), (b"0x", "EINVAL"),
        (b"09", "EINVAL"), (b"--1", "EINVAL"), (b"+-1", "EINVAL"), (b"- 1", "EINVAL"), (b"1.0", "EINVAL"),
        (b"yes", "EINVAL"), (b"0b1", "EINVAL"), (b"1_0", "EINVAL"), (b"\xff", "EINVAL"),
        ("\u0661".encode(), "EINVAL"), (b"\0001", "EINVAL"),
        (b"2147483648", "ERANGE"), (b"-2147483649", "ERANGE"), (b"0x80000000", "ERANGE"), (b"020000000000", "ERANGE"),
        (b"9" * 4000, "ERANGE"), (b"-" + b"9" * 4000, "ERANGE"), (b"1" + b"0" * 20, "ERANGE"),
    ],
)  # fmt: skip
def test_F6_what_is_no_int_is_refused(system: System, text: bytes, error: str) -> None:
    """EINVAL for no number, ERANGE for one that does not fit; either way the switch stays."""
    system.task.process.odf = ODF_ARMED
    with pytest.raises(SysError) as caught:
        odf.parse_int(text)
    assert errno_names[caught.value.errno] == error
    if text:
        assert write(system, text) == error
    assert system.task.process.odf == ODF_ARMED


def test_F4_F5_one_arms_and_zero_switches_off(system: System) -> None:
    """Read back at once; armed or active both read as 1; writing 1 to an active process leaves it active."""
    assert read(system) == b"0\n"
    assert write(system, b"1\n") == 2
    assert (system.task.process.odf, read(system)) == (ODF_ARMED, b"1\n")
    assert write(system, b"1") == 1
    assert system.task.process.odf == ODF_ARMED
    system.task.process.odf = ODF_ACTIVE
    assert read(system) == b"1\n"
    assert write(system, b"0x1") == 3
    assert system.task.process.odf == ODF_ACTIVE
    assert write(system, b"00") == 2
    assert (system.task.process.odf, read(system)) == (ODF_OFF, b"0\n")


@pytest.mark.parametrize("state", [ODF_OFF, ODF_ARMED, ODF_ACTIVE])
@pytest.mark.parametrize("text", [b"2", b"-1\n", b"0x10", b"010", b"2147483647"])
def test_F6_other_integers_are_taken_and_change_nothing(system: System, state: int, text: bytes) -> None:
    """The byte count is returned."""
    system.task.process.odf = state
    assert write(system, text) == len(text)
    assert system.task.process.odf == state


def test_F4_the_switch_is_the_one_of_the_process_named(system: System) -> None:
    """A child's, and a thread's number means its process."""
    child = life.clone(system.kernel, system.task, 0, 17)
    assert write(system, b"1", child.tid) == 1
    assert (child.process.odf, system.task.process.odf) == (ODF_ARMED, ODF_OFF)
    thread = life.clone(system.kernel, system.task, 0x10F00, 0)
    assert write(system, b"1", thread.tid) == 1
    assert system.task.process.odf == ODF_ARMED


def test_F5_every_read_and_write_of_an_open_file_is_now(system: System) -> None:
    """A descriptor that is kept shows changes, at whatever position; a long write counts as a whole."""
    fd = system.open(b"/proc/self/use_odf", O_RDWR | O_APPEND)
    assert system.read(fd, BUFFER, 1) == 1
    assert system.got(1) == b"0"
    assert system.write(fd, system.put(b"1"), 1) == 1
    assert system.pread64(fd, BUFFER, 9, 0) == 2
    assert system.got(2) == b"1\n"
    assert system.write(fd, system.put(b"0" + b" " * 9000), 9001) == 9001
    assert system.pread64(fd, BUFFER, 9, 0) == 2
    assert system.got(2) == b"0\n"
    assert system.pread64(fd, BUFFER, 9, 1 << 62) == 0


def test_F6_mode_is_0644(system: System) -> None:
    """Others may read a process's switch and not set it."""
    assert system.kernel.vfs.lookup(system.task, b"/proc/self/use_odf").mode == 0o100644
    other = life.clone(system.kernel, system.task, 0, 17)
    other.fs.uid = 1000
    assert system.call(other, "open", b"/proc/1/use_odf", 0) >= 0
    assert system.call(other, "open", b"/proc/1/use_odf", O_WRONLY) == -13


def test_F6_the_dead_cannot_be_armed(system: System) -> None:
    """ESRCH through a descriptor opened before, for a zombie too; there is no such file once it is waited for."""
    child = life.clone(system.kernel, system.task, 0, 17)
    fd = system.open(b"/proc/2/use_odf", O_RDWR)
    assert system.read(fd, BUFFER, 9) == 2
    life.exit_group(system.kernel, child.process, 0)
    for _ in range(2):
        assert system.read(fd, BUFFER, 9) == -ESRCH
        assert system.write(fd, system.put(b"1"), 1) == -ESRCH
        assert system.write(fd, system.put(b"x"), 1) == -EINVAL
        life.reap(system.kernel, child.process)
    assert system.open(b"/proc/2/use_odf", O_RDWR) == -ENOENT


# -- prctl ------------------------------------------------------------------------------------------------------


def test_F1_F2_prctl_arms_until_active(system: System) -> None:
    """0 as often as one likes, EINVAL once active; other arguments must be 0."""
    assert p.PR_SET_ODF == 65
    for place in range(4):
        assert prctl(system, 65, *(int(i == place) for i in range(4))) == "EINVAL"
    assert system.task.process.odf == ODF_OFF
    for _ in range(2):
        assert prctl(system, 65) == 0
        assert (system.task.process.odf, read(system)) == (ODF_ARMED, b"1\n")
    system.task.process.odf = ODF_ACTIVE
    assert prctl(system, 65) == "EINVAL"
    assert system.task.process.odf == ODF_ACTIVE
    assert write(system, b"0") == 1
    assert prctl(system, 65) == 0


def test_option_is_an_int(system: System) -> None:
    """The upper half of the register does not count."""
    assert prctl(system, 65 | 1 << 32) == 0
    assert prctl(system, p.PR_GET_DUMPABLE | 1 << 40) == 1


def test_no_new_privileges_is_set_for_good_and_inherited(system: System) -> None:
    """Linux: only the value 1, nothing else set; there is no way back."""
    assert prctl(system, p.PR_GET_NO_NEW_PRIVS) == 0
    assert prctl(system, p.PR_SET_NO_NEW_PRIVS) == "EINVAL"
    assert prctl(system, p.PR_SET_NO_NEW_PRIVS, 1, 1) == "EINVAL"
    assert prctl(system, p.PR_GET_NO_NEW_PRIVS, 1) == "EINVAL"
    assert prctl(system, p.PR_SET_NO_NEW_PRIVS, 1) == 0
    assert prctl(system, p.PR_SET_NO_NEW_PRIVS, 0) == "EINVAL"
    assert prctl(system, p.PR_GET_NO_NEW_PRIVS) == 1
    assert life.clone(system.kernel, system.task, 0, 17).no_new_privileges


def test_other_options_say_what_is_so(system: System) -> None:
    """Some through a pointer; what cannot be is refused."""
    constants = {p.PR_GET_DUMPABLE: 1, p.PR_GET_TIMERSLACK: 50_000, p.PR_GET_KEEPCAPS: 0, p.PR_GET_SECCOMP: 0}
    assert {option: prctl(system, option) for option in constants} == constants
    for option, value in ((p.PR_GET_PDEATHSIG, 0), (p.PR_GET_CHILD_SUBREAPER, 0), (p.PR_GET_TSC, p.PR_TSC_ENABLE)):
        system.put(b"\xff" * 8)
        assert prctl(system, option, BUFFER) == 0
        assert system.got(8) == value.to_bytes(4, "little") + b"\xff" * 4
        assert prctl(system, option, 0) == "EFAULT"
    system.task.clear_child_tid = 0x1234_5678_9ABC
    assert prctl(system, p.PR_GET_TID_ADDRESS, BUFFER) == 0
    assert int.from_bytes(system.got(8), "little") == 0x1234_5678_9ABC
    assert [prctl(system, p.PR_CAPBSET_READ, n) for n in (0, 40, 41, -1)] == [1, 1, "EINVAL", "EINVAL"]
    assert [prctl(system, p.PR_SET_DUMPABLE, n) for n in (0, 1, 2)] == [0, 0, "EINVAL"]
    assert [prctl(system, p.PR_SET_PDEATHSIG, n) for n in (9, 0, 65)] == [0, 0, "EINVAL"]
    assert prctl(system, p.PR_SET_VMA, p.PR_SET_VMA_ANON_NAME, BUFFER, 4096) == "EINVAL"
    assert prctl(system, 12345) == "EINVAL"


def test_name_is_the_threads_and_shows_in_comm(system: System) -> None:
    """PR_SET_NAME cuts at 15 bytes, PR_GET_NAME gives 16."""
    assert prctl(system, p.PR_SET_NAME, system.put(b"a name that is too long\0")) == 0
    assert prctl(system, p.PR_GET_NAME, BUFFER + 100) == 0
    assert system.got(16, BUFFER + 100) == b"a name that is \0"
    assert system.task.name == "a name that is "
