# What does a page of an sfork region cost, that both sides touch? One fault in all: the first touch maps it in both.
# (Memory shared by mmap or shmget costs each process its own: 16 here instead of 8.)
# EXPECT exit == 0
# EXPECT stdout == "the parent found 8 pages\n"
# EXPECT forks.sfork == 1
# EXPECT faults.sfork_install == 8

.include "sfork.inc"

.text
_start:
    mov edi, 8 * 4096
    mov esi, CHILD_WRITE
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
    mov ecx, 8
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
child:
    mov ecx, 8
write_pages:
    mov [rbx], ecx                  # a number of its own for each page
    add rbx, 4096
    dec ecx
    jnz write_pages
    jmp leave

.data
.balign 8
region:
    .quad 0
found:
    .ascii "the parent found 8 pages\n"
found_end:
