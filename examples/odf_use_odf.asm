# How is a program that knows nothing of on-demand fork made to use it? Somebody writes 1 to its /proc/PID/use_odf,
# or, as here and in a shell, to /proc/self/use_odf, and then runs it: the choice survives execve(2).
# EXPECT exit == 0
# EXPECT stdout == "the child has:  C\nthe parent has: P\n"
# EXPECT forks.odf == 1
# EXPECT forks.classic == 0

.text
_start:
    cmp qword ptr [rsp], 2          # argc
    je knows_nothing
    lea rdi, [rip + switch]         # Linux has no such file; then fork(2) is what it always is
    mov esi, O_WRONLY
    mov eax, SYS_open
    syscall
    mov edi, eax
    lea rsi, [rip + one]
    mov edx, 1
    mov eax, SYS_write
    syscall
    mov rdi, [rsp + 8]              # argv[0]: this very program
    mov [rip + argv], rdi
    lea rsi, [rip + argv]
    xor edx, edx
    mov eax, SYS_execve
    syscall
    jmp leave

knows_nothing:
    lea rbx, [rip + cell]
    mov byte ptr [rbx], 'P'
    mov eax, SYS_fork
    syscall
    test rax, rax
    jz child
    mov rdi, -1
    xor esi, esi
    xor edx, edx
    xor r10d, r10d
    mov eax, SYS_wait4
    syscall
    lea rsi, [rip + parent_line]
    jmp print
child:
    mov byte ptr [rbx], 'C'
    lea rsi, [rip + child_line]
print:
    mov edi, 1
    mov edx, 3
    mov eax, SYS_writev
    syscall
leave:
    xor edi, edi
    mov eax, SYS_exit_group
    syscall

.data
.balign 8
argv:
    .quad 0, argument, 0
argument:
    .asciz "again"
switch:
    .asciz "/proc/self/use_odf"
one:
    .ascii "1"
cell:
    .byte 0
.balign 8
child_line:
    .quad child_text, 16, cell, 1, newline, 1
parent_line:
    .quad parent_text, 16, cell, 1, newline, 1
child_text:
    .ascii "the child has:  "
parent_text:
    .ascii "the parent has: "
newline:
    .ascii "\n"
