/* linux/futex.h and asm/prctl.h for both C libraries: musl's compiler does not see the kernel's headers. */
#ifndef FUTEX_H
#define FUTEX_H

enum {
    FUTEX_WAIT, FUTEX_WAKE, FUTEX_FD, FUTEX_REQUEUE, FUTEX_CMP_REQUEUE, FUTEX_WAKE_OP, FUTEX_LOCK_PI, FUTEX_UNLOCK_PI,
    FUTEX_TRYLOCK_PI, FUTEX_WAIT_BITSET, FUTEX_WAKE_BITSET,
    FUTEX_PRIVATE_FLAG = 128, FUTEX_CLOCK_REALTIME = 256,
    FUTEX_WAIT_PRIVATE = FUTEX_WAIT | FUTEX_PRIVATE_FLAG, FUTEX_WAKE_PRIVATE = FUTEX_WAKE | FUTEX_PRIVATE_FLAG,
    FUTEX_LOCK_PI_PRIVATE = FUTEX_LOCK_PI | FUTEX_PRIVATE_FLAG,
    FUTEX_UNLOCK_PI_PRIVATE = FUTEX_UNLOCK_PI | FUTEX_PRIVATE_FLAG,
    FUTEX_TID_MASK = 0x3fffffff, FUTEX_OWNER_DIED = 0x40000000,
    FUTEX_OP_SET = 0, FUTEX_OP_ADD, FUTEX_OP_OR, FUTEX_OP_ANDN, FUTEX_OP_XOR, FUTEX_OP_OPARG_SHIFT = 8,
    FUTEX_OP_CMP_EQ = 0,
    ARCH_SET_FS = 0x1002, ARCH_GET_FS,
};
#define FUTEX_WAITERS 0x80000000u
#define FUTEX_BITSET_MATCH_ANY 0xffffffffu
#define FUTEX_OP(operation, operand, comparison, bound)                                                                \
    ((operation & 0xfu) << 28 | (comparison & 0xfu) << 24 | (operand & 0xfffu) << 12 | (bound & 0xfffu))

#endif
