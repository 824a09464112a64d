# Why does the parent never see the child's answer? After fork the child writes to a copy of the page.

.text
_start:
    lea rbx, [rip + answer]
    mov qword ptr [rbx], 1
    mov eax, SYS_fork
    syscall
    test eax, eax
    jz child
    mov rdi, -1
    xor esi, esi
    xor edx, edx
    xor r10d, r10d
    mov eax, SYS_wait4
    syscall
look:
    mov rdi, [rbx]                  # still 1
    mov eax, SYS_exit_group
    syscall
child:
    mov qword ptr [rbx], 42
answered:
    xor edi, edi
    mov eax, SYS_exit_group
    syscall

.data
answer:
    .quad 0
