# Three processes at most take turns at a script, and every result goes into a log that all of them share.
#
# The script comes on standard input and is put at CTRL + SCRIPT: a count, that many addresses to probe, and from
# CTRL + STEPS on commands of ten words: who, what, seven operands, and one more. The process whose number (r15) the
# next command names runs it; the others yield. All of that lies in shared memory far from what is probed.
#
# r12 CTRL, r13 the command, r14 where the log goes on. Registers survive fork; the log's end is in memory.

.equ CTRL, 0x10000000
.equ NEXT, 0          # the number of the next command
.equ LOGGED, 8        # words logged so far
.equ PIN_FD, 16       # the descriptor that pin returned
.equ SCRATCH, 64      # a word for the kernel to write to; what sfork stores
.equ SCRIPT, 0x1000
.equ STEPS, 0x2000
.equ LOG, 0x80000
.equ SIZE, 0x200000
.equ COMMAND, 80

.text
_start:
    mov rdi, CTRL
    mov rsi, SIZE
    mov rdx, PROT_READ|PROT_WRITE
    mov r10, MAP_SHARED|MAP_ANONYMOUS|MAP_FIXED
    mov r8, -1
    xor r9d, r9d
    mov rax, SYS_mmap
    syscall
    mov r12, rax
    lea rsi, [r12 + SCRIPT]
more:
    xor edi, edi
    mov rdx, 0x10000
    mov rax, SYS_read
    syscall
    add rsi, rax
    test rax, rax
    jg more
    lea rdi, [rip + pipefd]             # descriptors 3 and 4
    mov rax, SYS_pipe
    syscall
    lea rdi, [rip + name]               # descriptor 5: a file of six pages
    xor esi, esi
    mov rax, SYS_memfd_create
    syscall
    mov rdi, rax
    mov rsi, 0x6000
    mov rax, SYS_ftruncate
    syscall
    mov rdi, SIGSEGV
    call catch
    mov rdi, SIGBUS
    call catch
    xor r15d, r15d

turn:
    mov rax, [r12 + NEXT]
    imul r13, rax, COMMAND
    lea r13, [r12 + r13 + STEPS]
    cmp [r13], r15
    je mine
    mov rax, SYS_sched_yield
    syscall
    jmp turn
mine:
    mov rax, [r13 + 8]
    lea rcx, [rip + verbs]
    jmp [rcx + rax * 8]

done:                                   # rax is the result
    mov rcx, [r12 + LOGGED]
    mov [r12 + rcx * 8 + LOG], rax
    inc qword ptr [r12 + LOGGED]
next:
    inc qword ptr [r12 + NEXT]
    jmp turn

call_:                                  # any system call: number, six arguments
    call arguments
    syscall
    jmp done

fork_:                                  # a system call that forks; the last operand is the child's number
    call arguments
    syscall
    test rax, rax
    jnz parent
    mov r15, [r13 + 72]
    jmp turn
parent:
    js done
    mov eax, 1                          # process ids are nobody's business
    jmp done

probe:                                  # read the first byte of every page
    mov rbx, [r12 + SCRIPT]
    lea rbp, [r12 + SCRIPT + 8]
page:
    mov rdi, [rbp]
    call load
    mov rcx, [r12 + LOGGED]
    mov [r12 + rcx * 8 + LOG], rax
    inc qword ptr [r12 + LOGGED]
    add rbp, 8
    dec rbx
    jnz page
    jmp next

store_:                                 # address, byte
    mov rdi, [r13 + 16]
    mov al, [r13 + 24]
    mov [rdi], al
    xor eax, eax
stored:
    jmp done

kernel_write:                           # address, byte: read(2) from the pipe
    mov al, [r13 + 24]
    mov [r12 + SCRATCH], al
    lea rsi, [r12 + SCRATCH]
    call to_pipe
    mov rsi, [r13 + 16]
    call from_pipe
    test rax, rax
    jns done
    mov rbx, rax                        # the byte is still in there
    lea rsi, [r12 + SCRATCH]
    call from_pipe
    mov rax, rbx
    jmp done

kernel_read:                            # address: write(2) to the pipe; the byte
    mov rsi, [r13 + 16]
    call to_pipe
    test rax, rax
    js done
    lea rsi, [r12 + SCRATCH]
    call from_pipe
    movzx eax, byte ptr [r12 + SCRATCH]
    jmp done

pin_:                                   # address, length
    mov rdi, [r13 + 16]
    mov rsi, [r13 + 24]
    mov rax, SYS_pin
    syscall
    test rax, rax
    js done
    mov [r12 + PIN_FD], rax
    xor eax, eax
    jmp done

dma:                                    # offset, byte: the device writes
    mov al, [r13 + 24]
    mov [r12 + SCRATCH], al
    mov rdi, [r12 + PIN_FD]
    lea rsi, [r12 + SCRATCH]
    mov rdx, 1
    mov r10, [r13 + 16]
    mov rax, SYS_pwrite64
    syscall
    jmp done

word_at:                                # address: the word there
    mov rdi, [r13 + 16]
    mov rax, [rdi]
    jmp done

leave:
    inc qword ptr [r12 + NEXT]
    xor edi, edi
    mov rax, SYS_exit
    syscall

report:                                 # the last one: all of the log to standard output
    lea rsi, [r12 + LOG]
    mov rdx, [r12 + LOGGED]
    shl rdx, 3
    mov rdi, 1
    mov rax, SYS_write
    syscall
    xor edi, edi
    mov rax, SYS_exit_group
    syscall

# -- helpers ----------------------------------------------------------------------------------------

arguments:                              # from the command into the registers of a system call
    mov rax, [r13 + 16]
    mov rdi, [r13 + 24]
    mov rsi, [r13 + 32]
    mov rdx, [r13 + 40]
    mov r10, [r13 + 48]
    mov r8, [r13 + 56]
    mov r9, [r13 + 64]
    ret

to_pipe:
    mov rdi, 4
    mov rdx, 1
    mov rax, SYS_write
    syscall
    ret

from_pipe:
    mov rdi, 3
    mov rdx, 1
    mov rax, SYS_read
    syscall
    ret

load:                                   # the byte at rdi, or what came instead
    movzx eax, byte ptr [rdi]
loaded:
    ret

catch:                                  # rdi signal
    lea rsi, [rip + action]
    xor edx, edx
    mov r10, 8
    mov rax, SYS_rt_sigaction
    syscall
    ret

on_signal:                              # rax becomes 0x10000 | signal << 8 | si_code, behind the access that failed
    shl edi, 8
    or edi, [rsi + 8]
    or edi, 0x10000
    mov [rdx + 144], rdi
    lea rax, [rip + loaded]
    lea rcx, [rip + load]
    cmp [rdx + 168], rcx
    je go_on
    lea rax, [rip + stored]
go_on:
    mov [rdx + 168], rax
    ret
restore:
    mov rax, SYS_rt_sigreturn
    syscall

.data
.balign 8
action: .quad on_signal, 0x04000004, restore, 0   # SA_RESTORER | SA_SIGINFO
verbs:  .quad call_, fork_, probe, store_, kernel_write, kernel_read, pin_, dma, word_at, leave, report
pipefd: .long 0, 0
name:   .asciz "probe"
