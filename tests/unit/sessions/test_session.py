"""Sessions: the changes that are accepted, their events, and the changes that are rejected."""

from datetime import timedelta
from uuid import uuid4

import pytest

from services.sessions.domain.appointment import MAX_SESSIONS, cancel, complete, mark_missed, reject_too_many, schedule
from services.sessions.domain.session import Cancelled, Completed
from shared.errors import Rejected
from shared.events import (
    FeedbackRequested,
    SessionCancelled,
    SessionCompleted,
    SessionMissed,
    SessionScheduled,
)
from shared.events.clock_skew import CLOCK_SKEW_TOLERANCE
from tests.support.sessions_builders import (
    COMPLETION,
    NOW,
    OTHER_CLINIC,
    REQUEST_OPTIONS,
    STARTS_AT,
    WINDOW,
    completed_session,
    make_relationship,
    scheduled_session,
)

DAY = timedelta(days=1)


def test_an_appointment_gives_an_event_with_its_time() -> None:
    relationship = make_relationship()

    session, events = schedule(None, uuid4(), relationship, STARTS_AT, 50, STARTS_AT - DAY)

    assert events == (
        SessionScheduled(
            id=events[0].id,
            occurred_at=STARTS_AT - DAY,
            relationship_id=relationship.relationship_id,
            session_id=session.session_id,
            starts_at=STARTS_AT,
            minutes=50,
        ),
    )


def test_a_repeated_appointment_gives_no_event() -> None:
    relationship = make_relationship()
    before = scheduled_session(relationship)

    assert schedule(before, before.session_id, relationship, STARTS_AT, 50, STARTS_AT) == (before, ())


def test_a_moved_appointment_gives_a_later_event() -> None:
    relationship = make_relationship()
    scheduled, (first,) = schedule(None, uuid4(), relationship, STARTS_AT, 50, NOW)
    assert first.occurred_at == STARTS_AT, "an appointment that is entered late was made before it started"

    moved, (second,) = schedule(scheduled, scheduled.session_id, relationship, STARTS_AT - DAY, 50, NOW)

    assert moved.starts_at == STARTS_AT - DAY
    assert second.id != first.id
    assert second.occurred_at > first.occurred_at


def test_an_appointment_more_than_two_years_ahead_is_rejected() -> None:
    with pytest.raises(Rejected, match="is the year right"):
        schedule(None, uuid4(), make_relationship(), STARTS_AT + 800 * DAY, 50, STARTS_AT)


def test_an_appointment_after_the_end_of_the_relationship_is_rejected() -> None:
    relationship = make_relationship(ended_at=STARTS_AT)

    assert schedule(None, uuid4(), relationship, STARTS_AT, 50, STARTS_AT)
    with pytest.raises(Rejected, match="after the end") as rejected:
        schedule(None, uuid4(), relationship, STARTS_AT + timedelta(seconds=1), 50, STARTS_AT)
    assert rejected.value.code == "relationship-ended"


def test_an_appointment_before_the_start_of_the_relationship_is_rejected() -> None:
    relationship = make_relationship()
    assert relationship.started_at is not None

    assert schedule(None, uuid4(), relationship, relationship.started_at - CLOCK_SKEW_TOLERANCE, 50, STARTS_AT)
    with pytest.raises(Rejected, match="before the start") as rejected:
        schedule(
            None,
            uuid4(),
            relationship,
            relationship.started_at - CLOCK_SKEW_TOLERANCE - timedelta(seconds=1),
            50,
            STARTS_AT,
        )
    assert rejected.value.code == "before-the-start"
    with pytest.raises(Rejected, match="before the start"):
        schedule(
            scheduled_session(relationship),
            scheduled_session(relationship).session_id,
            relationship,
            relationship.started_at - DAY,
            50,
            STARTS_AT,
        )


def test_a_repeated_appointment_is_accepted_even_if_it_would_now_be_rejected() -> None:
    relationship = make_relationship()
    before = scheduled_session(relationship)
    relationship_started_later = relationship.model_copy(update={"started_at": STARTS_AT + DAY})

    assert schedule(before, before.session_id, relationship_started_later, STARTS_AT, 50, STARTS_AT) == (before, ())


def test_a_session_stays_with_its_relationship() -> None:
    before = scheduled_session(make_relationship())

    with pytest.raises(Rejected, match="another relationship"):
        schedule(before, before.session_id, make_relationship(), STARTS_AT, 50, STARTS_AT)


def test_an_appointment_moves_to_the_relationship_that_followed() -> None:
    before = scheduled_session(make_relationship())
    successor = make_relationship()

    moved, (scheduled,) = schedule(
        before, before.session_id, successor, STARTS_AT, 50, STARTS_AT - DAY, [before.relationship_id]
    )

    assert moved.relationship_id == scheduled.key == successor.relationship_id
    assert scheduled.occurred_at > before.scheduled_at
    assert schedule(moved, moved.session_id, successor, STARTS_AT, 50, STARTS_AT) == (moved, ())


def test_a_session_belongs_to_the_clinic_of_its_relationship() -> None:
    relationship = make_relationship(clinic_id=OTHER_CLINIC)

    assert scheduled_session(relationship).clinic_id == OTHER_CLINIC


def test_a_session_that_moves_to_another_relationship_belongs_to_its_clinic() -> None:
    """Within a clinic nothing changes; a session that an older version stored without one has it from then on."""
    before, after = make_relationship(clinic_id=None), make_relationship(clinic_id=OTHER_CLINIC)
    session = scheduled_session(before)

    moved, _ = schedule(
        session, session.session_id, after, STARTS_AT, 50, STARTS_AT - timedelta(days=1), [before.relationship_id]
    )

    assert moved.clinic_id == OTHER_CLINIC


def test_a_relationship_has_a_limit_of_sessions() -> None:
    relationship = make_relationship()

    reject_too_many(MAX_SESSIONS - 1, relationship)
    with pytest.raises(Rejected, match="under another id"):
        reject_too_many(MAX_SESSIONS, relationship)


def test_client_and_clinician_are_asked_after_a_session() -> None:
    relationship = make_relationship()

    session, events = complete(scheduled_session(relationship), relationship, COMPLETION, NOW, REQUEST_OPTIONS)

    completed, *requested = events
    assert isinstance(completed, SessionCompleted)
    assert (completed.occurred_at, completed.minutes, completed.planned_minutes) == (COMPLETION.ended_at, 50, 50)
    assert [
        (request.rater, request.due_at, request.occurred_at)
        for request in requested
        if isinstance(request, FeedbackRequested)
    ] == [
        ("client", COMPLETION.ended_at + WINDOW, COMPLETION.ended_at),
        ("clinician", COMPLETION.ended_at + WINDOW, COMPLETION.ended_at),
    ]
    assert session.link_hashes == [], "links are issued one by one"


def test_a_client_without_consent_is_not_asked() -> None:
    relationship = make_relationship(consent=False)

    session, events = complete(scheduled_session(relationship), relationship, COMPLETION, NOW, REQUEST_OPTIONS)

    assert [event.event_type() for event in events] == [SessionCompleted.event_type(), FeedbackRequested.event_type()]
    assert list(session.feedback) == ["clinician"]


def test_a_repeated_completion_changes_nothing() -> None:
    relationship = make_relationship()
    before = completed_session(relationship)

    assert complete(before, relationship, COMPLETION, NOW, REQUEST_OPTIONS) == (before, ())


@pytest.mark.parametrize("days", [0, 30])
def test_links_last_for_the_window_and_at_least_a_day_when_entered_late(days: int) -> None:
    relationship, entered_at = make_relationship(), NOW + days * DAY

    session, _ = complete(scheduled_session(relationship), relationship, COMPLETION, entered_at, REQUEST_OPTIONS)

    request = session.feedback["client"]
    assert request.due_at == COMPLETION.ended_at + WINDOW
    assert request.expires_at == (entered_at + DAY if days else request.due_at)


def test_a_missed_session_occurred_at_its_scheduled_start() -> None:
    relationship = make_relationship()

    session, (missed,) = mark_missed(scheduled_session(relationship), relationship, NOW)

    assert isinstance(missed, SessionMissed)
    assert missed.occurred_at == STARTS_AT
    assert mark_missed(session, relationship, NOW) == (session, ())


@pytest.mark.parametrize(
    ("before", "hours"),
    [(timedelta(hours=36), 36.0), (timedelta(0), 0.0), (timedelta(hours=-2), 0.0), (timedelta(days=800), 8760.0)],
)
def test_a_cancellation_is_published_with_its_notice(before: timedelta, hours: float) -> None:
    cancellation = Cancelled(by="client", cancelled_at=STARTS_AT - before)

    session, (cancelled,) = cancel(scheduled_session(make_relationship()), cancellation, STARTS_AT + DAY)

    assert isinstance(cancelled, SessionCancelled)
    assert (cancelled.occurred_at, cancelled.notice_hours, cancelled.by) == (STARTS_AT - before, hours, "client")
    assert cancel(session, cancellation, STARTS_AT + DAY) == (session, ())


def test_an_appointment_can_be_cancelled_after_the_relationship_ended() -> None:
    relationship = make_relationship()
    session = scheduled_session(relationship)

    assert cancel(session, Cancelled(by="clinic", cancelled_at=STARTS_AT - DAY), STARTS_AT)[1]
    with pytest.raises(Rejected, match="after the end"):
        mark_missed(session, relationship.model_copy(update={"ended_at": STARTS_AT - DAY}), NOW)


def test_a_session_has_only_one_outcome() -> None:
    relationship = make_relationship()
    completed, missed = (
        completed_session(relationship),
        mark_missed(scheduled_session(relationship), relationship, NOW)[0],
    )
    cancelled = cancel(scheduled_session(relationship), Cancelled(by="client", cancelled_at=STARTS_AT), NOW)[0]
    other_completion = Completed(ended_at=COMPLETION.ended_at, minutes=30)

    for session, status in [(completed, "completed"), (missed, "missed"), (cancelled, "cancelled")]:
        with pytest.raises(Rejected) as rejected:
            complete(session, relationship, other_completion, NOW, REQUEST_OPTIONS)
        assert rejected.value.code == f"session-already-{status}"
        with pytest.raises(Rejected, match="id of its own"):
            schedule(session, session.session_id, relationship, STARTS_AT + DAY, 50, NOW)
    for session in (completed, cancelled):
        with pytest.raises(Rejected):
            mark_missed(session, relationship, NOW)
    for session in (completed, missed):
        with pytest.raises(Rejected):
            cancel(session, Cancelled(by="client", cancelled_at=STARTS_AT), NOW)


def test_an_outcome_in_the_future_is_rejected() -> None:
    relationship = make_relationship()
    session, before_start = scheduled_session(relationship), STARTS_AT - timedelta(minutes=6)

    with pytest.raises(Rejected, match="starts_at is in the future"):
        complete(session, relationship, COMPLETION, before_start, REQUEST_OPTIONS)
    with pytest.raises(Rejected, match="starts_at is in the future"):
        mark_missed(session, relationship, before_start)
    with pytest.raises(Rejected, match="ended_at is in the future"):
        complete(session, relationship, COMPLETION, STARTS_AT, REQUEST_OPTIONS)
    with pytest.raises(Rejected, match="cancelled_at is in the future"):
        cancel(session, Cancelled(by="client", cancelled_at=STARTS_AT), before_start)


def test_a_session_ends_after_it_starts() -> None:
    relationship = make_relationship()

    with pytest.raises(Rejected, match="move it first"):
        complete(
            scheduled_session(relationship),
            relationship,
            Completed(ended_at=STARTS_AT - DAY, minutes=50),
            NOW,
            REQUEST_OPTIONS,
        )
