# Can data be run? Not without PROT_EXEC: the NX bit of its page-table entry makes the fetch fault.
# EXPECT signal == SIGSEGV
# EXPECT si_code == SEGV_ACCERR
# EXPECT faults.protection == 1

.text
_start:
    lea rbx, [rip + code]
    mov al, [rbx]                   # the page is there, and may be read
    jmp rbx

.data
code:
    .byte 0xb8, 0x3c, 0, 0, 0       # mov eax, 60 (exit)
    .byte 0x31, 0xff                # xor edi, edi
    .byte 0x0f, 0x05                # syscall
