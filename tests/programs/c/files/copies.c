/* What do copy_file_range and sendfile move between files, and which overlaps, kinds and flags do they refuse? */
#include "say.h"
#include <sys/sendfile.h>

static void show(const char *what, int fd)
{
    char text[64] = {0};
    int n = pread(fd, text, 63, 0);
    for (int i = 0; i < n; i++)
        if (!text[i])
            text[i] = '.';
    say("%s: %d %s, position %ld\n", what, n, text, (long)lseek(fd, 0, SEEK_CUR));
}

int main(void)
{
    int from = open("from", O_RDWR | O_CREAT | O_TRUNC, 0600), to = open("to", O_RDWR | O_CREAT | O_TRUNC, 0600);
    int reader = open("from", O_RDONLY), appending = open("to", O_WRONLY | O_APPEND), dir = open(".", O_RDONLY), ends[2];
    pipe(ends);
    write(from, "0123456789", 10);
    lseek(from, 2, SEEK_SET);
    try(copy_file_range(from, 0, to, 0, 3, 0));
    show("from", from);
    show("to", to);
    loff_t in = 8, out = 6;
    try(copy_file_range(from, &in, to, &out, 100, 0));
    say("in %ld out %ld\n", (long)in, (long)out);
    show("to", to);
    in = 50;
    try(copy_file_range(from, &in, to, &out, 5, 0));
    in = 0, out = 5;
    try(copy_file_range(from, &in, from, &out, 5, 0));
    say("in %ld out %ld\n", (long)in, (long)out);
    show("from", from);
    in = 0, out = 2;
    try(copy_file_range(from, &in, reader, &out, 5, 0));
    try(copy_file_range(from, &in, from, &out, 5, 0));
    in = -1;
    try(copy_file_range(from, &in, to, &out, 5, 0));
    in = 0;
    try(copy_file_range(from, &in, to, &out, 5, 1));
    try(copy_file_range(from, &in, to, &out, 0, 0));
    try(copy_file_range(from, &in, appending, &out, 5, 0));
    try(copy_file_range(dir, 0, to, &out, 5, 0));
    try(copy_file_range(ends[0], 0, to, &out, 5, 0));
    try(copy_file_range(from, &in, ends[1], 0, 5, 0));
    try(copy_file_range(appending, &in, to, &out, 5, 0));
    try(copy_file_range(-1, &in, to, &out, 5, 0));
    try(copy_file_range(from, (void *)8, to, &out, 5, 0));
    off_t at = 4;
    lseek(to, 20, SEEK_SET);
    try(sendfile(to, from, &at, 4));
    say("at %ld\n", (long)at);
    show("to", to);
    lseek(from, 0, SEEK_SET);
    try(sendfile(to, from, 0, 100));
    show("from", from);
    show("to", to);
    try(sendfile(to, from, 0, 100));
    try(sendfile(ends[1], from, &at, 1));
    try(sendfile(1, dir, 0, 1));
    try(sendfile(reader, from, 0, 1));
    try(sendfile(to, appending, 0, 1));
    try(sendfile(to, from, (off_t *)8, 1));
    unlink("from");
    unlink("to");
    return 0;
}
