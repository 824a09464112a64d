"""wait4(2) and waitid(2) flags.

Source: linux/wait.h (x86-64).
"""

from typing import Final

WNOHANG: Final = 0x1
WUNTRACED: Final = 0x2
WSTOPPED: Final = 2
WEXITED: Final = 0x4
WCONTINUED: Final = 0x8
WNOWAIT: Final = 0x1000000
P_ALL: Final = 0
P_PID: Final = 1
P_PGID: Final = 2
P_PIDFD: Final = 3
__WNOTHREAD: Final = 0x20000000
__WALL: Final = 0x40000000
__WCLONE: Final = 0x80000000
