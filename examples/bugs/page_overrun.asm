# Why does filling a page fault at its end? The loop writes one byte too many.

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
    xor ecx, ecx
fill:
    mov byte ptr [rbx + rcx], 0x55
    inc ecx
    cmp ecx, 4096
    jbe fill                        # should be jb
    xor edi, edi
    mov eax, SYS_exit_group
    syscall
