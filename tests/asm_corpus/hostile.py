"""How long answers take: python tests/asm_corpus/hostile.py [SEED]

1,500 typos, 300 token soups and the directed cases through one assembler, and a file of 10,000 lines.
"""

import resource
import sys
import time
from collections.abc import Iterator

from asm_corpus import shapes
from asm_directed import CORRECTED, LONG, REFUSED
from asm_hostile import Hostile, answer
from asm_mutants import Source, soups, typos

from emu import disasm
from emu.asm import Assembler

LINES = 10_000


def directed() -> Iterator[Source]:
    for statement in (*REFUSED, *CORRECTED):
        yield Source(repr(statement), f"nop\nnop\n{statement}\n")
    for name, text in LONG.items():
        yield Source(name, text)


def main(seed: int) -> None:
    with Assembler(disasm.one) as assembler:
        hostile = Hostile(assembler)
        answer(assembler, "nop")
        for kind, sources in (("typos", typos(1500, seed)), ("soups", soups(300, seed)), ("directed", directed())):
            took: list[tuple[float, str]] = []
            faults: list[str] = []
            for source in sources:
                started = time.perf_counter()
                fault = hostile.fault(source.text)
                took.append((time.perf_counter() - started, source.name))
                faults += [f"{source.name}: {fault}"] if fault else []
            took.sort()
            slowest = f"slowest {took[-1][0]:.2f} s ({took[-1][1][:80]})"
            print(
                f"{len(took)} {kind}: median {1000 * took[len(took) // 2][0]:.1f} ms, {slowest}, {len(faults)} faults"
            )
            print(*faults, sep="\n", end="")
        whole = [source for source in shapes() if not answer(assembler, source)][:LINES]
        text = "\n".join((whole * 2)[:LINES])
        for _ in range(3):
            started = time.perf_counter()
            answer(assembler, text)
            print(f"a file of {LINES} lines: {time.perf_counter() - started:.2f} s")
    for name, who in (("this process", resource.RUSAGE_SELF), ("workers", resource.RUSAGE_CHILDREN)):
        print(f"most memory of {name}: {resource.getrusage(who).ru_maxrss >> 10} MiB")


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else 5)
