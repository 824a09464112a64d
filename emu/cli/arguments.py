"""Types of command-line arguments, and the options that every command with a program has."""

import argparse
from typing import Any, Final, Protocol

SYNTAXES: Final = ("intel", "att", "nasm")
ASSEMBLERS: Final = ("keystone", "gas", "nasm")
_UNITS: Final = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


class Parser(Protocol):
    """What options can be added to: a parser or a group of one."""

    def add_argument(self, *names: str, **settings: Any) -> object:
        """argparse's."""
        ...


def size(text: str) -> int:
    """Bytes: a number with K, M, G or T behind it, 512M; `iB` and `B` may follow."""
    upper = text.upper().removesuffix("B").removesuffix("I")
    number, unit = (upper[:-1], upper[-1:]) if upper[-1:].isalpha() else (upper, "")
    if unit not in _UNITS or not number.isascii() or not number.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not a size such as 4096, 512M or 4G")
    return int(number) * _UNITS[unit]


def natural(text: str) -> int:
    """A number from 0 on, decimal or with 0x."""
    try:
        value = int(text, 0)
    except ValueError:
        value = -1
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 on")
    return value


def port(text: str) -> int:
    """A TCP port, 0 for any."""
    value = natural(text)
    if value > 65535:
        raise argparse.ArgumentTypeError(f"{text} is not a port: 65535 is the last")
    return value


def positive(text: str) -> int:
    """A number from 1 on."""
    value = natural(text)
    if not value:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


def seconds(text: str) -> float:
    """A time above 0, at most a year."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 366 * 86400:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time in seconds, more than 0")
    return value


def variable(text: str) -> tuple[str, str]:
    """K=V."""
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form NAME=VALUE")
    return key, value


def add_assembler(parser: Parser) -> None:
    """--assembler and --syntax."""
    parser.add_argument("--assembler", choices=ASSEMBLERS, help="what assembles source (default: keystone, built in)")
    parser.add_argument("--syntax", choices=SYNTAXES, help="how source is written (default: intel; for nasm, nasm)")


def assembler_of(arguments: argparse.Namespace) -> tuple[Any, Any]:
    """(assembler, syntax) for load_program. Raises ArgumentTypeError for two that contradict each other."""
    assembler, syntax = arguments.assembler, arguments.syntax
    if (assembler, syntax) in (("gas", "nasm"), ("nasm", "intel"), ("nasm", "att")):
        raise argparse.ArgumentTypeError(f"--assembler {assembler} does not read --syntax {syntax}")
    return assembler or "keystone", syntax or ("nasm" if assembler == "nasm" else "intel")


def add_system(parser: Parser) -> None:
    """The options that say how a system is made."""
    parser.add_argument("--mem", type=size, metavar="SIZE", help="guest RAM, sparse (default 4G)")
    parser.add_argument("--fork", metavar="KIND", default="classic", help="what plain fork(2) means at the start")
    parser.add_argument("--seed", type=natural, default=0, metavar="N", help="seed of everything random (default 0)")
    parser.add_argument(
        "--schedule",
        type=natural,
        metavar="N",
        help="another order of the tasks, which N chooses: they lose the CPU between any two instructions (slow)",
    )
    parser.add_argument("--root", metavar="DIR", help="serve this directory read-only as /; writes go to memory")
    parser.add_argument("--root-writable", action="store_true", help="make changes below --root on the host, too")
    parser.add_argument("--cwd", metavar="DIR", default="/", help="where the guest starts, a directory of its own tree")
    parser.add_argument("--env", type=variable, action="append", default=[], metavar="K=V", help="add a variable")
    parser.add_argument("--stdin", metavar="FILE", help="the guest's standard input")
    parser.add_argument("--check", action="store_true", help="recompute the memory invariants after every entry (slow)")
    parser.add_argument("--thp", metavar="MODE", default="never", help="transparent huge pages: never, madvise, always")
    parser.add_argument("--max-insns", type=natural, metavar="N", help="stop after exactly N instructions (slow)")
    parser.add_argument("--timeout", type=seconds, metavar="S", help="stop after this many seconds")


def add_program(parser: argparse.ArgumentParser) -> argparse.Action:
    """PROG and what is behind it, which belongs to the guest whatever it looks like: see `program_of`."""
    return parser.add_argument(
        "command_line",
        metavar="PROG [ARGS...]",
        nargs=argparse.PARSER,  # all from the first that is no option; REMAINDER would lose a `--`
        help=".asm, .nasm, .s, .S source, a static ELF file, or - for source on stdin; then the guest's arguments",
    )


def program_of(arguments: argparse.Namespace) -> tuple[str, list[str]]:
    """(PROG, ARGS). Raises ArgumentTypeError if there is nothing behind a `--`."""
    words: list[str] = arguments.command_line
    if words[0] == "--":
        words = words[1:]
    if not words:
        raise argparse.ArgumentTypeError("PROG is missing")
    return words[0], words[1:]
