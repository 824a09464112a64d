"""State to text. Nothing here changes a system: renderers look at values, and at user memory without faulting.

debug/       what the debugger sees -> lines
fault.py     a fatal fault -> the report on stderr
bits.py      page-table entries, error codes, si_codes -> words
stats.py     the ledger -> a table
strace/      system calls and signals -> lines
"""
