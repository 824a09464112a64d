/* Who called a comparison that a library's function called? */
#include <stdlib.h>

__attribute__((noinline)) int compare(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

__attribute__((noinline)) int sorted(int n)
{
    int all[] = {3, 1, 2, n};
    qsort(all, 4, sizeof *all, compare);
    return all[0];
}

int main(int argc, char **argv)
{
    return sorted(argc) - 1;
}
