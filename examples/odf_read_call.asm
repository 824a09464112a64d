# What if it is the kernel that writes to shared memory, as read(2) does? It goes the same way as user code: the PTE
# table is copied, then the page.
# EXPECT exit == 0
# EXPECT stdout == "the child has:  C\nthe parent has: P\n"
# EXPECT tables_shared == 3
# EXPECT tables_broken == 1
# EXPECT ptes_copied == 512
# EXPECT pages_copied == 1
# The CPU saw nothing of it: its one fault is the program's first page.
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
    mov byte ptr [rbx], 'P'
    lea rdi, [rbx + 4096]           # a pipe with one letter in it
    mov eax, SYS_pipe
    syscall
    mov edi, [rbx + 4096 + 4]
    lea rsi, [rip + letter]
    mov edx, 1
    mov eax, SYS_write
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
    mov edi, [rbx + 4096]
    mov rsi, rbx
    mov edx, 1
    mov eax, SYS_read
    syscall
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
letter:
    .ascii "C"
