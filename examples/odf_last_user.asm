# What does a PTE table cost its last user? A fault, but no copy: when the child has gone, the parent takes it back.
# EXPECT exit == 0
# EXPECT stdout == "the child has:  P\nthe parent has: Q\n"
# EXPECT tables_shared == 3
# 512 pages are written, with one fault: their PTEs never lost the right to write.
# EXPECT faults.table_reuse == 1
# EXPECT faults.cow_reuse == 0
# EXPECT tables_reused == 1
# EXPECT tables_broken == 0
# EXPECT ptes_copied == 0
# EXPECT pages_copied == 0

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
    mov byte ptr [rbx], 'P'
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
    mov ecx, 512
    mov rdi, rbx
write_pages:
    mov byte ptr [rdi], 'Q'
    add rdi, 4096
    dec ecx
    jnz write_pages
    lea rsi, [rip + parent_line]
    jmp print
child:
    lea rsi, [rip + child_line]     # the child only reads
print:
    mov edi, 1
    mov edx, 3
    mov eax, SYS_writev
    syscall
    xor edi, edi
    mov eax, SYS_exit_group
    syscall

.balign 8                           # the texts are beside the code, whose page is present: reading them costs nothing
child_line:
    .quad child_text, 16, memory, 1, newline, 1
parent_line:
    .quad parent_text, 16, memory, 1, newline, 1
child_text:
    .ascii "the child has:  "
parent_text:
    .ascii "the parent has: "
newline:
    .ascii "\n"
