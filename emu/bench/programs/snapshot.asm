# A fork server: with BYTES present and written, COUNT times fork; the child parses and evaluates one input and exits
# with its result; the parent compares that with what it must be. Laps around them all.
#
# expression = term {("+" | "-") term}; term = factor {("*" | "/") factor}; factor = number | "-" factor | "(" expression
# ")". The result is its value modulo 128, or 255 for text that is no expression or divides by 0. The child makes a node
# of the syntax tree (operator, left, right: 24 bytes) for each operator, in the big memory.

_start:
    mov rdi, MAP_POPULATE
    call map
    mov r12, rax
    mov rdi, rax
    call write_pages
    mov ebx, COUNT
    lea r14, [rip + inputs]
    call lap
again:
    mov eax, FORK
    syscall
    cmp rax, 0
    jl broken
    je child
    mov rdi, -1
    lea rsi, [rip + status]
    mov rdx, 0
    mov r10, 0
    mov eax, SYS_wait4
    syscall
    cmp rax, 0
    jl broken
    movzx eax, byte ptr [rip + status + 1]
    cmp rax, qword ptr [r14 + 8]
    jne wrong
    add r14, 16
    lea rax, [rip + inputs_end]
    cmp r14, rax
    jb next
    lea r14, [rip + inputs]
next:
    dec rbx
    jnz again
    call lap
    jmp exit

child:
    mov rsi, qword ptr [r14]    # the text that is left
    mov r13, r12                # the memory that is left
    call expression
    cmp byte ptr [rsi], 0
    jne reject
    mov rdi, rax
    and rdi, 127
    mov rax, SYS_exit_group
    syscall
reject:
    mov rdi, 255
    mov rax, SYS_exit_group
    syscall

expression:                     # rax = its value
    call term
expression_more:
    call space
    cmp cl, '+'
    je plus
    cmp cl, '-'
    je minus
    ret
plus:
    inc rsi
    push rax
    call term
    pop rdx
    mov ecx, '+'
    call node
    add rax, rdx
    jmp expression_more
minus:
    inc rsi
    push rax
    call term
    pop rdx
    mov ecx, '-'
    call node
    sub rdx, rax
    mov rax, rdx
    jmp expression_more

term:
    call factor
term_more:
    call space
    cmp cl, '*'
    je product
    cmp cl, '/'
    je quotient
    ret
product:
    inc rsi
    push rax
    call factor
    pop rdx
    mov ecx, '*'
    call node
    imul rax, rdx
    jmp term_more
quotient:
    inc rsi
    push rax
    call factor
    test rax, rax
    jz reject
    pop rdx
    mov ecx, '/'
    call node
    mov rdi, rax
    mov rax, rdx
    cqo
    idiv rdi
    jmp term_more

factor:
    call space
    cmp cl, '('
    je inner
    cmp cl, '-'
    je negative
    sub cl, '0'
    cmp cl, 9
    ja reject
    mov rax, 0
digits:
    imul rax, rax, 10
    movzx ecx, cl
    add rax, rcx
    inc rsi
    mov cl, byte ptr [rsi]
    sub cl, '0'
    cmp cl, 9
    jbe digits
    ret
inner:
    inc rsi
    call expression
    cmp cl, ')'
    jne reject
    inc rsi
    ret
negative:
    inc rsi
    call factor
    neg rax
    ret

space:                          # skips blanks; cl = what comes then
    mov cl, byte ptr [rsi]
    cmp cl, ' '
    jne space_end
    inc rsi
    jmp space
space_end:
    ret

node:                           # rcx = operator, rdx and rax its sides
    mov qword ptr [r13], rcx
    mov qword ptr [r13 + 8], rdx
    mov qword ptr [r13 + 16], rax
    add r13, 24
    ret

.rodata
inputs:
    .quad text_0, 7, text_1, 9, text_2, 42, text_3, 255, text_4, 1, text_5, 255, text_6, 29, text_7, 64
    .quad text_8, 255, text_9, 100, text_10, 255, text_11, 127, text_12, 3, text_13, 255, text_14, 0, text_15, 55
inputs_end:
text_0: .asciz "7"
text_1: .asciz "1 + 2 * 4"
text_2: .asciz "(1 + 2) * (3 + 4) * 2"
text_3: .asciz "(1 + 2"
text_4: .asciz "((((((((((((((((1))))))))))))))))"
text_5: .asciz "1 / (2 - 2)"
text_6: .asciz "12345 * 67 - 89 * (10 - 3) / 2 + 1001"
text_7: .asciz "-(-64)"
text_8: .asciz "2 ** 3"
text_9: .asciz "1000 / 10 / 5 * 5"
text_10: .asciz ""
text_11: .asciz "-1"
text_12: .asciz "1 - 2 - 3 - 4 + 11"
text_13: .asciz "9 + x"
text_14: .asciz "64 * 2"
text_15: .asciz "1 + 2 + 3 + 4 + 5 + 6 + 7 + 8 + 9 + 10"

.bss
status: .zero 8
.text
