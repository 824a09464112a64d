"""Writes seeds.py: for each mutant the first random history that finds it. Run it when the model or a mutant changes.

`python tests/mutants/find_seeds.py` takes some minutes.
"""

import re
import subprocess
import sys
from pathlib import Path

from mutants import BLIND, MUTANTS
from test_mutants import KERNEL, asking, model_of, mutate

HEAD = '''"""The first random history that finds each mutant, where the search begins. Written by find_seeds.py."""

SEEDS = {
'''


def main() -> None:
    """All mutants that the model is to find."""
    found: dict[str, int] = {}
    with asking() as ask:
        for mutant in MUTANTS:
            if mutant.name in BLIND:
                continue
            answer = ask(*mutate(mutant), [model_of(mutant)])
            seed = re.search(r"seed (\d+)", answer["why"])
            print(mutant.name, answer["why"][:60], file=sys.stderr)
            if answer["killed"] and seed:
                found[mutant.name] = int(seed[1])
    rows = "".join(f"    {name!r}: {seed},\n" for name, seed in found.items())
    path = Path(__file__).with_name("seeds.py")
    path.write_text(f"{HEAD}{rows}}}\n")
    subprocess.run([sys.executable, "-m", "ruff", "format", "-q", str(path)], check=True, cwd=KERNEL.parent)


if __name__ == "__main__":
    main()
