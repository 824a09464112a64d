# Can both sides of an sfork write? Yes, if both were named: a word in the region says whose turn it is, six times,
# and a private word stays the parent's own.
# EXPECT exit == 0
# EXPECT stdout == "ping\npong\nping\npong\nping\npong\n"
# EXPECT forks.sfork == 1
# However often it goes back and forth, the region costs one fault.
# EXPECT faults.sfork_install == 1

.include "sfork.inc"

.text
_start:
    mov edi, 4096
    mov esi, CHILD_WRITE|PARENT_WRITE
    lea rdx, [rip + region]
    mov eax, SYS_sfork
    syscall
    test rax, rax
    jns 1f
    call sfork_file                 # Linux has no sfork: the library makes one from a file and fork(2)
1:  mov rbx, [rip + region]
    test rax, rax
    jz child
    lea r12, [rip + ping]           # the parent's turns are the even ones
    xor r13d, r13d
    jmp play
child:
    lea r12, [rip + pong]
    mov r13d, 1
    mov dword ptr [rip + private], 1
play:
    cmp dword ptr [rbx], 6
    jae done
    mov eax, [rbx]
    and eax, 1
    cmp eax, r13d
    je my_turn
    mov eax, SYS_sched_yield
    syscall
    jmp play
my_turn:
    mov edi, 1
    mov rsi, r12
    mov edx, 5
    mov eax, SYS_write
    syscall
    inc dword ptr [rbx]             # the other one sees it at once
    jmp play
done:
    xor edi, edi
    test r13d, r13d
    jnz leave
    mov rdi, -1
    xor esi, esi
    xor edx, edx
    xor r10d, r10d
    mov eax, SYS_wait4
    syscall
    mov edi, [rip + private]        # 0: the child's write was to a page of its own
leave:
    mov eax, SYS_exit_group
    syscall

.data
.balign 8
region:
    .quad 0
private:
    .long 0
ping:
    .ascii "ping\n"
pong:
    .ascii "pong\n"
