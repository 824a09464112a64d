"""."""

SEEDS: dict[str, int] = {}
