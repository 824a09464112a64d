/* Does a futex in shared memory work between processes that map it at different places, and a private one stay private? */
#include "say.h"
#include "futex.h"

static long futex(void *address, int op, uint32_t value)
{
    struct timespec limit = {20, 0};
    return syscall(SYS_futex, address, op, value, &limit, 0, 0);
}

static void *elsewhere(int fd)
{
    return mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
}

int main(void)
{
    int fd = syscall(SYS_memfd_create, "words", 0);
    ftruncate(fd, 8192);
    uint32_t *shared = elsewhere(fd), *anonymous = mmap(0, 4096, 3, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    uint32_t *own = mmap(0, 4096, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    own[0] = 1;
    pid_t child = fork();
    if (!child) {
        uint32_t *again = elsewhere(fd);
        int ok = again != shared;
        while (!__atomic_load_n(&again[1024], __ATOMIC_SEQ_CST))
            if (futex(&again[1024], FUTEX_WAIT, 0) && errno == ETIMEDOUT)
                _exit(1);
        own[0] = 2; /* breaks copy-on-write (and a shared table): the word moves, its waiters must not */
        __atomic_store_n(anonymous, 1, __ATOMIC_SEQ_CST);
        futex(anonymous, FUTEX_WAKE, 1);
        while (__atomic_load_n(anonymous, __ATOMIC_SEQ_CST) != 2)
            futex(anonymous, FUTEX_WAIT, 1);
        try(futex(own, FUTEX_WAKE, 9)); /* nobody waits in this address space */
        try(futex(own, FUTEX_WAKE_PRIVATE, 9));
        _exit(ok ? 7 : 2);
    }
    rest(20);
    __atomic_store_n(&shared[1024], 1, __ATOMIC_SEQ_CST);
    try(futex(&shared[1024], FUTEX_WAKE_PRIVATE, 1)); /* private: not the same word */
    futex(&shared[1024], FUTEX_WAKE, 1);
    while (!__atomic_load_n(anonymous, __ATOMIC_SEQ_CST))
        futex(anonymous, FUTEX_WAIT, 0);
    __atomic_store_n(anonymous, 2, __ATOMIC_SEQ_CST);
    futex(anonymous, FUTEX_WAKE, 1);
    wait_and_say("child", child);
    return 0;
}
