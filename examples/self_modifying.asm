# Does the CPU notice that code has changed? Yes, whoever changed it: the program itself, or the kernel for it.
# EXPECT exit == 0
# EXPECT stdout == "123\n"

.text
_start:
    xor edi, edi
    mov rsi, 4096
    mov rdx, PROT_READ|PROT_WRITE|PROT_EXEC
    mov r10, MAP_PRIVATE|MAP_ANONYMOUS
    mov r8, -1
    xor r9d, r9d
    mov rax, SYS_mmap
    syscall
    mov rbx, rax
    mov byte ptr [rbx], 0xb8        # mov eax, '1'
    mov dword ptr [rbx + 1], '1'
    mov byte ptr [rbx + 5], 0xc3    # ret
    call run
    mov byte ptr [rbx + 1], '2'     # written by the program
    call run
    lea rdi, [rip + ends]           # written by the kernel, through a pipe
    mov rax, SYS_pipe
    syscall
    mov edi, [rip + ends + 4]
    lea rsi, [rip + three]
    mov rdx, 1
    mov rax, SYS_write
    syscall
    mov edi, [rip + ends]
    lea rsi, [rbx + 1]
    mov rdx, 1
    mov rax, SYS_read
    syscall
    call run
    mov al, 10
    call put
    xor edi, edi
    mov rax, SYS_exit_group
    syscall

run:
    call rbx
put:                                # the character in al
    mov [rip + character], al
    mov rdi, 1
    lea rsi, [rip + character]
    mov rdx, 1
    mov rax, SYS_write
    syscall
    ret

.data
three:
    .ascii "3"
character:
    .byte 0
.balign 4
ends:
    .long 0, 0
