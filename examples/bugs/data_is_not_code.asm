# Why does a call to freshly made code fault though its bytes are right? The page it is in may not be executed.

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
    mov dword ptr [rbx], 0x00002ab8 # mov eax, 42
    mov word ptr [rbx + 4], 0xc300  # ret
    call rbx
    mov edi, eax
    mov eax, SYS_exit_group
    syscall
