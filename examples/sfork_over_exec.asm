# Is an sfork region gone after execve(2)? By default yes; after madvise(MADV_KEEPONEXEC) it is there, at the same
# address. Two regions, one of them kept: the program runs itself again in a child, looks, and writes.
# LAB ONLY: Linux has no sfork regions
# EXPECT exit == 0
# EXPECT stdout == "after exec: P\nafter exec: dropped\nthe parent reads: C\n"
# EXPECT faults.sfork_install == 2

kept = 1 << 40
dropped = kept + (1 << 30)

.text
_start:
    mov rbx, kept
    mov rbp, dropped
    cmp qword ptr [rsp], 2          # argc
    je again
    mov rax, [rsp + 8]
    mov [rip + argv], rax           # argv[0]: this very program
    mov rdi, rbx
    call map_region
    mov rdi, rbp
    call map_region
    mov rdi, rbx
    mov esi, 4096
    mov edx, MADV_KEEPONEXEC
    mov eax, SYS_madvise
    syscall
    mov byte ptr [rbx], 'P'
    mov byte ptr [rbp], 'P'
    mov eax, SYS_fork               # any fork shares the regions; sfork is mmap, fork and mprotect in one
    syscall
    test rax, rax
    jz child
    mov rdi, -1
    xor esi, esi
    xor edx, edx
    xor r10d, r10d
    mov eax, SYS_wait4
    syscall
    lea rsi, [rip + parent_line]
    call print
    jmp leave
child:
    mov rdi, [rip + argv]
    lea rsi, [rip + argv]
    xor edx, edx
    mov eax, SYS_execve
    syscall
    jmp leave

again:
    lea rsi, [rip + again_line]
    call print
    mov edi, 1
    mov rsi, rbp                    # what is not mapped cannot be written from
    mov edx, 1
    mov eax, SYS_write
    syscall
    cmp rax, -EFAULT
    jne leave
    lea rsi, [rip + dropped_line]
    call print
    mov byte ptr [rbx], 'C'
leave:
    xor edi, edi
    mov eax, SYS_exit_group
    syscall

map_region:
    mov esi, 4096
    mov edx, PROT_READ|PROT_WRITE
    mov r10d, MAP_SFORK|MAP_ANONYMOUS|MAP_FIXED
    mov r8, -1
    xor r9d, r9d
    mov eax, SYS_mmap
    syscall
    ret
print:
    mov edi, 1
    mov edx, 3
    mov eax, SYS_writev
    syscall
    ret

.data
.balign 8
argv:
    .quad 0, argument, 0
again_line:
    .quad again_text, 12, kept, 1, newline, 1
dropped_line:
    .quad again_text, 12, dropped_text, 7, newline, 1
parent_line:
    .quad parent_text, 18, kept, 1, newline, 1
argument:
    .asciz "again"
again_text:
    .ascii "after exec: "
dropped_text:
    .ascii "dropped"
parent_text:
    .ascii "the parent reads: "
newline:
    .ascii "\n"
