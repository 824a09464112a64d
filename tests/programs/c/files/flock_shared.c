/* Is a flock the open file's: kept by dup and fork, given up by the last close, exclusive against other opens? */
#include "say.h"
#include <sys/file.h>

int main(void)
{
    const char *name = "/tmp/cr3lab-flock";
    int one = open(name, O_RDWR | O_CREAT | O_TRUNC, 0600), two = open(name, O_RDONLY), copy = dup(one);
    try(flock(one, LOCK_SH));
    try(flock(two, LOCK_SH | LOCK_NB));
    try(flock(one, LOCK_EX | LOCK_NB)); /* fails, and what it had is gone */
    try(flock(two, LOCK_EX | LOCK_NB));
    try(flock(one, LOCK_SH | LOCK_NB));
    try(flock(two, LOCK_UN));
    try(flock(one, LOCK_EX | LOCK_NB));
    try(flock(copy, LOCK_EX | LOCK_NB));
    close(one);
    try(flock(two, LOCK_SH | LOCK_NB));
    pid_t child = fork();
    if (child == 0) {
        try(flock(two, LOCK_SH | LOCK_NB));
        try(flock(copy, LOCK_UN));
        try(flock(two, LOCK_SH | LOCK_NB));
        _exit(0);
    }
    wait_and_say("child", child);
    try(flock(copy, LOCK_EX | LOCK_NB)); /* `two` is shared with the child: still locked */
    close(two);
    try(flock(copy, LOCK_EX | LOCK_NB));
    struct flock range = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    try(fcntl(copy, F_SETLK, &range)); /* the other kind does not mind */
    child = fork();
    if (child == 0) {
        int other = open(name, O_RDWR);
        close(copy);
        say("waits\n");
        try(flock(other, LOCK_EX));
        _exit(0);
    }
    rest(60);
    say("closes\n");
    close(copy);
    wait_and_say("child", child);
    try(flock(-1, LOCK_EX));
    try(flock(-1, 77));
    int place = open(name, O_PATH), bad = open(name, 3);
    try(flock(place, LOCK_SH));
    try(flock(bad, LOCK_SH));
    try(flock(bad, LOCK_UN));
    try(flock(bad, 0));
    try(flock(bad, LOCK_SH | LOCK_EX));
    try(flock(bad, 32 | LOCK_SH));
    unlink(name);
    return 0;
}
