# Why does counting the nodes of a list fault after the second one? The loop looks into a node before it asks if there is one.

.text
_start:
    lea rax, [rip + first]
    lea rbx, [rip + second]
    mov [rax], rbx                  # first.next = second
    mov qword ptr [rbx], 0          # second.next = nothing
    xor ecx, ecx
count:
    add rcx, [rax + 8]              # node.value
    mov rax, [rax]
    cmp ecx, 100
    jb count
    mov edi, ecx
    mov eax, SYS_exit_group
    syscall

.data
.balign 8
first:
    .quad 0, 20
second:
    .quad 0, 22
