/* Who called a function that calls itself, with arrays of variable length on the stack? */
__attribute__((noinline)) int leaf(volatile int *at)
{
    return *at;
}

__attribute__((noinline)) int down(int n, volatile int *at)
{
    volatile char more[n * 16 + 1];
    more[n] = (char)n;
    if (n == 0)
        return leaf(at);
    return down(n - 1, at) + more[n];
}

int main(int argc, char **argv)
{
    volatile int here = argc;
    return down(5, &here) == 16 ? 0 : 1;
}
