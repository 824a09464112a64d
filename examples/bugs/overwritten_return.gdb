# EXPECT SIGSEGV
# EXPECT ret
# EXPECT Hardware watchpoint
# EXPECT mov [rdi], al
# EXPECT a name of
continue
reverse-stepi
x/i $pc
eval "watch *(char *)%ld", $rsp + 3
reverse-continue
list 16,16
x/s &text
