"""How long to wait before trying again: longer each time, never in step with others."""

import random
from collections.abc import Iterator

INITIAL_DELAY_SECONDS = 0.1
"""Seconds."""
MAX_DELAY_SECONDS = 5.0
"""Seconds; what was away is noticed to be back within this."""


def backoff(max_delay_seconds: float = MAX_DELAY_SECONDS) -> Iterator[float]:
    """Seconds to wait before each next try: doubling up to `longest`, each shortened by a random part."""
    delay_seconds = INITIAL_DELAY_SECONDS
    while True:
        yield delay_seconds * random.uniform(0.5, 1.0)  # noqa: S311 - spreads the load, protects nothing
        delay_seconds = min(max_delay_seconds, delay_seconds * 2)
