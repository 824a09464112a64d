"""userland: the C header compiles everywhere and says what the kernel says; the catalogue finds programs."""

import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mini_kernel import uapi
from userland import catalogue

HEADER = catalogue.INCLUDE / "cr3lab.h"

needs_gcc = pytest.mark.skipif(not shutil.which("gcc"), reason="gcc is not installed")
needs_linux = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() != "x86_64", reason="runs the program natively: needs x86-64 Linux"
)

FREESTANDING = """
#include <cr3lab.h>
void _start(void)
{
    void *addr = 0;
    long a = odfork(), b = sfork(4096, CHILD_WRITE, &addr);
    cr3lab_syscall(231, cr3lab_failed(a) && cr3lab_failed(b) ? (a == -38) + 2 * (b == -38) : 9, 0, 0, 0, 0, 0);
}
"""

HOSTED = """
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <cr3lab.h>
int main(void) { return cr3lab_syscall(SYS_getpid, 0, 0, 0, 0, 0, 0) == getpid() ? 0 : 1; }
"""


def gcc(source: str, directory: Path, *options: str) -> str:
    (directory / "p.c").write_text(source)
    command = ["gcc", "-Wall", "-Wextra", "-Werror", "-O2", f"-I{catalogue.INCLUDE}", *options, "-o", "p", "p.c"]
    subprocess.run(command, cwd=directory, check=True, timeout=60)
    return str(directory / "p")


def test_the_header_agrees_with_the_kernel() -> None:
    """Every constant has the kernel's value."""
    defines = dict(re.findall(r"^#define (\w+) (\w+)", HEADER.read_text(), re.M))
    assert len(defines) == 7
    assert {name: int(value, 0) for name, value in defines.items()} == {n: uapi.constants()[n] for n in defines}


def test_the_sfork_header_agrees_with_the_kernel() -> None:
    """Its numbers go by names of their own; what they stand for is in the comments, and system calls by their names."""
    ours = dict(re.findall(r"SFORK_(\w+) = (\w+)", HEADER.with_name("sfork.h").read_text()))
    known = uapi.constants()
    meanings = {
        "READ": "PROT_READ", "SHARED": "MAP_SHARED", "FIXED": "MAP_FIXED", "ANONYMOUS": "MAP_ANONYMOUS",
        "PREFAULT": "MAP_POPULATE", "OPEN_READ": "O_CLOEXEC", "PRIVATE_KEY": "IPC_PRIVATE", "SHM_READ": "SHM_RDONLY",
        "SHM_OVER": "SHM_REMAP", "REMOVE": "IPC_RMID", "FILL_READ": "MADV_POPULATE_READ",
        "FILL_WRITE": "MADV_POPULATE_WRITE", "KILL": "SIGKILL", "E_EXIST": "EEXIST", "E_INVAL": "EINVAL",
        "E_IDRM": "EIDRM",
    }  # fmt: skip
    expected = {name: known[meaning] for name, meaning in meanings.items()}
    expected |= {name: known[f"SYS_{name[3:].lower()}"] for name in ours if name.startswith("NR_")}
    expected["READ_WRITE"] = known["PROT_READ"] | known["PROT_WRITE"]
    expected["OPEN_NEW"] = known["O_CLOEXEC"] | known["O_RDWR"] | known["O_CREAT"] | known["O_EXCL"]
    assert {n: int(v, 8 if v[0] == "0" and v[1:].isdigit() else 0) for n, v in ours.items()} == expected


@needs_gcc
@needs_linux
def test_the_header_works_without_a_c_library(tmp_path: Path) -> None:
    """On a kernel without them, both calls are ENOSYS."""
    path = gcc(FREESTANDING, tmp_path, "-static", "-nostdlib", "-ffreestanding")
    assert subprocess.run([path], check=False, timeout=30).returncode == 3


@needs_gcc
@needs_linux
@pytest.mark.parametrize("standard", ["gnu99", "gnu11", "gnu17"])
def test_the_header_works_beside_the_c_library(tmp_path: Path, standard: str) -> None:
    """No clash with the headers that name the same things, in the standards people use."""
    assert subprocess.run([gcc(HOSTED, tmp_path, f"-std={standard}")], check=False, timeout=30).returncode == 0


def test_the_catalogue_finds_programs_by_name(tmp_path: Path) -> None:
    """Sources of all kinds, below any folder; anything else is left alone."""
    (tmp_path / "sub").mkdir()
    for name in ("b.asm", "a.c", "sub/c.S", "notes.md"):
        (tmp_path / name).touch()
    assert catalogue.programs(tmp_path) == {
        "a": tmp_path / "a.c",
        "b": tmp_path / "b.asm",
        "c": tmp_path / "sub" / "c.S",
    }
    assert catalogue.programs(tmp_path / "nowhere") == {}
    (tmp_path / "sub" / "a.s").touch()
    with pytest.raises(ValueError, match="two programs are called a"):
        catalogue.programs(tmp_path)
