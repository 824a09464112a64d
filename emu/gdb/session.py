"""One gdb's conversation: packets in, replies out (GDB manual, appendix E). What it does not know it answers with "".

Bad packets get E01 and change nothing.
"""

from collections.abc import Callable
from typing import Final, Protocol

from emu.debug import state
from emu.errors import EmuError
from emu.gdb import description, monitor, registers
from emu.gdb.files import Files
from emu.gdb.packet import INTERRUPT, BadPacket, escape, unescape
from emu.gdb.target import Action, Halt, Target
from emu.gdb.words import action_of, crc32, extent, register_number, thread_id, xml_text
from mini_kernel.errors import SysError
from mini_kernel.task import Task

MAX_MEMORY: Final = 0x8000  # bytes in one memory packet
MAX_CHECKED: Final = 1 << 26  # bytes that one checksum is of
_FEATURES: Final = (
    "PacketSize=20000;QStartNoAckMode+;multiprocess+;fork-events+;vfork-events+;exec-events+;swbreak+;hwbreak+;"
    "vContSupported+;QCatchSyscalls+;QPassSignals+;QProgramSignals+;ReverseStep+;ReverseContinue+;binary-upload+;qXfer:features:read+;"
    "qXfer:auxv:read+;qXfer:siginfo:read+;qXfer:siginfo:write+;qXfer:exec-file:read+;qXfer:threads:read+;qXfer:memory-map:read+"
)
_HANDLERS: Final[dict[bytes, "_Handler"]] = {}
OK: Final = b"OK"
ERROR: Final = b"E01"


class Connection(Protocol):
    """The other end, as a session needs it."""

    acknowledges: bool

    def read(self) -> bytes | None:
        """The next packet, still escaped, INTERRUPT, or None when the other end is gone. Raises BadPacket."""
        ...

    def write(self, data: bytes) -> None:
        """Send a packet."""
        ...

    def watch(self, interrupt: Callable[[], None]) -> "Watch":
        """While entered: call `interrupt` when the other end asks for a stop, or is gone."""
        ...


class Watch(Protocol):
    """A context manager."""

    def __enter__(self) -> object: ...
    def __exit__(self, *exc: object) -> None: ...


def _answers(*prefixes: bytes) -> Callable[["_Handler"], "_Handler"]:
    """The decorated method answers packets that begin so; it gets what is behind the prefix."""

    def register(handler: "_Handler") -> "_Handler":
        _HANDLERS.update(dict.fromkeys(prefixes, handler))
        return handler

    return register


class Session:
    """State of a conversation: which thread packets are about, and which files are open."""

    def __init__(self, target: Target, connection: Connection) -> None:
        self.target = target
        self.connection = connection
        self.files = Files(lambda: target.d.kernel.vfs)
        self._general = (0, 0)  # (tgid, tid) of Hg; 0 any
        self._over = False
        target.say = self._say

    def run(self) -> bool:
        """Until the other end detaches, kills or goes; True if what is left was let go, and should run on."""
        while not self._over:
            try:
                packet = self.connection.read()
            except BadPacket:
                continue  # the connection has asked for it again
            if packet is None:
                break
            if packet == INTERRUPT:
                continue  # nothing runs
            self.connection.write(self.answer(packet))
            if packet == b"QStartNoAckMode":
                self.connection.acknowledges = False
        return not self.target.inferiors and self.target.d.current is not None

    def answer(self, packet: bytes) -> bytes:
        """The reply to one packet, escaped."""
        try:
            return self._dispatch(packet)
        except (EmuError, SysError, BadPacket, ValueError, IndexError, KeyError):
            return ERROR

    def _dispatch(self, packet: bytes) -> bytes:
        for length in _LENGTHS:
            handler = _HANDLERS.get(packet[:length])
            if handler is not None:
                return handler(self, packet[length:])
        return b""

    def _say(self, text: str) -> None:
        self.connection.write(b"O" + text.encode().hex().encode())

    # -- whom it is about ---------------------------------------------------------------------------

    def _thread(self) -> Task:
        """The thread of Hg. Raises KeyError if there is none."""
        return self._pick(*self._general)

    def _pick(self, tgid: int, tid: int) -> Task:
        tasks = self.target.tasks(tgid if tgid > 0 else None)
        last = self.target.last
        if tid > 0:
            return next(t for t in tasks if t.tid == tid) if any(t.tid == tid for t in tasks) else _missing()
        if last is not None and any(t.tid == last.tid for t in tasks):
            return self._pick(last.tgid, last.tid)
        current = self.target.d.current
        if current is not None and current in tasks:
            return current
        return tasks[0] if tasks else _missing()

    def _process(self) -> int:
        return self._general[0] if self._general[0] > 0 else self._thread().tgid

    @_answers(b"H")
    def _select(self, text: bytes) -> bytes:
        kind, ids = text[:1], thread_id(text[1:])
        if kind == b"g":
            self._pick(*ids)
            self._general = ids
        return OK

    @_answers(b"T")
    def _alive(self, text: bytes) -> bytes:
        self._pick(*thread_id(text))
        return OK

    @_answers(b"qCRC:")
    def _checksum(self, text: bytes) -> bytes:
        """Of memory, which compare-sections compares with the file."""
        address, length = extent(text)
        data = state.read(self.target.d, address, min(length, MAX_CHECKED), self._thread().tid)
        return b"C%x" % crc32(data) if len(data) == length else ERROR

    @_answers(b"qC")
    def _current(self, text: bytes) -> bytes:
        if text:
            return b""
        task = self._pick(0, 0)
        return b"QCp%x.%x" % (task.tgid, task.tid)

    @_answers(b"qfThreadInfo")
    def _first_threads(self, _text: bytes) -> bytes:
        ids = b",".join(b"p%x.%x" % (t.tgid, t.tid) for t in self.target.tasks())
        return b"m" + ids if ids else b"l"

    @_answers(b"qsThreadInfo")
    def _more_threads(self, _text: bytes) -> bytes:
        return b"l"

    @_answers(b"qThreadExtraInfo,")
    def _extra(self, text: bytes) -> bytes:
        task = self._pick(*thread_id(text))
        return f"{task.name}, {task.state.name.lower()}".encode().hex().encode()

    # -- general ------------------------------------------------------------------------------------

    @_answers(b"qSupported")
    def _supported(self, _text: bytes) -> bytes:
        return _FEATURES.encode()

    @_answers(b"QStartNoAckMode", b"!", b"qSymbol::")
    def _ok(self, _text: bytes) -> bytes:
        return OK

    @_answers(b"qAttached")
    def _attached(self, _text: bytes) -> bytes:
        return b"0"  # started by us: gdb kills it when it quits

    @_answers(b"?")
    def _why_stopped(self, _text: bytes) -> bytes:
        halt = self.target.last or self.target.ended
        if halt is None or (halt.tid and all(t.tid != halt.tid for t in self.target.tasks())):
            tasks = self.target.tasks()
            if not tasks:
                return b"W00"
            task = self._pick(0, 0)
            return b"T05thread:p%x.%x;" % (task.tgid, task.tid)
        return halt.packet.encode()

    @_answers(b"QCatchSyscalls:")
    def _catch(self, text: bytes) -> bytes:
        on, *numbers = text.split(b";")
        self.target.catch_calls([int(n, 16) for n in numbers] if on == b"1" else None)
        return OK

    @_answers(b"QPassSignals:")
    def _pass(self, text: bytes) -> bytes:
        self.target.signals.let_pass(_linux_signals(text))
        return OK

    @_answers(b"QProgramSignals:")
    def _program(self, text: bytes) -> bytes:
        self.target.signals.wishes.program = _linux_signals(text)
        return OK

    @_answers(b"qRcmd,")
    def _monitor(self, text: bytes) -> bytes:
        command = bytes.fromhex(text.decode("ascii")).decode("utf-8", "replace")
        for line in monitor.run(self.target.d, command, self._monitor_tid()):
            self._say(line + "\n")
        return OK

    def _monitor_tid(self) -> int | None:
        tasks = self.target.tasks()
        return self._thread().tid if tasks else None

    # -- registers and memory -----------------------------------------------------------------------

    @_answers(b"g")
    def _registers(self, _text: bytes) -> bytes:
        return b"".join(registers.values_of(self.target.d, self._thread())).hex().encode()

    @_answers(b"G")
    def _set_registers(self, text: bytes) -> bytes:
        data, task = bytes.fromhex(text.decode("ascii")), self._thread()
        if len(data) != sum(r.size for r in description.REGISTERS):
            return ERROR
        for number, register in enumerate(description.REGISTERS):
            registers.assign(self.target.d, task, number, data[: register.size], self.target.aside)
            data = data[register.size :]
        return OK

    @_answers(b"p")
    def _register(self, text: bytes) -> bytes:
        return registers.values_of(self.target.d, self._thread())[register_number(text)].hex().encode()

    @_answers(b"P")
    def _set_register(self, text: bytes) -> bytes:
        number, _, value = text.partition(b"=")
        data, aside = bytes.fromhex(value.decode("ascii")), self.target.aside
        known = registers.assign(self.target.d, self._thread(), register_number(number), data, aside)
        return OK if known else ERROR

    @_answers(b"m")
    def _memory(self, text: bytes) -> bytes:
        address, length = extent(text)
        data = state.read(self.target.d, address, min(length, MAX_MEMORY), self._thread().tid)
        return data.hex().encode() if data or not length else ERROR

    @_answers(b"x")
    def _binary_memory(self, text: bytes) -> bytes:
        address, length = extent(text)
        data = state.read(self.target.d, address, min(length, MAX_MEMORY), self._thread().tid)
        return b"b" + escape(data) if data or not length else ERROR

    @_answers(b"M")
    def _write_memory(self, text: bytes) -> bytes:
        where, _, data = text.partition(b":")
        return self._store(where, bytes.fromhex(data.decode("ascii")))

    @_answers(b"X")
    def _write_binary(self, text: bytes) -> bytes:
        where, _, data = text.partition(b":")
        return self._store(where, unescape(data))

    def _store(self, where: bytes, data: bytes) -> bytes:
        address, length = extent(where)
        if length != len(data):
            return ERROR
        if data:
            state.write(self.target.d, address, data, self._thread().tid)
        return OK

    @_answers(b"qXfer:")
    def _transfer(self, text: bytes) -> bytes:
        """qXfer:object:read:annex:offset,length."""
        name, operation, annex, where = text.split(b":", 3)
        if (name, operation) == (b"siginfo", b"write"):
            return self._write_signal(where)
        if operation != b"read":
            return b""
        data = self._object(name, annex)
        if data is None:
            return b""
        offset, length = extent(where)
        piece = data[offset : offset + min(length, MAX_MEMORY)]
        return (b"m" if offset + len(piece) < len(data) else b"l") + escape(piece)

    def _write_signal(self, where: bytes) -> bytes:
        """offset:data."""
        offset, _, data = where.partition(b":")
        at, new, task = int(offset, 16), unescape(data), self._thread()
        old = self.target.signals.info(task.tgid)
        if not 0 <= at <= at + len(new) <= len(old):
            return ERROR
        self.target.signals.set_info(task, old[:at] + new + old[at + len(new) :])
        return b"%x" % len(new)

    def _object(self, name: bytes, annex: bytes) -> bytes | None:
        match name:
            case b"features":
                return description.target_xml().encode() if annex == b"target.xml" else None
            case b"memory-map":
                return description.memory_map_xml().encode()
            case b"threads":
                return self._thread_list().encode()
            case b"exec-file":
                return self._pick(int(annex, 16), 0).exe_path if annex else self._thread().exe_path
            case b"auxv":
                return self._thread().mm.auxv
            case b"siginfo":
                return self.target.signals.info(self._process())
            case _:
                return None

    def _thread_list(self) -> str:
        lines = [
            f'<thread id="p{t.tgid:x}.{t.tid:x}" core="0" name="{xml_text(t.name)}">{t.state.name.lower()}</thread>\n'
            for t in self.target.tasks()
        ]
        return f'<?xml version="1.0"?>\n<threads>\n{"".join(lines)}</threads>\n'

    # -- points and files ---------------------------------------------------------------------------

    @_answers(b"Z")
    def _insert(self, text: bytes) -> bytes:
        kind, address, length = (int(n, 16) for n in text.split(b";")[0].split(b","))
        return OK if self.target.inferiors[self._process()].insert(kind, address, length) else b""

    @_answers(b"z")
    def _remove(self, text: bytes) -> bytes:
        kind, address, length = (int(n, 16) for n in text.split(b";")[0].split(b","))
        inferior = self.target.inferiors.get(self._process())
        if inferior is not None:
            inferior.remove(kind, address, length)
        return OK

    @_answers(b"vFile:")
    def _file(self, text: bytes) -> bytes:
        return self.files.answer(unescape(text))

    # -- running ------------------------------------------------------------------------------------

    @_answers(b"vCont?")
    def _actions_known(self, _text: bytes) -> bytes:
        return b"vCont;c;C;s;S;t;r"

    @_answers(b"vCont;")
    def _continue(self, text: bytes) -> bytes:
        """vCont: the first action that fits a thread is its."""
        chosen: dict[int, Action] = {}
        for word in text.split(b";"):
            if not word:
                continue
            what, _, whom = word.partition(b":")
            action, ids = action_of(what), thread_id(whom) if whom else (-1, -1)
            for task in self.target.tasks(ids[0] if ids[0] > 0 else None):
                if ids[1] <= 0 or ids[1] == task.tid:
                    chosen.setdefault(task.tid, action)
        return self._resume({tid: action for tid, action in chosen.items() if action.kind != "t"})

    @_answers(b"c")
    def _old_continue(self, text: bytes) -> bytes:
        return self._simple(Action("c"), text)

    @_answers(b"s")
    def _old_step(self, text: bytes) -> bytes:
        return self._simple(Action("s"), text)

    def _simple(self, action: Action, address: bytes) -> bytes:
        """c and s with an address to go on from."""
        task = self._thread()
        if address:
            state.set_register(self.target.d, "rip", int(address, 16), task.tid)
        return self._resume({t.tid: action if t is task else Action("c") for t in self.target.tasks()})

    def _resume(self, actions: dict[int, Action]) -> bytes:
        if not actions and self.target.ended is None:
            return ERROR
        with self.connection.watch(self.target.d.interrupt):
            halt = self.target.resume(actions)
        return self._told(halt)

    @_answers(b"b")
    def _backwards(self, text: bytes) -> bytes:
        if text not in (b"s", b"c"):
            return b""
        with self.connection.watch(self.target.d.interrupt):
            halt = self.target.backwards(text == b"s")
        return self._told(halt)

    def _told(self, halt: Halt) -> bytes:
        if halt.tid:
            self._general = halt.tgid, halt.tid
        return halt.packet.encode()

    @_answers(b"vAttach;")
    def _attach(self, text: bytes) -> bytes:
        tgid = int(text, 16)
        if not self.target.attach(tgid):
            return ERROR
        task = self._pick(tgid, 0)
        return b"T05thread:p%x.%x;" % (task.tgid, task.tid)

    @_answers(b"vRun;")
    def _run_again(self, text: bytes) -> bytes:
        """vRun;file;argument...: the server's program from its beginning, with these arguments if there are any."""
        words = [bytes.fromhex(word.decode("ascii")).decode("utf-8", "surrogateescape") for word in text.split(b";")]
        self.target.restart(words[1:] or None)
        self._general = (0, 0)
        return self._why_stopped(b"")

    @_answers(b"D")
    def _detach(self, text: bytes) -> bytes:
        for tgid in [int(text[1:], 16)] if text else list(self.target.inferiors):
            self.target.detach(tgid)
        self._over = not self.target.inferiors
        return OK

    @_answers(b"vKill;", b"k")
    def _kill(self, text: bytes) -> bytes:
        """vKill;pid, or k: with the last process the whole system ends."""
        tgid = int(text, 16) if text else 0
        if tgid and set(self.target.inferiors) != {tgid}:
            self.target.kill_one(tgid)
            return OK
        self.target.kill()
        self._over = not text
        return OK


def _linux_signals(text: bytes) -> frozenset[int]:
    """gdb's numbers, between semicolons."""
    return frozenset(description.signal_to_linux(int(n, 16)) for n in text.split(b";") if n) - {0}


def _missing() -> Task:
    raise KeyError("no such thread")


_Handler = Callable[[Session, bytes], bytes]
#: The longest prefix that fits decides.
_LENGTHS: Final = sorted(set(map(len, _HANDLERS)), reverse=True)
