# What becomes of MADV_DONTFORK memory, when its neighbours' PTE table would be shared? The table is copied without
# it: the child is killed when it touches it, and has all the rest.
# EXPECT exit == 0
# EXPECT stdout == "the child has:  A\nthe parent has: AB, and a child killed by SIGSEGV\n"
# The program's and the stack's tables are shared, the memory's is copied but for one page of 512.
# EXPECT tables_shared == 2
# EXPECT tables_allocated == 4
# EXPECT ptes_copied == 511
# EXPECT tables_broken == 0
# EXPECT faults.unmapped == 1
# EXPECT si_code == SEGV_MAPERR

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
    mov edx, MADV_DONTFORK
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
    lea rsi, [rbx + 8]
    xor edx, edx
    xor r10d, r10d
    mov eax, SYS_wait4
    syscall
    cmp dword ptr [rbx + 8], SIGSEGV
    jne leave
    lea rsi, [rip + parent_line]
    mov edx, 4
    jmp print
child:
    mov edi, 1
    lea rsi, [rip + child_line]
    mov edx, 3
    mov eax, SYS_writev
    syscall
    mov al, [rbx + 4096]
    jmp leave
print:
    mov edi, 1
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
    .quad parent_text, 16, memory, 1, memory + 4096, 1, end_text, 32
child_text:
    .ascii "the child has:  "
parent_text:
    .ascii "the parent has: "
newline:
    .ascii "\n"
end_text:
    .ascii ", and a child killed by SIGSEGV\n"
