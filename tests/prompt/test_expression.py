"""What expressions amount to, and that nothing but them does."""

import random

import pytest

from emu.prompt.errors import PromptError
from emu.prompt.expression import evaluate, parse

MEMORY = {0x1000: 0x1122334455667788, 0x1008: 7}
NAMES = {"rax": 5, "rsp": 0x1000, "eax": 5, "buffer": 0x1008, ".L1": 0x10, "pid": 3}
U64 = (1 << 64) - 1


class Fake:
    """Some names, two words of memory."""

    def name(self, name: str) -> int | None:
        return NAMES.get(name.removeprefix("$"))

    def load(self, address: int, size: int) -> int:
        if address not in MEMORY:
            raise PromptError(f"{address:#x} cannot be read")
        return MEMORY[address] & (1 << size * 8) - 1


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1 + 2 * 3", 7),
        ("(1 + 2) * 3", 9),
        ("10 - 3 - 2", 5),
        ("1 << 4 | 1", 17),
        ("1 << 64", 0),
        ("0x10 ^ 0b11", 0x13),
        ("rax + 8*$rax", 45),
        ("[rsp]", 0x1122334455667788),
        ("byte [rsp]", 0x88),
        ("dword ptr [rsp] & 0xff00", 0x7700),
        ("[rsp + 8] == 7", 1),
        ("*rsp & 0xf", 8),
        ("*buffer", 7),
        ("&buffer + 1", 0x1009),
        (".L1", 0x10),
        ("-1", U64),
        ("-1 == 0xffffffffffffffff", 1),
        ("~0 >> 60", 15),
        ("!0 && !(rax == 6)", 1),
        ("pid == 3 && rax > 4", 1),
        ("rax == 1 || [rsp + 8] == 7", 1),
        ("rax == 1 && [0] == 7", 0),
        ("7 / 2 * 10 + 7 % 4", 33),
        ("'A' + '\\n'", 75),
        ("1 < 2 == 1", 1),
    ],
)
def test_values(text: str, value: int) -> None:
    """C's operators and precedence over 64 unsigned bits; the right side of && is not read where the left decides."""
    assert evaluate(text, Fake()) == value


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "missing"),
        ("1 +", "not a whole expression"),
        ("1 2", "'2' does not belong"),
        ("(1", "')' is missing"),
        ("[rsp", "']' is missing"),
        ("nothing", "no register and no symbol"),
        ("[0x99]", "0x99 cannot be read"),
        ("1 / (rax - 5)", "division by zero"),
        ("12abc", "cannot have"),
        ("rax; 1", "cannot have"),
        ("__import__('os')", "cannot have"),
        ("* 1 /", "not a whole"),
        ("(" * 400 + "1" + ")" * 400, "too deep"),
        ("1" * 500, "too long"),
    ],
)
def test_mistakes_are_told(text: str, says: str) -> None:
    with pytest.raises(PromptError, match=says.replace("'", ".").replace(")", r"\)").replace("]", r"\]")):
        evaluate(text, Fake())


def test_whatever_is_typed_is_a_value_or_a_mistake() -> None:
    """Random pieces give a number of 64 bits or a PromptError, and nothing else."""
    chance = random.Random(7)
    pieces = [
        "1",
        "rax",
        "[",
        "]",
        "(",
        ")",
        "+",
        "-",
        "*",
        "<<",
        "&&",
        "byte",
        "ptr",
        "'a'",
        "$",
        "$3",
        "&",
        "==",
        "x",
    ]
    for _ in range(3000):
        text = " ".join(chance.choice(pieces) for _ in range(chance.randrange(1, 9)))
        try:
            value = parse(text)(Fake())
        except PromptError:
            continue
        assert 0 <= value <= U64, text
