# How do two processes talk? The parent writes into a pipe, the child reads until the last writer has closed it.
# EXPECT exit == 3
# EXPECT stdout == "through the pipe\n"

.text
_start:
    lea rdi, [rip + ends]
    mov rax, SYS_pipe
    syscall
    mov rax, SYS_fork
    syscall
    test rax, rax
    jz child
    mov edi, [rip + ends]           # the parent only writes
    call close
    mov edi, [rip + ends + 4]
    lea rsi, [rip + text]
    mov rdx, text_end - text
    mov rax, SYS_write
    syscall
    mov edi, [rip + ends + 4]
    call close                      # the child sees the end of the file
    mov rdi, -1
    lea rsi, [rip + status]
    xor edx, edx
    xor r10d, r10d
    mov rax, SYS_wait4
    syscall
    movzx edi, byte ptr [rip + status + 1]
    mov rax, SYS_exit_group
    syscall

child:
    mov edi, [rip + ends + 4]       # or it would wait for itself for ever
    call close
    xor r12d, r12d                  # reads
next:
    mov edi, [rip + ends]
    lea rsi, [rip + buffer]
    mov rdx, 8
    mov rax, SYS_read
    syscall
    test rax, rax
    jle done
    inc r12
    mov rdx, rax
    mov rdi, 1
    lea rsi, [rip + buffer]
    mov rax, SYS_write
    syscall
    jmp next
done:
    mov rdi, r12                    # 17 bytes in pieces of 8: three reads
    mov rax, SYS_exit_group
    syscall

close:
    mov rax, SYS_close
    syscall
    ret

.data
text:
    .ascii "through the pipe\n"
text_end:
.balign 4
status:
    .long 0
ends:
    .long 0, 0
.bss
buffer:
    .zero 8
