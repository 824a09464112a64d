"""RAM that goes back to the same content again and again has it each time, and zeros elsewhere."""

import mmap

import numpy as np
import pytest

from emu.machine.ram import Ram
from emu.machine.recall import WORTH_FRAMES, runs

FRAMES = 4096


class Key:
    """Stands for a snapshot."""


def content(seed: int, n: int = WORTH_FRAMES + 100) -> tuple[Key, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    pfns = np.sort(rng.choice(np.arange(1, FRAMES), n, replace=False))
    return Key(), pfns, rng.integers(0, 1 << 63, (n, 512), np.uint64)


@pytest.fixture
def ram() -> Ram:
    ram = Ram(FRAMES << 12)
    ram.tables[0] = 7  # reserved at boot
    return ram


def test_content_comes_back_whatever_was_written_and_whichever_was_asked_for_before(ram: Ram) -> None:
    """Two large contents and a small one in every order; what was written elsewhere is gone where that is promised."""
    a, b, small = content(1), content(2), content(3, 10)
    expected = {}
    for key, pfns, contents in (a, b, small):
        expected[key] = (pfns, contents)
    cleared = []
    for key, pfns, contents in (a, a, a, b, a, b, b, small, b, a, a, small, small, a, a):
        ram.tables[100:3000:7] = 0xBAD
        only = ram.recall(key, pfns, contents)
        cleared.append(only)
        assert np.array_equal(ram.tables[pfns], contents)
        assert (ram.tables[0] == 7).all()
        if only:
            others = np.setdiff1d(np.arange(1, FRAMES), pfns)
            assert not ram.tables[others].any()
    assert cleared == [0, 1, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 0, 1, 1]


def test_discarded_frames_read_as_zero_with_a_file_under_them(ram: Ram) -> None:
    key, pfns, contents = content(4)
    ram.recall(key, pfns, contents)
    assert ram.recall(key, pfns, contents)
    ram.discard(500, 900)
    assert not ram.tables[500:900].any()
    kept = (pfns < 500) | (pfns >= 900)
    assert np.array_equal(ram.tables[pfns[kept]], contents[kept])
    ram.recall(key, pfns, contents)
    assert np.array_equal(ram.tables[pfns], contents)
    ram.release()
    assert not ram.tables[1:].any()


def test_without_files_in_memory_everything_is_copied(ram: Ram, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("os.memfd_create", raising=False)
    key, pfns, contents = content(5)
    assert [ram.recall(key, pfns, contents) for _ in range(3)] == [False] * 3
    assert np.array_equal(ram.tables[pfns], contents)


def test_neighbours_are_written_together() -> None:
    pfns = np.array([3, 4, 5, 9, 11, 12])
    found = [(first, len(data) // mmap.PAGESIZE) for first, data in runs(pfns, np.zeros((6, 512), np.uint64))]
    assert found == [(3, 3), (9, 1), (11, 2)]
    assert list(runs(pfns[:0], np.zeros((0, 512), np.uint64))) == []
