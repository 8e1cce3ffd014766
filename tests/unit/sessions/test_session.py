"""What may happen to a session, and what follows."""

from datetime import timedelta
from uuid import uuid4

import pytest

from services.sessions.domain.session import Asking, Cancelled, Completed, cancel, complete, miss, schedule
from shared.errors import Refused
from shared.events import (
    FeedbackRequested,
    SessionCancelled,
    SessionCompleted,
    SessionMissed,
    SessionScheduled,
)
from shared.events.clock_skew import CLOCKS_APART
from tests.support.sessions_builders import ELEVEN, HELD, LINKS, TEN, WINDOW, held, planned, relationship

DAY = timedelta(days=1)


def test_an_appointment_is_told_with_its_time() -> None:
    us = relationship()

    session, events = schedule(None, uuid4(), us, TEN, 50, TEN - DAY)

    assert events == (
        SessionScheduled(
            id=events[0].id,
            occurred_at=TEN - DAY,
            relationship_id=us.relationship_id,
            session_id=session.session_id,
            starts_at=TEN,
            minutes=50,
        ),
    )


def test_the_same_appointment_again_is_no_news() -> None:
    us = relationship()
    before = planned(us)

    assert schedule(before, before.session_id, us, TEN, 50, TEN) == (before, ())


def test_a_moved_appointment_is_told_anew_and_later_than_before() -> None:
    us = relationship()
    scheduled, (first,) = schedule(None, uuid4(), us, TEN, 50, ELEVEN)
    assert first.occurred_at == TEN, "entered afterwards, it was still made before it began"

    moved, (second,) = schedule(scheduled, scheduled.session_id, us, TEN - DAY, 50, ELEVEN)

    assert moved.starts_at == TEN - DAY
    assert second.id != first.id
    assert second.occurred_at > first.occurred_at


def test_an_appointment_more_than_two_years_ahead_is_a_mistyped_year() -> None:
    with pytest.raises(Refused, match="is the year right"):
        schedule(None, uuid4(), relationship(), TEN + 800 * DAY, 50, TEN)


def test_no_appointment_lies_after_the_end_of_the_relationship() -> None:
    us = relationship(ended_at=TEN)

    assert schedule(None, uuid4(), us, TEN, 50, TEN)
    with pytest.raises(Refused, match="ended at") as rejected:
        schedule(None, uuid4(), us, TEN + timedelta(seconds=1), 50, TEN)
    assert rejected.value.kind == "relationship-ended"


def test_no_appointment_lies_before_the_start_of_the_relationship() -> None:
    us = relationship()
    assert us.started_at is not None

    assert schedule(None, uuid4(), us, us.started_at - CLOCKS_APART, 50, TEN)
    with pytest.raises(Refused, match="started at") as rejected:
        schedule(None, uuid4(), us, us.started_at - CLOCKS_APART - timedelta(seconds=1), 50, TEN)
    assert rejected.value.kind == "before-the-start"
    with pytest.raises(Refused, match="started at"):
        schedule(planned(us), planned(us).session_id, us, us.started_at - DAY, 50, TEN)


def test_an_appointment_that_was_taken_before_is_taken_again() -> None:
    us = relationship()
    before = planned(us)
    relationship_started_later = us.model_copy(update={"started_at": TEN + DAY})

    assert schedule(before, before.session_id, relationship_started_later, TEN, 50, TEN) == (before, ())


def test_a_session_stays_with_its_relationship() -> None:
    before = planned(relationship())

    with pytest.raises(Refused, match="another relationship"):
        schedule(before, before.session_id, relationship(), TEN, 50, TEN)


def test_both_are_asked_after_a_session() -> None:
    us = relationship()

    session, events = complete(planned(us), us, HELD, ELEVEN, LINKS)

    completed, *requested = events
    assert isinstance(completed, SessionCompleted)
    assert (completed.occurred_at, completed.minutes, completed.planned_minutes) == (HELD.ended_at, 50, 50)
    assert [
        (request.rater, request.due_at, request.occurred_at)
        for request in requested
        if isinstance(request, FeedbackRequested)
    ] == [
        ("client", HELD.ended_at + WINDOW, HELD.ended_at),
        ("clinician", HELD.ended_at + WINDOW, HELD.ended_at),
    ]
    assert session.rater_of("c1") == "client"
    assert session.rater_of("t1") == "clinician"


def test_a_client_who_did_not_agree_is_not_asked() -> None:
    us = relationship(consent=False)

    session, events = complete(planned(us), us, HELD, ELEVEN, LINKS)

    assert [event.kind() for event in events] == [SessionCompleted.kind(), FeedbackRequested.kind()]
    assert session.rater_of("c1") is None


def test_asked_again_only_the_links_are_new() -> None:
    us = relationship()
    new_options = Asking(link_hashes={"client": "c2", "clinician": "t2"}, window=WINDOW, grace=timedelta(0))

    session, events = complete(held(us), us, HELD, ELEVEN, new_options)

    assert events == ()
    assert session.rater_of("c2") == "client"
    assert session.rater_of("c1") is None, "the old link stops working"


def test_who_no_longer_agrees_gets_no_new_link_and_the_old_one_stops_working() -> None:
    us = relationship()
    before = held(us)

    session, _ = complete(before, us.model_copy(update={"consent": False}), HELD, ELEVEN, LINKS)

    assert session.rater_of("c1") is None
    assert session.rater_of("t1") == "clinician"


@pytest.mark.parametrize("days", [0, 30])
def test_a_link_lasts_for_the_window_and_at_least_a_day_when_entered_late(days: int) -> None:
    us, entered_at = relationship(), ELEVEN + days * DAY

    session, _ = complete(planned(us), us, HELD, entered_at, LINKS)

    request = session.feedback["client"]
    assert request.due_at == HELD.ended_at + WINDOW
    assert request.expires_at == (entered_at + DAY if days else request.due_at)


def test_a_missed_session_would_have_begun() -> None:
    us = relationship()

    session, (missed,) = miss(planned(us), us, ELEVEN)

    assert isinstance(missed, SessionMissed)
    assert missed.occurred_at == TEN
    assert miss(session, us, ELEVEN) == (session, ())


@pytest.mark.parametrize(
    ("before", "hours"),
    [(timedelta(hours=36), 36.0), (timedelta(0), 0.0), (timedelta(hours=-2), 0.0), (timedelta(days=800), 8760.0)],
)
def test_a_cancelled_session_says_how_long_before(before: timedelta, hours: float) -> None:
    cancellation = Cancelled(by="client", cancelled_at=TEN - before)

    session, (cancelled,) = cancel(planned(relationship()), cancellation, TEN + DAY)

    assert isinstance(cancelled, SessionCancelled)
    assert (cancelled.occurred_at, cancelled.notice_hours, cancelled.by) == (TEN - before, hours, "client")
    assert cancel(session, cancellation, TEN + DAY) == (session, ())


def test_appointments_are_called_off_after_the_relationship_ended() -> None:
    us = relationship()
    session = planned(us)

    assert cancel(session, Cancelled(by="clinic", cancelled_at=TEN - DAY), TEN)[1]
    with pytest.raises(Refused, match="ended at"):
        miss(session, us.model_copy(update={"ended_at": TEN - DAY}), ELEVEN)


def test_one_thing_only_became_of_a_session() -> None:
    us = relationship()
    completed, missed = held(us), miss(planned(us), us, ELEVEN)[0]
    cancelled = cancel(planned(us), Cancelled(by="client", cancelled_at=TEN), ELEVEN)[0]
    other_completion = Completed(ended_at=HELD.ended_at, minutes=30)

    for session, status in [(completed, "completed"), (missed, "missed"), (cancelled, "cancelled")]:
        with pytest.raises(Refused) as rejected:
            complete(session, us, other_completion, ELEVEN, LINKS)
        assert rejected.value.kind == f"session-already-{status}"
        with pytest.raises(Refused, match="id of its own"):
            schedule(session, session.session_id, us, TEN + DAY, 50, ELEVEN)
    for session in (completed, cancelled):
        with pytest.raises(Refused):
            miss(session, us, ELEVEN)
    for session in (completed, missed):
        with pytest.raises(Refused):
            cancel(session, Cancelled(by="client", cancelled_at=TEN), ELEVEN)


def test_what_has_not_begun_cannot_be_over() -> None:
    us = relationship()
    session, before_start = planned(us), TEN - timedelta(minutes=6)

    with pytest.raises(Refused, match="starts_at lies in the future"):
        complete(session, us, HELD, before_start, LINKS)
    with pytest.raises(Refused, match="starts_at lies in the future"):
        miss(session, us, before_start)
    with pytest.raises(Refused, match="ended_at lies in the future"):
        complete(session, us, HELD, TEN, LINKS)
    with pytest.raises(Refused, match="cancelled_at lies in the future"):
        cancel(session, Cancelled(by="client", cancelled_at=TEN), before_start)


def test_a_session_ends_after_it_began() -> None:
    us = relationship()

    with pytest.raises(Refused, match="move it first"):
        complete(planned(us), us, Completed(ended_at=TEN - DAY, minutes=50), ELEVEN, LINKS)
