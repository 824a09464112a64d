"""What becomes of the corpus: python tests/asm_corpus/report.py

Three columns for each line: Keystone alone, given the line as it stands; GNU as; and emu.asm. `corrected` is what
Keystone alone gets wrong or refuses and emu.asm gets right.
"""

import re
import sys
from collections import Counter
from collections.abc import Sequence

from asm_corpus import Answers, ours, shapes, verdicts

from emu import disasm
from emu.asm import Assembler
from emu.asm.engine import Engine

CHUNK = 100


def alone(engine: Engine, sources: Sequence[str]) -> list[bytes | str]:
    """Keystone's own answer to each line."""
    found: list[bytes | str] = []
    while len(found) < len(sources):
        answers = engine.encode(sources[len(found) : len(found) + CHUNK])
        found += [a if isinstance(a, bytes) else a.message for a in answers if "not assembled" not in str(a)]
    return found


def main() -> None:
    sources, theirs = list(shapes()), list(shapes().values())
    engine = Engine()
    raw = verdicts(Answers(sources, theirs, alone(engine, sources)))
    engine.close()
    with Assembler(disasm.one) as assembler:
        final = verdicts(Answers(sources, theirs, ours(assembler, sources)))
    counts: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    for before, after in zip(raw, final, strict=True):
        right = after.kind in ("same", "equal")
        counts[after.kind if not right else "accepted" if before.kind in ("same", "equal") else "corrected"] += 1
        if right and before.kind in ("wrong", "refused"):
            said = str(before.found) if before.kind == "refused" else "other bytes"
            reasons[f"corrected: Keystone alone: {said}"] += 1
        if after.kind == "refused":
            reasons[f"refused: {re.sub(', so .*', '', str(after.found))}"] += 1
    print(f"{len(sources)} shapes: {dict(counts)}; Keystone alone: {dict(Counter(v.kind for v in raw))}")
    for reason, count in reasons.most_common():
        print(f"{count:6} {reason}")
    sys.exit(bool(counts["wrong"]))


if __name__ == "__main__":
    main()
