# Why is a buffer gone that was written a moment ago? A function it was passed to gave it back.

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
    mov qword ptr [rbx], 42
    mov rdi, rbx
    call consume
    mov rdi, [rbx]                  # the buffer is not ours any more
    mov eax, SYS_exit_group
    syscall

consume:
    mov rsi, [rdi]
    mov esi, 4096
    mov eax, SYS_munmap
    syscall
    ret
