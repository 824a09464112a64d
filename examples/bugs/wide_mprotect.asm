# Why is the second page read-only when only the first was protected? The length was one byte more than a page.

.text
_start:
    xor edi, edi
    mov esi, 8192
    mov edx, PROT_READ|PROT_WRITE
    mov r10d, MAP_PRIVATE|MAP_ANONYMOUS
    mov r8, -1
    xor r9d, r9d
    mov eax, SYS_mmap
    syscall
    mov rbx, rax
    mov byte ptr [rbx], 1
    mov byte ptr [rbx + 4096], 1
    mov rdi, rbx
    mov esi, 4096 + 1               # rounded up: two pages
    mov edx, PROT_READ
    mov eax, SYS_mprotect
    syscall
    mov byte ptr [rbx + 4096], 2
    xor edi, edi
    mov eax, SYS_exit_group
    syscall
