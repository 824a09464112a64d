"""Guest programs whose memory is mapped by huge pages, under classic and on-demand fork, with every invariant checked.

What transparent huge pages do to a program must not show: it prints what it prints on the host.
"""

from pathlib import Path

import pytest
from program_lab import NOT_NATIVE, Run, assemble, compile_c, compiler_missing, in_lab, natively
from test_snapshot import same_future

from emu.errors import EmuError
from emu.render.fault import fault_report
from emu.render.stats import stats_table

HERE = Path(__file__).parent / "huge"
FORKS = pytest.mark.parametrize("fork", ["classic", "odf"])
MADV_HUGEPAGE, MADV_NOHUGEPAGE = "14", "15"

#: 6 MiB at 1 GiB, of which the first byte of each 2 MiB is written; then what the test adds.
BEGIN = """
.text
_start:
    mov edi, 0x40000000
    mov esi, 0x600000
    mov edx, PROT_READ|PROT_WRITE
    mov r10d, MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED|MAP_HUGETLB
    mov r8, -1
    xor r9d, r9d
    mov eax, SYS_mmap
    syscall
    mov r12, rax
    mov byte ptr [r12], 1
    mov byte ptr [r12 + 0x200000], 2
    mov byte ptr [r12 + 0x400000], 3
"""
FORKS_AND_WRITES = (
    BEGIN
    + """
    mov ebx, 3
again:
    mov eax, SYS_fork
    syscall
    inc byte ptr [r12]
    inc byte ptr [r12 + 0x200000 + rbx]
    dec ebx
    jnz again
    movzx edi, byte ptr [r12]
    mov eax, SYS_exit_group
    syscall
"""
)
READ_ONLY = (
    BEGIN
    + """
    mov eax, SYS_fork
    syscall
    test eax, eax
    jz child
    mov eax, SYS_wait4
    mov rdi, -1
    xor esi, esi
    xor edx, edx
    xor r10d, r10d
    syscall
    mov edi, 0
    mov eax, SYS_exit_group
    syscall
child:
    mov eax, SYS_mprotect
    mov rdi, r12
    mov esi, 0x200000
    mov edx, PROT_READ
    syscall
    mov byte ptr [r12 + 0x1234], 1
"""
)


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    if compiler_missing("gcc"):
        pytest.skip(compiler_missing("gcc"))
    place = tmp_path_factory.mktemp("huge")
    return {name: compile_c(HERE / f"{name}.c", place / name) for name in ("transparent", "hugetlb")}


@pytest.fixture(scope="module")
def expected(programs: dict[str, Path]) -> Run:
    if NOT_NATIVE:
        pytest.skip(NOT_NATIVE)
    return natively(programs["transparent"])


@pytest.mark.parametrize(("thp", "advice", "huge"), [
    ("never", MADV_HUGEPAGE, False),
    ("madvise", MADV_HUGEPAGE, True),
    ("always", MADV_NOHUGEPAGE, False),
    ("always", "0", True),
])  # fmt: skip
@FORKS
def test_transparent_huge_pages_do_not_show(
    programs: dict[str, Path], expected: Run, fork: str, thp: str, advice: str, huge: bool
) -> None:
    """Forks, cuts, moves and rights over 8 MiB give the bytes they give on the host, however it is mapped."""
    data = programs["transparent"].read_bytes()
    found = in_lab(data, [advice], name="transparent", fork=fork, thp=thp, check=thp == "madvise")
    assert found.stdout.decode() == expected.stdout.decode()
    assert (found.status, found.stderr) == (expected.status, expected.stderr)
    assert bool(found.ledger["huge_allocated"]) == bool(found.ledger["huge_split"]) == huge


@FORKS
def test_programs_with_hugetlb(programs: dict[str, Path], fork: str) -> None:
    """Private and shared, inherited by one child and by many, parts refused: the recorded output."""
    found = in_lab(programs["hugetlb"].read_bytes(), name="hugetlb", fork=fork)
    assert found.stdout.decode() == (HERE / "hugetlb.txt").read_text()
    assert (found.status, found.stderr) == (0, b"")
    ledger = found.ledger
    assert ledger["huge_split"] == 0
    shared = ledger["faults"].get("table_break", 0) + ledger["faults"].get("table_reuse", 0)
    assert bool(shared) == (fork == "odf")


@FORKS
def test_snapshots_hold_huge_pages(fork: str) -> None:
    """Taken while PMD tables and huge pages are shared; restored it is equal and has the same future."""
    seen = same_future(assemble(FORKS_AND_WRITES), fork=fork)
    assert "8 processes" in seen or "4 processes" in seen
    assert ("shared table" in seen) == (fork == "odf")


def test_the_report_of_a_fault_in_a_huge_page() -> None:
    """The walk ends at the PMD entry, which maps 512 frames; shared is the PMD table, or the huge page."""
    run = in_lab(assemble(READ_ONLY))
    (record,) = run.records
    report = fault_report(record)
    entry, refusal = [line.strip() for line in report.split("\n") if line.strip().startswith(("PMD", "the PMD"))][:2]
    assert entry.endswith(f"-> 512 frames from {record.walk[-1].entry >> 12 & 0xFFFFFFFF:#x}")
    assert "2 MiB page" in entry
    assert refusal == "the PMD entry does not allow writing"
    assert "PMD table" in report
    assert "2 references, also in process 1" in report.partition("frame ")[2]


def test_costs_of_huge_pages_are_shown_where_there_are_any() -> None:
    """A line of its own in --stats, and no line in a run without."""
    run = in_lab(assemble(FORKS_AND_WRITES))
    assert run.ledger["huge_allocated"] == 3
    assert run.ledger["huge_copied"] > 3
    frames = {"allocated": 0, "in_use": 0, "peak": 0, "total": 0}
    stats = {"total": run.ledger, "frames": frames, "processes": [], "tlb_flushes": 0, "code_flushes": 0}
    assert f"huge pages        3 allocated, {run.ledger['huge_copied']} copied, 0 split" in stats_table(stats)
    plain = {**run.ledger, "huge_allocated": 0, "huge_copied": 0}
    assert "huge pages" not in stats_table({**stats, "total": plain})


def test_a_policy_that_is_not_there_is_refused() -> None:
    """--thp takes what /sys/kernel/mm/transparent_hugepage/enabled does."""
    with pytest.raises(EmuError, match="--thp must be one of never, madvise, always, not sometimes"):
        in_lab(assemble(FORKS_AND_WRITES), thp="sometimes")
