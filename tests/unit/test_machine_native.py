"""The host code stubs, the calibration and the edges of the machine that need no guest program."""

import ctypes
import subprocess
import sys
from pathlib import Path

import keystone
import pytest

from emu.machine import Machine, MachineError, engine, layout, native, probes, stubs
from emu.machine.cpu import Calibration
from emu.machine.selftest import run_selftest

STUBS = {
    "block": (native.BLOCK_LISTING, native.BLOCK_CODE),
    "code": (native.CODE_LISTING, native.CODE_CODE),
    "syscall": (native.SYSCALL_LISTING, native.SYSCALL_CODE),
    "abort": (native.ABORT_LISTING, native.ABORT_CODE),
    "step": (stubs.STEP_LISTING, stubs.STEP_CODE),
    "go": (stubs.GO_LISTING, stubs.GO_CODE),
    "jump": (stubs.JUMP_LISTING, stubs.JUMP_CODE),
    "access": (stubs.ACCESS_LISTING, stubs.ACCESS_CODE),
}


@pytest.mark.parametrize("name", list(STUBS))
def test_the_bytes_are_the_listing(name: str) -> None:
    """Each stub's bytes are what an assembler makes of its listing."""
    listing, code = STUBS[name]
    encoding, _ = keystone.Ks(keystone.KS_ARCH_X86, keystone.KS_MODE_64).asm(listing)
    assert encoding is not None and bytes(encoding) == code


def test_the_offsets_are_those_of_the_layout() -> None:
    """What the listings address is where layout.py and the structures say it is."""
    assert (layout.WORD_RIP * 8, layout.WORD_EFLAGS * 8, layout.HALF_HFLAGS * 4) == (128, 136, 176)
    assert [getattr(native.Counter, f).offset for f in ("left", "stop", "count", "last", "registers", "flags")] == [
        0, 8, 16, 24, 32, 40,
    ]  # fmt: skip
    fields = (
        "resume",
        "hit",
        "filter",
        "mode",
        "low",
        "length",
        "stack",
        "end",
        "rcx",
        "r11",
        "ring",
        "jumps",
        "tick_at",
        "handle",
        "start",
        "read",
        "blocks",
        "chunk",
        "guard",
        "eflags",
        "error",
        "before",
        "stored",
        "rsp",
        "muted",
    )
    assert [getattr(probes.Probe, f).offset for f in fields] == list(range(80, 280, 8))
    assert [getattr(probes.AccessFrame, f).offset for f in ("close", "frames", "limit", "stored")] == [0, 8, 16, 24]
    fields = ("left", "stop", "end", "jumps", "tick_at", "hit")
    assert [getattr(probes.JumpCounter, f).offset for f in fields] == list(range(0, 48, 8))
    fields = ("registers", "read", "enter", "odd", "mode", "ram", "size", "cr3_at")
    assert [getattr(native.SyscallFrame, f).offset for f in fields] == list(range(0, 64, 8))


@pytest.mark.skipif(not native.supported_host(), reason="stubs are x86-64 code")
def test_the_block_stub_counts_and_stops() -> None:
    """The stub called as the engine calls it: n times nothing, then a call of `stop` with the engine's handle."""
    handles = list[int]()
    callback = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(handles.append)
    counter = native.Counter(3, native.address_of(callback))
    loaded = native.load()
    assert loaded is not None
    block = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_uint64, ctypes.c_uint32, ctypes.c_void_p)(loaded.block)
    for _ in range(5):
        block(0x1234, 0x400000, 1, native.data_of(counter))
    assert counter.left == -2 and handles == [0x1234, 0x1234]


def test_native_code_is_not_writable() -> None:
    """The page with the stubs is read-execute."""
    stubs = native.load()
    if stubs is None:
        pytest.skip("no executable memory here")
    for line in Path("/proc/self/maps").read_text().splitlines():
        low, high = (int(part, 16) for part in line.split()[0].split("-"))
        if low <= stubs.block < high:
            assert line.split()[1] == "r-xp"
            return
    pytest.fail("the page is not mapped")


def test_without_native_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that refuses gets Python slices, and is told so if it insists."""
    monkeypatch.setattr(native, "supported_host", lambda: False)
    with Machine(1 << 20) as machine:
        assert machine.slice_method == "python"
    with pytest.raises(MachineError, match="native"):
        Machine(1 << 20, slice_method="native")


def test_a_struct_that_cannot_be_found_means_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without /proc/self/mem the machine works on the engine's saved context."""
    monkeypatch.setattr(layout, "find_struct", lambda *_: (0, None))
    with Machine(1 << 20) as machine:
        assert not machine.in_place


def test_another_engine_version_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The layout is that of one version; any other is named and refused."""
    monkeypatch.setattr(engine, "ENGINE_VERSION", (2, 1, 3))
    engine.library.cache_clear()
    try:
        with pytest.raises(MachineError, match=r"2\.1\.4 found"):
            engine.library()
    finally:
        monkeypatch.undo()
        engine.library.cache_clear()


@pytest.mark.parametrize(
    ("constant", "value", "message"),
    [
        ("WORD_CC_SRC", 18, "RFLAGS"),
        ("HALF_DF", 45, "flag"),
        ("_SEGMENT_BYTES", 32, "segment"),
        ("WORD_RIP", 17, "RIP"),
    ],
)
def test_a_different_layout_is_refused(
    monkeypatch: pytest.MonkeyPatch, constant: str, value: int, message: str
) -> None:
    """A field that is not where it should be stops the machine before any guest code runs."""
    monkeypatch.setattr(Calibration, "fields", None)
    monkeypatch.setattr(layout, constant, value)
    with pytest.raises(MachineError, match=message):
        Machine(1 << 20)


def test_ambiguous_exception_fields_are_refused() -> None:
    """old_exception must be the only field that behaves like it, and the error code must lie before it."""
    before = bytearray(b"\0" * 800)
    before[400:404] = before[600:604] = b"\xff" * 4
    after = bytearray(before)
    after[400] = after[600] = 14
    after[401:404] = after[601:604] = bytes(3)
    with pytest.raises(MachineError, match="2 fields"):
        layout.find_trap_fields(bytes(before), bytes(after))
    after[600:604] = before[600:604]
    with pytest.raises(MachineError, match="error code"):
        layout.find_trap_fields(bytes(before), bytes(after))
    after[400 - 112] = 0x14
    fields = layout.find_trap_fields(bytes(before), bytes(after))
    assert fields == layout.TrapFields(100, 72, 73, 37)


def test_selftest_passes() -> None:
    """Every check of the self-test holds on this host and names what it saw."""
    checks = run_selftest()
    assert [check for check in checks if not check.ok] == []
    assert all(check.detail for check in checks) and len(checks) >= 8


def test_selftest_reports_a_machine_that_cannot_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """A failed calibration is a line of the report, not an exception."""
    monkeypatch.setattr(Calibration, "fields", None)
    monkeypatch.setattr(layout, "WORD_RIP", 17)
    (check,) = run_selftest()
    assert not check.ok and "calibration" in check.detail


def test_importing_the_machine_does_not_import_the_binding() -> None:
    """The library is found without the Python binding, which would cost start-up time."""
    script = "import sys, emu.machine; sys.exit('unicorn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_a_big_machine_costs_nothing() -> None:
    """64 GiB of RAM start with a few MiB resident, and a page touched at the end is there."""
    with Machine(64 << 30) as machine:
        machine.ram.words[-1] = 7
        assert machine.ram.tables[-1, -1] == 7 and machine.ram.pages[-1, -8] == 7
        assert machine.ram.data[(64 << 30) - 8] == 7
