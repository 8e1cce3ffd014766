"""Exponential backoff with jitter."""

import random
from collections.abc import Iterator

INITIAL_DELAY_SECONDS = 0.1
MAX_DELAY_SECONDS = 5.0
"""The longest time until a recovered dependency is noticed."""


def backoff(max_delay_seconds: float = MAX_DELAY_SECONDS) -> Iterator[float]:
    """The delay before each retry, in seconds: doubled up to the maximum, each shortened by a random part."""
    delay_seconds = INITIAL_DELAY_SECONDS
    while True:
        yield delay_seconds * random.uniform(0.5, 1.0)  # noqa: S311 - spreads the load, protects nothing
        delay_seconds = min(max_delay_seconds, delay_seconds * 2)
