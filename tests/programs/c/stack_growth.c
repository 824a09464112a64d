/* Does the stack grow by itself to 6 MiB, end with SIGSEGV at its limit, and leave the process able to go on? */
/* checked once: many faults */
#include "say.h"
#include <sys/resource.h>

static sigjmp_buf out;
static char alternate[65536];

static void handler(int signo, siginfo_t *info, void *context)
{
    (void)context;
    siglongjmp(out, signo * 100 + (info->si_code == SEGV_MAPERR));
}

static unsigned __attribute__((noinline)) descend(unsigned levels)
{
    volatile char frame[1024];
    frame[0] = frame[1023] = (char)levels;
    unsigned below = levels ? descend(levels - 1) : 0;
    return below + (frame[0] == (char)levels) + (frame[1023] == (char)levels);
}

int main(void)
{
    struct rlimit limit = {8 << 20, 8 << 20};
    say("6 MiB: %u\n", descend(5900));
    setrlimit(RLIMIT_STACK, &limit);
    stack_t stack = {.ss_sp = alternate, .ss_size = sizeof alternate};
    sigaltstack(&stack, 0);
    on(SIGSEGV, handler, SA_ONSTACK);
    for (int i = 0; i < 2; i++) {
        int result = sigsetjmp(out, 1);
        if (result == 0)
            say("no fault? %u\n", descend(100000));
        else
            say("overflow: %d\n", result);
    }
    say("and on: %u\n", descend(100));
    pid_t child = fork();
    if (child == 0) {
        on(SIGSEGV, handler, 0); /* no room for its frame */
        descend(100000);
        _exit(0);
    }
    wait_and_say("without an alternate stack", child);
    return 0;
}
