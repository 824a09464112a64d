# EXPECT SIGSEGV
# EXPECT si_code = 2
# EXPECT forbids execution
# EXPECT mov    $0x2a,%eax
# EXPECT call   *%rbx
continue
print $_siginfo
monitor why
x/2i $pc
reverse-stepi
x/i $pc
