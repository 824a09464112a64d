# EXPECT SIGSEGV
# EXPECT bytes above the end
# EXPECT $1 = 4096
# EXPECT $2 = 4095
# EXPECT jbe fill
continue
monitor why
print $ecx
break 16
reverse-continue
print $ecx
list 19,19
