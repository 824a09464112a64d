# COUNT rounds of cpu_loop.asm on the bare engine; hlt stops it. The call needs a stack.

_start:
    lea rsp, [rip + stack_end]
    mov rbx, COUNT
    call spin
    hlt

.bss
    .zero 64
stack_end:
