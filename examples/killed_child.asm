# What does a parent learn of a child that was killed? Its wait status: the signal, not an exit code.
# EXPECT exit == 0
# EXPECT stdout == "killed by signal 09\n"

.text
_start:
    mov rax, SYS_fork
    syscall
    test rax, rax
    jz child
    mov rbx, rax
    mov rdi, rax
    mov rsi, SIGKILL
    mov rax, SYS_kill
    syscall
    mov rdi, rbx
    lea rsi, [rip + status]
    xor edx, edx
    xor r10d, r10d
    mov rax, SYS_wait4
    syscall
    mov eax, [rip + status]
    test eax, 0xff00                # no exit code
    jne bad
    and eax, 0x7f
    xor edx, edx
    mov ecx, 10
    div ecx
    add [rip + digits], al
    add [rip + digits + 1], dl
    mov rdi, 1
    lea rsi, [rip + line]
    mov rdx, line_end - line
    mov rax, SYS_write
    syscall
    xor edi, edi
    jmp leave
bad:
    mov rdi, 1
leave:
    mov rax, SYS_exit_group
    syscall
child:
    mov rax, SYS_pause
    syscall
    jmp child

.data
status:
    .long 0
line:
    .ascii "killed by signal "
digits:
    .ascii "00\n"
line_end:
