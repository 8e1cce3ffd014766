"""How an alliance came to be what it is, as points that a person can follow."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from services.alliance.domain.detection.baseline import expect_rating
from services.alliance.domain.detection.feedback import client_outcome, rating_of
from services.alliance.domain.policy.policy import Policy
from services.alliance.domain.state.alliance import Alliance
from services.alliance.domain.state.history import HistoryEvent
from shared.events import FeedbackLapsed, FeedbackSubmitted, Score, SessionCancelled, SessionMissed

PointKind = Literal["client_rating", "clinician_rating", "missed", "cancelled", "unanswered"]


class Point(BaseModel):
    """One answer, or one session or form that did not come about."""

    model_config = ConfigDict(frozen=True)

    at: datetime
    what: PointKind
    session_id: UUID
    rating: Score | None = None
    low: Score | None = None
    high: Score | None = None
    """Between `low` and `high` the rating was expected, with four chances in five."""
    outcome: Score | None = None
    """How the client fares, where that was said with it."""


def point_for(event: HistoryEvent, before: Alliance, policy: Policy) -> Point | None:
    """What `fact` adds to the picture; none when it adds nothing."""
    match event:
        case FeedbackSubmitted():
            is_client, prior = event.rater == "client", policy.prior
            series, rating_prior = (before.client, prior.client) if is_client else (before.clinician, prior.clinician)
            expected = expect_rating(series, rating_prior, event.occurred_at)
            return Point(
                at=event.occurred_at,
                what="client_rating" if is_client else "clinician_rating",
                session_id=event.session_id,
                rating=rating_of(event),
                low=expected.low,
                high=expected.high,
                outcome=client_outcome(event),
            )
        case SessionMissed():
            return Point(at=event.occurred_at, what="missed", session_id=event.session_id)
        case SessionCancelled():
            return Point(at=event.occurred_at, what="cancelled", session_id=event.session_id)
        case FeedbackLapsed(rater="client"):
            return Point(at=event.occurred_at, what="unanswered", session_id=event.session_id)
        case _:
            return None
