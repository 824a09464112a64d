/* Which errno does each misuse of futex(2) get, and what do calls that wake nobody return? */
#include "say.h"
#include "futex.h"

static uint32_t word = 5, other = 5;
#define futex(address, op, value, timeout, address2, value3)                                                           \
    syscall(SYS_futex, address, op, value, timeout, address2, value3)

int main(void)
{
    struct timespec soon = {0, 1000}, bad = {0, 1000000000}, negative = {-1, 0}, past = {1, 0};
    char *page = mmap(0, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    try(futex((char *)&word + 1, FUTEX_WAKE, 1, 0, 0, 0));
    try(futex((char *)&word + 2, FUTEX_WAIT_PRIVATE, 5, 0, 0, 0));
    try(futex(4, FUTEX_WAKE, 1, 0, 0, 0));
    try(futex(4, FUTEX_WAKE_PRIVATE, 1, 0, 0, 0));
    try(futex(4, FUTEX_WAIT_PRIVATE, 1, 0, 0, 0));
    try(futex(-4L, FUTEX_WAKE_PRIVATE, 1, 0, 0, 0));
    try(futex(page, FUTEX_WAKE, 1, 0, 0, 0));
    try(futex(page, FUTEX_WAIT, 0, &soon, 0, 0));
    try(futex(page, FUTEX_WAIT, 1, &soon, 0, 0));

    try(futex(&word, FUTEX_WAIT, 4, 0, 0, 0));
    try(futex(&word, FUTEX_WAIT, 5, &soon, 0, 0));
    try(futex(&word, FUTEX_WAIT, 4, &bad, 0, 0));
    try(futex(&word, FUTEX_WAIT, 5, &negative, 0, 0));
    try(futex(&word, FUTEX_WAIT, 5, 8, 0, 0));
    try(futex(&word, FUTEX_WAIT | FUTEX_CLOCK_REALTIME, 5, &soon, 0, 0));
    try(futex(&word, FUTEX_WAIT_BITSET, 5, &past, 0, 1));
    try(futex(&word, FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME, 5, &past, 0, 1));
    try(futex(&word, FUTEX_WAIT_BITSET, 5, &past, 0, 0));
    try(futex(&word, FUTEX_WAIT_BITSET, 4, &past, 0, 1));
    try(futex(&word, FUTEX_WAKE_BITSET, 1, 0, 0, 0));
    try(futex(&word, FUTEX_WAKE_BITSET, 1, 0, 0, 1));
    try(futex(&word, FUTEX_WAKE, 0, 0, 0, 0));
    try(futex(&word, FUTEX_WAKE | FUTEX_CLOCK_REALTIME, 0, 0, 0, 0));

    try(futex(&word, FUTEX_REQUEUE, 1, 1, &other, 0));
    try(futex(&word, FUTEX_REQUEUE, -1, 1, &other, 0));
    try(futex(&word, FUTEX_REQUEUE, 1, 1, 8, 0));
    try(futex(&word, FUTEX_CMP_REQUEUE, 1, 1, &other, 4));
    try(futex(&word, FUTEX_CMP_REQUEUE, 1, 1, &other, 5));
    try(futex(&word, FUTEX_CMP_REQUEUE, 1, -1, &other, 5));

    try(futex(&word, FUTEX_WAKE_OP, 1, 1, &other, FUTEX_OP(FUTEX_OP_ADD, 7, FUTEX_OP_CMP_EQ, 5)));
    say("add: %d\n", (int)other);
    try(futex(&word, FUTEX_WAKE_OP, 1, 1, &other, FUTEX_OP(FUTEX_OP_ANDN, 4, FUTEX_OP_CMP_EQ, 5)));
    say("andn: %d\n", (int)other);
    try(futex(&word, FUTEX_WAKE_OP, 1, 1, &other, FUTEX_OP((FUTEX_OP_OR | FUTEX_OP_OPARG_SHIFT), 5, 0, 0)));
    say("or 1 << 5: %d\n", (int)other);
    try(futex(&word, FUTEX_WAKE_OP, 1, 1, &other, FUTEX_OP(FUTEX_OP_XOR, 0xfff, 0, 0)));
    say("xor -1: %d\n", (int)other);
    try(futex(&word, FUTEX_WAKE_OP, 1, 1, &other, FUTEX_OP(5, 1, 0, 0)));
    try(futex(&word, FUTEX_WAKE_OP, 1, 1, &other, FUTEX_OP(FUTEX_OP_SET, 3, 6, 0)));
    say("set: %d\n", (int)other);

    try(futex(&word, FUTEX_FD, 0, 0, 0, 0));
    try(futex(&word, 14, 0, 0, 0, 0));
    try(syscall(SYS_set_robust_list, 0, 23));
    try(syscall(SYS_get_robust_list, 99999999, &page, &page));
    return 0;
}
