# How does a program choose on-demand fork for good? By prctl(65). The next fork(2) and all after it are on-demand, in
# its children too; and once one has been, prctl(65) fails with EINVAL.
# LAB ONLY: prctl(65) is another call in Linux
# FORK classic
# EXPECT exit == 0
# EXPECT stdout == "prctl(65): 0\nprctl(65): 0\nprctl(65): EINVAL\nprctl(65): EINVAL\n"
# The fork before the first prctl(65); the two behind it, and the child's own.
# EXPECT forks.classic == 1
# EXPECT forks.odf == 3

.text
_start:
    call fork                       # off: a classic fork
    call prctl
    call prctl                      # armed; twice is once
    call fork                       # uses the arm up: active for good
    call prctl
    mov eax, SYS_fork
    syscall
    test rax, rax
    jz child
    call wait
leave:
    xor edi, edi
    mov eax, SYS_exit_group
    syscall
child:
    call fork                       # active from birth
    call prctl
    jmp leave

fork:                               # a child that ends at once
    mov eax, SYS_fork
    syscall
    test rax, rax
    jz leave
wait:
    mov rdi, -1
    xor esi, esi
    xor edx, edx
    xor r10d, r10d
    mov eax, SYS_wait4
    syscall
    ret

prctl:
    mov edi, 65
    xor esi, esi
    xor edx, edx
    xor r10d, r10d
    xor r8d, r8d
    mov eax, SYS_prctl
    syscall
    lea rsi, [rip + done]
    mov edx, refused - done
    test rax, rax
    jz 1f
    lea rsi, [rip + refused]
    mov edx, refused_end - refused
    cmp rax, -EINVAL
    jne leave
1:  mov edi, 1
    mov eax, SYS_write
    syscall
    ret

done:
    .ascii "prctl(65): 0\n"
refused:
    .ascii "prctl(65): EINVAL\n"
refused_end:
