/* A ring buffer of bytes in memory of its own, shared by a writer and a reader after a fork. */
#ifndef RING_H
#define RING_H
#include <stddef.h>

struct ring;

/* A ring of one page, or NULL where there is no memory. */
struct ring *ring_new(void);
/* Gives the memory back. */
void ring_free(struct ring *ring);
/* Adds n bytes; the number that fitted. */
size_t ring_put(struct ring *ring, const void *data, size_t n);
/* Takes up to n bytes; the number taken. */
size_t ring_take(struct ring *ring, void *data, size_t n);
/* Counts an event, from any process that shares the ring. */
void ring_count(struct ring *ring);
long ring_counted(const struct ring *ring);

#endif
