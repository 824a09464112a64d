
# A quarter as many draws as there are pages, the same ones in each process; xorshift (Marsaglia 2003).
touch:
    mov rcx, BYTES / 4096 / 4
    mov rax, SEED
draw:
    mov rdx, rax
    shl rdx, 13
    xor rax, rdx
    mov rdx, rax
    shr rdx, 7
    xor rax, rdx
    mov rdx, rax
    shl rdx, 17
    xor rax, rdx
    mov rdx, rax
    and rdx, BYTES / 4096 - 1
    shl rdx, 12
    mov byte ptr [r12 + rdx], 1
    dec rcx
    jnz draw
    ret
