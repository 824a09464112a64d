# Whose rights does mprotect change, when the PTE table is shared? The caller's: the parent makes its memory
# read-only, the child still writes to its own. And rights given back are not rights to the other's pages.
# EXPECT exit == 0
# EXPECT stdout == "the child has:  C\nthe parent has: P\nthe parent has: Q\n"
# EXPECT tables_shared == 3
# mprotect copies the table for the parent, which leaves the child as the last user of the old one.
# EXPECT tables_broken == 1
# EXPECT ptes_copied == 512
# EXPECT faults.table_reuse == 1
# The child copies the page; when the parent writes, the child has gone, and the page is the parent's alone.
# EXPECT pages_copied == 1
# EXPECT faults.cow_reuse == 1
# EXPECT faults.protection == 0

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
    mov edx, PROT_READ
    mov rdi, rbx
    mov esi, 2 << 20
    mov eax, SYS_mprotect
    syscall
    mov rdi, -1
    xor esi, esi
    xor edx, edx
    xor r10d, r10d
    mov eax, SYS_wait4
    syscall
    mov edx, PROT_READ|PROT_WRITE
    mov rdi, rbx
    mov esi, 2 << 20
    mov eax, SYS_mprotect
    syscall
    mov edi, 1
    lea rsi, [rip + parent_line]
    mov edx, 3
    mov eax, SYS_writev
    syscall
    mov byte ptr [rbx], 'Q'
    lea rsi, [rip + parent_line]
    jmp print
child:
    mov byte ptr [rbx], 'C'
    lea rsi, [rip + child_line]
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
