/* Are pipes, files and closed descriptors no terminals? */
#include "say.h"
#include <sys/ioctl.h>

int main(void)
{
    int ends[2], fd = open("/tmp", O_RDONLY | O_DIRECTORY), null = open("/dev/null", O_RDWR);
    struct winsize size;
    if (pipe(ends))
        return 1;
    try(isatty(0) + 10);
    say("stdout %d errno %d\n", isatty(1), errno);
    say("pipe %d errno %d\n", isatty(ends[0]), errno);
    say("directory %d errno %d\n", isatty(fd), errno);
    say("null %d errno %d\n", isatty(null), errno);
    say("closed %d errno %d\n", isatty(99), errno);
    try(ioctl(1, TIOCGWINSZ, &size));
    try(ioctl(ends[0], 0x12345678, 0));
    char byte = 'x';
    try(write(null, &byte, 1));
    try(read(null, &byte, 1));
    int zero = open("/dev/zero", O_RDONLY);
    try(read(zero, &byte, 1));
    say("zero: %d\n", byte);
    int full = open("/dev/full", O_WRONLY);
    try(write(full, &byte, 1));
    return 0;
}
