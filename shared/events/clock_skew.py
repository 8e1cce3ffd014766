"""Rejecting times in the future, with a tolerance for clock skew."""

from datetime import datetime, timedelta

from shared.errors import Rejected

CLOCK_SKEW_TOLERANCE = timedelta(minutes=5)
"""How far a sender's clock may be ahead of ours before a time that it reports counts as in the future."""


def reject_future(field: str, moment: datetime, now: datetime) -> None:
    """Raises Rejected if `moment` is after `now` by more than the tolerance."""
    if moment > now + CLOCK_SKEW_TOLERANCE:
        raise Rejected(
            "in-the-future",
            f"{field} is in the future: {moment.isoformat()}; the time is now {now.isoformat()}.",
        )
