/* Memory that is used, page by page, in a child: the OOM killer takes that child and nobody else. */
#include "bomb.h"

int main(void)
{
    pid_t pid = fork();
    if (!pid)
        for (;;) {
            char *memory = mmap(0, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            for (int i = 0; memory != MAP_FAILED && i < 1 << 20; i += 4096)
                memory[i] = 1;
        }
    ended("writes", pid);
    if (!(pid = fork())) {
        char *shared = mmap(0, 16l << 30, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        for (long i = 0; i < 16l << 30; i += 4096)
            shared[i] = 1;
    }
    ended("writes to shared memory", pid);
    return 0;
}
