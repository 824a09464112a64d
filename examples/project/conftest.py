"""Builds what the tests run: `pytest` alone is enough."""

import subprocess
from pathlib import Path

import pytest


def pytest_sessionstart(session: pytest.Session) -> None:
    """`make`, once: not in the workers of pytest-xdist, which come later."""
    if not hasattr(session.config, "workerinput"):
        subprocess.run(["make", "--silent", "-C", str(Path(__file__).parent)], check=True)
