# EXPECT SIGFPE
# EXPECT $1 = 0
# EXPECT frame 0x1
# EXPECT zero page
continue
print *(long *)$rbx
eval "monitor vtop %ld", $rbx
monitor frame 1
reverse-stepi
