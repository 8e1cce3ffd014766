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
    events: list[Fact] = [
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
        events += _week(_Week(relationship, week), seen, row)
    return events


class _Week:
    """The names and the times of one appointment."""

    def __init__(self, relationship: UUID, week: int) -> None:
        self.relationship = relationship
        self.session = uuid5(relationship, f"session {week}")
        self.at = BEGINNING + timedelta(weeks=week)


def _week(appointment: _Week, seen: Seen, row: int) -> list[Fact]:
    week = (appointment.at - BEGINNING).days // 7
    relationship_id, session_id, outcome = appointment.relationship, appointment.session, seen.appointment[row, week]
    if outcome == AWAY:
        return [
            SessionMissed(
                id=uuid5(session_id, "missed"),
                occurred_at=appointment.at,
                relationship_id=relationship_id,
                session_id=session_id,
            )
        ]
    if outcome == EXCUSED:
        return [
            SessionCancelled(
                id=uuid5(session_id, "cancelled"),
                occurred_at=appointment.at - timedelta(hours=96),
                relationship_id=relationship_id,
                session_id=session_id,
                by="client",
                notice_hours=96,
            )
        ]
    if outcome != HELD:
        return []
    completed = SessionCompleted(
        id=uuid5(session_id, "completed"),
        occurred_at=appointment.at,
        relationship_id=relationship_id,
        session_id=session_id,
        minutes=50,
        planned_minutes=50,
    )
    clinician_answers_first = bool(seen.clinician_first[row, week])
    client_event = _client(
        appointment, seen.elements[row, week], seen.told[row, week], LATER if clinician_answers_first else EARLY
    )
    clinician = seen.clinician[row, week]
    if np.isnan(clinician):
        return [completed, client_event]
    ratings = np.full(len(ELEMENTS), clinician)
    clinician_event = _answer(
        appointment,
        "clinician",
        ratings,
        seen.told_by_clinician[row, week],
        EARLY if clinician_answers_first else LATER,
    )
    return [completed, *sorted([client_event, clinician_event], key=lambda event: event.occurred_at)]


def _client(appointment: _Week, ratings: Numbers, told: float, after: timedelta) -> FeedbackSubmitted | FeedbackLapsed:
    if not np.isnan(ratings).any():
        return _answer(appointment, "client", ratings, told, after)
    return FeedbackLapsed(
        id=uuid5(appointment.session, "lapsed client"),
        occurred_at=appointment.at + LAPSES,
        relationship_id=appointment.relationship,
        session_id=appointment.session,
        rater="client",
    )


def _answer(appointment: _Week, rater: Rater, ratings: Numbers, told: float, after: timedelta) -> FeedbackSubmitted:
    return FeedbackSubmitted(
        id=uuid5(appointment.session, f"feedback {rater}"),
        occurred_at=appointment.at + after,
        relationship_id=appointment.relationship,
        session_id=appointment.session,
        rater=rater,
        ratings={element: float(rating) / 10 for element, rating in zip(ELEMENTS, ratings, strict=True)},
        tension="yes" if told == 1 else "none",
        talked_about="partly" if told == 1 else None,
    )
