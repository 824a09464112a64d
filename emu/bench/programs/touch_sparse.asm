
# Three pages of each process's own, spread over the memory.
.equ SPREAD, BYTES / 4096 / (3 * PROCESSES) * 4096
touch:
    imul rdi, r14, 3 * SPREAD
    add rdi, r12
    mov byte ptr [rdi], 1
    mov byte ptr [rdi + SPREAD], 1
    mov byte ptr [rdi + 2 * SPREAD], 1
    ret
