"""Packets and sessions without a gdb: what is malformed, hostile or unknown gets an answer and changes nothing."""

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from random import Random

import pytest

from emu.boot import Options, System
from emu.debug.events import SignalDelivered
from emu.gdb import Target, description
from emu.gdb.packet import INTERRUPT, MAX_PACKET, BadPacket, Reader, escape, frame, unescape
from emu.gdb.session import Session
from emu.gdb.words import crc32
from emu.program import load_program

FORK = "examples/fork_cow.asm"


def boot(_arguments: list[str] | None) -> System:
    return System(load_program(FORK), (), Options(memory=64 << 20, debug=True))


class Script:
    """A connection whose other end sends these packets."""

    def __init__(self, *packets: bytes) -> None:
        self.packets = list(packets)
        self.sent: list[bytes] = []
        self.acknowledges = True

    def read(self) -> bytes | None:
        return self.packets.pop(0) if self.packets else None

    def write(self, data: bytes) -> None:
        self.sent.append(data)

    def watch(self, interrupt: Callable[[], None]) -> "nullcontext[None]":
        return nullcontext()


@pytest.fixture
def session() -> Iterator[Session]:
    target = Target(boot)
    yield Session(target, Script())
    target.close()


# -- framing -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [b"", b"OK", bytes(range(256)), b"}}##$$**" * 9])
def test_what_is_escaped_and_framed_comes_back(data: bytes) -> None:
    reader = Reader()
    for byte in b"+" + frame(escape(data)):
        assert reader.next() is None
        reader.feed(bytes((byte,)))
    packet = reader.next()
    assert packet is not None
    assert unescape(packet) == data


def test_a_wrong_checksum_is_refused_and_the_next_packet_is_read() -> None:
    reader = Reader()
    reader.feed(b"$abc#00" + frame(b"g"))
    with pytest.raises(BadPacket):
        reader.next()
    assert reader.next() == b"g"


def test_a_packet_without_end_is_refused() -> None:
    reader = Reader()
    reader.feed(b"$" + b"a" * (MAX_PACKET + 10))
    with pytest.raises(BadPacket):
        reader.next()
    reader.feed(frame(b"?"))
    assert reader.next() == b"?"


def test_an_interrupt_is_found_between_packets() -> None:
    reader = Reader()
    reader.feed(b"++" + INTERRUPT + frame(b"?"))
    assert reader.interrupted()
    assert not reader.interrupted()
    assert reader.next() == b"?"


# -- sessions ----------------------------------------------------------------------------------------


def test_nothing_is_claimed_that_is_not_there(session: Session) -> None:
    """Each qXfer object and each packet that qSupported names is answered."""
    claims = session.answer(b"qSupported:multiprocess+").decode().split(";")
    for claim in claims:
        name = claim.rstrip("+")
        if name.startswith("qXfer:") and name.endswith("read"):
            annex = b"target.xml" if "features" in name else b""
            answer = session.answer(b"%b:%b:0,1000" % (name.encode(), annex))
            assert answer[:1] in b"ml", (name, answer)
    assert session.answer(b"vCont?") == b"vCont;c;C;s;S;t;r"
    assert session.answer(b"QCatchSyscalls:1;1;2") == session.answer(b"QPassSignals:e;14") == b"OK"
    assert session.answer(b"x401000,4") == b"b" + bytes.fromhex("488d1d f9".replace(" ", ""))


def test_what_is_unknown_gets_an_empty_answer(session: Session) -> None:
    for packet in (b"qNothing", b"vNothing", b"QNonStop:1", b"qXfer:osdata:read::0,10", b"J", b"Z9,0,1"):
        assert session.answer(packet) == b"", packet


@pytest.mark.parametrize(
    "packet",
    [
        b"m", b"m1", b"m,", b"mzz,4", b"m0,4", b"mffffffffffffffff,2", b"m-1,4", b"M401000,4:00", b"M401000,1:zz",
        b"X401000,5:a", b"X403000,1:}", b"P", b"P99=00", b"P0=00", b"Pzz=1", b"p", b"pffff", b"G00", b"Gzz",
        b"Hgp9.9", b"Hgxx", b"H", b"T77", b"Tp1", b"Z0", b"Z0,x,1", b"Z0,1", b"z2,1", b"vCont;q", b"vCont;Czz:p1.1",
        b"vCont;s:p8.8", b"vCont;r1:p1.1", b"cxx", b"vAttach;77", b"vAttach;", b"vKill;zz", b"Dx", b"D;zz",
        b"qXfer:features:read:target.xml", b"qXfer:exec-file:read:99:0,100", b"qRcmd,zz", b"QCatchSyscalls:1;zz",
        b"QPassSignals:xx", b"vFile:open", b"vFile:pread:99,1,0", b"vFile:close:zz", b"vRun;zz",
    ],
)  # fmt: skip
def test_a_malformed_packet_is_an_error_and_changes_nothing(session: Session, packet: bytes) -> None:
    before = session.answer(b"g")
    answer = session.answer(packet)
    assert answer[:1] == b"E" or answer in (b"", b"OK") or answer.startswith(b"F-1,"), (packet, answer)
    if not packet.startswith((b"z", b"T")):
        assert answer != b"OK"
    assert session.answer(b"Hgp1.1") == b"OK"
    assert session.answer(b"g") == before
    session.target.d.kernel.check()


def test_random_packets_never_end_the_server(session: Session) -> None:
    random = Random(5)
    words = "m M X x g G p P H Hg Z0 Z2 z0 vFile: vFile:open: vCont;s: T qXfer: qRcmd, b D; vAttach; q v"
    heads = [word.encode() for word in words.split()]
    alphabet = b"0123456789abcdef,;:.-=pzZ}*#$+ \x00\xff"
    for _ in range(4000):
        tail = bytes(random.choice(alphabet) for _ in range(random.randrange(24)))
        answer = session.answer(random.choice(heads) + tail)
        assert isinstance(answer, bytes)
    session.target.d.kernel.check()


def test_a_session_goes_on_after_junk_and_ends_when_the_other_end_goes() -> None:
    target = Target(boot)
    script = Script(INTERRUPT, b"?", b"nonsense", b"QStartNoAckMode", b"g")
    assert Session(target, script).run() is False
    assert not script.acknowledges
    assert [bool(answer) for answer in script.sent] == [True, False, True, True]
    target.close()


def test_threads_are_listed_and_when_none_is_left_the_list_ends(session: Session) -> None:
    assert session.answer(b"qfThreadInfo") == b"mp1.1"
    session.target.kill()
    assert session.answer(b"qfThreadInfo") == b"l"


def test_what_the_kernel_reads_is_seen_by_access_watchpoints(session: Session) -> None:
    """The line that write(2) takes from memory; a write watchpoint there is not met."""
    line = session.target.d.locate("parent_line")
    for kind, name in ((b"Z3", b"rwatch"), (b"Z4", b"awatch")):
        assert session.answer(b"%b,%x,1" % (kind, line)) == b"OK"
        halts = (session.answer(b"vCont;c") for _ in range(9))
        halt = next(halt for halt in halts if b"watch" in halt)
        assert halt.startswith(b"T05%b:%x;" % (name, line))
        assert session.answer(b"z%b,%x,1" % (kind[1:], line)) == b"OK"
        assert session.answer(b"bc").startswith(b"T00replaylog:begin;")


# -- files -------------------------------------------------------------------------------------------


def test_a_parent_that_was_let_go_runs_on_behind_the_end_of_its_child() -> None:
    target = Target(boot)
    packets = (b"vCont;c", b"D;1", b"vCont;c")
    script = Script(*packets)
    assert Session(target, script).run()
    assert [answer[:1] for answer in script.sent] == [b"T", b"O", b"W"]
    target.run_free()
    assert target.d.kernel.exit_status == 0
    target.close()


def test_checksums_are_those_that_gdb_makes(session: Session) -> None:
    """The polynomial's own remainder of no bits but those it begins with, and that of memory."""
    assert (crc32(b""), crc32(b"123456789")) == (0xFFFF_FFFF, 0x0376_E6E7)
    assert session.answer(b"qCRC:401000,4") == b"C%x" % crc32(bytes.fromhex("488d1df9"))
    assert session.answer(b"qCRC:10,4") == session.answer(b"qCRC:401000") == b"E01"


SIGNALS = "examples/bugs/lost_signal.asm"


@pytest.mark.parametrize(("wanted", "status"), [(b"1e", 1), (b"", 0), (None, 1)])
def test_a_process_that_is_let_go_gets_the_signal_it_stands_before_if_it_may(wanted: bytes | None, status: int) -> None:
    """QProgramSignals names those. (gdb's number of SIGUSR1 is 30.)"""
    target = Target(lambda _arguments: System(load_program(SIGNALS), (), Options(memory=64 << 20, debug=True)))
    session = Session(target, Script())
    if wanted is not None:
        assert session.answer(b"QProgramSignals:" + wanted) == b"OK"
    assert session.answer(b"vCont;c").startswith(b"T1e")
    assert session.answer(b"D") == b"OK"
    target.run_free()
    assert target.d.kernel.exit_status == status << 8
    target.close()


def test_the_siginfo_of_a_stop_can_be_written_and_is_what_is_delivered() -> None:
    target = Target(lambda _arguments: System(load_program(SIGNALS), (), Options(memory=64 << 20, debug=True)))
    session = Session(target, Script())
    assert session.answer(b"qXfer:siginfo:write::1000:x") == session.answer(b"qXfer:siginfo:write::-1:x") == b"E01"
    session.answer(b"vCont;c")
    assert session.answer(b"qXfer:siginfo:write::8:" + (0x5A).to_bytes(4, "little")) == b"4"
    assert session.answer(b"qXfer:siginfo:read::0,c")[1:] == bytes((10, 0, 0, 0, 0, 0, 0, 0, 0x5A, 0, 0, 0))
    before = target.d.now
    session.answer(b"vCont;C1e")
    delivered = [e.info.code for e in target.d.log.of(SignalDelivered)]
    assert (before < target.d.now, delivered) == (True, [0x5A])
    target.close()


def test_files_are_read_and_nothing_is_written(session: Session) -> None:
    opened = session.answer(b"vFile:open:" + b"/proc/1/maps".hex().encode() + b",0,0")
    assert opened == b"F3"
    data = session.answer(b"vFile:pread:3,4000,0")
    assert b"[stack]" in data
    assert session.answer(b"vFile:fstat:3").startswith(b"F40;")
    assert session.answer(b"vFile:close:3") == b"F0"
    for path, flags in ((b"/etc/passwd", b"1"), (b"/etc/new", b"201")):
        assert session.answer(b"vFile:open:%b,%b,1a4" % (path.hex().encode(), flags)) == b"F-1,1e"
    assert session.answer(b"vFile:unlink:" + b"/etc/passwd".hex().encode()) == b"F-1,1e"
    assert session.answer(b"vFile:open:" + b"/dev/tty".hex().encode() + b",0,0") == b"F-1,d"
    assert session.answer(b"vFile:open:" + b"/nowhere".hex().encode() + b",0,0") == b"F-1,2"
    link = session.answer(b"vFile:readlink:" + b"/proc/1/exe".hex().encode())
    assert link == b"F%x;/bin/fork_cow.asm" % len("/bin/fork_cow.asm")


# -- registers ---------------------------------------------------------------------------------------


#: What cannot be set: selectors, and what follows from other registers.
_FIXED = frozenset(["orig_rax", "ftag", "fiseg", "fioff", "foseg", "fooff", "cs", "ss", "ds", "es", "fs", "gs"])


def test_every_register_can_be_written_and_read_back(session: Session) -> None:
    for number, register in enumerate(description.REGISTERS):
        if register.name in (
            "orig_rax",
            "ftag",
            "fiseg",
            "fioff",
            "foseg",
            "fooff",
            "cs",
            "ss",
            "ds",
            "es",
            "fs",
            "gs",
        ):
            continue
        value = bytes((number + i) & 0x3F for i in range(register.size))
        if register.name in ("fctrl", "fstat", "fop"):
            value = value[:2] + bytes(2)
        if register.name in ("eflags", "mxcsr"):
            value = (0x246 if register.name == "eflags" else 0x1F80).to_bytes(4, "little")
        assert session.answer(b"P%x=%b" % (number, value.hex().encode())) == b"OK"
        assert session.answer(b"p%x" % number) == value.hex().encode(), register.name


def test_signal_numbers_are_translated_both_ways() -> None:
    for signo in range(1, 65):
        if signo in (16,):  # SIGSTKFLT, which gdb does not know
            continue
        assert description.signal_to_linux(description.signal_to_gdb(signo)) == signo
    assert description.signal_to_linux(0) == description.signal_to_linux(999) == 0
