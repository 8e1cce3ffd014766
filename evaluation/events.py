"""A simulated relationship as the events that a clinic would have published about it, with one session a week."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import get_args
from uuid import NAMESPACE_OID, UUID, uuid5

import numpy as np

from evaluation.relationships import ABSENT, EXCUSED, HELD, FloatArray, Observations
from services.alliance.domain.state.history import HistoryEvent
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
FIRST_SESSION_AT = datetime(2026, 1, 5, 10, tzinfo=UTC)
FIRST_ANSWER_DELAY, SECOND_ANSWER_DELAY, LAPSE_DELAY = timedelta(hours=1), timedelta(hours=2), timedelta(days=3)


def events_of(observations: Observations, row: int, relationship_id: UUID | None = None) -> list[HistoryEvent]:
    """All events of one simulated relationship, in the order in which they occurred."""
    relationship_id = relationship_id or uuid5(NAMESPACE_OID, f"simulated {row}")
    events: list[HistoryEvent] = [
        RelationshipStarted(
            id=uuid5(relationship_id, "started"),
            occurred_at=FIRST_SESSION_AT - timedelta(days=3),
            relationship_id=relationship_id,
            clinic_id=uuid5(NAMESPACE_OID, "clinic"),
            clinician_id=uuid5(NAMESPACE_OID, "clinician"),
            client_id=uuid5(relationship_id, "client"),
            case_code="SIM",
            aims=("coping",),
            cadence_days=7,
        ),
        ConsentGiven(
            id=uuid5(relationship_id, "consent"),
            occurred_at=FIRST_SESSION_AT - timedelta(days=2),
            relationship_id=relationship_id,
        ),
    ]
    for week in range(observations.total.shape[1]):
        events += _appointment_events(_Appointment.in_week(relationship_id, week), observations, row, week)
    return events


@dataclass(frozen=True, slots=True)
class _Appointment:
    """The ids and the time of one appointment."""

    relationship_id: UUID
    session_id: UUID
    starts_at: datetime

    @classmethod
    def in_week(cls, relationship_id: UUID, week: int) -> "_Appointment":
        session_id = uuid5(relationship_id, f"session {week}")
        return cls(relationship_id, session_id, FIRST_SESSION_AT + timedelta(weeks=week))


def _appointment_events(
    appointment: _Appointment, observations: Observations, row: int, week: int
) -> Sequence[HistoryEvent]:
    outcome = observations.appointment[row, week]
    if outcome == HELD:
        return [_session_completed(appointment), *_answers(appointment, observations, row, week)]
    if outcome == ABSENT:
        return [_session_missed(appointment)]
    return [_session_cancelled(appointment)] if outcome == EXCUSED else []


def _session_completed(appointment: _Appointment) -> SessionCompleted:
    return SessionCompleted(
        id=uuid5(appointment.session_id, "completed"),
        occurred_at=appointment.starts_at,
        relationship_id=appointment.relationship_id,
        session_id=appointment.session_id,
        minutes=50,
        planned_minutes=50,
    )


def _session_missed(appointment: _Appointment) -> SessionMissed:
    return SessionMissed(
        id=uuid5(appointment.session_id, "missed"),
        occurred_at=appointment.starts_at,
        relationship_id=appointment.relationship_id,
        session_id=appointment.session_id,
    )


def _session_cancelled(appointment: _Appointment) -> SessionCancelled:
    return SessionCancelled(
        id=uuid5(appointment.session_id, "cancelled"),
        occurred_at=appointment.starts_at - timedelta(hours=96),
        relationship_id=appointment.relationship_id,
        session_id=appointment.session_id,
        by="client",
        notice_hours=96,
    )


def _answers(
    appointment: _Appointment, observations: Observations, row: int, week: int
) -> list[FeedbackSubmitted | FeedbackLapsed]:
    """The client's answer or its lapse, and the clinician's answer if there is one, in the order in which they came."""
    client_delay, clinician_delay = FIRST_ANSWER_DELAY, SECOND_ANSWER_DELAY
    if observations.clinician_first[row, week]:
        client_delay, clinician_delay = clinician_delay, client_delay
    client_event = _client_event(
        appointment, observations.elements[row, week], observations.tension_reported[row, week], client_delay
    )
    clinician = observations.clinician_total[row, week]
    if np.isnan(clinician):
        return [client_event]
    ratings, tension = np.full(len(ELEMENTS), clinician), observations.tension_reported_by_clinician[row, week]
    clinician_event = _feedback_submitted(appointment, "clinician", ratings, tension, clinician_delay)
    return sorted([client_event, clinician_event], key=lambda event: event.occurred_at)


def _client_event(
    appointment: _Appointment, ratings: FloatArray, tension_reported: float, delay: timedelta
) -> FeedbackSubmitted | FeedbackLapsed:
    if not np.isnan(ratings).any():
        return _feedback_submitted(appointment, "client", ratings, tension_reported, delay)
    return FeedbackLapsed(
        id=uuid5(appointment.session_id, "lapsed client"),
        occurred_at=appointment.starts_at + LAPSE_DELAY,
        relationship_id=appointment.relationship_id,
        session_id=appointment.session_id,
        rater="client",
    )


def _feedback_submitted(
    appointment: _Appointment, rater: Rater, ratings: FloatArray, tension_reported: float, delay: timedelta
) -> FeedbackSubmitted:
    return FeedbackSubmitted(
        id=uuid5(appointment.session_id, f"feedback {rater}"),
        occurred_at=appointment.starts_at + delay,
        relationship_id=appointment.relationship_id,
        session_id=appointment.session_id,
        rater=rater,
        ratings={element: float(rating) / 10 for element, rating in zip(ELEMENTS, ratings, strict=True)},
        tension="yes" if tension_reported == 1 else "none",
        talked_about="partly" if tension_reported == 1 else None,
    )
