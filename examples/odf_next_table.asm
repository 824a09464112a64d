# How far does a broken PTE table reach? 2 MiB: a write to the next 2 MiB breaks the table there, others stay shared.
# EXPECT exit == 0
# EXPECT stdout == "the child has:  CPC\nthe parent has: PPP\n"
# Three tables of the memory, the program's, the stack's. The child writes below the first and the third.
# EXPECT tables_shared == 5
# EXPECT faults.table_break == 2
# EXPECT tables_broken == 2
# EXPECT ptes_copied == 1024
# EXPECT pages_copied == 2

memory = 1 << 40                    # a multiple of 2 MiB, which is what one PTE table maps
table = 2 << 20

.text
_start:
    mov rdi, memory                 # three PTE tables
    mov esi, 3 * table
    mov edx, PROT_READ|PROT_WRITE
    mov r10d, MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED|MAP_POPULATE
    mov r8, -1
    xor r9d, r9d
    mov eax, SYS_mmap
    syscall
    mov rbx, rax
    mov byte ptr [rbx], 'P'
    mov byte ptr [rbx + table], 'P'
    mov byte ptr [rbx + 2 * table], 'P'
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
    mov byte ptr [rbx], 'C'
    mov byte ptr [rbx + 2 * table], 'C'
    lea rsi, [rip + child_line]
print:
    mov edi, 1
    mov edx, 5
    mov eax, SYS_writev
    syscall
    xor edi, edi
    mov eax, SYS_exit_group
    syscall

.balign 8                           # the texts are beside the code, whose page is present: reading them costs nothing
child_line:
    .quad child_text, 16, memory, 1, memory + table, 1, memory + 2 * table, 1, newline, 1
parent_line:
    .quad parent_text, 16, memory, 1, memory + table, 1, memory + 2 * table, 1, newline, 1
child_text:
    .ascii "the child has:  "
parent_text:
    .ascii "the parent has: "
newline:
    .ascii "\n"
