"""`emu bench`: measure, print a table, write files."""

import argparse
import contextlib
import sys

from emu import bench as library
from emu.cli.files import writable


def bench(arguments: argparse.Namespace) -> int:
    """Measure as the options say."""
    if arguments.list:
        print("\n".join(library.NAMES))
        return 0
    with contextlib.ExitStack() as cleanup:
        writers = (
            (arguments.json, library.to_json),
            (arguments.plot, library.to_svg),
            (arguments.html, library.to_html),
        )
        files = [(cleanup.enter_context(writable("bench", path)), text) for path, text in writers if path is not None]
        report = library.run(arguments.names or None, runs=arguments.runs, quick=arguments.quick, progress=_say)
        print(library.to_table(report), end="")
        for file, text in files:
            file.write(text(report))
    return 0


def _say(name: str) -> None:
    """Progress, on stderr."""
    print(f"measuring {name} ...", file=sys.stderr, flush=True)
