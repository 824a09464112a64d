"""The `cli` fixture."""

from pathlib import Path

import pytest
from cli_lab import Cli


@pytest.fixture
def cli(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch) -> Cli:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("EMU_DEBUG", raising=False)
    return Cli(tmp_path, capfdbinary)
