"""Is the README's table of system calls the kernel's? `python tests/cli/test_readme_calls.py` writes it anew."""

import re
from collections import defaultdict
from pathlib import Path

from mini_kernel.syscalls import TABLE
from mini_kernel.uapi import syscall_names

README = Path(__file__).parents[2] / "README.md"
BLOCK = re.compile(r"(?<=<!-- calls -->\n).*?(?=<!-- /calls -->)", re.S)
#: Family -> the modules of mini_kernel/syscalls that it is made of. Modules not named here stand at the end.
FAMILIES = {
    "files and directories": "files dirs io splice stat fcntl xattr mounts inotify",
    "pipes, events, waiting for files": "pipes poll epoll events",
    "sockets (AF_UNIX, IPv4 and IPv6 loopback, route netlink)": "socket messages",
    "memory": "memory remote",
    "System V and POSIX IPC": "shm sem msg mqueue",
    "processes": "procs waiting groups pidfd",
    "threads": "threads futex",
    "signals": "signals sending",
    "time": "timers times",
    "who, how much, which order": "identity creds prctl priority scheduling",
}
#: Not in Linux.
OWN = ("odfork", "sfork", "pin")
#: Numbers that Linux 6.1 itself answers with ENOSYS on x86-64.
NOT_IN_LINUX = (
    "_sysctl afs_syscall create_module epoll_ctl_old epoll_wait_old get_kernel_syms get_thread_area getpmsg "
    "lookup_dcookie nfsservctl putpmsg query_module security set_thread_area tuxcall uselib vserver"
)


def table() -> str:
    """The table, as Markdown."""
    by_module: defaultdict[str, list[str]] = defaultdict(list)
    for number, entry in TABLE.items():
        name = syscall_names[number]
        if name not in OWN:
            by_module[entry.handler.__module__.rpartition(".")[2]].append(name)
    rows = [
        (title, [name for module in modules.split() for name in by_module.pop(module, [])])
        for title, modules in FAMILIES.items()
    ]
    rows.append(("more", [name for names in by_module.values() for name in names]))
    rows.append(("the lab's own", list(OWN)))
    missing = set(syscall_names.values()) - {syscall_names[number] for number in TABLE} - set(NOT_IN_LINUX.split())
    rows.append((f"**not there** ({len(missing)}): ENOSYS, counted and named in `--stats`", sorted(missing)))
    lines = [f"| {title} | {' '.join(sorted(names))} |\n" for title, names in rows if names]
    return "| family | calls |\n|---|---|\n" + "".join(lines)


def test_the_table_of_calls_is_the_kernels() -> None:
    """Every call that exists is in it, and no other; so is every one of Linux that does not exist."""
    found = BLOCK.search(README.read_text())
    assert found, "the README has no table of calls"
    assert found[0] == table(), f"not up to date; to write it anew: python {Path(__file__).relative_to(README.parent)}"


if __name__ == "__main__":
    README.write_text(BLOCK.sub(lambda _match: table(), README.read_text()))
