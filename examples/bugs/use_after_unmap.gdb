# EXPECT SIGSEGV
# EXPECT nothing is mapped
# EXPECT call to syscall munmap
# EXPECT consume
# EXPECT 0x000000000000002a
continue
monitor why
catch syscall munmap
reverse-continue
reverse-continue
backtrace
x/1xg $rbx
