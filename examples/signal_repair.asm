# Can a program handle its own page faults? A SIGSEGV handler finds the address in siginfo, makes the page writable, and
# returns: the instruction runs again and succeeds. This is how garbage collectors see writes.
# EXPECT exit == 0
# EXPECT stdout == "fault\nrepaired\n"
# EXPECT signals.SIGSEGV == 1

.text
_start:
    lea rsi, [rip + action]
    mov rdi, SIGSEGV
    xor edx, edx
    mov r10, 8
    mov rax, SYS_rt_sigaction
    syscall
    xor edi, edi
    mov rsi, 4096
    mov rdx, PROT_READ
    mov r10, MAP_PRIVATE|MAP_ANONYMOUS
    mov r8, -1
    xor r9d, r9d
    mov rax, SYS_mmap
    syscall
    mov rbx, rax
    mov qword ptr [rbx + 0x123], 42 # faults, is repaired, runs again
    cmp qword ptr [rbx + 0x123], 42
    jne bad
    lea rsi, [rip + repaired]
    mov rdx, 9
    call print
    xor edi, edi
    jmp leave
bad:
    mov rdi, 1
leave:
    mov rax, SYS_exit_group
    syscall

handler:                            # rdi: signal, rsi: siginfo, rdx: ucontext
    mov rdi, [rsi + 16]             # si_addr
    and rdi, -4096
    mov rsi, 4096
    mov rdx, PROT_READ|PROT_WRITE
    mov rax, SYS_mprotect
    syscall
    lea rsi, [rip + fault]
    mov rdx, 6
    call print
    ret                             # to the restorer
restorer:
    mov rax, SYS_rt_sigreturn
    syscall

print:
    mov rdi, 1
    mov rax, SYS_write
    syscall
    ret

.data
.balign 8
action:                             # handler, flags, restorer, mask
    .quad handler, SA_SIGINFO|SA_RESTORER, restorer, 0
fault:
    .ascii "fault\n"
repaired:
    .ascii "repaired\n"
