/* Why does the answer change though nobody assigns to it? It is in a frame of the stack that is gone. */

static volatile int *kept;

static void answer(void)
{
    volatile int value = 42;
    kept = &value;
}

static int sum(int n)
{
    volatile int all[64];
    int total = 0;
    for (int i = 0; i < 64; i++)
        all[i] = i;
    for (int i = 0; i < n; i++)
        total += all[i];
    return total;
}

int main(void)
{
    answer();
    int total = sum(3);
    return total == 3 && *kept == 42 ? 0 : 1;
}
