"""drcov, version 2: the blocks that ran, by module (DynamoRIO's drcovlib), for coverage views of disassemblers."""

import struct
from pathlib import Path
from typing import Final

from emu.coverage.collect import Counts
from mini_kernel.elf import parse_bytes

_BLOCK: Final = struct.Struct("<IHH")  # offset in the module, size, module
_LARGEST: Final = 0xFFFF


def to_drcov(path: Path | str, data: bytes, counts: Counts) -> bytes:
    """The blocks of a program, whose file is `path` with content `data`. Each is named once, however often it ran."""
    image = parse_bytes(data)
    base = min(segment.vaddr for segment in image.segments) & -4096
    end = max(segment.vaddr + segment.memsz for segment in image.segments) + 4095 & -4096
    blocks = sorted((address, size) for address, size in counts.blocks if base <= address < end)
    head = (
        "DRCOV VERSION: 2\nDRCOV FLAVOR: cr3lab\nModule Table: version 2, count 1\n"
        "Columns: id, base, end, entry, path\n"
        f"  0, {base:#018x}, {end:#018x}, {image.entry:#018x}, {path}\n"
        f"BB Table: {len(blocks)} bbs\n"
    )
    rows = (_BLOCK.pack(address - base, min(size, _LARGEST), 0) for address, size in blocks)
    return head.encode() + b"".join(rows)
