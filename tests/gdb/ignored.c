/* Gets signals that it ignores, by its own choice and by default. */
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>
int main(void) {
    int s;
    signal(SIGUSR1, SIG_IGN);
    raise(SIGUSR1);
    raise(SIGURG);
    pid_t p = fork();
    if (!p) { usleep(500000); _exit(3); }
    waitpid(p, &s, 0);
    printf("%d\n", WEXITSTATUS(s));
    return 0;
}
