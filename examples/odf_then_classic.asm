# May memory whose PTE tables are shared be forked the classic way? Yes: the grandchild gets copies, and all three
# processes keep their own bytes; the parent and the child go on sharing.
# FORK classic
# EXPECT exit == 0
# EXPECT stdout == "grandchild: G\nchild:      C\nparent:     Q\n"
# EXPECT forks.odf == 1
# EXPECT forks.classic == 1
# EXPECT tables_shared == 3
# The classic fork copies three tables, with 512 pages of the memory, 1 of the program, 1 of the stack; the
# grandchild's write copies a page only. The child's write copies the table once more, as the parent still has it, and
# a page.
# EXPECT ptes_copied == 1026
# EXPECT faults.cow_copy == 1
# EXPECT faults.table_break == 1
# EXPECT pages_copied == 2
# EXPECT faults.table_reuse == 1

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
    jnz wait_child
    mov eax, SYS_fork
    syscall
    test rax, rax
    jnz wait_grandchild
    mov byte ptr [rbx], 'G'
    lea rsi, [rip + grandchild_line]
    jmp print
wait_grandchild:
    mov rdi, -1
    xor esi, esi
    xor edx, edx
    xor r10d, r10d
    mov eax, SYS_wait4
    syscall
    mov byte ptr [rbx], 'C'
    lea rsi, [rip + child_line]
    jmp print
wait_child:
    mov rdi, -1
    xor esi, esi
    xor edx, edx
    xor r10d, r10d
    mov eax, SYS_wait4
    syscall
    cmp byte ptr [rbx], 'P'
    jne leave
    mov byte ptr [rbx], 'Q'
    lea rsi, [rip + parent_line]
print:
    mov edi, 1
    mov edx, 3
    mov eax, SYS_writev
    syscall
leave:
    xor edi, edi
    mov eax, SYS_exit_group
    syscall

.balign 8                           # the texts are beside the code, whose page is present: reading them costs nothing
grandchild_line:
    .quad grandchild_text, 12, memory, 1, newline, 1
child_line:
    .quad child_text, 12, memory, 1, newline, 1
parent_line:
    .quad parent_text, 12, memory, 1, newline, 1
grandchild_text:
    .ascii "grandchild: "
child_text:
    .ascii "child:      "
parent_text:
    .ascii "parent:     "
newline:
    .ascii "\n"
