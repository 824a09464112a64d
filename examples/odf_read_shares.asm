# Does reading cost anything after an on-demand fork? No: a child that reads 1024 pages takes no fault.
# EXPECT exit == 0
# EXPECT stdout == "the child found all 1024 pages\n"
# EXPECT forks.odf == 1
# Two PTE tables of the memory, one of the program, one of the stack; all four were there before the fork.
# EXPECT tables_shared == 4
# EXPECT tables_allocated == 4
# EXPECT tables_broken == 0
# EXPECT ptes_copied == 0
# The one fault: the program's first page, at the first instruction.
# EXPECT faults == 1

memory = 1 << 40                    # a multiple of 2 MiB, which is what one PTE table maps

.text
_start:
    mov rdi, memory                 # 1024 pages, 2 PTE tables
    mov esi, 4 << 20
    mov edx, PROT_READ|PROT_WRITE
    mov r10d, MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED|MAP_POPULATE
    mov r8, -1
    xor r9d, r9d
    mov eax, SYS_mmap
    syscall
    mov rbx, rax
    mov ecx, 1024
write_pages:
    mov [rbx], ecx                  # a number of its own for each page
    add rbx, 4096
    dec ecx
    jnz write_pages
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
    jmp leave
child:
    mov rbx, memory
    mov ecx, 1024
read_pages:
    cmp [rbx], ecx
    jne leave
    add rbx, 4096
    dec ecx
    jnz read_pages
    mov edi, 1
    lea rsi, [rip + found]
    mov edx, found_end - found
    mov eax, SYS_write
    syscall
leave:
    xor edi, edi
    mov eax, SYS_exit_group
    syscall

found:
    .ascii "the child found all 1024 pages\n"
found_end:
