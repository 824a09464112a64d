# How deep is the stack? It grows by itself down to RLIMIT_STACK (8 MiB); the push behind that is SIGSEGV.
# EXPECT signal == SIGSEGV
# EXPECT si_code == SEGV_MAPERR
# EXPECT faults.unmapped == 1

.text
_start:
    call recurse
recurse:
    sub rsp, 4096 - 8               # a page a call
    call recurse
