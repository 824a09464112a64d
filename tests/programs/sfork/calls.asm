# FUNCTION(8000, flags, &address) for several flags, checking that rbx, rbp, r12-r15 and rsp come back as they were.
# Prints "flags: byte written by the child, wait status", or "flags: -errno".
_start:
    lea r15, [rip+choices]
next:
    mov ebx, 11
    mov ebp, 12
    mov r12d, 13
    mov r13d, 14
    mov r14, rsp
    mov rdi, 8000
    movzx esi, byte ptr [r15]
    lea rdx, [rip+address]
    xor ecx, ecx
    call FUNCTION
    cmp ebx, 11
    jne broken
    cmp ebp, 12
    jne broken
    cmp r12d, 13
    jne broken
    cmp r13d, 14
    jne broken
    cmp r14, rsp
    jne broken
    test rax, rax
    js refused
    jz child
    mov rdi, rax
    lea rsi, [rip+status]
    xor edx, edx
    xor r10d, r10d
    mov eax, SYS_wait4
    syscall
    mov rax, [rip+address]
    mov al, [rax+4096]
    add al, '0'
    mov [rip+good+3], al
    mov al, [rip+status]
    add al, '0'
    mov [rip+good+5], al
    lea rsi, [rip+good]
    mov edx, 7
    jmp print
refused:
    cmp rax, -EINVAL
    jne broken
    lea rsi, [rip+bad]
    mov edx, 7
print:
    mov al, [r15]
    add al, '0'
    mov [rsi], al
    mov edi, 1
    mov eax, SYS_write
    syscall
    inc r15
    cmp byte ptr [r15], 255
    jne next
    xor edi, edi
    mov eax, SYS_exit_group
    syscall
child:
    mov rax, [rip+address]
    mov byte ptr [rax+4096], 7
    xor edi, edi
    mov eax, SYS_exit_group
    syscall
broken:
    mov edi, 9
    mov eax, SYS_exit_group
    syscall
.data
good: .ascii "0: 0 0\n"
bad: .ascii "0: -22\n"
choices: .byte 0, 1, 3, 4, 5, 7, 8, 255
.bss
address: .skip 8
status: .skip 8
.include "sfork.inc"
