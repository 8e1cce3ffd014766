"""The clock. It is read only at the edges, and the time is passed inwards."""

from datetime import UTC, datetime


def now() -> datetime:
    """The current time in UTC, truncated to milliseconds, the precision of MongoDB."""
    moment = datetime.now(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)
