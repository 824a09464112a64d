"""Host machine code of a machine that is debugged: what to look at before every instruction and memory access.

`STEP_CODE` takes the place of native.CODE_CODE. It counts as that does, and besides stops *before* an instruction

- whose address is marked in `filter`, a byte for each value of the low twelve bits (so others may be hit as well:
  whoever marks an address looks at RIP afterwards), or
- that the `mode` asks for: one outside [low, low + length), one with RSP above `stack`, one reached by a jump.

The first instruction after a stop is never held up: it is the one at `resume`. While `ring` is set every instruction
leaves its registers there, RECORD_BYTES each, as they were before it.

It also counts jumps, which take the place of blocks as the clock of a debugged machine: where the engine cuts straight
code into blocks depends on where it was stopped, jumps do not. After a kernel entry the next instruction is one.

`GO_CODE` is called by us: it starts the engine, as Machine._slice does, and tells the usual ends from the others.

An instruction that stores into its own block is put back by the engine, and comes again in a block of its own. It is
then the last one that was begun, has stored, and has changed neither RCX, as repeated ones do, nor RSP, as calls do: it
is not begun twice. (As a jump it counts, for a recorded run at full speed cannot tell.)

`ACCESS_CODE` sees loads and stores with their physical addresses. Where the frame's byte in a table of 65,536 is set it
calls on to Python, which looks closer. So it does for those that end in another page, if these are asked for.

Before anything else it wakes the engine's memory hooks up (muted.py).

What the stubs find at their `user_data` is in probes.py. All of it lives outside the guest: no guest byte, register or
flag is touched, and no page is touched either.
"""

from typing import Final

STEP_LISTING: Final = """
    cmp rsi, qword ptr [rcx + 24]
    je same
begin:
    mov rax, qword ptr [rcx + 272]
    mov dword ptr [rax], 0
    sub qword ptr [rcx], 1
    js expired
    mov r9, qword ptr [rcx + 96]
    mov eax, esi
    and eax, 4095
    cmp byte ptr [r9 + rax], 0
    jne suspect
    cmp dword ptr [rcx + 104], 0
    jne modes
go:
    mov rax, qword ptr [rcx + 168]
    mov qword ptr [rcx + 248], rax
    cmp rsi, qword ptr [rcx + 136]
    je straight
    cmp rax, qword ptr [rcx + 176]
    jae tick
    inc qword ptr [rcx + 168]
straight:
    inc qword ptr [rcx + 16]
    mov qword ptr [rcx + 24], rsi
    mov qword ptr [rcx + 80], -1
    mov edx, edx
    add rdx, rsi
    mov qword ptr [rcx + 136], rdx
    mov r9, qword ptr [rcx + 32]
    mov rax, qword ptr [r9 + 8]
    mov rdx, qword ptr [r9 + 88]
    mov qword ptr [rcx + 144], rax
    mov qword ptr [rcx + 152], rdx
    mov rax, qword ptr [r9 + 32]
    mov qword ptr [rcx + 264], rax
    mov qword ptr [rcx + 256], 0
    movups xmm0, xmmword ptr [r9 + 136]
    movups xmm1, xmmword ptr [r9 + 152]
    mov rax, qword ptr [r9 + 168]
    movups xmmword ptr [rcx + 40], xmm0
    movups xmmword ptr [rcx + 56], xmm1
    mov qword ptr [rcx + 72], rax
    mov r8, qword ptr [rcx + 160]
    test r8, r8
    jne record
    ret
record:
    mov qword ptr [r8 + 128], rsi
    movups xmmword ptr [r8 + 136], xmm0
    movups xmmword ptr [r8 + 152], xmm1
    mov qword ptr [r8 + 168], rax
    movups xmm0, xmmword ptr [r9]
    movups xmm1, xmmword ptr [r9 + 16]
    movups xmmword ptr [r8], xmm0
    movups xmmword ptr [r8 + 16], xmm1
    movups xmm0, xmmword ptr [r9 + 32]
    movups xmm1, xmmword ptr [r9 + 48]
    movups xmmword ptr [r8 + 32], xmm0
    movups xmmword ptr [r8 + 48], xmm1
    movups xmm0, xmmword ptr [r9 + 64]
    movups xmm1, xmmword ptr [r9 + 80]
    movups xmmword ptr [r8 + 64], xmm0
    movups xmmword ptr [r8 + 80], xmm1
    movups xmm0, xmmword ptr [r9 + 96]
    movups xmm1, xmmword ptr [r9 + 112]
    movups xmmword ptr [r8 + 96], xmm0
    movups xmmword ptr [r8 + 112], xmm1
    add r8, 176
    mov qword ptr [rcx + 160], r8
    ret
modes:
    mov eax, dword ptr [rcx + 104]
    test al, 1
    je stack
    mov r8, rsi
    sub r8, qword ptr [rcx + 112]
    cmp r8, qword ptr [rcx + 120]
    jae suspect
stack:
    test al, 2
    je jump
    mov r9, qword ptr [rcx + 32]
    mov r8, qword ptr [r9 + 32]
    cmp r8, qword ptr [rcx + 128]
    ja suspect
jump:
    test al, 4
    je go
    cmp rsi, qword ptr [rcx + 136]
    je go
suspect:
    cmp rsi, qword ptr [rcx + 80]
    je go
    inc qword ptr [rcx]
    mov qword ptr [rcx + 88], 1
expired:
    jmp qword ptr [rcx + 8]
tick:
    inc qword ptr [rcx]
    mov qword ptr [rcx + 88], 2
    jmp qword ptr [rcx + 8]
same:
    cmp qword ptr [rcx + 256], 0
    je begin
    mov r9, qword ptr [rcx + 32]
    mov rax, qword ptr [r9 + 8]
    cmp rax, qword ptr [rcx + 144]
    jne begin
    mov rax, qword ptr [r9 + 32]
    cmp rax, qword ptr [rcx + 264]
    jne begin
    inc qword ptr [rcx]
    dec qword ptr [rcx + 16]
    mov qword ptr [rcx + 80], rsi
    mov rax, qword ptr [rcx + 160]
    test rax, rax
    je begin
    sub rax, 176
    mov qword ptr [rcx + 160], rax
    jmp begin
"""

ACCESS_LISTING: Final = """
    cmp esi, 17
    jne look
    mov r10, qword ptr [r9 + 24]
    mov qword ptr [r10], 1
look:
    mov rax, rdx
    shr rax, 12
    movzx eax, ax
    mov r10, qword ptr [r9 + 8]
    cmp byte ptr [r10 + rax], 0
    jne close
    mov eax, edx
    and eax, 4095
    add eax, ecx
    cmp eax, dword ptr [r9 + 16]
    ja close
    ret
close:
    jmp qword ptr [r9]
"""
GO_LISTING: Final = """
    push rbx
    push r12
    push r13
    mov rbx, rdi
    mov r12, qword ptr [rbx + 32]
    mov rax, qword ptr [rbx + 208]
    mov rcx, qword ptr [rbx + 216]
    mov qword ptr [rax], rcx
    mov rdi, qword ptr [rbx + 184]
    mov esi, 25
    lea rdx, [rbx + 232]
    call qword ptr [rbx + 200]
    mov rax, qword ptr [rbx + 232]
    mov qword ptr [r12 + 136], rax
    mov r13, qword ptr [rbx + 224]
    test r13, r13
    je start
    mov qword ptr [r13], r12
start:
    mov rdi, qword ptr [rbx + 184]
    mov rsi, qword ptr [r12 + 128]
    xor edx, edx
    xor ecx, ecx
    xor r8d, r8d
    call qword ptr [rbx + 192]
    mov qword ptr [rbx + 240], rax
    test r13, r13
    je ended
    mov qword ptr [r13], 0
ended:
    test eax, eax
    jne odd
    mov rcx, qword ptr [rbx + 208]
    cmp qword ptr [rcx], 0
    jl odd
    mov eax, 1
    cmp qword ptr [rbx + 88], rax
    je done
    ja odd
    xor eax, eax
    cmp qword ptr [rbx], -1
    je done
odd:
    mov eax, 2
done:
    pop r13
    pop r12
    pop rbx
    ret
"""
#: Before every block of a recorded run: counts as STEP_CODE does, by the blocks' ends.
JUMP_LISTING: Final = """
    sub qword ptr [rcx], 1
    js expired
    mov r8d, edx
    add r8, rsi
    cmp rsi, qword ptr [rcx + 16]
    je straight
    mov rax, qword ptr [rcx + 24]
    cmp rax, qword ptr [rcx + 32]
    jae tick
    inc qword ptr [rcx + 24]
straight:
    mov qword ptr [rcx + 16], r8
    ret
tick:
    mov qword ptr [rcx + 40], 1
expired:
    jmp qword ptr [rcx + 8]
"""
JUMP_CODE: Final = bytes.fromhex(
    "4883290178274189d04901f0483b7110740e488b4118483b4120730948ff41184c894110c348c7412801000000ff6108"
)
STEP_CODE: Final = bytes.fromhex(
    "483b71180f84bd010000488b8110010000c70000000000488329010f88950100004c8b496089f025ff0f000041803c01000f"
    "856a010000837968000f8522010000488b81a8000000488981f8000000483bb1880000007414483b81b00000000f83540100"
    "0048ff81a800000048ff41104889711848c74150ffffffff89d24801f2488991880000004c8b4920498b4108498b51584889"
    "819000000048899198000000498b41204889810801000048c7810001000000000000410f108188000000410f108998000000"
    "498b81a80000000f1141280f114938488941484c8b81a00000004d85c07501c34989b080000000410f118088000000410f11"
    "8898000000498980a8000000410f1001410f104910410f1100410f114810410f104120410f104930410f114020410f114830"
    "410f104140410f104950410f114040410f114850410f104160410f104970410f114060410f1148704981c0b00000004c8981"
    "a0000000c38b4168a801740d4989f04c2b41704c3b4178732aa80274114c8b49204d8b41204c3b81800000007715a8040f84"
    "adfeffff483bb1880000000f84a0feffff483b71500f8496feffff48ff0148c7415801000000ff610848ff0148c741580200"
    "0000ff61084883b900010000000f8435feffff4c8b4920498b4108483b81900000000f8520feffff498b4120483b81080100"
    "000f850ffeffff48ff0148ff491048897150488b81a00000004885c00f84f4fdffff482db0000000488981a0000000e9e2fd"
    "ffff"
)
GO_CODE: Final = bytes.fromhex(
    "53415441554889fb4c8b6320488b83d0000000488b8bd8000000488908488bbbb8000000be19000000488d93e8000000ff93"
    "c8000000488b83e800000049898424880000004c8babe00000004d85ed74044d896500488bbbb8000000498bb42480000000"
    "31d231c94531c0ff93c0000000488983f00000004d85ed740849c745000000000085c07522488b8bd0000000488339007c15"
    "b80100000048394358740f770831c048833bff7405b802000000415d415c5bc3"
)
ACCESS_CODE: Final = bytes.fromhex(
    "83fe11750b4d8b511849c702010000004889d048c1e80c0fb7c04d8b510841803c0200751089d025ff0f000001c8413b41107701c341ff21"
)
