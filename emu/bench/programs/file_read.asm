# A file of TOTAL bytes, in pieces of BYTES: written, then read COUNT times. A lap before and after each.

_start:
    mov rdi, MAP_POPULATE
    call map
    mov r14, rax
    mov eax, SYS_openat
    mov edi, AT_FDCWD
    lea rsi, [rip + path]
    mov edx, O_RDWR | O_CREAT | O_TRUNC
    mov r10d, 420               # 0644
    syscall
    test rax, rax
    js broken
    mov r12d, eax
    call lap
    mov ebx, TOTAL / BYTES
write_next_piece:
    mov eax, SYS_write
    mov edi, r12d
    mov rsi, r14
    mov rdx, BYTES
    syscall
    cmp rax, BYTES
    jne wrong
    dec ebx
    jnz write_next_piece
    call lap
    mov r13d, COUNT
read_again:
    mov eax, SYS_lseek
    mov edi, r12d
    xor esi, esi
    xor edx, edx
    syscall
    mov ebx, TOTAL / BYTES
read_next_piece:
    mov eax, SYS_read
    mov edi, r12d
    mov rsi, r14
    mov rdx, BYTES
    syscall
    cmp rax, BYTES
    jne wrong
    dec ebx
    jnz read_next_piece
    dec r13d
    jnz read_again
    call lap
    mov eax, SYS_unlink
    lea rdi, [rip + path]
    syscall
    jmp exit

.rodata
path: .asciz "/tmp/cr3lab-bench-large"
.text
