# Who overwrote the return address? A copy into 16 bytes of stack that does not ask how long the text is.

.text
_start:
    lea rsi, [rip + text]
    call greet
    xor edi, edi
    mov eax, SYS_exit_group
    syscall

greet:
    sub rsp, 16
    mov rdi, rsp
copy:
    mov al, [rsi]
    mov [rdi], al
    inc rsi
    inc rdi
    test al, al
    jnz copy
    add rsp, 16
    ret

.data
text:
    .asciz "a name of more than 16b"
