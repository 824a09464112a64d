/* What do WNOHANG, WNOWAIT, waiting by group, and waiting for nobody return? */
#include "say.h"

int main(void)
{
    int status, gate[2];
    siginfo_t info;
    try(waitpid(-1, &status, 0));
    try(wait4(-1, &status, 0x40, 0));
    try(waitid(P_ALL, 0, &info, 0));
    try(waitid(99, 0, &info, WEXITED));
    if (pipe(gate))
        return 1;
    pid_t child = fork();
    if (child == 0) {
        char byte;
        close(gate[1]);
        _exit(read(gate[0], &byte, 1) == 0 ? 7 : 8);
    }
    setpgid(child, child);
    try(waitpid(child, &status, WNOHANG));
    try(waitpid(0, &status, WNOHANG));
    try(waitpid(-child, &status, WNOHANG));
    info.si_pid = 1;
    try(waitid(P_PID, child, &info, WEXITED | WNOHANG));
    say("si_pid %d si_signo %d\n", info.si_pid, info.si_signo);
    close(gate[1]);
    memset(&info, 0, sizeof info);
    try(waitid(P_PID, child, &info, WEXITED | WNOWAIT));
    say("%d %d %d %d\n", info.si_pid == child, info.si_signo, info.si_code == CLD_EXITED, info.si_status);
    try(waitid(P_PGID, child, &info, WEXITED | WNOWAIT));
    say("found again: %d\n", waitpid(-child, &status, 0) == child);
    say_status("child", status);
    try(waitpid(child, &status, 0));
    try(waitid(P_PID, child, &info, WEXITED));
    return 0;
}
