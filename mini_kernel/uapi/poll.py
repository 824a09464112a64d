"""poll(2), epoll(7), eventfd(2).

Source: asm/poll.h, linux/eventpoll.h (x86-64).
"""

from typing import Final

POLLIN: Final = 0x1
POLLPRI: Final = 0x2
POLLOUT: Final = 0x4
POLLERR: Final = 0x8
POLLHUP: Final = 0x10
POLLNVAL: Final = 0x20
POLLRDNORM: Final = 0x40
POLLRDBAND: Final = 0x80
POLLWRNORM: Final = 0x100
POLLWRBAND: Final = 0x200
POLLMSG: Final = 0x400
POLLREMOVE: Final = 0x1000
POLLRDHUP: Final = 0x2000
EPOLL_CLOEXEC: Final = 0x80000
EPOLL_CTL_ADD: Final = 1
EPOLL_CTL_DEL: Final = 2
EPOLL_CTL_MOD: Final = 3
EPOLLIN: Final = 1
EPOLLPRI: Final = 2
EPOLLOUT: Final = 4
EPOLLERR: Final = 8
EPOLLHUP: Final = 16
EPOLLNVAL: Final = 32
EPOLLRDNORM: Final = 64
EPOLLRDBAND: Final = 128
EPOLLWRNORM: Final = 256
EPOLLWRBAND: Final = 512
EPOLLMSG: Final = 1024
EPOLLRDHUP: Final = 8192
EPOLL_URING_WAKE: Final = 0x8000000
EPOLLEXCLUSIVE: Final = 0x10000000
EPOLLWAKEUP: Final = 0x20000000
EPOLLONESHOT: Final = 0x40000000
EPOLLET: Final = 0x80000000

# eventfd2(2), from sys/eventfd.h.
EFD_SEMAPHORE: Final = 1
EFD_CLOEXEC: Final = 0o2000000
EFD_NONBLOCK: Final = 0o4000
