"""Failures of ours, in a line."""

import os
import traceback


def internal_text(error: Exception) -> str:
    """What, and where; the whole traceback goes to stderr if EMU_DEBUG is set."""
    if os.environ.get("EMU_DEBUG"):
        traceback.print_exc()
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({os.path.basename(frames[-1].filename)}:{frames[-1].lineno} in {frames[-1].name})" if frames else ""
    text = " ".join(str(error).split()) or "no further details"
    return f"emu: internal error: {type(error).__name__}: {text}{where}"
