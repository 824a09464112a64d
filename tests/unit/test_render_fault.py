"""The fault report: whole texts for made-up records, one per kind of fault."""

from emu import disasm
from emu.asm import Image, Line, Section
from emu.program import Program
from emu.render.fault import fault_report
from emu.symbols import Symbols
from mini_kernel.mm.walk import Step
from mini_kernel.observe import AreaInfo, FaultRecord, Sharer
from mini_kernel.uapi.signal import FPE_INTDIV, SEGV_ACCERR, SEGV_MAPERR, SI_KERNEL, SIGFPE, SIGSEGV
from mini_kernel.x86 import PF_INSTR, PF_PROT, PF_USER, PF_WRITE, PTE_NX, RCX, RIP, VEC_DE, VEC_GP, VEC_PF

HEAP = AreaInfo(0x1000_0000, 0x1001_0000, 0x73, "[heap]", 0)
STACK = AreaInfo(0x7FFF_0000_0000, 0x7FFF_0010_0000, 0x173, "[stack]", 0)
CODE = AreaInfo(0x40_0000, 0x40_2000, 0x75, "/bin/a", 0x1000)


def record(**changes: object) -> FaultRecord:
    base = FaultRecord(
        tgid=3,
        tid=3,
        program="a",
        exe_path=b"/bin/a",
        signo=SIGSEGV,
        code=SEGV_MAPERR,
        address=0x1001_1000,
        vector=VEC_PF,
        error=PF_USER | PF_WRITE,
        regs=(0x1001_0FE0, 2, 7, 0, 0x7FFF_0000_0100, 0, 0, 0, 8, 9, 10, 11, 12, 13, 14, 15, 0x40_0010),
        rflags=0x246,
        instruction=bytes.fromhex("488954c810") + bytes(11),
        walk=(Step(0, 2, 2 << 9, 0x3027), Step(1, 3, 3 << 9, 0x4027), Step(2, 4, (4 << 9) + 128, 0)),
        area=None,
        neighbours=(HEAP, STACK),
        frame_count=0,
        table_count=0,
        sharers=(),
        decision="nothing is mapped there: SIGSEGV, and there is no handler, so process 3 is killed",
        stack=0x7FFF_0000_0100,
        fs_base=0,
        gs_base=0,
    )
    return base._replace(**changes)


def program() -> Program:
    source = "_start: nop\n  mov [rax+rcx*8+16], rdx\n"
    image = Image(
        file="a.asm",
        source=source,
        sections=(Section(".text", 0x40_0000, bytes(32), 32, 5),),
        entry=0x40_0000,
        symbols={"_start": 0x40_0000, "inner": 0x40_000C},
        globals=frozenset(("_start",)),
        lines=(Line(0x40_0000, 1, "a.asm", 1, True), Line(0x40_0010, 5, "a.asm", 2, True)),
    )
    return Program("a", "/a", b"", image)


def sections(text: str) -> dict[str, list[str]]:
    """The report taken apart: label -> rows."""
    found: dict[str, list[str]] = {}
    rows: list[str] = []
    for line in text.splitlines()[1:]:
        label, row = line[2:15].strip(), line[15:]
        if label:
            rows = found[label] = []
        rows.append(row)
    return found


def test_a_write_behind_the_heap() -> None:
    assert (
        fault_report(record(), Symbols.of(program()))
        == """\
process 3 (a) was killed: SIGSEGV (SEGV_MAPERR) at 0x10011000
  access       page fault (#PF), CR2 = 0x10011000
               error code 0x6: a write, from user mode, to a page that is not present
  instruction  0x400010 <inner+0x4>: mov qword ptr [rax + rcx*8 + 0x10], rdx  [48 89 54 c8 10]
               rax=0x10010fe0 + rcx=0x2*8 + 0x10 = 0x10011000
  source       a.asm:2: mov [rax+rcx*8+16], rdx
  registers    rax  0x0000000010010fe0   r8   0x0000000000000008
               rbx  0x0000000000000000   r9   0x0000000000000009
               rcx  0x0000000000000002   r10  0x000000000000000a
               rdx  0x0000000000000007   r11  0x000000000000000b
               rsi  0x0000000000000000   r12  0x000000000000000c
               rdi  0x0000000000000000   r13  0x000000000000000d
               rbp  0x0000000000000000   r14  0x000000000000000e
               rsp  0x00007fff00000100   r15  0x000000000000000f
               rip  0x0000000000400010   flags 0x246 [PF ZF IF]
  walk         PGD 0x0000000000003027 ([0] of table 0x2): present, writable, user, accessed -> table 0x3
               PUD 0x0000000000004027 ([0] of table 0x3): present, writable, user, accessed -> table 0x4
               PMD 0x0000000000000000 ([128] of table 0x4): empty: not present
               the PMD entry is not present: the walk ends there
  mapping      nothing is mapped at 0x10011000
               0x1000 bytes above the end of [heap] 0x10000000-0x10010000 rw-p
               0x7ffeeffef000 bytes below the start of [stack] 0x7fff00000000-0x7fff00100000 rw-p, grows down
  sharing      nobody: there is no PTE table
  decision     nothing is mapped there: SIGSEGV, and there is no handler, so process 3 is killed
"""
    )


def test_a_write_to_shared_read_only_memory_names_the_level_and_the_sharers() -> None:
    walk = (
        Step(0, 2, 2 << 9, 0x3027),
        Step(1, 3, 3 << 9, 0x4027),
        Step(2, 4, 4 << 9, 0x5027),
        Step(3, 5, (5 << 9) + 7, 0x6025 | PTE_NX),
    )
    text = fault_report(
        record(
            code=SEGV_ACCERR,
            error=PF_USER | PF_WRITE | PF_PROT,
            walk=walk,
            area=CODE,
            neighbours=(None, None),
            table_count=2,
            frame_count=3,
            sharers=(Sharer(4, True, True), Sharer(5, False, True)),
        )
    )
    rows = sections(text)
    assert rows["access"][1] == "error code 0x7: a write, from user mode, to a page that is present: protection"
    assert rows["walk"][3:] == [
        "PTE 0x8000000000006025 ([7] of table 0x5): present, user, accessed, no-execute -> frame 0x6",
        "the PTE entry does not allow writing",
    ]
    assert rows["mapping"] == ["/bin/a 0x400000-0x402000 r-xp from offset 0x1000"]
    assert rows["sharing"] == [
        "PTE table 0x5: 2 references, also in process 4",
        "frame 0x6: 3 references, also in processes 4, 5",
    ]


def test_a_fetch_from_data_names_no_execute_and_shows_no_instruction() -> None:
    walk = tuple(Step(level, 2 + level, 2 + level << 9, 0x6027 | (PTE_NX if level == 3 else 0)) for level in range(4))
    text = fault_report(record(code=SEGV_ACCERR, error=PF_USER | PF_PROT | PF_INSTR, instruction=b"", walk=walk))
    rows = sections(text)
    assert rows["instruction"] == ["0x400010: cannot be fetched"]
    assert rows["walk"][-1] == "the PTE entry forbids execution"
    assert "an instruction fetch" in rows["access"][1]


def test_an_address_outside_user_space_has_no_walk() -> None:
    rows = sections(fault_report(record(address=0xFFFF_8000_0000_0000, walk=(), neighbours=(STACK, None))))
    assert rows["walk"] == ["none: user addresses end at 0x7ffffffff000"]


def test_a_divide_error_has_a_short_form() -> None:
    text = fault_report(
        record(signo=SIGFPE, code=FPE_INTDIV, vector=VEC_DE, error=0, instruction=bytes.fromhex("f7f9"), walk=())
    )
    rows = sections(text)
    assert text.startswith("process 3 (a) was killed: SIGFPE (FPE_INTDIV)\n")
    assert list(rows) == ["access", "instruction", "registers", "decision"]
    assert rows["access"] == ["divide error (#DE)"]
    assert rows["instruction"] == ["0x400010: idiv ecx  [f7 f9]"]


def test_general_protection_by_a_non_canonical_address_spells_the_address_out() -> None:
    regs = list(record().regs)
    regs[RCX] = 0x8000_0000_0000_0000
    text = fault_report(record(code=SI_KERNEL, vector=VEC_GP, error=0, address=0, regs=tuple(regs), walk=()))
    rows = sections(text)
    assert text.startswith("process 3 (a) was killed: SIGSEGV (SI_KERNEL)\n")
    assert rows["instruction"][1] == "rax=0x10010fe0 + rcx=0x8000000000000000*8 + 0x10 = 0x10010ff0"


def test_bytes_that_are_no_instruction_are_shown() -> None:
    rows = sections(fault_report(record(instruction=bytes.fromhex("0f0b0606")), decode=lambda _code, _at: None))
    assert rows["instruction"] == ["0x400010: no instruction: 0f 0b 06 06"]


def test_a_thread_is_named_beside_its_process() -> None:
    assert fault_report(record(tid=9)).startswith("process 3, thread 9 (a) was killed: ")


def test_thread_pointers_are_shown_when_set() -> None:
    rows = sections(fault_report(record(fs_base=0x7000, gs_base=0)))
    assert rows["registers"][-1] == "fs   0x0000000000007000   gs   0x0000000000000000"


def test_the_disassembler_is_what_is_passed_in() -> None:
    seen: list[tuple[bytes, int]] = []

    def decode(code: bytes, at: int) -> disasm.Instruction | None:
        seen.append((code, at))
        return disasm.one(b"\x90", at)

    assert "nop" in fault_report(record(), decode=decode)
    assert seen == [(record().instruction, record().regs[RIP])]
