# EXPECT Thread
# EXPECT also in process 1
# EXPECT $1 = 42
# EXPECT $2 = 1
set detach-on-fork off
set schedule-multiple on
break child
continue
monitor why answer
stepi
print *(long *)&answer
inferior 1
print *(long *)&answer
