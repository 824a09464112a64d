; The System V calling convention: Fibonacci numbers by recursion, printed in decimal.
; EXPECT exit == 144
section .text
global _start

fibonacci:
        cmp edi, 2
        mov eax, edi
        jb .done
        push rbx
        push rbp
        mov ebx, edi
        lea edi, [rbx - 1]
        call fibonacci
        mov ebp, eax
        lea edi, [rbx - 2]
        call fibonacci
        add eax, ebp
        pop rbp
        pop rbx
.done:  ret

print:                                  ; edi: number, and a newline behind it
        push rbp
        mov rbp, rsp
        sub rsp, 32
        lea rsi, [rbp - 1]
        mov byte [rsi], `\n`
        mov eax, edi
        mov ecx, 10
.digit: xor edx, edx
        div ecx
        add dl, '0'
        dec rsi
        mov [rsi], dl
        test eax, eax
        jnz .digit
        mov rdx, rbp
        sub rdx, rsi
        mov edi, 1
        mov eax, SYS_write
        syscall
        leave
        ret

_start: xor r12d, r12d
.next:  mov edi, r12d
        call fibonacci
        mov r13d, eax
        mov edi, eax
        call print
        inc r12d
        cmp r12d, 13
        jb .next
        movzx edi, r13b                 ; 144
        mov eax, SYS_exit_group
        syscall
