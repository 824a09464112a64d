# Why can the child read its parent's key? Nobody asked for MADV_WIPEONFORK.

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
    mov rax, 0x59454b2d455254      # "TRE-KEY"
    mov [rbx], rax
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
    xor edi, edi
    mov eax, SYS_exit_group
    syscall
child:
    movzx edi, byte ptr [rbx]       # 0 if the page were wiped
    mov eax, SYS_exit_group
    syscall
