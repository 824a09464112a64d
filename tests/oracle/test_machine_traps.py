"""What each instruction does to the kernel: the trap table, decided by the CPU.

Expected values are the hardware's (SDM vol. 2, "64-bit mode exceptions") unless the line says otherwise.
"""

from collections.abc import Iterator

import pytest
from machine_lab import CODE, DATA, STACK_TOP, Lab, Trap, laboratory

from mini_kernel.x86 import FLAG_NT, FLAG_TF, PTE_P, PTE_U, PTE_W, R11, RAX, RBX, RCX, RDI, RIP, RSP

CONFIGURATIONS = {
    "native": {},
    "copied": {"in_place": False},
    "python": {"slice_method": "python"},
    "exact": {"exact": True},
    "exact, copied": {"exact": True, "in_place": False},
}

DE, DB, BP, UD, GP, PF = 0, 1, 3, 6, 13, 14
ABOVE = 0xFFFF_8000_0000_0000  # the kernel's half
TO_DATA = "48c7c700006000"  # mov rdi, DATA
HOLE = "48c7c700008000"  # mov rdi, 0x800000: not mapped
FAR = "48b80000000000008000"  # mov rax, 0x0080_0000_0000_0000: not canonical
HIGH = "48b8000000000080ffff"  # mov rax, ABOVE

# name: (code, vector, error, RIP - CODE or an absolute address, CR2)
TABLE: dict[str, tuple[str, int | str, int, int, int]] = {
    "syscall": ("0f05", "syscall", 0, 2, 0),
    "syscall after nop": ("90 0f05", "syscall", 0, 3, 0),
    "syscall, 66 prefix": ("660f05", "syscall", 0, 3, 0),
    "syscall, REX prefix": ("480f05", "syscall", 0, 3, 0),
    "syscall, three prefixes": ("6666480f05", "syscall", 0, 5, 0),
    "int3": ("cc", BP, 0, 1, 0),
    "int 3 in two bytes": ("cd03", BP, 0, 2, 0),
    "int 0x80": ("cd80", 0x80, 0, 2, 0),
    "int 0": ("cd00", GP, 0 * 8 + 2, 0, 0),
    "int 6": ("cd06", GP, 6 * 8 + 2, 0, 0),
    "int 8, not a double fault": ("cd08", GP, 8 * 8 + 2, 0, 0),
    "int 13": ("cd0d", GP, 13 * 8 + 2, 0, 0),
    "int 14, not a page fault": ("cd0e", GP, 14 * 8 + 2, 0, 0),
    "int 255": ("cdff", GP, 255 * 8 + 2, 0, 0),
    "ud2": ("0f0b", UD, 0, 0, 0),
    "ud2 after nop": ("90 0f0b", UD, 0, 1, 0),
    "push es": ("06", UD, 0, 0, 0),
    "into": ("ce", UD, 0, 0, 0),
    "bound": ("62", UD, 0, 0, 0),
    "far jmp immediate": ("ea000000000000", UD, 0, 0, 0),
    "lock without memory": ("f001c0", UD, 0, 0, 0),
    "lock nop": ("f090", UD, 0, 0, 0),
    "mov cs, eax": ("8ec8", UD, 0, 0, 0),
    "rdrand (not in Westmere)": ("0fc7f0", UD, 0, 0, 0),
    "rdseed (not in Westmere)": ("0fc7f8", UD, 0, 0, 0),
    "andn (BMI)": ("c4e270f2c2", UD, 0, 0, 0),
    "wrfsbase (no FSGSBASE)": ("f3480faed0", UD, 0, 0, 0),
    "rdtscp (not in the model)": ("0f01f9", UD, 0, 0, 0),
    "xgetbv (no OSXSAVE)": ("0f01d0", UD, 0, 0, 0),
    "vmcall": ("0f01c1", UD, 0, 0, 0),
    "rsm": ("0faa", UD, 0, 0, 0),
    "monitor": ("0f01c8", UD, 0, 0, 0),
    "mwait": ("0f01c9", UD, 0, 0, 0),
    "sysenter: #UD here, as Linux kills with SIGILL": ("0f34", UD, 0, 0, 0),
    "sysenter after nop": ("90 0f34", UD, 0, 1, 0),
    "icebp: the engine says #UD, hardware #DB": ("f1", UD, 0, 0, 0),
    "in al, imm": ("e460", GP, 0, 0, 0),
    "in al, dx": ("ec", GP, 0, 0, 0),
    "in eax, dx": ("ed", GP, 0, 0, 0),
    "in ax, dx": ("66ed", GP, 0, 0, 0),
    "out imm, al": ("e660", GP, 0, 0, 0),
    "out dx, al": ("ee", GP, 0, 0, 0),
    "out dx, eax": ("ef", GP, 0, 0, 0),
    "in after nop": ("90 ec", GP, 0, 1, 0),
    "in, then a system call that must not be made": ("ec 0f05", GP, 0, 0, 0),
    "in, then a store that must not be made": ("bb01000000 ec 891c25 00006000", GP, 0, 5, 0),
    "insb": (TO_DATA + "6c", GP, 0, 7, 0),
    "outsb": ("48c7c600006000 6e", GP, 0, 7, 0),
    "rep insb": (TO_DATA + "b903000000 f36c", GP, 0, 12, 0),
    "hlt": ("f4", GP, 0, 0, 0),
    "cli": ("fa", GP, 0, 0, 0),
    "sti": ("fb", GP, 0, 0, 0),
    "rdtsc (CR4.TSD)": ("0f31", GP, 0, 0, 0),
    "rdmsr": ("0f32", GP, 0, 0, 0),
    "wrmsr": ("0f30", GP, 0, 0, 0),
    "mov rax, cr0": ("0f20c0", GP, 0, 0, 0),
    "mov cr3, rax": ("0f22d8", GP, 0, 0, 0),
    "mov rax, dr0": ("0f21c0", GP, 0, 0, 0),
    "clts": ("0f06", GP, 0, 0, 0),
    "lgdt": ("0f0110", GP, 0, 0, 0),
    "lidt": ("0f0118", GP, 0, 0, 0),
    "lmsw": ("0f01f0", GP, 0, 0, 0),
    "ltr": ("0f00d8", GP, 0, 0, 0),
    "lldt": ("0f00d0", GP, 0, 0, 0),
    "invlpg": ("0f0138", GP, 0, 0, 0),
    "wbinvd": ("0f09", GP, 0, 0, 0),
    "swapgs": ("0f01f8", GP, 0, 0, 0),
    "sysret": ("480f07", GP, 0, 0, 0),
    "sysexit": ("0f35", GP, 0, 0, 0),
    "iretq, no such code segment": ("48cf", GP, 0, 0, 0),
    "iretd, no such code segment": ("cf", GP, 0, 0, 0),
    "far return": ("48cb", GP, 0, 0, 0),
    "far jmp through memory": ("ff2c24", GP, 0, 0, 0),
    "far call through memory": ("ff1c24", GP, 0, 0, 0),
    "mov ss, null": ("31c0 8ed0", GP, 0, 2, 0),
    "mov ss, 0x2b (no GDT here)": ("66b82b00 8ed0", GP, 0x28, 4, 0),
    "mov ds, a bad selector": ("b810000000 8ed8", GP, 0x10, 5, 0),
    "mov fs, a bad selector": ("b810000000 8ee0", GP, 0x10, 5, 0),
    "mov ds, null is allowed": ("31c0 8ed8 0f05", "syscall", 0, 6, 0),
    "smsw is allowed without UMIP": ("0f01e0 0f05", "syscall", 0, 5, 0),
    "sgdt is allowed without UMIP": ("0f010424 0f05", "syscall", 0, 6, 0),
    "pause goes on": ("f390 0f05", "syscall", 0, 4, 0),
    "cpuid goes on": ("0fa2 0f05", "syscall", 0, 4, 0),
    "16 bytes of prefix": ("48" * 16 + "90", GP, 0, 0, 0),
    "fxsave64, not aligned": ("480fae442401", GP, 0, 0, 0),
    "div by zero": ("31c9 f7f1", DE, 0, 2, 0),
    "idiv overflow": ("48b80000000000000080 4899 48c7c1ffffffff 48f7f9", DE, 0, 19, 0),
    "read a hole": (HOLE + "8b07", PF, 4, 7, 0x80_0000),
    "write a hole": (HOLE + "8907", PF, 6, 7, 0x80_0000),
    "read-modify-write a hole: engine says read first": (HOLE + "ff07", PF, 4, 7, 0x80_0000),
    "write the last byte before a hole and on": ("48c7c7fc1f6000 488907", PF, 6, 7, 0x60_2000),
    "call with its stack in a hole": (HOLE + "4889fc e800000000", PF, 6, 10, 0x7F_FFF8),
    "read address 0": ("31c0 8b00", PF, 4, 2, 0),
    "write address 0": ("31c0 8900", PF, 6, 2, 0),
    "jump to address 0 (not the engine's `until`)": ("31c0 ffe0", PF, 0x14, -CODE, 0),
    "jump to a hole": (HOLE + "ffe7", PF, 0x14, 0x80_0000 - CODE, 0x80_0000),
    "jump to a page without execute": (TO_DATA + "ffe7", PF, 0x15, DATA - CODE, DATA),
    "read the kernel's half": (HIGH + "8b00", PF, 4, 10, ABOVE),
    "jump to the kernel's half": (HIGH + "ffe0", PF, 0x14, ABOVE - CODE, ABOVE),
    "read a non-canonical address": (FAR + "488b00", GP, 0, 10, 0),
    "write a non-canonical address": (FAR + "488900", GP, 0, 10, 0),
    "jump to one: RIP is the target, hardware's is the jump": (FAR + "ffe0", GP, 0, 0x80_0000_0000_0000 - CODE, 0),
    "rep movsb into a hole": ("48c7c600006000" + HOLE + "b910000000 f3a4", PF, 6, 19, 0x80_0000),
    "cmpxchg16b, not aligned": ("480fc74c2401", GP, 0, 0, 0),
}


@pytest.fixture(scope="module", params=list(CONFIGURATIONS))
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    """One machine for each way the machine can work."""
    with laboratory(**CONFIGURATIONS[request.param]) as laboratory_:
        yield laboratory_


@pytest.mark.parametrize("name", list(TABLE))
def test_trap_table(lab: Lab, name: str) -> None:
    """Each instruction enters the kernel with the hardware's vector, error code, RIP and CR2."""
    code, vector, error, rip, cr2 = TABLE[name]
    lab.reset()
    assert lab.run(bytes.fromhex(code)) == [Trap(vector, error, CODE + rip, cr2)]
    assert lab.machine.ram.words[(lab.entry_at(DATA) >> 3)] & ~0x60 == 0x20_1000 | 0x8000_0000_0000_0007
    assert not any(lab.machine.ram.data[0x20_1000:0x20_3000]), "nothing was stored"


def test_syscall_registers(lab: Lab) -> None:
    """`syscall` leaves RIP in RCX and RFLAGS in R11, whatever lazy form the engine holds the flags in."""
    for setup, flags in {
        "31c0": 0x246,  # xor: zero, parity
        "b8ffffff7f ffc0": 0xA96,  # inc to 0x80000000: overflow, sign, adjust, parity
        "31c0 ffc8": 0x296,  # dec to -1
        "f9": 0x203,  # stc
        "fd": 0x602,  # std
        "b001 3c02": 0x297,  # cmp 1, 2: borrow
        "48c7c001000000 48d1e8": 0x247,  # shr 1: carry, zero
    }.items():
        code = bytes.fromhex(setup + "0f05")
        lab.reset()
        lab.run(code)
        regs = lab.machine.regs
        assert (regs[RCX], regs[RIP]) == (CODE + len(code), CODE + len(code))
        assert (hex(regs[R11]), hex(lab.machine.rflags)) == (hex(flags), hex(flags)), setup


def test_flags_written_are_flags_read_by_the_guest(lab: Lab) -> None:
    """Assigning rflags sets every flag, and clears those not named."""
    lab.reset()
    for flags in (0x202, 0x202 | 0x8D5, 0x602, 0xAD7, 0x202):
        lab.start(bytes.fromhex("9c 58 0f05"))  # pushfq; pop rax; syscall
        lab.machine.rflags = flags
        lab.machine.run()
        assert lab.machine.regs[RAX] == flags == lab.machine.rflags


def test_popf_with_tf_traps_after_each_instruction(lab: Lab) -> None:
    """With TF set every instruction ends in #DB with RIP behind it, until the kernel clears TF."""

    def act(trap: Trap) -> bool:
        if len(lab.log.traps) == 4:
            lab.machine.rflags &= ~FLAG_TF
        return trap.vector == DB

    lab.reset()
    lab.log.act = act
    try:
        traps = lab.run(bytes.fromhex("9c 804c240101 9d 90 90 ffc0 90 90 0f05"))
    finally:
        lab.log.act = lambda trap: False
    rips = [trap.rip - CODE for trap in traps]
    assert rips == [8, 9, 11, 12, 15]
    assert [trap.vector for trap in traps] == [DB] * 4 + ["syscall"]


def test_nt_is_tolerated(lab: Lab) -> None:
    """A task may set NT; it stays in its flags and disturbs nobody."""
    lab.reset()
    (trap,) = lab.run(bytes.fromhex("9c 804c240140 9d 0f05"))
    assert trap == Trap("syscall", 0, CODE + 9)
    assert lab.machine.rflags == 0x202 | FLAG_NT


def iretd_frame(flags: int) -> bytes:
    """mov dword [rsp], ...: a frame of 32-bit words for IRETD: EIP, CS, EFLAGS, ESP, SS, ES, DS, FS, GS."""
    words = [0x40_0000, 0x33, flags, 0x70_0000, 0x2B, 0, 0, 0, 0]
    return b"".join(bytes.fromhex("c74424") + bytes([4 * i]) + w.to_bytes(4, "little") for i, w in enumerate(words))


def test_iretd_to_virtual_8086_mode_is_a_protection_fault(lab: Lab) -> None:
    """The engine lets ring 3 leave 64-bit mode by IRETD with VM; the machine ends that with #GP, mode restored."""
    lab.reset()
    frame = iretd_frame(0x2_0202)
    traps = lab.run(frame + b"\xcf")
    assert traps[-1].vector == GP
    before = lab.machine.save()
    assert lab.run(bytes.fromhex("488d042500006000 0f05"))[-1].vector == "syscall"
    assert lab.machine.regs[RAX] == DATA, "64-bit code runs again"
    size = len(before)
    assert len(lab.machine.fresh()) == size


@pytest.mark.parametrize("flags", [0x2_0202, 0x2_3202, 0x3202, 0x7202])
@pytest.mark.parametrize("tail", ["0f05", "cd80", "ebfe", "cc", "0f0b", "ec", "f4", "0f34", "cf"])
def test_no_way_out_of_ring_3(lab: Lab, flags: int, tail: str) -> None:
    """Whatever is executed after such an IRETD, the kernel gets one exception and the mode is as before."""
    lab.reset()
    lab.machine.quantum = 1000
    lab.write(0, b"")
    lab.map(0x40_0000 & 0xFFFF, PTE_P | PTE_W | PTE_U, lab.code_frame)
    lab.write(lab.code_frame + 0x800, bytes.fromhex(tail))
    frame = iretd_frame(flags)
    frame = frame.replace((0x40_0000).to_bytes(4, "little"), (0x800).to_bytes(4, "little"), 1)
    traps = lab.run(frame + b"\xcf")
    assert [trap.vector for trap in traps] == [GP]
    assert lab.run(bytes.fromhex("9c 58 0f05"))[-1].vector == "syscall"
    assert lab.machine.regs[RAX] == 0x202


def test_selectors_after_leaving_64_bit_mode(lab: Lab) -> None:
    """A task that goes on after the #GP for leaving 64-bit mode is back in it, with its selectors and zero bases."""
    lab.reset()
    lab.write(lab.code_frame + 0x800, bytes.fromhex("8ccb 64488b0425 00006000 0f05"))  # mov ebx, cs; mov rax, fs:[DATA]
    lab.machine.ram.words[0x20_1000 >> 3] = 77

    def act(trap: Trap) -> bool:
        if trap.vector == GP:
            lab.machine.regs[RIP] = CODE + 0x800
        return trap.vector == GP

    lab.log.act = act
    try:
        frame = bytearray(iretd_frame(0x2_0202))
        for word in range(5, 9):  # ES DS FS GS: real-mode bases 0x100 bytes up
            frame[8 * word + 4 : 8 * word + 8] = (0x10).to_bytes(4, "little")
        lab.run(bytes(frame) + b"\xcf")
    finally:
        lab.log.act = lambda trap: False
    assert [trap.vector for trap in lab.log.traps] == [GP, "syscall"]
    assert (lab.machine.regs[RBX], lab.machine.regs[RAX]) == (0x33, 77)


def test_code_at_address_0_runs(lab: Lab) -> None:
    """Address 0 is an address like any other when it is mapped."""
    lab.reset()
    lab.write(lab.map(0, PTE_P | PTE_U), bytes.fromhex("ffc0 0f05"))
    assert lab.run(bytes.fromhex("31c0 ffe0")) == [Trap("syscall", 0, 4)]
    assert lab.machine.regs[RAX] == 1


def test_fault_rip_behind_a_block(lab: Lab) -> None:
    """A fetch fault in the middle of an instruction is reported at that instruction, earlier ones executed."""
    lab.reset()
    code = bytes.fromhex("ffc0 9c ffc0 890425 00006000")
    (trap,) = lab.run(code[:-2], 0x1000 - len(code) + 2)
    assert trap == Trap(PF, 0x14, CODE + 0x1000 - 5, CODE + 0x1000)
    assert lab.machine.regs[RAX] == 2
    assert lab.machine.rflags & FLAG_TF == 0
    pushed = lab.machine.ram.words[(lab.entry_at(STACK_TOP - 0x1000)) >> 3] & 0xFFFF_F000
    assert lab.machine.ram.words[(pushed + 0x1000 - 0x108) >> 3] & FLAG_TF == 0, "pushf did not see TF"


def test_fault_behind_a_block_is_restarted_exactly(lab: Lab) -> None:
    """Mapping the missing page lets the instruction finish, and nothing before it runs twice."""
    lab.reset()
    code = bytes.fromhex("ffc0 ffc0 48c7c7 78563412 ffc0 0f05")

    def act(trap: Trap) -> bool:
        if trap.vector == PF:
            lab.write(lab.map(CODE + 0x1000, PTE_P | PTE_U), code[8:])
        return trap.vector == PF

    lab.log.act = act
    try:
        traps = lab.run(code[:8], 0x1000 - 8)
    finally:
        lab.log.act = lambda trap: False
    assert traps == [Trap(PF, 0x14, CODE + 0x1000 - 4, CODE + 0x1000), Trap("syscall", 0, CODE + 0x1007)]
    assert (lab.machine.regs[RAX], lab.machine.regs[RDI]) == (3, 0x1234_5678)


def test_popf_and_system_calls_while_looking_for_the_rip(lab: Lab) -> None:
    """A stretch that ends at a missing page may clear TF itself or make system calls; both stay right."""
    for middle, calls in (("9c 9d", 0), ("0f05", 1), ("9c 58 50 9d", 0)):
        lab.reset()
        code = bytes.fromhex(middle + "ffc3 890425")
        lab.log.act = lambda trap: trap.vector == "syscall"
        try:
            traps = lab.run(code, 0x1000 - len(code))
        finally:
            lab.log.act = lambda trap: False
        assert [trap.vector for trap in traps] == ["syscall"] * calls + [PF]
        assert traps[-1] == Trap(PF, 0x14, CODE + 0x1000 - 3, CODE + 0x1000)
        assert not lab.machine.rflags & FLAG_TF
        assert not any(trap.vector == "syscall" and lab.machine.regs[R11] & FLAG_TF for trap in traps)


def test_syscall_as_the_last_bytes_of_a_page(lab: Lab) -> None:
    """`syscall` just before a missing page is made once, and then the fetch faults."""
    lab.reset()
    lab.log.act = lambda trap: trap.vector == "syscall"
    try:
        traps = lab.run(bytes.fromhex("0f05"), 0xFFE)
    finally:
        lab.log.act = lambda trap: False
    assert traps == [Trap("syscall", 0, CODE + 0x1000), Trap(PF, 0x14, CODE + 0x1000, CODE + 0x1000)]


def test_syscall_across_pages(lab: Lab) -> None:
    """`syscall` whose two bytes lie on two pages has RIP behind it."""
    lab.reset()
    lab.write(lab.map(CODE + 0x1000, PTE_P | PTE_U), b"\x05")
    assert lab.run(b"\x0f", 0xFFF) == [Trap("syscall", 0, CODE + 0x1001)]


def test_far_from_the_stack(lab: Lab) -> None:
    """A push through a non-canonical stack pointer is an exception, not a crash."""
    lab.reset()
    lab.start(b"\x50")
    lab.machine.regs[RSP] = 1 << 55
    lab.log.traps.clear()
    lab.machine.run()
    assert [trap.vector for trap in lab.log.traps] in ([GP], [12])
