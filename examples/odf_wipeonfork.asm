# What does an on-demand child find in MADV_WIPEONFORK memory? Zeros, as after fork(2), and its neighbours' bytes
# beside them: the PTE table is copied without the wiped page.
# EXPECT exit == 0
# EXPECT stdout == "the child has:  A0\nthe parent has: AB\n"
# EXPECT tables_shared == 2
# EXPECT ptes_copied == 511
# EXPECT faults.zero_page == 1

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
    mov byte ptr [rbx], 'A'
    mov byte ptr [rbx + 4096], 'B'
    lea rdi, [rbx + 4096]
    mov esi, 4096
    mov edx, MADV_WIPEONFORK
    mov eax, SYS_madvise
    syscall
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
    lea rsi, [rip + parent_line]
    jmp print
child:
    cmp byte ptr [rbx + 4096], 0
    jne leave
    lea rsi, [rip + child_line]
print:
    mov edi, 1
    mov edx, 4
    mov eax, SYS_writev
    syscall
leave:
    xor edi, edi
    mov eax, SYS_exit_group
    syscall

.balign 8                           # the texts are beside the code, whose page is present: reading them costs nothing
child_line:
    .quad child_text, 16, memory, 1, zero, 1, newline, 1
parent_line:
    .quad parent_text, 16, memory, 1, memory + 4096, 1, newline, 1
child_text:
    .ascii "the child has:  "
parent_text:
    .ascii "the parent has: "
newline:
    .ascii "\n"
zero:
    .ascii "0"
