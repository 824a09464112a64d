"""`emu`: the commands, and what becomes of everything that can go wrong.

Exit status: the guest's; 128 + N if signal N killed it; 124 for a spent limit or a deadlock; 130 after Ctrl-C; 125
for a failure of ours; 2 for wrong usage or a program that cannot be loaded.
"""

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from typing import Any, Final

from emu.cli import arguments as options
from emu.cli.failure import internal_text
from emu.errors import EmuError

USAGE_ERROR: Final = 2
INTERNAL_ERROR: Final = 125
INTERRUPTED: Final = 128 + signal.SIGINT
BROKEN_PIPE: Final = 128 + signal.SIGPIPE

_DESCRIPTION: Final = "Runs x86-64 Linux programs on an emulated CPU with real page tables and a kernel in Python."
_STATUS: Final = """exit status:
  the guest's; 128+N if signal N killed it; 124 for a spent limit or a deadlock; 130 after Ctrl-C;
  125 for a failure of ours (EMU_DEBUG=1 shows more); 2 for wrong usage or a program that cannot be loaded"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit status."""
    arguments = _parser().parse_args(argv)
    # numpy's BLAS is not used here, but loading it starts a thread per core: half of numpy's start-up time.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        return arguments.command(_behind(arguments) if "own" in arguments else arguments)
    except argparse.ArgumentTypeError as error:
        return _say(f"emu: error: {error}", USAGE_ERROR)
    except EmuError as error:
        return _say(str(error) if error.file else f"emu: error: {error}", USAGE_ERROR)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        _abandon_output()
        return BROKEN_PIPE
    except Exception as error:
        return _internal(error)


def _behind(arguments: argparse.Namespace) -> argparse.Namespace:
    """With the options behind PROG as well, where there is nothing but options: `emu gdb PROG --port N`.

    Otherwise what is there belongs to the guest. So do such options themselves behind a `--`.
    """
    prog, *words = arguments.command_line or [""]
    told = words[:1] == ["--"]  # that they are the guest's
    found = _all_options(arguments, words[told:])
    if found is None:
        return arguments
    if told:
        arguments.command_line = [prog, *words[1:]]
        return arguments
    found.command_line = [prog]
    return found


def _all_options(arguments: argparse.Namespace, words: Sequence[str]) -> argparse.Namespace | None:
    """The arguments with these added, None if they are not all options of the command with their values."""
    if not words or not words[0].startswith("-") or {"-h", "--help", "--"} & {*words}:
        return None
    parser: argparse.ArgumentParser = arguments.own
    parser.exit_on_error = False
    try:
        found, unknown = parser.parse_known_args([*words, "--", "PROG"], argparse.Namespace(**vars(arguments)))
    except argparse.ArgumentError as error:
        raise argparse.ArgumentTypeError(f"{error} (behind PROG; what is behind a -- is the guest's)") from None
    return found if not unknown and found.command_line in (["PROG"], ["--", "PROG"]) else None


def _say(text: str, status: int) -> int:
    print(text, file=sys.stderr)
    return status


def _internal(error: Exception) -> int:
    """A failure of ours: what, and where."""
    hint = "" if os.environ.get("EMU_DEBUG") else "\nemu: EMU_DEBUG=1 shows the whole traceback"
    return _say(internal_text(error) + hint, INTERNAL_ERROR)


def _abandon_output() -> None:
    """Nobody reads any more: let the interpreter's last flush succeed."""
    null = os.open(os.devnull, os.O_WRONLY)
    for fd in (1, 2):
        os.dup2(null, fd)


class _Version(argparse.Action):
    """--version, which looks the version up only when asked."""

    def __call__(self, parser: argparse.ArgumentParser, *_rest: Any) -> None:
        from importlib.metadata import version

        print(f"emu (cr3lab) {version('cr3lab')}, unicorn {version('unicorn')}")
        parser.exit()


class _Script(argparse.Action):
    """-x and -ex, kept in the order they came: (option, value)."""

    def __call__(self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, *rest: Any) -> None:
        namespace.scripts = [*namespace.scripts, (self.option_strings[0], values)]


class _Replay(argparse.Action):
    """--replay FILE, with which no PROG is needed: the recording has it."""

    def __init__(self, *names: Any, program: argparse.Action, **settings: Any) -> None:
        super().__init__(*names, **settings)
        self._program = program

    def __call__(self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, *rest: Any) -> None:
        self._program.nargs = argparse.REMAINDER
        namespace.replay = values


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "emu",
        description=_DESCRIPTION,
        epilog=_STATUS,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, help_text, add, command in (
        ("run", "run a program", _add_run, _run),
        ("asm", "assemble a program", _add_asm, _asm),
        ("debug", "debug a program, forward and back", _add_debug, _debug),
        ("gdb", "serve a program to gdb", _add_gdb, _gdb),
        ("bench", "measure, and compare with the host", _add_bench, _bench),
        ("selftest", "check the engine and the calibrations the machine depends on", _add_selftest, _selftest),
    ):
        sub = commands.add_parser(
            name,
            help=help_text,
            description=help_text[0].upper() + help_text[1:] + ".",
            epilog=_STATUS if name == "run" else None,
            allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        sub.set_defaults(command=command)
        add(sub)
    return parser


def _add_run(parser: argparse.ArgumentParser) -> None:
    parser.usage = "emu run [OPTIONS] PROG [ARGS...]"
    options.add_program(parser)
    options.add_assembler(parser)
    options.add_system(parser.add_argument_group("system"))
    output = parser.add_argument_group("output (on stderr, or to a file)")
    output.add_argument("--stats", action="store_true", help="print the cost ledger at the end")
    output.add_argument("--stats-json", metavar="FILE", help="write the cost ledger as JSON")
    output.add_argument("--strace", action="store_true", help="print system calls and signals")
    output.add_argument("-e", dest="trace", metavar="trace=SET", help="which calls: names, %%classes, ! for all others")
    output.add_argument("-k", dest="strace_where", action="store_true", help="--strace with where each call comes from")
    output.add_argument("--strace-out", metavar="FILE", help="write the --strace lines to a file")
    output.add_argument(
        "--trace",
        dest="trace_out",
        metavar="FILE",
        help="write events, a line each; *.json: for Perfetto",
    )
    output.add_argument(
        "--trace-filter", metavar="FILTER", default="", help="which: syscalls, faults(cow_*), insns(f)..."
    )
    output.add_argument(
        "--coverage", metavar="DIR", help="write which blocks and lines ran: drcov files, lcov.info (slow)"
    )
    output.add_argument("--record", metavar="FILE", help="write a recording, to be replayed by emu debug or gdb")


def _add_asm(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("prog", metavar="PROG", help="source, or - for stdin")
    parser.add_argument("-o", dest="output", metavar="OUT.elf", help="what to write (default: PROG with .elf)")
    parser.add_argument("--listing", action="store_true", help="show address, bytes, source; no ELF file without -o")
    parser.add_argument("--listing-out", metavar="FILE", help="write the --listing to a file")
    parser.add_argument("--symbols", action="store_true", help="show the labels and constants; no ELF file without -o")
    options.add_assembler(parser)


def _add_debug(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(own=parser)
    parser.usage = _usage("debug")
    program = options.add_program(parser)
    options.add_assembler(parser)
    options.add_system(parser.add_argument_group("system"))
    commands = parser.add_argument_group("commands (`help` at the prompt lists them)")
    parser.set_defaults(scripts=[])
    commands.add_argument("-x", action=_Script, metavar="FILE", help="run the commands in a file first")
    commands.add_argument("-ex", action=_Script, metavar="COMMAND", help="run a command first")
    _add_replay(parser, program)
    commands.add_argument("--tui", action="store_true", help="full screen: code, registers, tables, processes, events")
    commands.add_argument("--batch", action="store_true", help="end after these; exit status 1 if one failed")


def _usage(command: str) -> str:
    """Of a command whose options may stand behind PROG, see `_behind`."""
    usages = "[OPTIONS] PROG [ARGS...]", "PROG [OPTIONS]", "[OPTIONS] --replay FILE"
    return "\n       ".join(f"emu {command} {usage}" for usage in usages)


def _add_replay(parser: argparse.ArgumentParser, program: argparse.Action) -> None:
    words = "replay what emu run --record FILE has written"
    parser.add_argument("--replay", action=_Replay, program=program, metavar="FILE", help=words)


def _add_gdb(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(own=parser)
    parser.usage = _usage("gdb")
    _add_replay(parser, options.add_program(parser))
    options.add_assembler(parser)
    options.add_system(parser.add_argument_group("system"))
    parser.add_argument(
        "--port", type=options.port, default=0, metavar="N", help="of 127.0.0.1 (default: any free one)"
    )
    parser.add_argument("--once", action="store_true", help="end after the first session")


def _add_bench(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", metavar="NAME", nargs="*", help="what to measure (default: everything)")
    parser.add_argument("--list", action="store_true", help="show what can be measured")
    parser.add_argument("--runs", type=options.positive, default=7, metavar="N", help="repetitions (default 7)")
    parser.add_argument("--quick", action="store_true", help="tiny loops: shows that it works, not how fast it is")
    for name in ("json", "plot", "html"):
        kind = {"json": "the figures", "plot": "an SVG picture", "html": "a page"}[name]
        suffix = {"plot": ".svg", "html": ".html"}.get(name, "")
        parser.add_argument(f"--{name}", metavar=f"FILE{suffix}", help=f"write {kind}")


def _add_selftest(parser: argparse.ArgumentParser) -> None:
    del parser  # no options


def _run(arguments: argparse.Namespace) -> int:
    from emu.cli.run import run

    return run(arguments)


def _asm(arguments: argparse.Namespace) -> int:
    from emu.cli.assemble import assemble

    return assemble(arguments)


def _debug(arguments: argparse.Namespace) -> int:
    from emu.cli.debug import debug

    return debug(arguments)


def _gdb(arguments: argparse.Namespace) -> int:
    from emu.cli.gdb import gdb

    return gdb(arguments)


def _bench(arguments: argparse.Namespace) -> int:
    from emu.cli.bench import bench

    return bench(arguments)


def _selftest(arguments: argparse.Namespace) -> int:
    from emu.cli.selftest import selftest

    return selftest(arguments)


if __name__ == "__main__":
    sys.exit(main())
