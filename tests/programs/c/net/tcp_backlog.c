/* Do clients that find the backlog full wait, and connect when somebody accepts? */
#include "net.h"

int main(void)
{
    int s = tcp_listener(0), port = port_of(s), first = tcp_connect(port);
    pid_t child = fork();
    if (child == 0) {
        close(s);
        close(first);
        int c = tcp_connect(port); /* until the parent accepts the first */
        char b;
        write(c, "c", 1);
        say("child reads %zd\n", read(c, &b, 1));
        _exit(0);
    }
    rest(5);
    int one = accept(s, 0, 0), two = accept(s, 0, 0);
    char b = 0;
    say("two %zd", read(two, &b, 1));
    say(" %c\n", b);
    write(two, "x", 1);
    wait_and_say("child", child);
    close(one);
    say("first %zd\n", read(first, &b, 1));
    return 0;
}
