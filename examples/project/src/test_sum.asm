# The routine of sum.inc: its result, what it must not touch, and what it may cost.
# EXPECT signal == SIGTRAP
# EXPECT rax == 10
# EXPECT rbx == 0x1234
# EXPECT memory[result] == 10
# EXPECT memory[guard] == "guard"
# EXPECT faults.demand_zero == 0
# EXPECT faults.cow_copy == 1
# EXPECT instructions <= 40
# RUN exact
_start:
    mov ebx, 0x1234
    lea rdi, [rip + numbers]
    mov esi, 4
    call sum
    mov [rip + result], rax
    int3                            # the registers are looked at here

.include "sum.inc"

.data
numbers: .quad 1, 2, 3, 4
result: .quad 0
guard: .ascii "guard"
