"""The course of an alliance, as points that people can follow."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from itertools import islice, takewhile
from typing import Literal
from uuid import UUID

from pydantic import ConfigDict

from services.alliance.domain.detection.baseline import expect_rating
from services.alliance.domain.detection.feedback import client_outcome
from services.alliance.domain.detection.rating import rating_of
from services.alliance.domain.detection.scale import switch_scale
from services.alliance.domain.fold import fold_steps
from services.alliance.domain.policy.policy import Policy
from services.alliance.domain.state.alliance import Alliance
from services.alliance.domain.state.history import HistoryEvent
from shared.events import FeedbackLapsed, FeedbackSubmitted, Score, SessionCancelled, SessionMissed
from shared.runtime.model import Model

POINTS_PER_PAGE = 500
"""More than one relationship has in years, and less than half a second of work for a response of 200 kB."""

PointKind = Literal["client_rating", "clinician_rating", "missed", "cancelled", "unanswered"]


class Point(Model):
    """One answer, one session that was not held, or one form that was not answered."""

    model_config = ConfigDict(frozen=True)

    at: datetime
    what: PointKind
    session_id: UUID
    rating: Score | None = None
    low: Score | None = None
    high: Score | None = None
    """In four of five cases the rating was expected between `low` and `high`."""
    outcome: Score | None = None
    """How the client fares, if the answer reports it."""


@dataclass(frozen=True, slots=True)
class TrajectoryPage:
    """A page of a trajectory."""

    points: list[Point]
    has_next: bool


def trajectory_page(
    events: Iterable[HistoryEvent], policy: Policy, page: int, is_stopped: Callable[[], bool]
) -> TrajectoryPage:
    """A page of the trajectory, from 1, the oldest points first. Folds no event after it, and none once stopped."""
    steps = takewhile(lambda _: not is_stopped(), fold_steps(events, policy))
    points = (point for event, before, _ in steps if (point := point_for(event, before, policy)) is not None)
    start = (page - 1) * POINTS_PER_PAGE
    found = list(islice(points, start, start + POINTS_PER_PAGE + 1))
    return TrajectoryPage(found[:POINTS_PER_PAGE], len(found) > POINTS_PER_PAGE)


def point_for(event: HistoryEvent, before: Alliance, policy: Policy) -> Point | None:
    """The point of `event`; None if the event has none."""
    match event:
        case FeedbackSubmitted():
            is_client, prior = event.rater == "client", policy.prior
            series, rating_prior = before.clinician, prior.clinician
            if is_client:
                series, rating_prior = switch_scale(before, event).client, prior.client
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
