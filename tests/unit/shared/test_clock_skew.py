"""What time it is, and what may be said of a moment."""

from datetime import UTC, datetime, timedelta

import pytest

from shared.errors import Rejected
from shared.events.clock_skew import CLOCK_SKEW_TOLERANCE, reject_future
from shared.runtime.clock import now

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def test_the_clock_is_as_fine_as_the_database_keeps_it() -> None:
    assert all(now().microsecond % 1000 == 0 for _ in range(50))
    assert now().tzinfo is UTC


def test_a_clock_that_is_a_little_ahead_is_not_held_against_its_owner() -> None:
    reject_future("at", NOON + CLOCK_SKEW_TOLERANCE, NOON)

    with pytest.raises(Rejected, match="at lies in the future") as raised:
        reject_future("at", NOON + CLOCK_SKEW_TOLERANCE + timedelta(milliseconds=1), NOON)
    assert raised.value.code == "in-the-future"
