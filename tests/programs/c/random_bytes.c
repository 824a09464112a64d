/* Does getrandom fill what it is given, differently each time, and refuse unknown flags? */
#include "say.h"
#include <sys/random.h>

int main(void)
{
    unsigned char a[64] = {0}, b[64] = {0};
    static unsigned char large[100000];
    try(getrandom(a, sizeof a, 0));
    try(getrandom(b, sizeof b, GRND_NONBLOCK));
    say("differ: %d\n", memcmp(a, b, sizeof a) != 0);
    try(getrandom(large, sizeof large, 0));
    unsigned counts[256] = {0}, low = ~0u, high = 0;
    for (unsigned i = 0; i < sizeof large; i++)
        counts[large[i]]++;
    for (int i = 0; i < 256; i++) {
        low = counts[i] < low ? counts[i] : low;
        high = counts[i] > high ? counts[i] : high;
    }
    say("even: %d\n", low > 250 && high < 550);
    try(getrandom(a, 0, 0));
    try(getrandom(a, 8, 0x100));
    try(getrandom((void *)8, 8, 0));
    return 0;
}
