# What do parent and child see of each other's writes after fork? Nothing: the first write copies the page.
# EXPECT exit == 0
# EXPECT faults.cow_copy >= 1

.text
_start:
    lea rbx, [rip + cell]
    mov byte ptr [rbx], 'A'         # the page is the program's own before the fork
    mov rax, SYS_fork
    syscall
    test rax, rax
    jz child
    mov rdi, -1                     # wait first, so that the order of the lines is ours
    xor esi, esi
    xor edx, edx
    xor r10d, r10d
    mov rax, SYS_wait4
    syscall
    lea rsi, [rip + parent_line]
    mov rdx, parent_end - parent_line
    mov al, [rbx]
    mov [rip + parent_value], al
    call print
    jmp leave

child:
    lea rsi, [rip + before_line]    # it begins with its parent's bytes
    mov rdx, before_end - before_line
    mov al, [rbx]
    mov [rip + before_value], al
    call print
    mov byte ptr [rbx], 'B'         # a page fault, error code 7: copy the page, then write
    lea rsi, [rip + after_line]
    mov rdx, after_end - after_line
    mov al, [rbx]
    mov [rip + after_value], al
    call print
leave:
    xor edi, edi
    mov rax, SYS_exit_group
    syscall

print:
    mov rdi, 1
    mov rax, SYS_write
    syscall
    ret

.data
before_line:
    .ascii "child, before its write: "
before_value:
    .ascii "?\n"
before_end:
after_line:
    .ascii "child, after its write:  "
after_value:
    .ascii "?\n"
after_end:
parent_line:
    .ascii "parent, after both:      "
parent_value:
    .ascii "?\n"
parent_end:

.balign 4096
cell:
    .byte 0
