# How does a program copy its input to its output? Read until 0, write what came, however little.
# EXPECT exit == 0

.text
_start:
next:
    xor edi, edi
    lea rsi, [rip + buffer]
    mov rdx, 4096
    mov rax, SYS_read
    syscall
    test rax, rax
    jle done                    # 0: end of the input
    mov r12, rax
    lea r13, [rip + buffer]
put:
    mov rdi, 1
    mov rsi, r13
    mov rdx, r12
    mov rax, SYS_write
    syscall
    test rax, rax
    js done
    add r13, rax
    sub r12, rax
    jnz put                     # a short write: the rest
    jmp next
done:
    neg rax
    mov rdi, rax
    mov rax, SYS_exit_group
    syscall

.bss
buffer:
    .zero 4096
