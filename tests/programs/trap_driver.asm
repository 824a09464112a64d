# What does the kernel make of these instruction bytes? Standard input: offset in the code pages, flags, then the bytes.
# With flag 1 a handler writes what it was told (struct below) and exits; otherwise the default action decides.
# The bytes run with rdi = DATA, rsi = READ_ONLY, rbx = HOLE, r15 = their own address, everything else 0.

.set CODE, 0x10000000               # two pages, r-x; the third is missing
.set DATA, 0x20000000               # one page, rw-; the next is missing
.set READ_ONLY, 0x30000000          # one page, r--
.set HOLE, 0x40000000
.set STACK, 0x50000000              # two pages, rw-; the one below is missing
.set INPUT_SIZE, 512

.text
_start:
    xor eax, eax
    xor edi, edi
    lea rsi, [rip + input]
    mov edx, INPUT_SIZE
    syscall
    mov r12d, eax

    mov edi, CODE
    mov esi, 8192
    call map
    mov edi, DATA
    mov esi, 4096
    call map
    mov edi, READ_ONLY
    mov esi, 4096
    call map
    mov edi, STACK
    mov esi, 8192
    call map

    mov r15d, CODE
    add r15d, [rip + offset_in_code]
    mov rdi, r15
    lea rsi, [rip + code]
    lea ecx, [r12 - 8]
    rep movsb
    mov edi, CODE
    mov esi, 8192
    mov edx, PROT_READ | PROT_EXEC
    call protect
    mov edi, READ_ONLY
    mov esi, 4096
    mov edx, PROT_READ
    call protect
    mov byte ptr [DATA], 0          # there before the bytes run, so that only their own faults count
    mov al, [READ_ONLY]
    mov qword ptr [STACK + 0x1ff8], 0

    test dword ptr [rip + flags], 1
    jz go
    mov eax, SYS_sigaltstack
    lea rdi, [rip + alternate]
    xor esi, esi
    syscall
    lea rbp, [rip + signals]
install:
    movzx edi, byte ptr [rbp]
    test edi, edi
    jz go
    mov eax, SYS_rt_sigaction
    lea rsi, [rip + action]
    xor edx, edx
    mov r10d, 8
    syscall
    inc rbp
    jmp install

go: mov edi, DATA
    mov esi, READ_ONLY
    mov ebx, HOLE
    mov esp, STACK + 0x1f00
    xor eax, eax
    xor ecx, ecx
    xor edx, edx
    xor ebp, ebp
    xor r8d, r8d
    xor r9d, r9d
    xor r10d, r10d
    xor r11d, r11d
    xor r12d, r12d
    xor r13d, r13d
    xor r14d, r14d
    jmp r15

map:                                # rdi, rsi
    mov eax, SYS_mmap
    mov edx, PROT_READ | PROT_WRITE
    mov r10d, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED
    mov r8, -1
    xor r9d, r9d
    syscall
    ret
protect:
    mov eax, SYS_mprotect
    syscall
    ret

handler:                            # signal, siginfo, ucontext
    mov [rip + record], edi
    mov eax, [rsi + 8]
    mov [rip + record + 4], eax
    mov rax, [rsi + 16]
    mov [rip + record + 8], rax
    mov rax, [rdx + 40 + 16 * 8]    # rip
    mov [rip + record + 16], rax
    mov rax, [rdx + 40 + 20 * 8]    # trapno
    mov [rip + record + 24], rax
    mov rax, [rdx + 40 + 19 * 8]    # err
    mov [rip + record + 32], rax
    mov rax, [rdx + 40 + 22 * 8]    # cr2
    mov [rip + record + 40], rax
    mov eax, SYS_write
    mov edi, 1
    lea rsi, [rip + record]
    mov edx, 48
    syscall
    mov eax, SYS_exit_group
    xor edi, edi
    syscall

.data
.balign 8
action:    .quad handler, SA_SIGINFO | SA_RESTORER | SA_ONSTACK, handler, 0
alternate: .quad own_stack, 0, 65536
signals:   .byte SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGSYS, 0

.bss
.balign 16
record: .zero 48
input:
offset_in_code: .zero 4
flags:  .zero 4
code:   .zero INPUT_SIZE
own_stack: .zero 65536
