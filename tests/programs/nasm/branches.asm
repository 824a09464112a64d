; Near and short jumps in both directions, conditional moves and sets, a jump table, code that is aligned.
; EXPECT exit == 129
default rel
section .text
global _start
_start:
        xor edi, edi
        mov ecx, 4
.again: lea rax, [table]
        mov rdx, rcx
        dec rdx
        jmp qword [rax + rdx*8]
one:    add edi, 1
        jmp near next
two:    add edi, 20
        jmp short .on
        ud2
.on:    jmp next
three:  cmp ecx, 3
        sete al
        movzx eax, al
        add edi, eax
        mov edx, 7
        cmovne eax, edx
        add edi, eax
        jmp next
        times 200 nop
        align 32
four:   test ecx, ecx
        jz near one
        jo near $
        add edi, 100
next:   dec ecx
        jnz _start.again
        mov rax, four
        and eax, 31
        add edi, eax
        mov eax, SYS_exit_group         ; 100 + 1 + 7 + 20 + 1
        syscall
section .rodata
        align 8
table:  dq one, two, three, four
