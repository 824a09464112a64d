"""Shared set-up of the suite. Importing `fakes` and `mm_helpers` by name works because this file is here."""

import gc

import pytest

pytest_plugins = ["pytester"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full", action="store_true", help="also the longest searches, which are marked full")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Searches that only go on where a shorter one of the suite begins are run by `make full`."""
    if config.getoption("--full"):
        return
    longest = [item for item in items if item.get_closest_marker("full")]
    config.hook.pytest_deselected(items=longest)
    items[:] = [item for item in items if not item.get_closest_marker("full")]


def pytest_collection_finish() -> None:
    """Thousands of test items and what they import live to the end: the collector need not look at them each time."""
    gc.collect()
    gc.freeze()
