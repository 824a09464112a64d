"""Guest programs that go wrong without one flush of the kernel: (file, function[#n], request) -> source.

Each ends with exit status 0 when all is well.
"""

# Helpers for all scenarios. r12 is the page, r13 a second one. `bad` exits with 1, `good` with 0.
COMMON = """
.text
map:                                 # rdi address or 0, rsi length, rdx prot, r10 flags -> rax
    mov r8, -1
    xor r9d, r9d
    mov rax, SYS_mmap
    syscall
    ret
anon:                                # one RW page -> rax
    xor edi, edi
    mov rsi, 4096
    mov rdx, PROT_READ|PROT_WRITE
    mov r10, MAP_PRIVATE|MAP_ANONYMOUS
    jmp map
rwx:                                 # one RWX page at rdi -> rax
    mov rsi, 4096
    mov rdx, PROT_READ|PROT_WRITE|PROT_EXEC
    mov r10, MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED
    jmp map
kernel_write:                        # the kernel stores a struct timespec at rdi
    mov rsi, rdi
    mov rdi, CLOCK_REALTIME
    mov rax, SYS_clock_gettime
    syscall
    ret
on_segv:                             # a SIGSEGV from now on means that all is well
    lea rsi, [rip + action]
    mov rdi, SIGSEGV
    xor edx, edx
    mov r10, 8
    mov rax, SYS_rt_sigaction
    syscall
    ret
good:
    xor edi, edi
    jmp leave
bad:
    mov rdi, 1
leave:
    mov rax, SYS_exit_group
    syscall
.data
.balign 8
action: .quad good, 0x04000000, good, 0
status: .quad 0
name: .asciz "code"
one:   .byte 0xb8, 1, 0, 0, 0, 0xc3  # mov eax, 1; ret
two:   .byte 0xb8, 2, 0, 0, 0, 0xc3
pipefd: .long 0, 0
.text
_start:
"""

SCENARIOS: dict[tuple[str, str, str], str] = {
    # A page read while it was the zero page; the kernel writes it; user code must see that.
    ("mm/fault.py", "_write_protected#0", "flush_tlb"): """
        call anon
        mov r12, rax
        cmp qword ptr [r12], 0
        jne bad
        mov rdi, r12
        call kernel_write
        cmp qword ptr [r12], 0
        je bad
        jmp good
    """,
    # The same with a page that a child shares.
    ("mm/fault.py", "_write_protected#1", "flush_tlb"): """
        call anon
        mov r12, rax
        mov qword ptr [r12], 5
        mov rax, SYS_fork
        syscall
        test eax, eax
        jz pause_
        cmp qword ptr [r12], 5
        jne bad
        mov rdi, r12
        call kernel_write
        cmp qword ptr [r12], 5
        je bad
        jmp good
    pause_:
        mov rax, SYS_sched_yield
        syscall
        jmp good
    """,
    # The parent's writable translation must not survive fork.
    ("mm/fork.py", "fork_mm", "flush_tlb"): """
        call anon
        mov r12, rax
        mov qword ptr [r12], 5
        mov rax, SYS_fork
        syscall
        test eax, eax
        jz child
        mov qword ptr [r12], 6
        mov rdi, -1
        lea rsi, [rip + status]
        xor edx, edx
        xor r10d, r10d
        mov rax, SYS_wait4
        syscall
        cmp qword ptr [rip + status], 0
        jne bad
        jmp good
    child:
        cmp qword ptr [r12], 5
        jne bad
        jmp good
    """,
    # munmap: even the zero page, which no frame count shows, must be out of reach. The page behind keeps the table.
    ("mm/pgtable.py", "zap", "stale"): """
        call on_segv
        mov rdi, 0x40000000
        mov rsi, 0x2000
        mov rdx, PROT_READ|PROT_WRITE
        mov r10, MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED
        call map
        mov r12, rax
        mov rbx, [r12 + 0x1000]
        mov rbx, [r12]
        mov rdi, r12
        mov rsi, 4096
        mov rax, SYS_munmap
        syscall
        mov rbx, [r12]
        jmp bad
    """,
    # The same for whole 2 MiB tables; those above stay.
    ("mm/pgtable.py", "_zap_whole", "stale"): """
        call on_segv
        mov rdi, 0x40000000
        mov rsi, 0x600000
        mov rdx, PROT_READ|PROT_WRITE
        mov r10, MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED
        call map
        mov r12, 0x40200000
        mov rbx, [r12 + 0x200000]
        mov rbx, [r12]
        mov rdi, 0x40000000
        mov rsi, 0x400000
        mov rax, SYS_munmap
        syscall
        mov rbx, [r12]
        jmp bad
    """,
    # A page of a file that shrank raises SIGBUS; here: MADV_REMOVE of shared memory reads as zero.
    ("mm/mm.py", "zap_cached", "stale"): """
        xor edi, edi
        mov rsi, 4096
        mov rdx, PROT_READ|PROT_WRITE
        mov r10, MAP_SHARED|MAP_ANONYMOUS
        call map
        mov r12, rax
        mov qword ptr [r12], 5
        mov rdi, r12
        mov rsi, 4096
        mov rdx, MADV_REMOVE
        mov rax, SYS_madvise
        syscall
        test rax, rax
        jne bad
        cmp qword ptr [r12], 0
        jne bad
        jmp good
    """,
    # mprotect to read-only.
    ("mm/mm.py", "change", "stale"): """
        call on_segv
        call anon
        mov r12, rax
        mov qword ptr [r12], 5
        mov rdi, r12
        mov rsi, 4096
        mov rdx, PROT_READ
        mov rax, SYS_mprotect
        syscall
        mov qword ptr [r12], 6
        jmp bad
    """,
    # mremap with MREMAP_DONTUNMAP: the old page reads as zero.
    ("mm/remap.py", "_move", "stale"): """
        call anon
        mov r12, rax
        mov qword ptr [r12], 5
        mov rdi, r12
        mov rsi, 4096
        mov rdx, 4096
        mov r10, MREMAP_MAYMOVE|MREMAP_DONTUNMAP
        xor r8d, r8d
        mov rax, SYS_mremap
        syscall
        cmp qword ptr [rax], 5
        jne bad
        cmp qword ptr [r12], 0
        jne bad
        jmp good
    """,
    # The kernel overwrites code that has run.
    ("mm/frame.py", "wrote", "flush_code"): """
        mov rdi, 0x50000000
        call rwx
        mov r12, rax
        mov rbx, [rip + one]
        mov [r12], rbx
        call r12
        cmp eax, 1
        jne bad
        lea rdi, [rip + pipefd]
        mov rax, SYS_pipe
        syscall
        mov edi, [rip + pipefd + 4]
        lea rsi, [rip + two]
        mov rdx, 6
        mov rax, SYS_write
        syscall
        mov edi, [rip + pipefd]
        mov rsi, r12
        mov rdx, 6
        mov rax, SYS_read
        syscall
        call r12
        cmp eax, 2
        jne bad
        jmp good
    """,
}

# A frame that held code becomes a hole of a file, read as zeros, at the same address. Zeros are `add [rax], al`:
# with rax = 0 that faults.
SCENARIOS["mm/frame.py", "_forget_code", "flush_code"] = """
    call on_segv
    lea rdi, [rip + name]
    xor esi, esi
    mov rax, SYS_memfd_create
    syscall
    mov r13, rax
    mov rdi, r13
    mov rsi, 4096
    mov rax, SYS_ftruncate
    syscall
    mov rdi, 0x50001000                  # keeps the PTE table, so that the data frame is the last one freed
    call rwx
    mov byte ptr [rax], 1
    mov rdi, 0x50000000
    call rwx
    mov r12, rax
    mov rbx, [rip + one]
    mov [r12], rbx
    call r12
    mov rdi, r12
    mov rsi, 4096
    mov rax, SYS_munmap
    syscall
    mov rdi, 0x50000000
    mov rsi, 4096
    mov rdx, PROT_READ|PROT_EXEC
    mov r10, MAP_PRIVATE|MAP_FIXED
    mov r8, r13
    xor r9d, r9d
    mov rax, SYS_mmap
    syscall
    xor eax, eax
    call r12
    jmp bad
"""
# The same with the bulk allocation of MAP_POPULATE.
SCENARIOS["mm/frame.py", "_recycle", "flush_code"] = """
    call on_segv
    mov rdi, 0x50000000
    call rwx
    mov r12, rax
    mov rbx, [rip + one]
    mov [r12], rbx
    call r12
    mov rdi, r12
    mov rsi, 4096
    mov rax, SYS_munmap
    syscall
    mov rdi, 0x50000000
    mov rsi, 0x3000
    mov rdx, PROT_READ|PROT_WRITE|PROT_EXEC
    mov r10, MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED|MAP_POPULATE
    call map
    xor eax, eax
    call r12
    jmp bad
"""
# Shared memory mapped twice, once to write and once to run.
ALIAS = """
    lea rdi, [rip + name]
    xor esi, esi
    mov rax, SYS_memfd_create
    syscall
    mov r14, rax
    mov rdi, r14
    mov rsi, 4096
    mov rax, SYS_ftruncate
    syscall
    mov rdx, PROT_READ|PROT_WRITE
    call alias
    mov r12, rax
    mov rdx, PROT_READ|PROT_EXEC
    call alias
    mov r13, rax
    mov rbx, [rip + one]
    mov [r12], rbx
    call r13
    cmp eax, 1
    jne bad
    mov rbx, [rip + two]
    mov [r12], rbx
    call r13
    cmp eax, 2
    jne bad
    mov rbx, [rip + one]
    mov [r12], rbx
    call r13
    cmp eax, 1
    jne bad
    jmp good
alias:
    xor edi, edi
    mov rsi, 4096
    mov r10, MAP_SHARED
    mov r8, r14
    xor r9d, r9d
    mov rax, SYS_mmap
    syscall
    ret
"""
SCENARIOS["mm/alias.py", "claim_for_code", "flush_tlb"] = ALIAS
SCENARIOS["mm/alias.py", "claim_for_writing", "flush_tlb"] = ALIAS
# Neither must it survive an on-demand fork.
SCENARIOS["mm/odf.py", "odfork_mm", "flush_tlb"] = SCENARIOS["mm/fork.py", "fork_mm", "flush_tlb"].replace(
    "SYS_fork", "SYS_odfork"
)
# Huge pages. `huge` maps one with the rights edx at an address of its own.
HUGE = """
    jmp begin
huge:
    mov rdi, 0x60000000
    mov rsi, 0x200000
    mov r10, MAP_PRIVATE|MAP_ANONYMOUS|MAP_HUGETLB|MAP_FIXED
    jmp map
begin:
    mov rdx, PROT_READ|PROT_WRITE
"""
# MADV_DONTNEED: the page reads as zero.
SCENARIOS["mm/pgtable.py", "_zap_leaves", "stale"] = (
    HUGE
    + """
    call huge
    mov r12, rax
    mov qword ptr [r12], 5
    mov rdi, r12
    mov rsi, 0x200000
    mov rdx, MADV_DONTNEED
    mov rax, SYS_madvise
    syscall
    test rax, rax
    jne bad
    cmp qword ptr [r12], 0
    jne bad
    jmp good
"""
)
# A page that a child shares is written by the kernel, as above with small pages. The stack is copied before.
SCENARIOS["mm/huge.py", "_write_protected", "flush_tlb"] = (
    HUGE
    + "    call huge\n"
    + SCENARIOS["mm/fault.py", "_write_protected#1", "flush_tlb"]
    .replace("call anon", "")
    .replace("jz pause_\n", "jz pause_\n        push rax\n")
)
# What is collapsed into a huge page lies in other frames afterwards.
SCENARIOS["mm/huge.py", "collapse", "stale"] = """
    mov rdi, 0x60000000
    mov rsi, 0x200000
    mov rdx, PROT_READ|PROT_WRITE
    mov r10, MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED
    call map
    mov r12, rax
    mov qword ptr [r12], 5
    mov rdi, r12
    mov rsi, 0x200000
    mov rdx, MADV_COLLAPSE
    mov rax, SYS_madvise
    syscall
    test rax, rax
    jne bad
    mov qword ptr [r12], 6
    mov rdi, r12
    call kernel_write
    cmp qword ptr [r12], 6
    je bad
    jmp good
"""
# A group of frames that held code becomes a huge page of zeros at the same address.
SCENARIOS["mm/frame.py", "_recycle_groups", "flush_code"] = (
    HUGE
    + """
    call on_segv
    mov rdx, PROT_READ|PROT_WRITE|PROT_EXEC
    call huge
    mov r12, rax
    mov rbx, [rip + one]
    mov [r12], rbx
    call r12
    mov rdi, r12
    mov rsi, 0x200000
    mov rax, SYS_munmap
    syscall
    mov rdx, PROT_READ|PROT_WRITE|PROT_EXEC
    call huge
    mov byte ptr [r12 + 0x1000], 1
    xor eax, eax
    call r12
    jmp bad
"""
)

#: Flushes that no program can miss on this engine, with the reason and the test that shows the need in another way.
UNSEEN = {
    ("mm/sharing.py", "_break", "flush_tlb"): (
        "the new table maps the frames of the old one, and every later change of it flushes; other CPUs cache PMD "
        "entries as well, which would go on pointing at the old table (SDM vol. 3A 4.10.3), but this engine does not",
        ("test_B7_every_switch_of_a_pmd_entry_flushes", "test_random_histories_agree_with_the_model"),
    ),
    ("mm/poke.py", "_restore", "flush_tlb"): (
        "only a debugger comes here, with the guest stopped: between the lent right and its return nobody but another "
        "CPU could have cached the entry; the copy of a shared page flushes by itself",
        ("test_a_poke_reaches_one_process_only",),
    ),
}

#: The snapshot is taken at getpid. What follows leaves a translation, or code, for the second run to stumble over.
RESTORED = {
    "translation": """
        call anon
        mov r12, rax
        mov qword ptr [r12], 5
        mov rax, SYS_getpid
        syscall
        cmp qword ptr [r12], 5
        jne bad
        mov rdi, r12                     # the same address gets another frame
        mov rsi, 4096
        mov rdx, 4096
        mov r10, MREMAP_MAYMOVE|MREMAP_DONTUNMAP
        xor r8d, r8d
        mov rax, SYS_mremap
        syscall
        mov qword ptr [r12], 6
        jmp good
    """,
    "code": """
        mov rdi, 0x50000000
        call rwx
        mov r12, rax
        mov rbx, [rip + one]
        mov [r12], rbx
        mov rax, SYS_getpid
        syscall
        call r12
        cmp eax, 1
        jne bad
        mov rbx, [rip + two]
        mov [r12], rbx
        call r12
        jmp good
    """,
}
