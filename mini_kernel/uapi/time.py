"""Clocks and timers: clock_gettime(2), setitimer(2), timer_create(2), timerfd_create(2).

Source: linux/time.h, linux/timerfd.h (x86-64).
"""

from typing import Final

ITIMER_REAL: Final = 0
ITIMER_VIRTUAL: Final = 1
ITIMER_PROF: Final = 2
CLOCK_REALTIME: Final = 0
CLOCK_MONOTONIC: Final = 1
CLOCK_PROCESS_CPUTIME_ID: Final = 2
CLOCK_THREAD_CPUTIME_ID: Final = 3
CLOCK_MONOTONIC_RAW: Final = 4
CLOCK_REALTIME_COARSE: Final = 5
CLOCK_MONOTONIC_COARSE: Final = 6
CLOCK_BOOTTIME: Final = 7
CLOCK_REALTIME_ALARM: Final = 8
CLOCK_BOOTTIME_ALARM: Final = 9
CLOCK_SGI_CYCLE: Final = 10
CLOCK_TAI: Final = 11
MAX_CLOCKS: Final = 16
TIMER_ABSTIME: Final = 0x1
TFD_TIMER_ABSTIME: Final = 1
TFD_TIMER_CANCEL_ON_SET: Final = 2
TFD_CLOEXEC: Final = 0x80000
TFD_NONBLOCK: Final = 2048

# utimensat(2), from sys/stat.h.
UTIME_NOW: Final = 0x3FFFFFFF
UTIME_OMIT: Final = 0x3FFFFFFE
