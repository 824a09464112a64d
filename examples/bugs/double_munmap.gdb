# EXPECT SIGSEGV
# EXPECT call to syscall munmap
# EXPECT $1 = 1
# EXPECT call to syscall munmap
# EXPECT #1
# EXPECT double_munmap.asm:8
continue
catch syscall munmap
reverse-continue
reverse-continue
print $rdi == $rbx
reverse-continue
reverse-continue
backtrace
