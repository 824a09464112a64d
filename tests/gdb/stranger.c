/* Somebody's program: structures, recursion, threads that wait for a lock, a child. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

struct point {
    int x, y;
};
static struct point points[4] = {{1, 2}, {3, 4}, {5, 6}, {7, 8}};
char text[] = "some text here";
static volatile int go;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

int add(int a, int b)
{
    return a + b;
}

double half(double x)
{
    return x / 2;
}

struct point mirror(struct point p)
{
    struct point q = {p.y, p.x};
    return q;
}

static int factorial(int n)
{
    return n < 2 ? 1 : n * factorial(n - 1);
}

static void *worker(void *arg)
{
    pthread_mutex_lock(&lock);
    pthread_mutex_unlock(&lock);
    return arg;
}

static int forked(void)
{
    int status;
    pid_t child = fork();

    if (!child)
        _exit(7);
    waitpid(child, &status, 0);
    return WEXITSTATUS(status);
}

int main(void)
{
    pthread_t threads[3];
    int sum = factorial(5);

    pthread_mutex_lock(&lock);
    for (long i = 0; i < 3; i++)
        pthread_create(&threads[i], NULL, worker, (void *)i);
    usleep(300000);
    go = 1;
    sum += add(sum, points[0].x);
    pthread_mutex_unlock(&lock);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    sum += forked();
    return sum & 63;
}
