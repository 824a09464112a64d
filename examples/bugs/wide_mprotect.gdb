# EXPECT SIGSEGV
# EXPECT does not allow writing
# EXPECT returned from syscall mprotect
# EXPECT call to syscall mprotect
# EXPECT 0x1001
# EXPECT rw-p
continue
monitor why
catch syscall mprotect
reverse-continue
reverse-continue
print/x $rsi
info proc mappings
