# What of a child that may only read an sfork region? It sees what the parent writes at once, and is killed when it
# writes itself. Nor can it make the region writable: mprotect fails with EACCES.
# EXPECT exit == 0
# EXPECT stdout == "the child reads: P\nthe child was killed by SIGSEGV\n"
# EXPECT si_code == SEGV_ACCERR
# EXPECT forks.sfork == 1
# EXPECT faults.protection == 1
# EXPECT faults.sfork_install == 1

.include "sfork.inc"

.text
_start:
    mov edi, 4096
    mov esi, PARENT_WRITE
    lea rdx, [rip + region]
    mov eax, SYS_sfork
    syscall
    test rax, rax
    jns 1f
    call sfork_file                 # Linux has no sfork: the library makes one from a file and fork(2)
1:  mov rbx, [rip + region]
    test rax, rax
    jz child
    mov byte ptr [rbx], 'P'
    mov rdi, -1
    mov rsi, rbx
    xor edx, edx
    xor r10d, r10d
    mov eax, SYS_wait4
    syscall
    cmp dword ptr [rbx], SIGSEGV    # the wait status, in the region
    jne leave
    lea rsi, [rip + killed]
    mov edx, killed_end - killed
    mov edi, 1
    mov eax, SYS_write
    syscall
leave:
    xor edi, edi
    mov eax, SYS_exit_group
    syscall
child:
    mov eax, SYS_sched_yield        # until the parent has written
    syscall
    mov al, [rbx]
    test al, al
    jz child
    mov [rip + letter], al
    mov edi, 1
    lea rsi, [rip + line]
    mov edx, line_end - line
    mov eax, SYS_write
    syscall
    mov rdi, rbx
    mov esi, 4096
    mov edx, PROT_READ|PROT_WRITE
    mov eax, SYS_mprotect
    syscall
    cmp rax, -EACCES
    jne leave
    mov byte ptr [rbx], 'C'         # SIGSEGV
    jmp leave

.data
.balign 8
region:
    .quad 0
line:
    .ascii "the child reads: "
letter:
    .ascii "?\n"
line_end:
killed:
    .ascii "the child was killed by SIGSEGV\n"
killed_end:
