# What happens to a program that follows a null pointer? SIGSEGV, with the reason in the fault report.
# EXPECT signal == SIGSEGV
# EXPECT si_code == SEGV_MAPERR
# EXPECT faults.unmapped == 1

.text
_start:
    xor ebx, ebx                    # the pointer somebody forgot to set
    mov rcx, 3
    mov rax, [rbx + rcx*8 + 16]     # the fourth element, 16 bytes into the structure
    mov rdi, rax
    mov rax, SYS_exit_group
    syscall
