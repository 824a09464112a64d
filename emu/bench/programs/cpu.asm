# COUNT rounds of cpu_loop.asm under the kernel.

_start:
    mov rbx, COUNT
    call lap
    call spin
    call lap
    jmp exit
