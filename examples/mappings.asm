# What do mmap, mprotect and munmap promise? Each step checks one promise and prints a letter for it.
#   M  a new mapping reads as zero and keeps what is written
#   P  after mprotect to read-only the bytes are still there
#   W  write(2) from it works, read(2) into it fails with EFAULT
#   U  after munmap of the middle page its neighbours are still there, and it is not (mincore: ENOMEM)
#   R  a mapping at the old place begins with zeros again
# EXPECT exit == 0
# EXPECT stdout == "MPWUR\n"

.text
_start:
    xor edi, edi
    mov rsi, 3 * 4096
    mov rdx, PROT_READ|PROT_WRITE
    mov r10, MAP_PRIVATE|MAP_ANONYMOUS
    call mmap
    mov rbx, rax
    cmp qword ptr [rbx + 4096], 0
    jne bad
    mov byte ptr [rbx], 'M'
    mov byte ptr [rbx + 4096], 'P'
    mov byte ptr [rbx + 2 * 4096], 'U'
    mov rsi, rbx
    call put

    lea rdi, [rbx + 4096]
    mov rsi, 4096
    mov rdx, PROT_READ
    mov rax, SYS_mprotect
    syscall
    test rax, rax
    jne bad
    lea rsi, [rbx + 4096]
    call put

    lea rdi, [rip + pipe]
    mov rax, SYS_pipe
    syscall
    mov edi, [rip + pipe + 4]
    lea rsi, [rip + w]
    mov rdx, 1
    mov rax, SYS_write
    syscall
    mov edi, [rip + pipe]
    lea rsi, [rbx + 4096]
    mov rdx, 1
    mov rax, SYS_read
    syscall
    cmp rax, -EFAULT
    jne bad
    lea rsi, [rip + w]
    call put

    lea rdi, [rbx + 4096]
    mov rsi, 4096
    mov rax, SYS_munmap
    syscall
    lea rdi, [rbx + 4096]
    mov rsi, 4096
    lea rdx, [rip + vector]
    mov rax, SYS_mincore
    syscall
    cmp rax, -ENOMEM
    jne bad
    cmp byte ptr [rbx], 'M'
    jne bad
    lea rsi, [rbx + 2 * 4096]
    call put

    lea rdi, [rbx + 4096]
    mov rsi, 4096
    mov rdx, PROT_READ|PROT_WRITE
    mov r10, MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED
    call mmap
    cmp byte ptr [rbx + 4096], 0
    jne bad
    lea rsi, [rip + r]
    call put
    lea rsi, [rip + newline]
    call put
    xor edi, edi
    jmp leave
bad:
    mov rdi, 1
leave:
    mov rax, SYS_exit_group
    syscall

mmap:
    mov r8, -1
    xor r9d, r9d
    mov rax, SYS_mmap
    syscall
    ret
put:                                # the byte at rsi
    mov rdi, 1
    mov rdx, 1
    mov rax, SYS_write
    syscall
    ret

.data
pipe:
    .long 0, 0
vector:
    .byte 0
w:
    .ascii "W"
r:
    .ascii "R"
newline:
    .ascii "\n"
