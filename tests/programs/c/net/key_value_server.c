/* Does a snapshot by fork stay as it was while clients go on writing to an epoll server? */
/* checked once: 512 writes over sockets, each several calls */
#include "net.h"
#include <sys/epoll.h>

enum { CLIENTS = 4, KEYS = 32, ROUNDS = 4, WRITES = CLIENTS * KEYS * ROUNDS };

struct entry {
    char key[16];
    int value;
    char padding[1024]; /* a page holds three */
};

static struct entry *table; /* open addressing, private memory: a fork is a snapshot */
static int size = 1024, used;

static struct entry *find(const char *key)
{
    unsigned hash = 2166136261u;
    for (const char *c = key; *c; c++)
        hash = (hash ^ *c) * 16777619u;
    while (table[hash % size].key[0] && strcmp(table[hash % size].key, key))
        hash++;
    return &table[hash % size];
}

static long sum(void)
{
    long total = 0;
    for (int i = 0; i < size; i++)
        total += table[i].value;
    return total;
}

/* One request, a line: `set KEY VALUE` or `get KEY`; the answer goes back the same way. */
static int serve(int fd, char *line)
{
    char key[16], answer[32];
    int value, n, wrote = 0;
    if (sscanf(line, "set %15s %d", key, &value) == 2) {
        struct entry *entry = find(key);
        used += !entry->key[0];
        strcpy(entry->key, key);
        entry->value = value;
        n = sprintf(answer, "ok\n");
        wrote = 1;
    } else if (sscanf(line, "get %15s", key) == 1)
        n = sprintf(answer, "%d\n", find(key)->value);
    else
        n = sprintf(answer, "what?\n");
    send(fd, answer, n, MSG_NOSIGNAL);
    return wrote;
}

static void client(int port, int number)
{
    int fd = tcp_connect(port), bad = 0;
    char line[64];
    setsockopt(fd, SOL_TCP, TCP_NODELAY, &(int){1}, 4);
    for (int round = 1; round <= ROUNDS; round++)
        for (int key = 0; key < KEYS; key++) {
            dprintf(fd, "set %d:%d %d\n", number, key, round);
            bad += read(fd, line, sizeof line) != 3;
            dprintf(fd, "get %d:%d\n", number, key);
            line[read(fd, line, sizeof line - 1)] = 0;
            bad += atoi(line) != round;
        }
    _exit(bad ? 1 : 0);
}

/* The child of the fork: looks at its table when the parent's has changed everywhere. */
static void snapshot(int go, int at)
{
    char byte;
    long before = sum();
    int entries = used;
    read(go, &byte, 1);
    say("snapshot at write %d: unchanged %d\n", at, sum() == before && used == entries);
    _exit(0);
}

int main(void)
{
    int listener = tcp_listener(CLIENTS), ep = epoll_create1(EPOLL_CLOEXEC), go[2], writes = 0, open_clients = 0;
    table = mmap(0, size * sizeof *table, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    pid_t children[CLIENTS], saver = 0;
    pipe(go);
    for (int i = 0; i < CLIENTS; i++) {
        children[i] = fork();
        if (children[i] == 0)
            client(port_of(listener), i);
    }
    fcntl(listener, F_SETFL, O_NONBLOCK);
    epoll_ctl(ep, EPOLL_CTL_ADD, listener, &(struct epoll_event){EPOLLIN | EPOLLET, {.fd = listener}});
    int accepted = 0;
    while (accepted < CLIENTS || open_clients) {
        struct epoll_event events[8];
        int n = epoll_wait(ep, events, 8, -1);
        for (int i = 0; i < n; i++) {
            int fd = events[i].data.fd;
            if (fd == listener) {
                for (int c; (c = accept4(listener, 0, 0, SOCK_CLOEXEC)) >= 0; accepted++, open_clients++)
                    epoll_ctl(ep, EPOLL_CTL_ADD, c, &(struct epoll_event){EPOLLIN | EPOLLRDHUP, {.fd = c}});
                continue;
            }
            char line[128];
            ssize_t got = read(fd, line, sizeof line - 1);
            if (got <= 0) {
                epoll_ctl(ep, EPOLL_CTL_DEL, fd, 0); /* the snapshot still has it open: close alone would not do */
                close(fd);
                open_clients--;
                continue;
            }
            line[got] = 0;
            writes += serve(fd, line);
            if (writes == CLIENTS * KEYS + 1 && !saver) { /* every client is in its first or second round */
                saver = fork();
                if (saver == 0)
                    snapshot(go[0], writes);
            }
        }
    }
    say("writes %d of %d, entries %d, sum %ld\n", writes, WRITES, used, sum());
    write(go[1], "g", 1);
    wait_and_say("snapshot", saver);
    for (int i = 0; i < CLIENTS; i++)
        wait_and_say("client", children[i]);
    return 0;
}
