# What does munmap do to a PTE table that others use? It unmaps for the caller: the other process, and other mappings
# in the table, keep their pages.
# EXPECT exit == 0
# EXPECT stdout == "the child has:  -B\nthe parent has: AB\n"
# EXPECT tables_shared == 3
# The table is copied for the child, which then clears half of its copy. No access faults.
# EXPECT tables_broken == 1
# EXPECT ptes_copied == 512
# EXPECT pages_copied == 0
# EXPECT faults.table_break == 0

memory = 1 << 40                    # a multiple of 2 MiB, which is what one PTE table maps
neighbour = memory + (1 << 20)

.text
_start:
    mov rdi, memory                 # two mappings in one PTE table, 256 pages each
    mov esi, 1 << 20
    mov edx, PROT_READ|PROT_WRITE
    mov r10d, MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED|MAP_POPULATE
    mov r8, -1
    xor r9d, r9d
    mov eax, SYS_mmap
    syscall
    mov rdi, neighbour
    mov esi, 1 << 20
    mov edx, PROT_READ|PROT_WRITE
    mov r10d, MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED|MAP_POPULATE|MAP_NORESERVE
    mov r8, -1
    xor r9d, r9d
    mov eax, SYS_mmap
    syscall
    mov rbx, memory
    mov byte ptr [rbx], 'A'
    mov byte ptr [rbx + (1 << 20)], 'B'
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
    mov rdi, rbx
    mov esi, 1 << 20
    mov eax, SYS_munmap
    syscall
    mov edi, 1                      # write(2) from what is unmapped: EFAULT
    mov rsi, rbx
    mov edx, 1
    mov eax, SYS_write
    syscall
    cmp rax, -EFAULT
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
    .quad child_text, 16, minus, 1, neighbour, 1, newline, 1
parent_line:
    .quad parent_text, 16, memory, 1, neighbour, 1, newline, 1
child_text:
    .ascii "the child has:  "
parent_text:
    .ascii "the parent has: "
newline:
    .ascii "\n"
minus:
    .ascii "-"
