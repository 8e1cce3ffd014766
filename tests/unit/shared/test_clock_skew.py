"""The clock, and the rejection of times in the future."""

from datetime import UTC, datetime, timedelta

import pytest

from shared.errors import Rejected
from shared.events.clock_skew import CLOCK_SKEW_TOLERANCE, reject_future
from shared.runtime.clock import now

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def test_the_clock_has_the_precision_of_the_database() -> None:
    assert all(now().microsecond % 1000 == 0 for _ in range(50))
    assert now().tzinfo is UTC


def test_a_clock_that_is_a_little_ahead_is_tolerated() -> None:
    reject_future("at", NOON + CLOCK_SKEW_TOLERANCE, NOON)

    with pytest.raises(Rejected, match="at is in the future") as raised:
        reject_future("at", NOON + CLOCK_SKEW_TOLERANCE + timedelta(milliseconds=1), NOON)
    assert raised.value.code == "in-the-future"
