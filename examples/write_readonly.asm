# Who keeps a program from changing its constants? The VMA: .rodata is mapped without the right to write.
# EXPECT signal == SIGSEGV
# EXPECT si_code == SEGV_ACCERR
# EXPECT faults.protection == 1

.text
_start:
    lea rbx, [rip + constant]
    mov rax, [rbx]                  # reading is fine
    mov qword ptr [rbx], 43
    xor edi, edi
    mov rax, SYS_exit_group
    syscall

.rodata
constant:
    .quad 42
