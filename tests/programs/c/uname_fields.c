/* Is uname filled, consistent and of the right architecture? */
#include "say.h"
#include <sys/utsname.h>

int main(void)
{
    struct utsname name;
    memset(&name, 'x', sizeof name);
    try(uname(&name));
    int major = 0, minor = -1;
    sscanf(name.release, "%d.%d", &major, &minor);
    say("%s %s, release has numbers: %d, all end: %d\n", name.sysname, name.machine, major >= 3 && minor >= 0,
        memchr(name.nodename, 0, sizeof name.nodename) && memchr(name.version, 0, sizeof name.version));
    try(syscall(SYS_uname, 8));
    return 0;
}
