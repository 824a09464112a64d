# EXPECT SIGSEGV
# EXPECT rax=0x0 + 0x8 = 0x8
# EXPECT mov rax, [rax]
# EXPECT first
# EXPECT mov qword ptr [rbx], 0
continue
monitor why
reverse-stepi 3
x/i $pc
print $rax == (long)&second
info symbol &first
break 8
reverse-continue
list 8,8
