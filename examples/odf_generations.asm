# Can three generations share one PTE table? Yes: each on-demand fork adds a user, each write takes one off.
# EXPECT exit == 0
# EXPECT stdout == "grandchild: G\nchild:      C\nparent:     Q\n"
# EXPECT forks.odf == 2
# Twice the memory's table, the program's, the stack's: the memory's has three users.
# EXPECT tables_shared == 6
# The grandchild and the child copy it, with one page each; the parent is its last user.
# EXPECT faults.table_break == 2
# EXPECT ptes_copied == 1024
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
    mov ebp, 2                      # forks to come; in the end: 2 parent, 1 child, 0 grandchild
fork:
    mov eax, SYS_odfork
    syscall
    test rax, rax
    jns 1f
    mov eax, SYS_fork               # Linux has no odfork: fork(2) gives the same output, at other costs
    syscall
1:  test rax, rax
    jnz wait
    dec ebp
    jnz fork
    mov byte ptr [rbx], 'G'         # the first write of all: the table has three users
    lea rsi, [rip + grandchild_line]
    jmp print
wait:
    mov rdi, -1
    xor esi, esi
    xor edx, edx
    xor r10d, r10d
    mov eax, SYS_wait4
    syscall
    cmp byte ptr [rbx], 'P'         # nobody else's write is seen
    jne leave
    cmp ebp, 2
    je parent
    mov byte ptr [rbx], 'C'         # two users
    lea rsi, [rip + child_line]
    jmp print
parent:
    mov byte ptr [rbx], 'Q'         # one
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
