"""The command line: parses, calls, prints. Anything that computes belongs elsewhere.

main.py       commands, exit statuses, what goes wrong
arguments.py  types of options, and the groups that several commands share
run.py        emu run
assemble.py   emu asm
selftest.py   emu selftest
bench.py      emu bench

Imports are late throughout: `emu run` on a small program must not take longer than the program deserves.
"""
