; Every way to write a number comes to the same: the program prints one letter for each that is right.
; EXPECT exit == 200
default rel
%define COUNT 16

section .rodata
values: dq 200, 0c8h, 0xc8, $0c8, 11001000b, 0b1100_1000, 310o, 310q, 0d200, 200d, 0q310, 1100_1000y
        dq 0h0c8, 'A' + 135, (5 + 5) * 20, 1 << 7 | 72
        times COUNT - ($ - values) / 8 dq 0

section .bss
line:   resb COUNT + 1

section .text
global _start
_start: xor ecx, ecx
        lea rbx, [values]
        lea rdx, [line]
.next:  mov rax, [rbx + rcx*8]
        cmp rax, 200
        mov al, '.'
        jne .store
        lea eax, [rcx + 'a']
.store: mov [rdx + rcx], al
        inc ecx
        cmp ecx, COUNT
        jb .next
        mov byte [rdx + rcx], 10

        mov eax, SYS_write
        mov edi, 1
        mov rsi, rdx
        mov edx, COUNT + 1
        syscall
        mov eax, SYS_exit_group
        movzx edi, byte [values + 3*8]
        syscall
