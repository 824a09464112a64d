"""A gdb server over emu.debug: `target extended-remote :PORT`. Each process of the guest is an inferior.

packet.py       framing and escapes, pure
description.py  registers, target.xml, signal numbers
registers.py    registers of a task
inferior.py     a process and its points
target.py       the guest as inferiors and threads; resuming; stops as packets
session.py      one conversation: which packet does what
files.py        vFile over the guest's own tree
monitor.py      `monitor why`, `vtop`, `pt`, ...
server.py       the socket, on loopback only
"""

from emu.gdb.server import Server
from emu.gdb.target import Target

__all__ = ["Server", "Target"]
