# Does write(2) from shared memory copy anything? No: the kernel reads through the shared PTE table.
# EXPECT exit == 0
# EXPECT stdout == "from page 0\nfrom page 1\n"
# EXPECT tables_shared == 3
# EXPECT tables_broken == 0
# EXPECT ptes_copied == 0
# EXPECT pages_copied == 0
# EXPECT faults == 1

memory = 1 << 40                    # a multiple of 2 MiB, which is what one PTE table maps

.text
_start:
    mov rdi, memory                 # one PTE table
    mov esi, 2 << 20
    mov edx, PROT_READ|PROT_WRITE
    mov r10d, MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED|MAP_POPULATE
    mov r8, -1
    xor r9d, r9d
    mov eax, SYS_mmap
    syscall
    mov rbx, rax
    mov rax, [rip + text]           # the text goes across the boundary of two pages: 6 bytes before, 18 behind it
    mov [rbx + 4096 - 6], rax
    mov rax, [rip + text + 8]
    mov [rbx + 4096 + 2], rax
    mov rax, [rip + text + 16]
    mov [rbx + 4096 + 10], rax
    mov eax, SYS_odfork
    syscall
    test rax, rax
    jns 1f
    mov eax, SYS_fork               # Linux has no odfork: fork(2) gives the same output, at other costs
    syscall
1:  test rax, rax
    jz child
    mov rdi, -1
    xor esi, esi
    xor edx, edx
    xor r10d, r10d
    mov eax, SYS_wait4
    syscall
    jmp leave
child:
    mov edi, 1
    lea rsi, [rbx + 4096 - 6]
    mov edx, 24
    mov eax, SYS_write
    syscall
leave:
    xor edi, edi
    mov eax, SYS_exit_group
    syscall

text:
    .ascii "from page 0\nfrom page 1\n"
