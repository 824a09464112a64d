# Who may write to an sfork region? Those it was made for. Here the child: the parent sees what it writes, and is
# killed when it writes itself.
# EXPECT signal == SIGSEGV
# EXPECT si_code == SEGV_ACCERR
# EXPECT stdout == "the parent reads: C\n"
# EXPECT forks.sfork == 1
# EXPECT faults.protection == 1
# One page, touched by both: one fault, the child's.
# EXPECT faults.sfork_install == 1

.include "sfork.inc"

.text
_start:
    mov edi, 4096
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
    mov al, [rbx]
    mov [rip + letter], al
    mov edi, 1
    lea rsi, [rip + line]
    mov edx, line_end - line
    mov eax, SYS_write
    syscall
    mov byte ptr [rbx], 'P'         # SIGSEGV
leave:
    xor edi, edi
    mov eax, SYS_exit_group
    syscall
child:
    mov byte ptr [rbx], 'C'
    jmp leave

.data
.balign 8
region:
    .quad 0
line:
    .ascii "the parent reads: "
letter:
    .ascii "?\n"
line_end:
