# COUNT times open, fstat, read and close of a file of BYTES bytes.

_start:
    mov eax, SYS_openat         # make it first
    mov edi, AT_FDCWD
    lea rsi, [rip + path]
    mov edx, O_RDWR | O_CREAT
    mov r10d, 420               # 0644
    syscall
    test rax, rax
    js broken
    mov edi, eax
    mov eax, SYS_write
    lea rsi, [rip + buffer]
    mov edx, SIZE
    syscall
    mov eax, SYS_close
    syscall
    mov rbx, COUNT
    lea r14, [rip + path]
    lea r15, [rip + buffer]
    call lap
again:
    mov eax, SYS_openat
    mov edi, AT_FDCWD
    mov rsi, r14
    xor edx, edx
    syscall
    mov r12d, eax
    mov eax, SYS_fstat
    mov edi, r12d
    lea rsi, [rip + status]
    syscall
    mov eax, SYS_read
    mov edi, r12d
    mov rsi, r15
    mov edx, 4096
    syscall
    mov rbp, rax
    mov eax, SYS_close
    mov edi, r12d
    syscall
    dec rbx
    jnz again
    call lap
    cmp rbp, SIZE
    jne wrong
    jmp exit

.rodata
path: .asciz "/tmp/cr3lab-bench-file"
.data
.align 8
status: .zero 144
.align 4096
buffer: .zero 4096
.equ SIZE, 200
.text
