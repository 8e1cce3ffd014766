"""How long to wait before trying again: longer each time, never in step with others."""

import random
from collections.abc import Iterator

FIRST = 0.1
"""Seconds."""
LONGEST = 5.0
"""Seconds; what was away is noticed to be back within this."""


def backoff(longest: float = LONGEST) -> Iterator[float]:
    """Seconds to wait before each next try: doubling up to `longest`, each shortened by a random part."""
    delay_seconds = FIRST
    while True:
        yield delay_seconds * random.uniform(0.5, 1.0)  # noqa: S311 - spreads the load, protects nothing
        delay_seconds = min(longest, delay_seconds * 2)
