# When does memory come into being? A mapping costs nothing; a read maps the one page of zeros; a write takes a frame.
# mincore(2) tells which of the four pages are mapped; the counts below, which of them cost a frame.
# EXPECT exit == 0
# EXPECT faults.demand_zero == 1
# EXPECT faults.zero_page == 1

.text
_start:
    xor edi, edi
    mov rsi, 4 * 4096
    mov rdx, PROT_READ|PROT_WRITE
    mov r10, MAP_PRIVATE|MAP_ANONYMOUS
    mov r8, -1
    xor r9d, r9d
    mov rax, SYS_mmap
    syscall
    mov rbx, rax
    lea rsi, [rip + mapped]
    call report
    cmp byte ptr [rbx + 4096], 0    # a read: zeros, and no frame is taken for them
    jne bad
    lea rsi, [rip + after_read]
    call report
    mov byte ptr [rbx + 2 * 4096], 7
    lea rsi, [rip + after_write]
    call report
    xor edi, edi
    jmp leave
bad:
    mov rdi, 1
leave:
    mov rax, SYS_exit_group
    syscall

report:                             # rsi: 12 bytes of text
    push rsi
    mov rdi, rbx
    mov rsi, 4 * 4096
    lea rdx, [rip + vector]
    mov rax, SYS_mincore
    syscall
    pop rsi
    mov rdi, 1
    mov rdx, 12
    mov rax, SYS_write
    syscall
    lea rdi, [rip + vector]         # bytes to digits
    add dword ptr [rdi], 0x30303030
    mov rsi, rdi
    mov rdi, 1
    mov rdx, 5
    mov rax, SYS_write
    syscall
    ret

.data
vector:
    .long 0
    .ascii "\n"
mapped:
    .ascii "mapped:     "
after_read:
    .ascii "after read: "
after_write:
    .ascii "after write:"
