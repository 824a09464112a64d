# What `emu bench startup` runs.

_start:
    mov rax, SYS_write
    mov rdi, 1
    lea rsi, [rip + message]
    mov rdx, 14
    syscall
    mov rax, SYS_exit_group
    mov rdi, 0
    syscall

.rodata
message: .ascii "Hello, world!\n"
