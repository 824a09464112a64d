"""The oracle tests use the model of memory as well: it says what the CPU has to show."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "model"))
