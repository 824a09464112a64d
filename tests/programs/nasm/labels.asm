; Local labels belong to the label before them: three functions have a .loop each, and one reaches into another.
; EXPECT exit == 8
default rel
section .text
global _start

count:                                  ; rdi: string, rax: its length
        xor eax, eax
.loop:  cmp byte [rdi + rax], 0
        je .done
        inc rax
        jmp short .loop
.done:  ret

reverse:                                ; rdi: string, rsi: length
        lea rsi, [rdi + rsi - 1]
.loop:  cmp rdi, rsi
        jae .done
        mov al, [rdi]
        mov dl, [rsi]
        mov [rdi], dl
        mov [rsi], al
        inc rdi
        dec rsi
        jmp .loop
.done:  jmp count.done                  ; a ret

_start:
        lea rdi, [text]
        call count
        mov rbx, rax
        lea rdi, [text]
        mov rsi, rbx
        call reverse
        mov byte [text.end], 10
        mov ecx, 3
.loop:  push rcx
        mov eax, SYS_write
        mov edi, 1
        lea rsi, [text]
        lea edx, [rbx + 1]
        syscall
        pop rcx
        loop .loop
        lea rax, [rel .end]
        lea rdx, [_start.loop]
        sub rax, rdx
        mov edi, ebx
        mov eax, SYS_exit_group
        syscall
.end:

section .data
text:   db "desrever"
.end:   db 0
