"""Snapshots in the middle of connections, of descriptors on their way, and of tasks that wait for messages."""

from pathlib import Path

import pytest
from program_lab import NOT_NATIVE, compile_c, compiler_missing
from test_snapshot import same_future

C = Path(__file__).parent / "c"

pytestmark = pytest.mark.skipif(bool(NOT_NATIVE), reason=NOT_NATIVE)


@pytest.mark.parametrize("name", ["net/unix_rights", "net/key_value_server", "ipc/msg_waiters"])
def test_sockets_and_queues_have_the_same_future_from_every_snapshot(name: str, tmp_path: Path) -> None:
    """What is in their buffers, and who waits for them, is restored."""
    missing = compiler_missing("gcc")
    if missing:
        pytest.skip(missing)
    data = compile_c(C / f"{name}.c", tmp_path / "program", "gcc", f"-I{C}").read_bytes()
    assert same_future(data, (60, 150, 400))
