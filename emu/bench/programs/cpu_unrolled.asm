# The same generator, four steps a round: 42 instructions, one basic block.

.text
spin:
    mov rax, 88172645463325252
spin_again:
.rept 4
    mov rdx, rax
    shl rdx, 13
    xor rax, rdx
    mov rdx, rax
    shr rdx, 7
    xor rax, rdx
    mov rdx, rax
    shl rdx, 17
    xor rax, rdx
    add rcx, rax
.endr
    dec rbx
    jnz spin_again
    ret
