"""A simulated relationship as the facts that a clinic would have told of it, a session a week."""

from datetime import UTC, datetime, timedelta
from typing import get_args
from uuid import NAMESPACE_OID, UUID, uuid5

import numpy as np

from evaluation.relationships import AWAY, EXCUSED, HELD, Numbers, Seen
from services.alliance.domain.state.history import Fact
from shared.events import (
    ConsentGiven,
    Element,
    FeedbackLapsed,
    FeedbackSubmitted,
    Rater,
    RelationshipStarted,
    SessionCancelled,
    SessionCompleted,
    SessionMissed,
)

ELEMENTS: tuple[Element, ...] = get_args(Element)
BEGINNING = datetime(2026, 1, 5, 10, tzinfo=UTC)
EARLY, LATER, LAPSES = timedelta(hours=1), timedelta(hours=2), timedelta(days=3)


def facts_of(seen: Seen, row: int, relationship: UUID | None = None) -> list[Fact]:
    """Everything that was seen of one relationship, in the order in which it happened."""
    relationship = relationship or uuid5(NAMESPACE_OID, f"simulated {row}")
    facts: list[Fact] = [
        RelationshipStarted(
            id=uuid5(relationship, "started"),
            occurred_at=BEGINNING - timedelta(days=3),
            relationship_id=relationship,
            clinic_id=uuid5(NAMESPACE_OID, "clinic"),
            clinician_id=uuid5(NAMESPACE_OID, "clinician"),
            client_id=uuid5(relationship, "client"),
            case_code="SIM",
            aims=("coping",),
            cadence_days=7,
        ),
        ConsentGiven(
            id=uuid5(relationship, "consent"),
            occurred_at=BEGINNING - timedelta(days=2),
            relationship_id=relationship,
        ),
    ]
    for week in range(seen.total.shape[1]):
        facts += _week(_Week(relationship, week), seen, row)
    return facts


class _Week:
    """The names and the times of one appointment."""

    def __init__(self, relationship: UUID, week: int) -> None:
        self.relationship = relationship
        self.session = uuid5(relationship, f"session {week}")
        self.at = BEGINNING + timedelta(weeks=week)


def _week(week: _Week, seen: Seen, row: int) -> list[Fact]:
    number = (week.at - BEGINNING).days // 7
    relationship, session, became = week.relationship, week.session, seen.appointment[row, number]
    if became == AWAY:
        return [
            SessionMissed(
                id=uuid5(session, "missed"), occurred_at=week.at, relationship_id=relationship, session_id=session
            )
        ]
    if became == EXCUSED:
        return [
            SessionCancelled(
                id=uuid5(session, "cancelled"),
                occurred_at=week.at - timedelta(hours=96),
                relationship_id=relationship,
                session_id=session,
                by="client",
                notice_hours=96,
            )
        ]
    if became != HELD:
        return []
    held = SessionCompleted(
        id=uuid5(session, "completed"),
        occurred_at=week.at,
        relationship_id=relationship,
        session_id=session,
        minutes=50,
        planned_minutes=50,
    )
    first = bool(seen.clinician_first[row, number])
    client = _client(week, seen.elements[row, number], seen.told[row, number], LATER if first else EARLY)
    clinician = seen.clinician[row, number]
    if np.isnan(clinician):
        return [held, client]
    ratings = np.full(len(ELEMENTS), clinician)
    other = _answer(week, "clinician", ratings, seen.told_by_clinician[row, number], EARLY if first else LATER)
    return [held, *sorted([client, other], key=lambda fact: fact.occurred_at)]


def _client(week: _Week, ratings: Numbers, told: float, after: timedelta) -> FeedbackSubmitted | FeedbackLapsed:
    if not np.isnan(ratings).any():
        return _answer(week, "client", ratings, told, after)
    return FeedbackLapsed(
        id=uuid5(week.session, "lapsed client"),
        occurred_at=week.at + LAPSES,
        relationship_id=week.relationship,
        session_id=week.session,
        rater="client",
    )


def _answer(week: _Week, rater: Rater, ratings: Numbers, told: float, after: timedelta) -> FeedbackSubmitted:
    return FeedbackSubmitted(
        id=uuid5(week.session, f"feedback {rater}"),
        occurred_at=week.at + after,
        relationship_id=week.relationship,
        session_id=week.session,
        rater=rater,
        ratings={element: float(rating) / 10 for element, rating in zip(ELEMENTS, ratings, strict=True)},
        tension="yes" if told == 1 else "none",
        talked_about="partly" if told == 1 else None,
    )
