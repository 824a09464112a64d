# Who left the stack misaligned? A caller pushes one word before it calls. (Real CPUs fault at movaps, which here is not
# checked: so the function asserts what it needs, as compilers' sanitizers do.)

.text
_start:
    xor ebx, ebx
    call outer
    xor edi, edi
    mov eax, SYS_exit_group
    syscall

outer:
    push rbp
    mov rbp, rsp
    push rbx                        # 8 bytes: the stack is 8 off
    call inner
    pop rbx
    pop rbp
    ret
inner:
    push rbp
    mov rbp, rsp
    test spl, 15
    jz aligned
    ud2
aligned:
    movaps xmmword ptr [rsp - 32], xmm0
    pop rbp
    ret
