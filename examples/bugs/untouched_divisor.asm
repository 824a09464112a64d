# Why is the divisor 0? Nobody ever wrote it: fresh memory reads as the zero page.

.text
_start:
    xor edi, edi
    mov esi, 4096
    mov edx, PROT_READ|PROT_WRITE
    mov r10d, MAP_PRIVATE|MAP_ANONYMOUS
    mov r8, -1
    xor r9d, r9d
    mov eax, SYS_mmap
    syscall
    mov rbx, rax
    mov eax, 84
    xor edx, edx
    div qword ptr [rbx]
    mov edi, eax
    mov eax, SYS_exit_group
    syscall
