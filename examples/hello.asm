# What is the least a program needs? Two system calls.
# EXPECT exit == 0
# EXPECT stdout == "Hello, world!\n"

.text
_start:
    mov rdi, 1
    lea rsi, [rip + message]
    mov rdx, message_end - message
    mov rax, SYS_write
    syscall
    xor edi, edi
    mov rax, SYS_exit_group
    syscall

.rodata
message:
    .ascii "Hello, world!\n"
message_end:
