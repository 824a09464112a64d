# What does vfork share? The address space itself: the child's write is the parent's, until the child runs execve.
# The program runs itself again, with an argument, to see that exec gives it a fresh memory.
# EXPECT exit == 0
# EXPECT stdout == "child sees 1 argument\nparent sees the child's write\n"

.text
_start:
    cmp qword ptr [rsp], 1          # argc
    jne again
    mov rax, [rsp + 8]
    mov [rip + argv], rax           # argv[0]: this very program
    mov r12, rax
    mov rax, SYS_vfork
    syscall
    test rax, rax
    jz child
    cmp byte ptr [rip + cell], 1    # the parent was held until execve
    jne bad
    mov rdi, -1
    xor esi, esi
    xor edx, edx
    xor r10d, r10d
    mov rax, SYS_wait4
    syscall
    lea rsi, [rip + parent]
    mov rdx, parent_end - parent
    call print
    xor edi, edi
    jmp leave
child:
    mov byte ptr [rip + cell], 1
    mov rdi, r12
    lea rsi, [rip + argv]
    xor edx, edx
    mov rax, SYS_execve
    syscall
bad:
    mov rdi, 1
leave:
    mov rax, SYS_exit_group
    syscall

again:
    cmp byte ptr [rip + cell], 0    # exec: nothing of the old memory is left
    jne bad
    mov al, [rsp]
    dec al
    add al, '0'
    mov [rip + count], al
    lea rsi, [rip + seen]
    mov rdx, seen_end - seen
    call print
    xor edi, edi
    jmp leave

print:
    mov rdi, 1
    mov rax, SYS_write
    syscall
    ret

.data
.balign 8
argv:
    .quad 0, argument, 0
argument:
    .asciz "again"
cell:
    .byte 0
seen:
    .ascii "child sees "
count:
    .ascii "? argument\n"
seen_end:
parent:
    .ascii "parent sees the child's write\n"
parent_end:
