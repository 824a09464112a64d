"""Padding in code: the multi-byte nops of SDM vol. 2 (table 4-12), cut up as GNU as 2.40 does for x86-64."""

from typing import Final

_NOPS: Final = tuple(
    bytes.fromhex(text)
    for text in (
        "", "90", "6690", "0f1f00", "0f1f4000", "0f1f440000", "660f1f440000", "0f1f8000000000", "0f1f840000000000",
        "660f1f840000000000", "662e0f1f840000000000", "66662e0f1f840000000000",
    )
)  # fmt: skip


def padding(n: int) -> bytes:
    """`n` bytes of nops, as few instructions as possible: the longest first."""
    longest = len(_NOPS) - 1
    return _NOPS[longest] * (n // longest) + _NOPS[n % longest]
