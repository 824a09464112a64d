# Why is the parent killed when it answers in the shared region? It was shared for the child's writes alone.
# LAB ONLY: system call 2001

.text
_start:
    mov edi, 4096
    mov esi, CHILD_WRITE
    lea rdx, [rip + region]
    mov eax, SYS_sfork
    syscall
    mov rbx, [rip + region]
    test eax, eax
    jz child
    mov qword ptr [rbx], 42         # the wrong side writes
    mov rdi, -1
    xor esi, esi
    xor edx, edx
    xor r10d, r10d
    mov eax, SYS_wait4
    syscall
leave:
    xor edi, edi
    mov eax, SYS_exit_group
    syscall
child:
    mov eax, SYS_sched_yield
    syscall
    mov rax, [rbx]
    jmp leave

.data
.balign 8
region:
    .quad 0
