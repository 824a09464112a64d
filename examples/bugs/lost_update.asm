# Why is the counter sometimes 1 after two increments? Load, add and store are three instructions.
# A time slice never ends between them by itself in so short a run: the debugger gives the CPU away there.

.text
_start:
    xor edi, edi
    mov esi, 4096
    mov edx, PROT_READ|PROT_WRITE
    mov r10d, MAP_SHARED|MAP_ANONYMOUS
    mov r8, -1
    xor r9d, r9d
    mov eax, SYS_mmap
    syscall
    mov rbx, rax
    mov eax, SYS_fork
    syscall
    mov ebp, eax
add_one:
    mov rcx, [rbx]
    inc rcx
store:
    mov [rbx], rcx
    test ebp, ebp
    jz leave
    mov rdi, -1
    xor esi, esi
    xor edx, edx
    xor r10d, r10d
    mov eax, SYS_wait4
    syscall
    mov rdi, [rbx]                  # 2
leave:
    mov eax, SYS_exit_group
    syscall
