# Why does adding up 5, 4, 3, 2, 1 need 8 MiB of stack? The recursion steps over its own end.

.text
_start:
    mov edi, 5
    call sum
    mov edi, eax
    mov eax, SYS_exit_group
    syscall

sum:
    push rbp
    mov rbp, rsp
    sub rsp, 4096                   # a big frame, to get there soon
    mov [rbp - 8], rdi
    sub rdi, 2                      # 5, 3, 1, -1: never 0
    jz done
    call sum
done:
    mov rax, [rbp - 8]
    leave
    ret
