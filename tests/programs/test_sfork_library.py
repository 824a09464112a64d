"""sfork as library functions (rows S1-S4, S15, S16, S18): sfork.h, and sfork.inc assembled, through one C program.

What needs the laboratory's kernel must print there what its comparators on files and segments print on the host.
"""

import functools
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from program_lab import NOT_NATIVE, Run, compiler_missing, in_lab, natively, write_executable

from emu.asm.assembler import system_constants
from emu.program import load_program
from userland.catalogue import INCLUDE

HERE = Path(__file__).parent
SOURCE = HERE / "sfork" / "library.c"
ASSEMBLY = HERE / "sfork" / "calls.asm"
KINDS = ("mmap", "file", "shm")

pytestmark = pytest.mark.skipif(bool(NOT_NATIVE), reason=NOT_NATIVE)


@functools.cache
def build(language: str, directory: Path) -> Path:
    """The program with the functions of sfork.h or sfork.inc."""
    missing = compiler_missing("gcc") or (language == "assembly" and compiler_missing("as"))
    if missing:
        pytest.skip(missing)
    path = directory / language
    objects: list[Path] = []
    if language == "assembly":
        objects.append(assemble(directory))
    command = ["gcc", "-O2", "-static", "-Wall", "-Wextra", "-Werror", f"-I{INCLUDE}", "-o", path, SOURCE, *objects]
    if objects:
        command += ["-DFROM_ASSEMBLY", "-Wl,-z,noexecstack"]
    subprocess.run(command, check=True, timeout=60)
    return path


def assemble(directory: Path) -> Path:
    """sfork.inc as an object file, by GNU as, with the constants that the built-in assembler knows by itself."""
    text = (INCLUDE / "sfork.inc").read_text()
    names = sorted(set(re.findall(r"(?<![.\w])[A-Z]\w+", re.sub(r"#.*", "", text))))
    values = {name: system_constants(name) for name in names}
    assert None not in values.values()
    lead = "".join(f".set {name}, {value}\n" for name, value in values.items())
    (directory / "sfork.s").write_text(f'{lead}.intel_syntax noprefix\n.include "sfork.inc"\n')
    subprocess.run(["as", "--64", f"-I{INCLUDE}", "-o", "sfork.o", "sfork.s"], cwd=directory, check=True, timeout=60)
    return directory / "sfork.o"


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("library")


class Library:
    """One build of the program, run in the lab or on the host."""

    def __init__(self, path: Path, fork: str) -> None:
        self.path = path
        self.fork = fork

    def lab(self, kind: str, what: str) -> Run:
        return in_lab(self.path.read_bytes(), [kind, what], name="library", fork=self.fork)

    def agrees(self, kind: str, what: str) -> list[str]:
        """What the lab prints, which is what the host prints; for `mmap`, which the host lacks, as for a file."""
        found = self.lab(kind, what)
        expected = natively(self.path, ["file" if kind == "mmap" else kind, what])
        assert found.stdout.decode() == expected.stdout.decode()
        assert (found.status, found.stderr) == (expected.status, expected.stderr) == (0, b"")
        return found.stdout.decode().splitlines()


@pytest.fixture(params=["C", "assembly"])
def language(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(params=["classic", "odf"])
def library(request: pytest.FixtureRequest, language: str, directory: Path) -> Library:
    return Library(build(language, directory), request.param)


UNCHANGED = "maps +0 descriptors +0 segments +0 files +0"


@pytest.mark.parametrize("kind", KINDS)
def test_S1_S3_S5_one_region_at_one_address_that_both_write(library: Library, kind: str) -> None:
    """The pid in the parent, 0 in the child; *addr set before the fork, aligned, the same; updates seen at once."""
    assert library.agrees(kind, "both")[:5] == [
        "child: aligned 1, zero 1",
        "parent: same address 1, sees 10 and 20, private 1",
        "child: sees 30",
        "parent: pid 1",
        "child: exit 3",
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_S2_wrong_arguments_change_nothing(library: Library, kind: str) -> None:
    """len 0, addr NULL, no writer, unknown flags: -EINVAL; no child, mapping, descriptor or segment more."""
    lines = library.agrees(kind, "refuse")
    assert [line.split(": ")[1] for line in lines[:6]] == ["-22"] * 6
    assert lines[6:] == ["too long: 1", "addr 0x77, id -1", "waitpid(-1, 0, WNOHANG): errno 10", UNCHANGED]


@pytest.mark.parametrize("who", ["child", "parent"])
@pytest.mark.parametrize("kind", KINDS)
def test_S4_the_side_without_its_flag_reads_and_cannot_write(library: Library, kind: str, who: str) -> None:
    """SIGSEGV with SEGV_ACCERR on a write; EACCES from mprotect, also after another; the writer is not hurt."""
    reader = "parent" if who == "child" else "child"
    lines = library.agrees(kind, who)
    assert lines[:6] == [
        f"{reader}: reads w2",
        "caught 11 code 2",
        "mprotect((void *)p, 3 * PAGE, PROT_READ | PROT_WRITE): errno 13",
        "mprotect((void *)p, 3 * PAGE, PROT_READ): 0",
        "caught 11 code 2",
        f"{reader}: still w",
    ]
    assert lines[-1] == UNCHANGED


@pytest.mark.parametrize("kind", ["file", "shm"])
def test_S15_S16_the_comparators_leave_nothing_behind(library: Library, kind: str) -> None:
    """No name in /tmp, no descriptor, no segment once both sides are through."""
    assert library.agrees(kind, "both")[-2:] == [
        "end 0" if kind == "shm" else "munmap(addr, 3 * PAGE): 0",
        UNCHANGED,
    ]


def test_S16_either_side_may_end_a_segment_and_nobody_has_to(library: Library) -> None:
    """Both calls of sfork_shm_end succeed in any order; without an id the segment goes with its last detach."""
    lines = library.agrees("shm", "unnamed")
    assert lines[1:4] == ["wrote 7, id -1", "shmdt(addr): 0", UNCHANGED]
    assert "child ends 0" in lines
    assert "parent ends 0" in lines
    assert lines[-1] == UNCHANGED


@pytest.mark.parametrize("kind", KINDS)
def test_S18_a_fork_that_fails_unmaps_the_region(library: Library, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """For every choice of flags -EAGAIN, nothing mapped, open or left in the system, and *addr is what it was."""
    monkeypatch.setattr("mini_kernel.process.MAX_TASKS", 1)
    assert library.agrees(kind, "no fork") == [
        *(f"{flags}: -11, addr 0x77" for flags in (1, 2, 3, 5, 6, 7)),
        UNCHANGED,
    ]


def test_S9_S10_a_lazy_region_faults_once_a_page_and_a_populated_one_never(library: Library) -> None:
    """Two sides touch three pages: files and segments fault in each, the region once a page, populated it does not."""
    faults = {(kind, what): library.lab(kind, what).ledger["faults"] for kind in KINDS for what in ("touch", "filled")}
    assert faults["mmap", "touch"]["sfork_install"] == 3
    assert faults["mmap", "filled"].get("sfork_install", 0) == 0
    for kind in ("file", "shm"):
        assert faults[kind, "touch"]["file"] - faults[kind, "filled"].get("file", 0) == 6


def test_S1_the_hosted_function_reports_as_c_libraries_do(directory: Path) -> None:
    """-1 and errno; on a host without MAP_SFORK as well."""
    library = Library(build("C", directory), "classic")
    assert library.lab("mmap", "library").stdout == b"refused: -1 errno 22\nchild: exit 0\nwrote 5\n"
    assert natively(library.path, ["mmap", "library"]).stdout == b"refused: -1 errno 22\nerrno 22\n"


@pytest.mark.parametrize("kind", KINDS)
def test_S1_assembly_calls_the_functions_with_the_system_v_abi(kind: str, tmp_path: Path) -> None:
    """A program that includes sfork.inc: every set of flags, the registers a callee must keep, the stack in place."""
    path = tmp_path / f"{kind}.asm"
    path.write_text(ASSEMBLY.read_text().replace("FUNCTION", f"sfork_{kind}"))
    data = load_program(str(path)).data
    expected = b"".join(b"%d: -22\n" % f if f in (0, 4, 8) else b"%d: 7 0\n" % f for f in (0, 1, 3, 4, 5, 7, 8))
    for fork in ("classic", "odf"):
        found = in_lab(data, fork=fork)
        assert (found.stdout, found.status) == (expected, 0)
    if kind != "mmap":
        native = natively(write_executable(tmp_path / kind, data))
        assert (native.stdout, native.status) == (expected, 0)


FREESTANDING = """
#include "sfork.h"
__attribute__((force_align_arg_pointer)) void _start(void)
{
    void *addr = 0;
    long pid = sfork_file(1, CHILD_WRITE, &addr);
    if (!pid)
        *(char *)addr = 7;
    else
        sfork_call(SFORK_NR_WAIT4, pid, 0, 0, 0, 0, 0);
    sfork_call(SFORK_NR_EXIT_GROUP, *(char *)addr, 0, 0, 0, 0, 0);
}
"""


@pytest.mark.parametrize("options", [("-ffreestanding", "-nostdlib"), ("-std=c99", "-ffreestanding", "-nostdlib")])
def test_the_header_works_without_a_c_library(tmp_path: Path, options: tuple[str, ...]) -> None:
    """No include but its own, in C99; the same natively and here."""
    missing = compiler_missing("gcc")
    if missing:
        pytest.skip(missing)
    (tmp_path / "p.c").write_text(FREESTANDING)
    flags = ["-O2", "-static", "-Wall", "-Wextra", "-Werror", f"-I{INCLUDE}", *options]
    subprocess.run(["gcc", *flags, "-o", "p", "p.c"], cwd=tmp_path, check=True, timeout=60)
    assert natively(tmp_path / "p").status == in_lab((tmp_path / "p").read_bytes()).status == 7


@pytest.mark.skipif(not shutil.which("g++"), reason="g++ is not installed")
def test_the_header_is_c_plus_plus_too(tmp_path: Path) -> None:
    """It compiles without a warning beside the library's headers."""
    (tmp_path / "p.cc").write_text('#include <sys/mman.h>\n#include <sys/shm.h>\n#include "sfork.h"\nint main() {}\n')
    command = ["g++", "-Wall", "-Wextra", "-Wno-unused-function", "-Werror", f"-I{INCLUDE}", "-fsyntax-only", "p.cc"]
    subprocess.run(command, cwd=tmp_path, check=True, timeout=60)
