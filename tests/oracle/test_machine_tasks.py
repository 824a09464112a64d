"""Tasks, slices, flushes and the end of a machine."""

import gc
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from machine_lab import CODE, DATA, STACK_TOP, Lab, Trap, laboratory

from emu.machine import RESERVED_FRAMES, ClosedError, Machine, MachineError
from mini_kernel.x86 import (
    PTE_P,
    PTE_U,
    PTE_W,
    R8,
    R11,
    RAX,
    RBP,
    RBX,
    RCX,
    RDI,
    RDX,
    RIP,
    RSI,
    RSP,
)

CONFIGURATIONS = {
    "native": {},
    "copied": {"in_place": False},
    "python": {"slice_method": "python"},
    "exact": {"exact": True},
    "exact, copied": {"exact": True, "in_place": False},
}
RWX = PTE_P | PTE_W | PTE_U
SPIN = bytes.fromhex("ebfe")


@pytest.fixture(params=list(CONFIGURATIONS))
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    with laboratory(**CONFIGURATIONS[request.param]) as laboratory_:
        yield laboratory_


def test_fresh_state(lab: Lab) -> None:
    """A new program starts in ring 3 with everything zero and the FPU as after execve."""
    machine = lab.machine
    machine.load(machine.fresh())
    assert list(machine.regs) == [0] * 17
    assert (machine.rflags, machine.cr3, machine.fs_base, machine.gs_base) == (0x202, 0, 0, 0)
    image = machine.fxsave()
    assert image[:2] == b"\x7f\x03" and image[24:28] == b"\x80\x1f\0\0"
    assert not any(image[2:24]) and not any(image[32:])
    selectors = lab.run(bytes.fromhex("8ccb 8cd1 8cda 8cc6 8ce7 418ce8 0f05"))
    assert [machine.regs[r] for r in (RBX, RDX, RSI, RDI, R8)] == [0x33, 0, 0, 0, 0]
    assert selectors[-1].vector == "syscall"


def test_ram_is_all_zero_after_start() -> None:
    """What entering ring 3 needed is gone, and only RESERVED_FRAMES stay reserved."""
    with Machine(1 << 20) as machine:
        assert not machine.ram.pages.any()
    assert RESERVED_FRAMES == 1


def test_nothing_is_reachable_with_cr3_0(lab: Lab) -> None:
    """A state that was given no tables faults at once."""
    machine = lab.machine
    machine.load(machine.fresh())
    machine.regs[RIP] = 0x5000
    machine.run()
    assert lab.log.traps == [Trap(14, 0x14, 0x5000, 0x5000)]


def test_states_are_the_same_in_every_machine() -> None:
    """A saved state holds no host address: it may be loaded into a machine started later."""
    with Machine(1 << 20) as one, Machine(2 << 20, in_place=False) as two:
        assert one.fresh() == two.fresh()


def test_context_switches_inside_the_hook(lab: Lab) -> None:
    """2,000 switches between two address spaces: both tasks go on where they were, with their own memory."""
    machine = lab.machine
    states = dict[int, bytes]()
    frames = dict[int, int]()
    for task in range(2):
        lab.new_space()
        lab.write(lab.map(CODE, RWX), bytes.fromhex("90" * task + "48ffc3 48ff042500006000 0f05 ebf1"))
        frames[task] = lab.map(DATA, RWX)
        machine.load(machine.fresh())
        machine.cr3, machine.regs[RIP], machine.regs[RBP] = lab.cr3, CODE, task
        states[task] = machine.save()
    current, switches = 0, 0

    def act(trap: Trap) -> bool:
        nonlocal current, switches
        assert trap.vector == "syscall" and trap.rip == CODE + current + 13
        assert machine.regs[RBP] == current
        switches += 1
        states[current] = machine.save()
        current ^= 1
        machine.load(states[current])
        return switches < 2000

    lab.log.act = act
    machine.load(states[0])
    machine.run()
    assert switches == 2000
    for task in range(2):
        assert int.from_bytes(machine.ram.data[frames[task] : frames[task] + 8], "little") == 1000
        assert memoryview(states[task]).cast("Q")[RBX] == 1000


def test_switch_from_a_prefixed_syscall_lands_exactly(lab: Lab) -> None:
    """The engine adds the length of *this* `syscall` to whatever RIP is then: the other task must not feel it."""
    machine = lab.machine
    lab.start(bytes.fromhex("6666 0f05"))
    other_space = lab.new_space()
    lab.write(lab.map(CODE, RWX), bytes.fromhex("90" * 8 + "0f05"))

    def act(trap: Trap) -> bool:
        if len(lab.log.traps) > 1:
            return False
        state = machine.fresh()
        machine.load(state)
        machine.cr3, machine.regs[RIP] = other_space, CODE + 8
        return True

    lab.log.act = act
    machine.run()
    assert lab.log.traps == [Trap("syscall", 0, CODE + 4), Trap("syscall", 0, CODE + 10)]


def test_preemption_keeps_every_register_and_flag() -> None:
    """A loop cut into slices of 7 blocks, with another task's state loaded at each, computes the same."""
    body = bytes.fromhex(
        "f30f58c1"  # addss xmm0, xmm1
        "d9e8 dec1"  # fld1; faddp
        "4801c8 4811d8 4883d300 480fa4d305 4831c2 48d1d2"  # add adc adc shld xor rcl: flags from block to block
        "4c11c0 4d89c8 4901c9 4981f255555555 eb00 4911c2"
        "48ffc9"  # dec rcx
    )
    code = bytes.fromhex("48c7c110270000 d9ee") + body + b"\x75" + bytes([256 - len(body) - 2])
    code += bytes.fromhex("9c 415b 0f05")  # pushfq; pop r11; syscall

    def compute(quantum: int, **options: object) -> tuple[list[int], bytes, int]:
        with laboratory(quantum=quantum, **options) as lab:
            machine = lab.machine
            lab.start(code)
            image = bytearray(machine.fxsave())
            image[176:180] = b"\0\0\x80\x3f"  # xmm1 = 1.0
            machine.fxrstor(bytes(image))

            def act(trap: Trap) -> bool:
                if trap.vector == "tick":
                    mine = machine.save()
                    machine.load(machine.fresh())
                    machine.rflags = 0x202 | 0x8D5 | 0x400
                    machine.load(mine)
                return trap.vector == "tick"

            lab.log.act = act
            machine.run()
            ticks = sum(trap.vector == "tick" for trap in lab.log.traps)
            return list(machine.regs), machine.fxsave(), ticks

    regs, image, ticks = compute(1 << 40)
    assert ticks == 0 and regs[RCX] != 0
    for options in ({}, {"in_place": False}, {"exact": True}, {"slice_method": "python"}):
        sliced, sliced_image, ticks = compute(7, **options)
        assert ticks > 1000
        assert sliced == regs and sliced_image == image


def test_flags_survive_a_switch_inside_a_hook_and_a_restart(lab: Lab) -> None:
    """A state saved in a hook and resumed by a new start of the engine, and the reverse, has its flags."""
    machine = lab.machine
    for flags in (0x202, 0xAD7, 0x203, 0x602):
        lab.start(bytes.fromhex("0f05 9c 58 0f05"))
        machine.rflags = flags
        lab.log.act = lambda trap: False
        machine.run()
        state = machine.save()
        machine.load(machine.fresh())
        machine.load(state)
        machine.run()
        assert machine.regs[RAX] == flags == machine.regs[R11]


def test_flags_of_a_preempted_task_are_not_stuck(lab: Lab) -> None:
    """A state saved at a tick and resumed inside a hook can clear the flags it was preempted with."""
    machine = lab.machine
    machine.quantum = 50
    # L: stc; cmp eax, eax; jmp L   and, elsewhere: mov eax, 1; or eax, eax; pushfq; pop rbx; syscall
    lab.start(bytes.fromhex("f9 39c0 eb00 f9 ebf8"))
    lab.write(lab.code_frame + 0x100, bytes.fromhex("b801000000 09c0 9c 5b 0f05"))
    lab.write(lab.code_frame + 0x200, bytes.fromhex("0f05"))
    lab.log.act = lambda trap: False
    machine.run()
    assert lab.log.traps[-1].vector == "tick" and machine.rflags & 1
    preempted = machine.save()

    def act(trap: Trap) -> bool:
        if len(lab.log.traps) == 1:
            machine.load(preempted)
            machine.regs[RIP] = CODE + 0x100
        return len(lab.log.traps) == 1

    lab.log.act = act
    lab.log.traps.clear()
    machine.load(machine.fresh())
    machine.cr3, machine.regs[RIP], machine.regs[RSP] = lab.cr3, CODE + 0x200, STACK_TOP - 0x100
    machine.run()
    assert hex(machine.regs[RBX]) == hex(0x202) == hex(machine.rflags) == hex(machine.regs[R11])


def test_slices_are_exact_and_repeatable() -> None:
    """Ticks fall on the same instruction in every run, whatever `interrupt` polling does in between."""

    def ticks(poll: int) -> tuple[list[Trap], int]:
        with laboratory(quantum=1000) as lab:
            lab.log.act = lambda trap: len(lab.log.traps) < 50
            lab.machine._poll = poll
            lab.run(bytes.fromhex("ffc0 a807 7502 ffc3 ffc1 ebf4"))
            return lab.log.traps, lab.machine.blocks()

    assert ticks(20_000) == ticks(37)
    traps, blocks = ticks(1)
    assert blocks == 50_000 and {trap.vector for trap in traps} == {"tick"}


def test_blocks_counts_each_block_once() -> None:
    """`blocks` is exact at any entry."""
    with laboratory() as lab:
        seen = list[int]()

        def act(trap: Trap) -> bool:
            seen.append(lab.machine.blocks())
            return len(seen) < 100

        lab.log.act = act
        lab.run(bytes.fromhex("0f05 eb00 ebfa"))
        assert seen == list(range(1, 301, 3))


def test_the_quantum_can_change_between_slices() -> None:
    """A new quantum holds from the next slice on."""
    with laboratory(quantum=100) as lab:
        seen = list[int]()

        def act(trap: Trap) -> bool:
            seen.append(lab.machine.blocks())
            lab.machine.quantum = 10
            return len(seen) < 4

        lab.log.act = act
        lab.run(SPIN)
        assert seen == [100, 200, 210, 220]


def test_faults_one_after_another(lab: Lab) -> None:
    """A hundred page faults in a row stay page faults, with the right codes (the engine alone: double fault)."""
    machine = lab.machine

    def act(trap: Trap) -> bool:
        assert trap.vector in (14, "syscall")
        if trap.vector == 14:
            lab.map(trap.cr2 & ~0xFFF, RWX)
        return trap.vector == 14

    lab.log.act = act
    # mov edi, 0x1000000; L: mov [rdi], eax; add rdi, 0x1000; cmp edi, 0x1064000; jne L; syscall
    lab.run(bytes.fromhex("bf00000001 8907 4881c700100000 81ff00400601 75ef 0f05"))
    faults = [trap for trap in lab.log.traps if trap.vector == 14]
    assert [trap.cr2 for trap in faults] == [0x100_0000 + 0x1000 * i for i in range(100)]
    assert {(trap.error, trap.rip) for trap in faults} == {(6, CODE + 5)}
    assert machine.regs[RDI] == 0x106_4000


def test_different_faults_one_after_another(lab: Lab) -> None:
    """#PF after #GP, #DE after #PF, #UD, #PF: none of them becomes a double fault."""
    vectors = list[int | str]()
    skip = {13: 1, 0: 2, 6: 2, 14: 2}

    def act(trap: Trap) -> bool:
        vectors.append(trap.vector)
        if isinstance(trap.vector, int):
            lab.machine.regs[RIP] = trap.rip + skip[trap.vector]
        return isinstance(trap.vector, int)

    lab.log.act = act
    lab.run(bytes.fromhex("31c9 f4 8b01 8b01 f7f1 f7f1 8b01 0f0b f4 8b01 ec f4 f4 8b01 0f05"))
    assert vectors == [13, 14, 14, 0, 0, 14, 6, 13, 14, 13, 13, 13, 14, "syscall"]


def remap(lab: Lab, flush: bool) -> int:
    """Read DATA, let the kernel put another frame there, read again; returns what the second read saw."""
    machine = lab.machine
    first = lab.map(DATA, RWX)
    second = lab.map(DATA + 0x10_0000, RWX)
    machine.ram.data[first], machine.ram.data[second] = 1, 2

    def act(trap: Trap) -> bool:
        if len(lab.log.traps) == 1:
            lab.map(DATA, RWX, second)
            if flush:
                machine.flush_tlb()
        return len(lab.log.traps) == 1

    lab.log.act = act
    lab.run(bytes.fromhex("8a042500006000 0f05 8a042500006000 0f05"))
    return machine.regs[RAX] & 0xFF


def test_tlb_is_stale_without_a_flush_and_right_with_one(lab: Lab) -> None:
    """The TLB is real: forgetting a flush shows the old frame, as on hardware."""
    assert remap(lab, flush=False) == 1
    assert remap(lab, flush=True) == 2


def test_code_is_stale_without_a_flush_and_right_with_one(lab: Lab) -> None:
    """Code rewritten by the kernel runs in its old form until flush_code."""
    for flush, expected in ((False, 1), (True, 2)):
        lab.reset()

        def act(trap: Trap, flush: bool = flush) -> bool:
            if len(lab.log.traps) == 1:
                lab.machine.ram.data[lab.code_frame + 1] = 2
                if flush:
                    lab.machine.flush_code()
                lab.machine.regs[RIP] = CODE
            return len(lab.log.traps) == 1

        lab.log.act = act
        lab.run(bytes.fromhex("b801000000 0f05"))
        assert lab.machine.regs[RAX] == expected


def test_changing_cr3_needs_no_flush(lab: Lab) -> None:
    """Assigning `cr3` empties the TLB by itself."""
    machine = lab.machine
    machine.ram.data[lab.map(DATA, RWX)] = 1
    first = lab.cr3
    code = bytes.fromhex("8a042500006000 0f05 8a042500006000 0f05")
    lab.write(lab.code_frame, code)
    second = lab.new_space()
    lab.map(CODE, RWX, lab.code_frame)
    machine.ram.data[lab.map(DATA, RWX)] = 2

    def act(trap: Trap) -> bool:
        machine.cr3 = second
        return len(lab.log.traps) == 1

    lab.log.act = act
    machine.load(machine.fresh())
    machine.cr3, machine.regs[RIP] = first, CODE
    machine.run()
    assert machine.regs[RAX] & 0xFF == 2


@pytest.mark.parametrize(
    "code",
    ["ebfe", "bf00006000 b9ffffffff 48c1e120 fd fc f3a4", "e8fbffffff", "0f31 ebfc", "90" * 3000 + "e943f4ffff"],
    ids=["jmp self", "rep movsb", "call self", "rdtsc", "long blocks"],
)
def test_interrupt(lab: Lab, code: str) -> None:
    """`interrupt` from a signal handler ends run() whatever the guest is doing, and run() can go on afterwards."""
    machine = lab.machine

    def act(trap: Trap) -> bool:
        if trap.vector == 13:
            machine.regs[RIP] += 2
        elif trap.vector == 14:
            machine.regs[RSP] = STACK_TOP
            machine.regs[RDI] = machine.regs[RSI] = DATA
        return True

    lab.log.act = act
    lab.map(CODE + 0x1000, RWX)
    lab.start(b"")
    for i, byte in enumerate(bytes.fromhex(code)):
        frame = lab.code_frame if i < 0x1000 else 0
        machine.ram.data[frame + i] = byte
    machine.regs[RSI] = DATA
    old = signal.signal(signal.SIGALRM, lambda *_: machine.interrupt())
    try:
        for _ in range(2):
            signal.setitimer(signal.ITIMER_REAL, 0.03)
            assert machine.run() == "interrupted"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)


def test_interrupt_from_another_thread(lab: Lab) -> None:
    """Another thread gets the interpreter between slices, and its interrupt() is heard."""
    lab.log.act = lambda trap: True
    lab.start(SPIN)
    thread = threading.Thread(target=lab.machine.interrupt)
    thread.start()
    assert lab.machine.run() == "interrupted"
    thread.join()


def test_an_exception_in_the_kernel_comes_out_of_run(lab: Lab) -> None:
    """Whatever a trap handler raises, even SystemExit, run() raises; the machine stays usable."""
    for failure in (ValueError("kernel bug"), KeyboardInterrupt(), SystemExit(3)):
        for code in ("0f05", "8b0425 00008000", "0f0b", "ec", "cc"):

            def act(trap: Trap, failure: BaseException = failure) -> bool:
                raise failure

            lab.log.act = act
            with pytest.raises(type(failure)):
                lab.run(bytes.fromhex(code))
    lab.log.act = lambda trap: False
    assert lab.run(bytes.fromhex("0f05"))[-1].vector == "syscall"


def test_stop_leaves_nothing_executed(lab: Lab) -> None:
    """After stop() no further instruction runs, and a second run() goes on right there."""
    for code in ("0f05 ffc0", "cc ffc0", "cd80 ffc0"):
        lab.reset()
        lab.run(bytes.fromhex(code + "0f05"))
        assert lab.machine.regs[RAX] == 0
        lab.machine.run()
        assert lab.machine.regs[RAX] == 1


def test_page_table_beyond_ram_is_a_machine_error(lab: Lab) -> None:
    """An entry that points behind RAM is a kernel bug: the machine says so and does not loop."""
    lab.map(DATA, RWX, 1 << 35)
    with pytest.raises(MachineError, match="gave up"):
        lab.run(bytes.fromhex("8a042500006000 0f05"))


def test_run_is_not_reentrant(lab: Lab) -> None:
    """Calling run() or close() from the kernel is refused."""

    def again(trap: Trap) -> bool:
        lab.machine.run()
        return False

    def end(trap: Trap) -> bool:
        lab.machine.close()
        return False

    for act in (again, end):
        lab.log.act = act
        with pytest.raises(MachineError):
            lab.run(bytes.fromhex("0f05"))


def test_without_a_kernel() -> None:
    """A machine with no trap handler says so at the first trap."""
    with Machine(1 << 20) as machine, pytest.raises(MachineError, match="no trap handler"):
        machine.run()


def test_instruction_counts() -> None:
    """Each instruction counts once, the one that faults and is restarted too."""
    with laboratory(exact=True) as lab:
        lab.log.act = lambda trap: trap.vector == 14 and bool(lab.map(trap.cr2 & ~0xFFF, RWX))
        # 5 instructions before; two stores that fault; one that does not; nop; syscall
        lab.run(bytes.fromhex("90 90 90 90 90 890425 00008000 890425 00108000 890425 00108000 90 0f05"))
        assert lab.machine.instructions() == 10


def test_instruction_counts_over_faulting_fetches() -> None:
    """Fetch faults, early or at the instruction itself, count nothing."""
    with laboratory(exact=True) as lab:
        code = bytes.fromhex("90 90 48c7c7 78563412 90 0f05")

        def act(trap: Trap) -> bool:
            if trap.vector == 14:
                lab.write(lab.map(CODE + 0x1000, RWX), code[5:])
            return trap.vector == 14

        lab.log.act = act
        lab.run(code[:5], 0x1000 - 5)
        assert lab.machine.instructions() == 5


def test_flags_of_a_fault_in_mid_block(lab: Lab) -> None:
    """A fault between `cmp` and its use has the flags of `cmp`, and they are still there after the restart."""
    for compare, flags in {"3dc30f307b": 0xA06, "3d8f851682": 0x246, "3dffffffff": 0x287}.items():
        lab.reset()
        seen = list[int]()

        def act(trap: Trap, seen: list[int] = seen) -> bool:
            seen.append(lab.machine.rflags)
            return trap.vector == 14 and bool(lab.map(trap.cr2 & ~0xFFF, RWX))

        lab.log.act = act
        # mov eax, 0x8216858f; xor edx, edx; cmp eax, ...; mov ecx, [0x800000]; nop; pushfq; pop rbx; syscall
        lab.run(bytes.fromhex("b88f851682 31d2" + compare + "8b0c2500008000 90 9c 5b 0f05"))
        assert [hex(f) for f in (*seen, lab.machine.regs[RBX])] == [hex(flags)] * 3


def test_flags_of_an_undefined_instruction(lab: Lab) -> None:
    """#UD too has the flags of the instruction before it."""
    lab.run(bytes.fromhex("b88f851682 31d2 3dc30f307b 0f0b"))
    assert lab.log.traps[-1].vector == 6 and lab.machine.rflags == 0xA06


def test_instruction_budget_stops_exactly() -> None:
    """run() returns 'budget' after n more instructions, at any n, and going on changes no block count."""
    code = bytes.fromhex("ffc0 ffc0 eb00 ffc0 890425 00008000 ffc0 ebed")
    with laboratory(exact=True) as lab:
        lab.log.act = lambda trap: trap.vector == 14 and bool(lab.map(trap.cr2 & ~0xFFF, RWX))
        lab.start(code)
        path = list[int]()
        for _ in range(40):
            lab.machine.set_instruction_budget(1)
            assert lab.machine.run() == "budget"
            path.append(lab.machine.regs[RIP] - CODE)
        assert lab.machine.instructions() == 40
        assert path[:8] == [2, 4, 6, 8, 15, 17, 0, 2]
        stepped = lab.machine.blocks()
    with laboratory(exact=True) as lab:
        lab.log.act = lambda trap: trap.vector == 14 and bool(lab.map(trap.cr2 & ~0xFFF, RWX))
        lab.start(code)
        lab.machine.set_instruction_budget(40)
        assert lab.machine.run() == "budget"
        assert lab.machine.instructions() == 40 and lab.machine.regs[RIP] - CODE == path[-1]
        assert lab.machine.blocks() == stepped


def test_exact_counting_must_be_asked_for() -> None:
    """Without exact=True there is no count to be wrong about."""
    with Machine(1 << 20) as machine:
        with pytest.raises(MachineError):
            machine.instructions()
        with pytest.raises(MachineError):
            machine.set_instruction_budget(1)


def test_fxsave_is_the_guests_fxsave64(lab: Lab) -> None:
    """The image the kernel gets equals what the instruction stores, and loading it back changes nothing."""
    # fninit; fld1; fldpi; fldl2t; fstp st0 -> top 6; movq xmm3, rsp; movq xmm15, rsp; fxsave64 [DATA]; syscall
    code = bytes.fromhex("dbe3 d9e8 d9eb d9e9 ddd8 66480f6edc 664c0f6efc 480fae0425 00006000 0f05")
    machine = lab.machine
    frame = lab.map(DATA, RWX)
    lab.run(code)
    image = machine.fxsave()
    assert image[:416] == bytes(machine.ram.data[frame : frame + 416])
    assert image[4] == 0xC0, "two physical registers in use"
    machine.load(machine.fresh())
    machine.fxrstor(image)
    assert machine.fxsave() == image


def test_fxrstor_sets_rounding(lab: Lab) -> None:
    """A rounding mode loaded by fxrstor is the one the guest computes with."""
    # cvtss2si eax, [DATA]; fld dword [DATA]; fistp dword [DATA + 4]; mov ebx, [DATA + 4]; syscall
    code = bytes.fromhex("f30f2d042500006000 d9042500006000 db1c2504006000 8b1c2504006000 0f05")
    machine = lab.machine
    frame = lab.map(DATA, RWX)
    for control, mxcsr, result in ((0x37F, 0x1F80, 2), (0xB7F, 0x5F80, 3)):
        lab.start(code)
        machine.ram.data[frame : frame + 4] = b"\0\0\x10\x40"  # 2.25; rounds up to 3 with RC = 10
        image = bytearray(machine.fxsave())
        image[0:2], image[24:28] = control.to_bytes(2, "little"), mxcsr.to_bytes(4, "little")
        machine.fxrstor(bytes(image))
        machine.run()
        assert (machine.regs[RAX], machine.regs[RBX]) == (result, result)


def test_segment_bases(lab: Lab) -> None:
    """fs_base and gs_base move what FS: and GS: address."""
    machine = lab.machine
    frame = lab.map(DATA, RWX)
    machine.ram.words[frame >> 3], machine.ram.words[(frame >> 3) + 1] = 11, 22
    lab.start(bytes.fromhex("64488b042508000000 65488b1c2508000000 0f05"))
    machine.fs_base, machine.gs_base = DATA - 8, DATA
    machine.run()
    assert (machine.regs[RAX], machine.regs[RBX], machine.fs_base, machine.gs_base) == (11, 22, DATA - 8, DATA)


def test_use_after_close() -> None:
    """A closed machine raises; kept views are revoked or read zeros; closing twice is fine."""
    machine = Machine(1 << 20)
    regs, ram = machine.regs, machine.ram
    ram.data[0x9000] = 1
    machine.close()
    machine.close()
    for name in (
        "run", "save", "fresh", "fxsave", "flush_tlb", "blocks", "stop", "interrupt", "regs", "ram", "cr3", "rflags",
        "load", "attach",
    ):  # fmt: skip
        with pytest.raises(ClosedError):
            getattr(machine, name)
    with pytest.raises(ClosedError):
        machine.cr3 = 0
    with pytest.raises(ValueError, match="released"):
        regs[0]
    assert ram.data[0x9000] == 0


def test_a_forgotten_machine_is_freed() -> None:
    """Dropping the last reference closes the machine."""
    machine = Machine(1 << 20)
    regs = machine.regs
    del machine
    gc.collect()
    with pytest.raises(ValueError, match="released"):
        regs[0]


def test_bad_arguments() -> None:
    """RAM that is too small or not whole pages is refused before anything is opened, and so is other nonsense."""
    for size in (0, 4096, (1 << 20) + 1):
        with pytest.raises(ValueError, match="RAM"):
            Machine(size)
    with pytest.raises(ValueError, match="slice_method"):
        Machine(1 << 20, slice_method="count")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="quantum"):
        Machine(1 << 20, quantum=0)


def test_discard_gives_pages_back() -> None:
    """Discarded frames read as zero; a range outside RAM is refused."""
    with Machine(8 << 20) as machine:
        machine.ram.pages[16:1024] = 7
        machine.ram.discard(16, 1000)
        assert not machine.ram.pages[16:1000].any() and machine.ram.pages[1000:1024].all()
        with pytest.raises(ValueError, match="frames"):
            machine.ram.discard(0, 1 << 20)


def resident() -> int:
    """Our resident set in KiB."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1])


@pytest.mark.long
def test_a_thousand_machines_leave_nothing_behind() -> None:
    """Open, run, fault, close, a thousand times: the process does not grow."""

    def cycle() -> None:
        with laboratory() as lab:
            lab.log.act = lambda trap: trap.vector == 14 and bool(lab.map(trap.cr2 & ~0xFFF, RWX))
            assert lab.run(bytes.fromhex("890425 00008000 0f05"))[-1].vector == "syscall"

    for _ in range(50):
        cycle()
    before = resident()
    for _ in range(1000):
        cycle()
    assert resident() - before < 8 << 10
