/* Do readv, writev, preadv and pwritev treat their buffers as one, and stop where they must? */
#include "say.h"

int main(void)
{
    char a[4] = "", b[8] = "", c[16] = "";
    struct iovec out[] = {{"one", 3}, {"", 0}, {"two", 3}, {"three", 5}}, in[] = {{a, 3}, {b, 5}, {c, 16}};
    int fd = open("/tmp/cr3lab-vec", O_RDWR | O_CREAT | O_TRUNC, 0600), ends[2];
    unlink("/tmp/cr3lab-vec");
    try(writev(fd, out, 4));
    try(lseek(fd, 0, SEEK_SET));
    try(readv(fd, in, 3));
    say("%.3s|%.5s|%.3s\n", a, b, c);
    try(readv(fd, in, 3));
    try(pwritev(fd, out, 1, 20));
    try(preadv(fd, in, 3, 18));
    say("%d %d %.1s|%.2s\n", a[0], a[1], a + 2, b);
    try(writev(fd, out, -1));
    try(writev(fd, out, 2000));
    try(writev(fd, 0, 0));
    try(writev(fd, (struct iovec *)8, 1));
    if (pipe(ends))
        return 1;
    out[0].iov_len = (size_t)-1;
    try(writev(ends[1], out, 2));
    out[0].iov_len = 3;
    try(writev(ends[1], out, 4));
    try(readv(ends[0], in, 2));
    say("%.3s|%.5s\n", a, b);
    return 0;
}
