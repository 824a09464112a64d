# Who took this mapping away? Another part of the program, which gave its own back a second time.

.text
_start:
    call map
    mov r12, rax
    mov rdi, r12
    call unmap
    call map                        # gets the same address
    mov rbx, rax
    mov qword ptr [rbx], 7
    mov rdi, r12                    # once too often
    call unmap
    mov rdi, [rbx]
    mov eax, SYS_exit_group
    syscall

map:
    xor edi, edi
    mov esi, 4096
    mov edx, PROT_READ|PROT_WRITE
    mov r10d, MAP_PRIVATE|MAP_ANONYMOUS
    mov r8, -1
    xor r9d, r9d
    mov eax, SYS_mmap
    syscall
    ret
unmap:
    mov esi, 4096
    mov eax, SYS_munmap
    syscall
    ret
