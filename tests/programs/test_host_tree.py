"""`--root-writable`: a program changes a tree on the host, natively and in the lab, and leaves the same behind."""

import os
from pathlib import Path

import pytest
from program_lab import NOT_NATIVE, compile_c, compiler_missing, in_lab, natively

HERE = Path(__file__).parent

pytestmark = pytest.mark.skipif(
    bool(NOT_NATIVE or compiler_missing("gcc")), reason=NOT_NATIVE or compiler_missing("gcc")
)


def plant(root: Path) -> Path:
    """What the program finds."""
    for name in ("old/deep", "old/full"):
        (root / name).mkdir(parents=True)
    for name in ("text", "appended", "emptied", "moved", "removed", "full/inside"):
        (root / "old" / name).write_text(f"content of {name}")
    return root


def tree(root: Path) -> dict[str, tuple[object, ...]]:
    """Names, types, modes, links, content, and what was set of the times."""
    found: dict[str, tuple[object, ...]] = {}
    for path in sorted(root.rglob("*")):
        info = path.lstat()
        content = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else b""
        time = info.st_mtime_ns if path.name == "victim" else 0
        found[str(path.relative_to(root))] = (oct(info.st_mode), info.st_nlink, content, time)
    return found


@pytest.fixture(scope="module")
def changes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_c(HERE / "tree" / "changes.c", tmp_path_factory.mktemp("tree") / "changes")


@pytest.mark.parametrize("fork", ["classic", "odf"])
def test_what_the_guest_changes_is_what_a_native_program_changes(changes: Path, tmp_path: Path, fork: str) -> None:
    there, here = plant(tmp_path / "native"), plant(tmp_path / "lab")
    expected = natively(changes, cwd=there)
    found = in_lab(changes.read_bytes(), fork=fork, root=str(here), root_writable=True)
    assert found.stdout.decode() == expected.stdout.decode()
    assert tree(here) == tree(there)


def test_read_only_the_guest_sees_its_changes_and_the_host_none(changes: Path, tmp_path: Path) -> None:
    there, here = plant(tmp_path / "native"), plant(tmp_path / "lab")
    before = tree(here)
    expected = natively(changes, cwd=there)
    found = in_lab(changes.read_bytes(), root=str(here))
    assert found.stdout.decode() == expected.stdout.decode()
    assert tree(here) == before
