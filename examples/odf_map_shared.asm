# Does MAP_SHARED memory stay shared when its PTE table is copied? Yes: only private pages part ways.
# EXPECT exit == 0
# EXPECT stdout == "private, shared, in the child:  CC\nprivate, shared, in the parent: PC\n"
# One table for both mappings, the program's, the stack's.
# EXPECT tables_shared == 3
# EXPECT ptes_copied == 512
# EXPECT pages_copied == 1
# The write to the private page copies the table; the shared page may be written from then on, without a fault.
# EXPECT faults.table_break == 1
# EXPECT faults.shared_write == 0

memory = 1 << 40                    # a multiple of 2 MiB, which is what one PTE table maps
shared = memory + 4096

.text
_start:
    mov rdi, memory                 # private memory, one PTE table
    mov esi, 2 << 20
    mov edx, PROT_READ|PROT_WRITE
    mov r10d, MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED|MAP_POPULATE
    mov r8, -1
    xor r9d, r9d
    mov eax, SYS_mmap
    syscall
    mov rdi, shared                 # a shared page in the middle
    mov esi, 4096
    mov edx, PROT_READ|PROT_WRITE
    mov r10d, MAP_SHARED|MAP_ANONYMOUS|MAP_FIXED|MAP_POPULATE
    mov r8, -1
    xor r9d, r9d
    mov eax, SYS_mmap
    syscall
    mov rbx, memory
    mov byte ptr [rbx], 'P'
    mov byte ptr [rbx + 4096], 'P'
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
    mov byte ptr [rbx + 4096], 'C'
    lea rsi, [rip + child_line]
print:
    mov edi, 1
    mov edx, 4
    mov eax, SYS_writev
    syscall
    xor edi, edi
    mov eax, SYS_exit_group
    syscall

.balign 8                           # the texts are beside the code, whose page is present: reading them costs nothing
child_line:
    .quad child_text, 32, memory, 1, shared, 1, newline, 1
parent_line:
    .quad parent_text, 32, memory, 1, shared, 1, newline, 1
child_text:
    .ascii "private, shared, in the child:  "
parent_text:
    .ascii "private, shared, in the parent: "
newline:
    .ascii "\n"
