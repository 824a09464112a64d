# The shortest loop there is: 2 instructions a round, one basic block. Counting blocks costs most here.

.text
spin:
    dec rbx
    jnz spin
    ret
