# The library's macros and functions, included twice.
# EXPECT exit == 55
.include "lab.inc"
.include "lab.inc"

.rodata
name: .asciz "a string"
empty: .byte 0

.text
double:
    prologue 8
    mov [rbp - 8], rdi
    mov rax, [rbp - 8]
    add rax, rdi
    test rsp, 15
    jz 1f
    xor eax, eax
1:  epilogue

_start:
    print "library, quoted: \"\\\" and ", "more\n"
    print_string [rip + name]
    print_string [rip + empty]
    print "\n"
    mov rbx, -9223372036854775808
    print_number rbx
    print " and "
    print_number 0
    print "\n"
    itoa -40, [rip + buffer]
    mov rbx, rax                    # 3
    strlen [rip + buffer]
    add rbx, rax                    # and 3
    strlen [rip + empty]
    add rbx, rax                    # and 0
    print_string [rip + buffer]
    mov edi, 1
    mov eax, SYS_close
    syscall
    lea rdi, [rip + name]
    call lab_puts
    sub rbx, rax                    # minus -EBADF
    mov edi, 20
    call double
    add rax, rbx
    exit rax

.bss
buffer: .zero 21
