/* Do two processes that answer each other over pipes keep in step, and does a large transfer arrive whole? */
#include "say.h"

int main(void)
{
    int there[2], back[2];
    unsigned number = 0;
    if (pipe(there) || pipe(back))
        return 1;
    pid_t child = fork();
    if (child == 0) {
        close(there[1]);
        while (read(there[0], &number, sizeof number) == sizeof number) {
            number = number * 3 + 1;
            write(back[1], &number, sizeof number);
        }
        static unsigned char chunk[300000];
        for (unsigned i = 0; i < sizeof chunk; i++)
            chunk[i] = i * 7;
        _exit(write(back[1], chunk, sizeof chunk) == sizeof chunk ? 0 : 1);
    }
    close(there[0]);
    close(back[1]);
    for (int i = 0; i < 200; i++) {
        write(there[1], &number, sizeof number);
        if (read(back[0], &number, sizeof number) != sizeof number)
            return 2;
    }
    say("after 200 rounds: %u\n", number);
    close(there[1]);
    static unsigned char chunk[7777];
    unsigned long sum = 0, total = 0;
    long n;
    while ((n = read(back[0], chunk, sizeof chunk)) > 0)
        for (long i = 0; i < n; i++)
            sum += chunk[i] == (unsigned char)(total++ * 7);
    say("%lu bytes, %lu right\n", total, sum);
    wait_and_say("child", child);
    return 0;
}
