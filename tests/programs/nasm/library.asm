; The library's macros from NASM syntax; their functions are in another file, in GNU syntax.
; EXPECT exit == 46
%include "lab_nasm.inc"
default rel

section .rodata
name:   db "a string", 0

section .bss
buffer: resb 21

section .text
global _start
double:
        prologue 8
        mov [rbp - 8], rdi
        add rdi, [rbp - 8]
        lea rax, [rdi]
        test rsp, 15
        jz .aligned
        xor eax, eax
.aligned:
        epilogue

_start: print "library: ", `quoted\n`
        print_string [name]
        print 10
        mov rbx, -9223372036854775808
        print_number rbx
        print " and "
        print_number 0
        print 10
        itoa 40, [buffer]
        mov rbx, rax
        strlen [buffer]
        add rbx, rax
        print_string [buffer]
        mov edi, 21
        call double
        add rax, rbx                    ; 42 + 2 + 2
        exit rax
