# A key-value store that is saved by fork while it is written to. Open addressing over BYTES of 64-byte slots (1 << BITS
# of them), KEYS keys, a power of two. First a child makes all the writes and is gone: what is measured then is not the
# first use of the frames. The parent laps around the fork, and then around each of BURSTS bursts of BATCH writes to
# random keys; in between it gives the child a turn, which reads WALK slots of its snapshot each time until half of them
# are read.

_start:
    mov rdi, MAP_POPULATE
    call map
    mov r12, rax
    mov ebx, 1
fill:
    mov rdi, rbx
    call find
    mov qword ptr [rax], rbx
    mov qword ptr [rax + 8], rbx
    inc rbx
    cmp rbx, KEYS
    jbe fill
    mov eax, FORK
    syscall
    cmp rax, 0
    jl broken
    je rehearsal
    call wait
    call load_lap
    syscall
    mov eax, FORK
    syscall
    cmp rax, 0
    jl broken
    je child
    mov eax, SYS_write
    syscall
    mov ebx, BURSTS
    mov r14, SEED
burst:
    mov eax, SYS_sched_yield
    syscall
    call lap
    call change
    call lap
    dec rbx
    jnz burst
    call wait
    jmp exit

rehearsal:
    mov ebx, BURSTS
    mov r14, SEED
rehearse:
    call change
    dec rbx
    jnz rehearse
    jmp exit

change:                         # BATCH writes to random keys; r14 = xorshift's state (Marsaglia 2003)
    mov r13d, BATCH
change_next:
    mov rdx, r14
    shl rdx, 13
    xor r14, rdx
    mov rdx, r14
    shr rdx, 7
    xor r14, rdx
    mov rdx, r14
    shl rdx, 17
    xor r14, rdx
    mov rdi, r14
    and rdi, KEYS - 1
    inc rdi
    call find
    mov qword ptr [rax + 8], r14
    dec r13
    jnz change_next
    ret

child:
    mov rdi, r12
    mov r13, r12
    add r13, BYTES / 2
walk:
    mov ecx, WALK
visit:
    add rbx, qword ptr [rdi + 8]
    add rdi, 64
    dec ecx
    jnz visit
    cmp rdi, r13
    jae exit
    mov eax, SYS_sched_yield
    syscall
    jmp walk

find:                           # rax = the slot of key rdi, or the empty one where it belongs
    movabs rax, 0x9E3779B97F4A7C15
    imul rax, rdi
    shr rax, 64 - BITS
    shl rax, 6
find_next:
    mov rdx, qword ptr [r12 + rax]
    cmp rdx, rdi
    je found
    test rdx, rdx
    jz found
    add rax, 64
    and rax, BYTES - 1
    jmp find_next
found:
    add rax, r12
    ret
