/* Why does a text come out twice that was printed once? It was in the buffer of stdio when the process forked. */
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

int main(void)
{
    printf("once");
    if (fork() == 0)
        return 0; /* exit(3) writes what is in the child's copy of the buffer */
    wait(NULL);
    return 0;
}
