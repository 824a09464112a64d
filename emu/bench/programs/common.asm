
# Appended to every program of this directory.

lap:                            # one byte to standard output: the host notes the time
    call load_lap
    syscall
    ret

load_lap:                       # rax, rdi, rsi, rdx for a lap. Where a call would write to the stack at a bad moment,
    mov eax, SYS_write          # programs keep the last three and lap by `mov eax, SYS_write; syscall`
    mov edi, 1
    lea rsi, [rip + lap_byte]
    mov edx, 1
    ret

map:                            # rax = BYTES of private anonymous memory with the mmap flags rdi added
    mov r10, rdi
    or r10, MAP_PRIVATE | MAP_ANONYMOUS
    mov rax, SYS_mmap
    mov rdi, 0
    mov rsi, BYTES
    mov rdx, PROT_READ | PROT_WRITE
    mov r8, -1
    mov r9, 0
    syscall
    cmp rax, -4096
    ja broken
    ret

map_tables:                     # r12 = TABLES * 2 MiB of present, written memory from a multiple of 2 MiB on; BYTES is
    mov rdi, MAP_POPULATE       # (TABLES + 1) * 2 MiB
    call map
    mov rdi, rax
    lea r12, [rax + TABLE - 1]
    and r12, -TABLE
    jmp write_pages

write_pages:                    # one byte into each page of the BYTES at rdi
    mov rdx, BYTES
    add rdx, rdi
write_next:
    mov byte ptr [rdi], 1
    add rdi, 4096
    cmp rdi, rdx
    jb write_next
    ret

read_pages:                     # one byte from each
    mov rdx, BYTES
    add rdx, rdi
read_next:
    mov al, byte ptr [rdi]
    add rdi, 4096
    cmp rdi, rdx
    jb read_next
    ret

wait:                           # until a child has ended
    mov rax, SYS_wait4
    mov rdi, -1
    mov rsi, 0
    mov rdx, 0
    mov r10, 0
    syscall
    ret

quiet_wait:                     # the same without a word to the stack: back to r15 with the registers of a lap
    mov eax, SYS_wait4
    mov rdi, -1
    mov esi, 0
    mov edx, 0
    mov r10, 0
    syscall
    mov edi, 1
    lea rsi, [rip + lap_byte]
    mov edx, 1
    jmp r15

exit:
    mov rax, SYS_exit_group
    mov rdi, 0
    syscall

broken:                         # a system call failed: its errno is the exit status
    mov rdi, rax
    neg rdi
    mov rax, SYS_exit_group
    syscall

wrong:                          # the program has come to a result that is not the right one
    mov rdi, 255
    mov rax, SYS_exit_group
    syscall

.rodata
lap_byte: .byte 46

.equ TABLE, 0x200000            # what one PTE table maps
