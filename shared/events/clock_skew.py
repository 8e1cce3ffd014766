"""What may be said of a moment, when clocks are never quite the same."""

from datetime import datetime, timedelta

from shared.errors import Rejected

CLOCK_SKEW_TOLERANCE = timedelta(minutes=5)
"""How far a sender's clock may be ahead of ours before what it reports counts as not having happened yet."""


def reject_future(field: str, moment: datetime, now: datetime) -> None:
    """Raises Refused for what is said to have happened and cannot have."""
    if moment > now + CLOCK_SKEW_TOLERANCE:
        raise Rejected(
            "in-the-future", f"{field} lies in the future: it is {moment.isoformat()}, and now is {now.isoformat()}."
        )
