# Why did the handler run once for two signals? A signal that is pending already is not queued again.

.text
_start:
    mov edi, SIGUSR1
    lea rsi, [rip + action]
    xor edx, edx
    mov r10d, 8
    mov eax, SYS_rt_sigaction
    syscall
    mov edi, SIG_BLOCK
    call mask
    mov eax, SYS_getpid
    syscall
    mov ebx, eax
    call send
    call send
sent:
    mov edi, SIG_UNBLOCK
    call mask
    mov edi, [rip + count]          # 1
    mov eax, SYS_exit_group
    syscall

send:
    mov edi, ebx
    mov esi, SIGUSR1
    mov eax, SYS_kill
    syscall
    ret
mask:
    lea rsi, [rip + set]
    xor edx, edx
    mov r10d, 8
    mov eax, SYS_rt_sigprocmask
    syscall
    ret
handler:
    inc dword ptr [rip + count]
    ret
restore:
    mov eax, SYS_rt_sigreturn
    syscall

.data
.balign 8
action:
    .quad handler, SA_RESTORER, restore, 0
set:
    .quad 1 << (SIGUSR1 - 1)
count:
    .long 0
