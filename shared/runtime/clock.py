"""What time it is: read only at the edges, and handed inwards."""

from datetime import UTC, datetime


def now() -> datetime:
    """The present moment in UTC, to the millisecond: as fine as MongoDB keeps it."""
    moment = datetime.now(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)
