# What if a device writes to a page while its owner forks on demand? The page is pinned, so its PTE table is copied, and
# the child gets a copy of the page at once: the parent and the device go on with the frame they had.
# LAB ONLY: pin(2) stands for a device, and Linux has no such call
# EXPECT exit == 0
# EXPECT stdout == "the child has:  P\nthe parent has: D\n"
# EXPECT forks.odf == 1
# The program's and the stack's tables are shared. Of the memory's all PTEs are copied, and of its pages the pinned one.
# EXPECT tables_shared == 2
# EXPECT ptes_copied == 512
# The parent may still write to it without a fault.
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
    mov rdi, rbx
    mov esi, 4096
    mov eax, SYS_pin
    syscall
    mov ebp, eax                    # a descriptor: what is written to it is written to the frame
    mov eax, SYS_odfork
    syscall
    test rax, rax
    js leave
    jz child
    mov edi, ebp                    # the device writes, before the child has run
    lea rsi, [rip + letter]
    mov edx, 1
    xor r10d, r10d
    mov eax, SYS_pwrite64
    syscall
    mov rdi, -1
    xor esi, esi
    xor edx, edx
    xor r10d, r10d
    mov eax, SYS_wait4
    syscall
    mov byte ptr [rbx + 1], 'P'
    lea rsi, [rip + parent_line]
    jmp print
child:
    lea rsi, [rip + child_line]
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
    .ascii "D"
