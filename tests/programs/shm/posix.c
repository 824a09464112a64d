/* Do shm_open, shm_unlink and a mapping of what they name work as on a tmpfs at /dev/shm? */
#include "shm.h"
#include <sys/vfs.h>

#define NAME "/cr3lab-test"

int main(void)
{
    struct stat st;
    struct statfs fs;
    shm_unlink(NAME);
    umask(022);
    try(shm_open(NAME, O_RDWR, 0600));
    int fd = shm_open(NAME, O_RDWR | O_CREAT | O_EXCL, 0666);
    say("made: %d\n", fd >= 0);
    try(shm_open(NAME, O_RDWR | O_CREAT | O_EXCL, 0666));
    try(shm_open("/a/b", O_RDWR | O_CREAT, 0666));
    try(shm_open("/..", O_RDWR | O_CREAT, 0666));
    fstat(fd, &st);
    say("mode %o size %ld links %ld close-on-exec %d\n", st.st_mode, (long)st.st_size, (long)st.st_nlink,
        fcntl(fd, F_GETFD));
    fstatfs(fd, &fs);
    say("file system %lx, blocks of %ld\n", (long)fs.f_type, (long)fs.f_bsize);
    try(ftruncate(fd, 3 * PAGE));
    volatile char *p = mmap(0, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    pid_t child = fork();
    if (!child) {
        int own = shm_open(NAME, O_RDONLY, 0);
        volatile char *q = mmap(0, PAGE, PROT_READ, MAP_SHARED, own, PAGE);
        p[0] = 11;
        while (!q[0])
            ;
        try(mprotect((void *)q, PAGE, PROT_READ | PROT_WRITE));
        _exit(q[0]);
    }
    p[PAGE] = 22;
    wait_and_say("child", child);
    say("it wrote %d\n", p[0]);
    try(shm_unlink(NAME));
    try(shm_unlink(NAME));
    fstat(fd, &st);
    say("links %ld, still %d\n", (long)st.st_nlink, p[PAGE]);
    stat("/dev/shm", &st);
    say("directory %o\n", st.st_mode);
    try(rmdir("/dev/shm"));
    statfs("/dev/shm", &fs);
    say("file system %lx\n", (long)fs.f_type);
    return 0;
}
