/* Why does the answer change though nobody assigns to it? It is in a frame of the stack that is gone. */

static volatile int *kept;

static void answer(void)
{
    volatile int values[16];
    for (int i = 0; i < 16; i++)
        values[i] = 42;
    kept = &values[8];
}

static int sum(int n)
{
    volatile int all[64];
    int total = 0;
    for (int i = 0; i < 64; i++)
        all[i] = 1;
    for (int i = 0; i < n; i++)
        total += all[i];
    return total;
}

int main(void)
{
    int total = sum(3);
    answer();
    total -= sum(3);
    return total == 0 && *kept == 42 ? 0 : 1;
}
