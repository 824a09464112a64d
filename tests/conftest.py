"""Shared set-up of the suite. Importing `fakes` and `mm_helpers` by name works because this file is here."""

import gc

pytest_plugins = ["pytester"]


def pytest_collection_finish() -> None:
    """Thousands of test items and what they import live to the end: the collector need not look at them each time."""
    gc.collect()
    gc.freeze()
