# What does the CPU do with a quotient that does not exist? #DE, which Linux turns into SIGFPE.
# EXPECT signal == SIGFPE
# EXPECT si_code == FPE_INTDIV

.text
_start:
    mov eax, 7
    cdq
    xor ecx, ecx
    idiv ecx
    mov edi, eax
    mov rax, SYS_exit_group
    syscall
