# What can a signal handler change in the code it interrupted? Every register: the ucontext is what rt_sigreturn loads. This
# one gives a bad pointer a good value, and the load is executed again.
# EXPECT exit == 7

.text
_start:
    mov eax, SYS_rt_sigaction
    mov edi, SIGSEGV
    lea rsi, [rip + action]
    xor edx, edx
    mov r10d, 8
    syscall

    mov rbx, 0xdead000
    mov edi, [rbx]                          # faults; runs again with rbx repaired
    mov eax, SYS_exit_group
    syscall

handler:                                    # (signo, siginfo, ucontext): registers begin at ucontext + 40
    lea rax, [rip + seven]
    mov [rdx + 40 + 11 * 8], rax            # r8 .. r15, rdi, rsi, rbp, rbx: number 11
    ret

restorer:
    mov eax, SYS_rt_sigreturn
    syscall

.rodata
seven: .long 7

.data
action: .quad handler, SA_SIGINFO | SA_RESTORER, restorer, 0
