# Do sfork and on-demand fork go together? Yes: the region is shared for good, and populated it costs no fault; all
# other memory is shared until somebody writes, table by table.
# EXPECT exit == 0
# EXPECT stdout == "the parent reads: C in the region, P in private memory\n"
# EXPECT forks.sfork == 1
# EXPECT faults.sfork_install == 0
# EXPECT faults.shared_write == 0
# Four tables were there: the memory's, the program's, the stack's and the region's. The last, with its one page, is
# not shared but copied, as a populated region promises that no fault will come. The child's write below the first
# breaks that.
# EXPECT tables_shared == 3
# EXPECT tables_broken == 1
# EXPECT ptes_copied == 513
# EXPECT faults.table_break == 1

private = 1 << 40                   # a multiple of 2 MiB, which is what one PTE table maps
.include "sfork.inc"

.text
_start:
    mov edi, 65                     # fork on demand from now on; Linux has another prctl(65), which does nothing here
    xor esi, esi
    xor edx, edx
    xor r10d, r10d
    xor r8d, r8d
    mov eax, SYS_prctl
    syscall
    mov rdi, private                # 512 private pages
    mov esi, 2 << 20
    mov edx, PROT_READ|PROT_WRITE
    mov r10d, MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED|MAP_POPULATE
    mov r8, -1
    xor r9d, r9d
    mov eax, SYS_mmap
    syscall
    mov rbp, rax
    mov byte ptr [rbp], 'P'
    mov edi, 4096
    mov esi, CHILD_WRITE|PARENT_WRITE|SFORK_POPULATE
    lea rdx, [rip + region]
    mov eax, SYS_sfork
    syscall
    test rax, rax
    jns 1f
    call sfork_file                 # Linux has no sfork: the library makes one from a file and fork(2)
1:  mov rbx, [rip + region]
    test rax, rax
    jz child
    mov rdi, -1
    xor esi, esi
    xor edx, edx
    xor r10d, r10d
    mov eax, SYS_wait4
    syscall
    mov al, [rbx]
    mov [rip + in_region], al
    mov al, [rbp]
    mov [rip + in_private], al
    mov edi, 1
    lea rsi, [rip + line]
    mov edx, line_end - line
    mov eax, SYS_write
    syscall
    jmp leave
child:
    mov byte ptr [rbx], 'C'         # no fault
    mov byte ptr [rbp], 'C'         # copies a table and a page
leave:
    xor edi, edi
    mov eax, SYS_exit_group
    syscall

.data
.balign 8
region:
    .quad 0
line:
    .ascii "the parent reads: "
in_region:
    .ascii "? in the region, "
in_private:
    .ascii "? in private memory\n"
line_end:
