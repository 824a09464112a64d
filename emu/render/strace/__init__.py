"""System calls and signals as lines, the way strace(1) 6.1 with -f writes them.

printer.py     the Observer: when a line begins, is cut, goes on and ends
selection.py   -e trace=SET
signatures.py  the table: which arguments a call has, in a few words each
scalars.py     numbers, names, flags, strings and buffers
structs.py     structures in user memory
sockets.py     addresses, messages and options of sockets
special.py     calls whose arguments depend on each other
flags.py       sets of flags and names
call.py        what an argument's renderer is given, and how renderers are registered
"""

from emu.render.strace.printer import Strace
from emu.render.strace.selection import Selection

__all__ = ["Selection", "Strace"]
