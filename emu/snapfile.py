"""Snapshots as files: saved by one process, gone on from in another, on any host with the same versions.

    cr3lab snapshot\n        the magic line
    {...}\n                  JSON: versions, RAM size, sizes of the parts
    parts                    kernel objects, CPU state, frame numbers, frames: each compressed by zlib

The kernel's objects are a pickle. It is read with a list of what it may name: what the kernel defines, and plain
containers. A file from elsewhere can still make a kernel that is wrong: load what you would run.
"""

import json
import zlib
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

import numpy as np

from emu.boot import System
from emu.errors import EmuError
from emu.machine import ENGINE_VERSION
from mini_kernel import snapshot
from mini_kernel.snapshot import Image

_MAGIC: Final = b"cr3lab snapshot\n"
_LEVEL: Final = 1  # of zlib: frames are mostly zeros
_LONGEST_HEADER: Final = 1 << 16


def save_snapshot(system: System, path: str | Path) -> None:
    """Write the whole system into a file. Raises EmuError if that fails."""
    image = system.snapshot()
    pieces = [image.objects, image.cpu, image.pfns.tobytes(), image.contents.tobytes()]
    parts = [zlib.compress(piece, _LEVEL) for piece in pieces]
    header = {**_versions(), "memory": system.machine.ram.size, "slice_left": image.slice_left, "parts": _sizes(parts)}
    try:
        Path(path).write_bytes(b"".join([_MAGIC, json.dumps(header).encode(), b"\n", *parts]))
    except OSError as error:
        raise EmuError(f"cannot be written: {error.strerror}", file=str(path)) from None


def load_snapshot(system: System, path: str | Path) -> None:
    """Go on from a file, in a system that was booted with as much RAM. Its streams stay its own.

    Raises EmuError for what is no snapshot of this version; the system is as it was then.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise EmuError(f"cannot be read: {error.strerror}", file=str(path)) from None
    try:
        image = _image(data, system.machine.ram.size)
        snapshot.check_names(image.objects)
    except (ValueError, KeyError, TypeError, zlib.error) as error:
        raise EmuError(f"is no snapshot that can be used here: {error}", file=str(path)) from None
    system.restore(image)


def _image(data: bytes, memory: int) -> Image:
    if not data.startswith(_MAGIC):
        raise ValueError("it does not begin as one")
    end = data.index(b"\n", len(_MAGIC), len(_MAGIC) + _LONGEST_HEADER)
    header: dict[str, Any] = json.loads(data[len(_MAGIC) : end])
    for key, value in {**_versions(), "memory": memory}.items():
        if header[key] != value:
            raise ValueError(f"{key} is {header[key]} there and {value} here")
    objects, cpu, pfns, contents = _parts(data, end + 1, header["parts"])
    numbers = np.frombuffer(pfns, np.int64)
    frames = np.frombuffer(contents, np.uint64).reshape(len(numbers), 512)
    if len(numbers) and not (numbers.min() > 0 and numbers.max() < memory >> 12):
        raise ValueError("a frame is outside of RAM")
    return Image(objects, cpu, int(header["slice_left"]), numbers, frames)


def _parts(data: bytes, at: int, sizes: list[int]) -> Iterator[bytes]:
    for size in sizes:
        yield zlib.decompress(data[at : at + size])
        at += size


def _sizes(parts: list[bytes]) -> list[int]:
    return [len(part) for part in parts]


def _versions() -> dict[str, Any]:
    try:
        ours = version("cr3lab")
    except PackageNotFoundError:
        ours = ""
    return {"cr3lab": ours, "engine": ".".join(map(str, ENGINE_VERSION))}
