/* How many bytes do splice, tee, vmsplice and sendfile move between pipes and files, and what do they refuse? */
#include "say.h"
#include <sys/sendfile.h>

static void rest_of(const char *what, int fd)
{
    char text[64];
    int n = read(fd, text, sizeof text - 1);
    text[n > 0 ? n : 0] = 0;
    say("%s: %d %s\n", what, n, n > 0 ? text : "");
}

int main(void)
{
    int a[2], b[2], fd = open("/tmp/cr3lab-splice", O_RDWR | O_CREAT | O_TRUNC, 0600);
    int appending = open("/tmp/cr3lab-splice", O_WRONLY | O_APPEND);
    unlink("/tmp/cr3lab-splice");
    signal(SIGPIPE, SIG_IGN);
    write(fd, "0123456789", 10);
    pipe2(a, O_NONBLOCK);
    pipe2(b, O_NONBLOCK);
    loff_t at = 2;
    try(splice(fd, &at, a[1], 0, 4, 0));
    say("at %ld, position %ld\n", (long)at, (long)lseek(fd, 0, SEEK_CUR));
    try(tee(a[0], b[1], 3, 0));
    rest_of("copied", b[0]);
    rest_of("still there", a[0]);
    try(splice(a[0], 0, b[1], 0, 4, 0));
    write(a[1], "abcdef", 6);
    try(splice(a[0], 0, b[1], 0, 4, 0));
    rest_of("moved", b[0]);
    at = 20;
    try(splice(a[0], 0, fd, &at, 100, 0));
    say("at %ld\n", (long)at);
    lseek(fd, 0, SEEK_SET);
    try(splice(fd, 0, a[1], 0, 8, 0));
    say("position %ld\n", (long)lseek(fd, 0, SEEK_CUR));
    try(splice(a[0], 0, fd, 0, 3, 0));
    say("position %ld\n", (long)lseek(fd, 0, SEEK_CUR));
    rest_of("left", a[0]);
    at = 100;
    try(splice(fd, &at, a[1], 0, 4, 0));
    struct iovec parts[2] = {{"user ", 5}, {"memory", 6}};
    try(vmsplice(a[1], parts, 2, 0));
    char into[16] = {0};
    struct iovec place = {into, 7};
    try(vmsplice(a[0], &place, 1, 0));
    say("%s\n", into);
    rest_of("left", a[0]);
    try(vmsplice(a[1], parts, 0, 0));
    try(vmsplice(fd, parts, 2, 0));
    try(vmsplice(a[1], parts, 2, 64));
    try(splice(fd, 0, a[1], 0, 4, 64));
    try(splice(fd, 0, fd, 0, 4, 0));
    try(splice(a[0], &at, b[1], 0, 4, 0));
    try(splice(fd, 0, a[1], &at, 4, 0));
    try(splice(a[0], 0, a[1], 0, 4, 0));
    try(splice(a[1], 0, b[1], 0, 4, 0));
    try(splice(a[0], 0, b[0], 0, 4, 0));
    try(splice(-1, 0, a[1], 0, 4, 0));
    try(splice(fd, 0, a[1], 0, 0, 0));
    write(a[1], "x", 1);
    try(splice(a[0], 0, appending, 0, 4, 0));
    try(tee(a[0], a[1], 1, 0));
    try(tee(fd, a[1], 1, 0));
    try(tee(a[0], fd, 1, 0));
    rest_of("left", a[0]);
    try(tee(a[0], b[1], 1, 0));
    try(tee(a[0], b[1], 1, SPLICE_F_NONBLOCK));
    close(a[1]);
    try(tee(a[0], b[1], 1, 0));
    try(splice(a[0], 0, b[1], 0, 1, 0));
    close(b[0]);
    at = 0;
    try(splice(fd, &at, b[1], 0, 4, 0));
    int zero = open("/dev/zero", O_RDONLY), c[2];
    pipe(c);
    try(sendfile(c[1], zero, 0, 20));
    try(splice(zero, 0, c[1], 0, 20, 0));
    try(sendfile(fd, c[0], 0, 4));
    off_t off = 5;
    try(sendfile(c[1], fd, &off, 3));
    say("off %ld\n", (long)off);
    off = -1;
    try(sendfile(c[1], fd, &off, 3));
    try(sendfile(appending, fd, 0, 3));
    try(sendfile(c[1], c[0], &off, 3));
    return 0;
}
