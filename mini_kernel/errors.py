"""The kernel's two kinds of failure.

SysError    the guest's mistake: becomes -errno or a signal, in one place (trap.py)
KernelBug   ours: an invariant does not hold; never caught inside the kernel
"""

from mini_kernel.uapi import errno_names


class SysError(Exception):
    """A system call or fault that fails as Linux would: carries a positive errno."""

    def __init__(self, errno: int) -> None:
        super().__init__(errno)
        self.errno = errno

    def __str__(self) -> str:
        return errno_names.get(self.errno, str(self.errno))


class KernelBug(Exception):
    """A broken invariant. The message names it and the values that break it."""
