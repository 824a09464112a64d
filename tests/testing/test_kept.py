"""Programs kept from one session to the next are used while nothing that made them is different."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from emu.program import Program
from emu.testing import kept, loading
from emu.testing.loading import keep_in, load

SOURCE = '.include "part.inc"\n_start: mov eax, SYS_exit_group\n mov edi, STATUS\n syscall\n'
PART = ".equ STATUS, 3\n"


@pytest.fixture
def assembled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Program, bool]]:
    """Load test.asm as a new session does: the program, and whether it was assembled."""
    (tmp_path / "kept").mkdir()
    (tmp_path / "test.asm").write_text(SOURCE)
    (tmp_path / "part.inc").write_text(PART)
    monkeypatch.setattr(loading._Here, "kept", None)
    count: list[str] = []
    original = loading.load_program
    monkeypatch.setattr(loading, "load_program", lambda path, **o: (count.append(path), original(path, **o))[1])

    def once(fork_call: int | None = None) -> tuple[Program, bool]:
        loading._load.cache_clear()
        kept._assembler.cache_clear()
        keep_in(tmp_path / "kept")
        count.clear()
        return load(str(tmp_path / "test.asm"), fork_call=fork_call), bool(count)

    return once


def test_a_kept_program_is_the_assembled_one(assembled: Callable[..., tuple[Program, bool]]) -> None:
    first, second = assembled(), assembled()
    assert (first[1], second[1]) == (True, False)
    assert first[0] == second[0]
    assert first[0].image == second[0].image


def _edit(directory: Path) -> None:
    (directory / "test.asm").write_text(SOURCE + "nop\n")


def _edit_include(directory: Path) -> None:
    (directory / "part.inc").write_text(PART.replace("3", "4"))


def _remove_include(directory: Path) -> None:
    (directory / "part.inc").unlink()
    (directory / "sub").mkdir()
    (directory / "sub" / "part.inc").write_text(PART)
    (directory / "part.inc").symlink_to("sub/part.inc")


def _touch_assembler(directory: Path) -> None:
    package = directory / "emu"
    package.mkdir()
    (package / "asm").mkdir()
    (package / "asm" / "parser.py").write_text("")
    kept.__dict__["__file__"] = str(package / "testing" / "kept.py")


def _spoil(directory: Path) -> None:
    (file,) = (directory / "kept").iterdir()
    file.write_bytes(file.read_bytes()[:-20])


def _forge(directory: Path) -> None:
    (file,) = (directory / "kept").iterdir()
    file.write_bytes(b"no such thing")


@pytest.mark.parametrize("change", [_edit, _edit_include, _remove_include, _touch_assembler, _spoil, _forge])
def test_what_is_different_is_assembled_again(
    assembled: Callable[..., tuple[Program, bool]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[Path], None],
) -> None:
    """Source, included file, where it is, assembler, and a file of the cache that is damaged: each is noticed."""
    monkeypatch.setattr(kept, "__file__", kept.__file__)
    assembled()
    change(tmp_path)
    assert assembled()[1]
    assert not assembled()[1]


def test_a_file_that_comes_to_lie_before_that_of_the_library_is_noticed(
    assembled: Callable[..., tuple[Program, bool]], tmp_path: Path
) -> None:
    (tmp_path / "test.asm").write_text('.include "lab.inc"\n_start: hlt\n')
    assembled()
    assert not assembled()[1]
    (tmp_path / "lab.inc").write_text("nop\n")
    assert assembled()[1]


def test_each_value_of_the_constants_makes_a_program_of_its_own(
    assembled: Callable[..., tuple[Program, bool]], tmp_path: Path
) -> None:
    """Each fork kind has its constant."""
    (tmp_path / "test.asm").write_text("_start: mov eax, FORK_CALL\n hlt\n")
    assert [assembled(call)[1] for call in (57, 2000, 57, 2000)] == [True, True, False, False]
    assert assembled(57)[0].data != assembled(2000)[0].data


def test_a_cache_that_cannot_be_written_is_done_without(
    assembled: Callable[..., tuple[Program, bool]], tmp_path: Path
) -> None:
    os.rmdir(tmp_path / "kept")
    assert [assembled()[1] for _ in range(2)] == [True, True]
