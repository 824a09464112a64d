"""`emu selftest`: what this host's engine does, check by check."""

import argparse

from emu.machine.selftest import run_selftest


def selftest(arguments: argparse.Namespace) -> int:
    """Print one line per check; 1 if any failed."""
    del arguments
    checks = run_selftest()
    for check in checks:
        print(f"{'ok' if check.ok else 'FAILED':<7}{check.name}: {check.detail}")
    failed = sum(not check.ok for check in checks)
    print(f"{failed} of {len(checks)} checks failed" if failed else f"all {len(checks)} checks passed")
    return 1 if failed else 0
