"""State to text. Nothing here changes a system: renderers look at values, and at user memory without faulting.

fault.py     a fatal fault -> the report on stderr
operand.py   an instruction and registers -> its effective address, term by term
bits.py      page-table entries, error codes, si_codes -> words
symbols.py   an address -> label + offset, source line
elf.py       the same out of an ELF file's symbol table and DWARF
stats.py     the ledger -> a table
memory.py    user memory as a fault would find it
strace/      system calls and signals -> lines
"""
