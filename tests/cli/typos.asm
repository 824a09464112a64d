# A greeting by somebody who is learning; the README shows what is said about it.
.text
_start:
    mov rdi, 1
    lea rsi, [rip + mesage]
    mov edx, message_end - message
    mov eax, SYS_wirte
    syscal
    mov [counter], 0
    mov counter, [rsi]
    mov ebx, rdx
    push eax
.data
counter: .qaud 0
message: .ascii "Hello, world!\n"
message_end:
