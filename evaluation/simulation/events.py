"""One simulated relationship as the events that a clinic would have published about it.

After a transfer there are two relationships, the second with the first as its predecessor. Where the scheduling source
was stale, the events say what it said; which appointments these are is in the observations.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import get_args
from uuid import NAMESPACE_OID, UUID, uuid5

import numpy as np

from evaluation.simulation.truth import (
    ABSENT,
    ENDED,
    HELD,
    INSTRUMENT,
    NOT_ANSWERED,
    FloatArray,
    Observations,
    Relationships,
)
from shared.events import (
    ConsentGiven,
    Element,
    FeedbackLapsed,
    FeedbackSubmitted,
    Rater,
    RelationshipEnded,
    RelationshipEvent,
    RelationshipStarted,
    SessionCancelled,
    SessionCompleted,
    SessionMissed,
    TalkedAbout,
    Tension,
)
from shared.events.feedback import InstrumentTotal

ELEMENTS: tuple[Element, ...] = get_args(Element)
TENSIONS: tuple[Tension, ...] = get_args(Tension)
TALKED_ABOUT: tuple[TalkedAbout, ...] = get_args(TalkedAbout)
FIRST_SESSION_AT = datetime(2026, 1, 5, 10, tzinfo=UTC)
FIRST_ANSWER_DELAY, SECOND_ANSWER_DELAY, LAPSE_DELAY = timedelta(hours=1), timedelta(hours=2), timedelta(days=3)
STARTED_BEFORE, CONSENT_BEFORE, CANCELLED_BEFORE = timedelta(days=3), timedelta(days=2), timedelta(hours=96)
INSTRUMENT_NAME, MIN_TOTAL, MAX_TOTAL = "wai-sr", 12.0, 60.0
CLINIC_ID = uuid5(NAMESPACE_OID, "simulated clinic")


def events_of(relationships: Relationships, row: int, client_id: UUID | None = None) -> list[RelationshipEvent]:
    """All events of one simulated relationship, in the order in which they occurred."""
    client_id = client_id or uuid5(NAMESPACE_OID, f"simulated {row}")
    observations, course = relationships.observations, relationships.truth.course
    transfer, clinician = int(course.transfer_session[row]), int(relationships.truth.clients.clinician[row])
    events: list[RelationshipEvent] = []
    relationship_id = uuid5(client_id, "relationship 0")
    for t, week in enumerate(course.week[row].tolist()):
        if observations.appointment[row, t] == ENDED:
            break
        at = FIRST_SESSION_AT + timedelta(weeks=week)
        if t == 0:
            events += _start(relationship_id, client_id, f"clinician {clinician}", at, None)
        elif t == transfer:
            successor_id = uuid5(client_id, "relationship 1")
            events.append(_transferred(relationship_id, successor_id, at))
            events += _start(successor_id, client_id, f"clinician after {clinician}", at, relationship_id)
            relationship_id = successor_id
        events += _appointment_events(
            _Appointment(relationship_id, uuid5(client_id, f"session {t}"), at), observations, row, t
        )
    return events


def _start(
    relationship_id: UUID, client_id: UUID, clinician: str, first_session_at: datetime, predecessor_id: UUID | None
) -> list[RelationshipEvent]:
    return [
        RelationshipStarted(
            id=uuid5(relationship_id, "started"),
            occurred_at=first_session_at - STARTED_BEFORE,
            relationship_id=relationship_id,
            clinic_id=CLINIC_ID,
            clinician_id=uuid5(CLINIC_ID, clinician),
            client_id=client_id,
            case_code="SIM",
            aims=("coping",),
            cadence_days=7,
            predecessor_id=predecessor_id,
        ),
        ConsentGiven(
            id=uuid5(relationship_id, "consent"),
            occurred_at=first_session_at - CONSENT_BEFORE,
            relationship_id=relationship_id,
        ),
    ]


def _transferred(relationship_id: UUID, successor_id: UUID, first_session_at: datetime) -> RelationshipEnded:
    return RelationshipEnded(
        id=uuid5(relationship_id, "ended"),
        occurred_at=first_session_at - STARTED_BEFORE,
        relationship_id=relationship_id,
        reason="transferred",
        successor_id=successor_id,
    )


@dataclass(frozen=True, slots=True)
class _Appointment:
    """The ids and the time of one appointment."""

    relationship_id: UUID
    session_id: UUID
    starts_at: datetime


def _appointment_events(
    appointment: _Appointment, observations: Observations, row: int, t: int
) -> list[RelationshipEvent]:
    ids = {"relationship_id": appointment.relationship_id, "session_id": appointment.session_id}
    outcome = observations.appointment[row, t]
    if outcome == HELD:
        return [_session_completed(appointment), *_answers(appointment, observations, row, t)]
    if outcome == ABSENT:
        missed_id = uuid5(appointment.session_id, "missed")
        return [SessionMissed(id=missed_id, occurred_at=appointment.starts_at, **ids)]
    return [
        SessionCancelled(
            id=uuid5(appointment.session_id, "cancelled"),
            occurred_at=appointment.starts_at - CANCELLED_BEFORE,
            by="client",
            notice_hours=CANCELLED_BEFORE / timedelta(hours=1),
            **ids,
        )
    ]


def _session_completed(appointment: _Appointment) -> SessionCompleted:
    return SessionCompleted(
        id=uuid5(appointment.session_id, "completed"),
        occurred_at=appointment.starts_at,
        relationship_id=appointment.relationship_id,
        session_id=appointment.session_id,
        minutes=50,
        planned_minutes=50,
    )


def _answers(
    appointment: _Appointment, observations: Observations, row: int, t: int
) -> list[FeedbackSubmitted | FeedbackLapsed]:
    """The client's answer or its lapse, and the clinician's answer if there is one, in the order in which they came."""
    client_delay, clinician_delay = FIRST_ANSWER_DELAY, SECOND_ANSWER_DELAY
    if observations.clinician_first[row, t]:
        client_delay, clinician_delay = clinician_delay, client_delay
    client_event = _client_event(appointment, observations, row, t, client_delay)
    total = observations.clinician_total[row, t]
    if np.isnan(total):
        return [client_event]
    answer = _answer(np.full(len(ELEMENTS), total), total, is_instrument=False)
    answer |= _direct_answer(observations.clinician_tension[row, t], observations.clinician_talked_about[row, t])
    clinician_event = _feedback_submitted(appointment, "clinician", answer, clinician_delay)
    return sorted([client_event, clinician_event], key=lambda event: event.occurred_at)


def _client_event(
    appointment: _Appointment, observations: Observations, row: int, t: int, delay: timedelta
) -> FeedbackSubmitted | FeedbackLapsed:
    if observations.answered[row, t]:
        is_instrument = observations.instrument[row, t] == INSTRUMENT
        answer = _answer(observations.elements[row, t], observations.total[row, t], is_instrument)
        answer |= _direct_answer(observations.tension[row, t], observations.talked_about[row, t])
        return _feedback_submitted(appointment, "client", answer, delay)
    return FeedbackLapsed(
        id=uuid5(appointment.session_id, "lapsed client"),
        occurred_at=appointment.starts_at + LAPSE_DELAY,
        relationship_id=appointment.relationship_id,
        session_id=appointment.session_id,
        rater="client",
    )


def _answer(elements: FloatArray, total: float, is_instrument: bool) -> dict[str, object]:
    if is_instrument:
        points = MIN_TOTAL + (MAX_TOTAL - MIN_TOTAL) * float(total) / 100
        return {"instrument": InstrumentTotal(name=INSTRUMENT_NAME, total=min(MAX_TOTAL, round(points, 2)))}
    return {"ratings": dict(zip(ELEMENTS, (elements / 10).tolist(), strict=True))}


def _direct_answer(tension: int, talked_about: int) -> dict[str, object]:
    return {
        "tension": None if tension == NOT_ANSWERED else TENSIONS[tension],
        "talked_about": None if talked_about == NOT_ANSWERED else TALKED_ABOUT[talked_about],
    }


def _feedback_submitted(
    appointment: _Appointment, rater: Rater, answer: dict[str, object], delay: timedelta
) -> FeedbackSubmitted:
    return FeedbackSubmitted.model_validate(
        {
            "id": uuid5(appointment.session_id, f"feedback {rater}"),
            "occurred_at": appointment.starts_at + delay,
            "relationship_id": appointment.relationship_id,
            "session_id": appointment.session_id,
            "rater": rater,
            **answer,
        }
    )
