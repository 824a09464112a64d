"""Plugin tests run pytest inside pytest; programs come from the helpers of tests/programs."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "programs"))
