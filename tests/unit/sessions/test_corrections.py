"""Outcomes that were recorded by mistake, and the corrections that are rejected."""

from collections.abc import Callable
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from services.sessions.domain.appointment import cancel, complete, mark_missed, schedule
from services.sessions.domain.corrections import MAX_CORRECTIONS, correct
from services.sessions.domain.feedback import lapse, open_form, record_answer
from services.sessions.domain.session import Cancelled, Completed, Decision, Missed, Outcome, OutcomeCorrection, Session
from shared.errors import Rejected
from shared.events import (
    FeedbackLapsed,
    FeedbackRequested,
    SessionCancelled,
    SessionCompleted,
    SessionMissed,
    SessionReinstated,
    SessionScheduled,
)
from tests.support.sessions_builders import (
    COMPLETION,
    NOW,
    REQUEST_OPTIONS,
    STARTS_AT,
    WINDOW,
    completed_session,
    make_answer,
    make_relationship,
    scheduled_session,
)

LATER = NOW + timedelta(days=1)
CANCELLED = Cancelled(by="client", cancelled_at=STARTS_AT - timedelta(hours=3))
RELATIONSHIP = make_relationship()


def correction(outcome: Outcome | None, correction_id: UUID | None = None) -> OutcomeCorrection:
    return OutcomeCorrection(correction_id=correction_id or uuid4(), outcome=outcome)


def missed_session() -> Session:
    return mark_missed(scheduled_session(RELATIONSHIP), RELATIONSHIP, NOW)[0]


def test_a_no_show_is_corrected_to_a_session_that_was_held() -> None:
    session, events = correct(missed_session(), RELATIONSHIP, correction(COMPLETION), LATER, REQUEST_OPTIONS)

    completed, *requested = events
    assert isinstance(completed, SessionCompleted)
    assert (completed.correction, completed.recorded_at, completed.occurred_at) == (1, LATER, COMPLETION.ended_at)
    assert [type(event) for event in requested] == [FeedbackRequested, FeedbackRequested]
    assert session.outcome == COMPLETION
    assert complete(session, RELATIONSHIP, COMPLETION, LATER, REQUEST_OPTIONS) == (session, ())


@pytest.mark.parametrize(
    ("outcome", "event_type"), [(Missed(), SessionMissed), (CANCELLED, SessionCancelled), (None, SessionReinstated)]
)
def test_a_session_that_was_not_held_after_all_asks_nobody(
    outcome: Outcome | None, event_type: type[SessionMissed | SessionCancelled | SessionReinstated]
) -> None:
    session, (event,) = correct(
        completed_session(RELATIONSHIP), RELATIONSHIP, correction(outcome), LATER, REQUEST_OPTIONS
    )

    assert isinstance(event, event_type)
    assert (event.correction, session.outcome) == (1, outcome)
    assert lapse(session, RELATIONSHIP, LATER + 2 * WINDOW) == (session, [])
    assert {request.expires_at for request in session.feedback.values()} == {LATER}


def test_the_end_and_the_length_of_an_answered_session_can_be_corrected() -> None:
    answered, _ = record_answer(
        completed_session(RELATIONSHIP), RELATIONSHIP, "client", make_answer(), LATER, LATER, WINDOW, "desk"
    )
    shorter = Completed(ended_at=COMPLETION.ended_at, minutes=20)

    session, events = correct(answered, RELATIONSHIP, correction(shorter), LATER, REQUEST_OPTIONS)

    assert [type(event) for event in events] == [SessionCompleted]
    assert (session.outcome, session.feedback) == (shorter, answered.feedback)


@pytest.mark.parametrize("outcome", [Missed(), CANCELLED, None])
def test_an_answer_cannot_be_removed_by_noting_that_the_session_was_not_held(outcome: Outcome | None) -> None:
    answered, _ = record_answer(
        completed_session(RELATIONSHIP), RELATIONSHIP, "client", make_answer(), LATER, LATER, WINDOW, "desk"
    )

    with pytest.raises(Rejected, match="/feedback/client") as rejected:
        correct(answered, RELATIONSHIP, correction(outcome), LATER, REQUEST_OPTIONS)
    assert rejected.value.code == "session-answered"


def test_a_reinstated_appointment_can_be_moved_and_held() -> None:
    cancelled, _ = cancel(scheduled_session(RELATIONSHIP), CANCELLED, NOW)
    reinstated, (event,) = correct(cancelled, RELATIONSHIP, correction(None), NOW, REQUEST_OPTIONS)

    moved, (scheduled,) = schedule(
        reinstated, reinstated.session_id, RELATIONSHIP, STARTS_AT + timedelta(minutes=5), 50, NOW
    )
    held, (completed, *_) = complete(moved, RELATIONSHIP, COMPLETION, NOW, REQUEST_OPTIONS)

    assert isinstance(scheduled, SessionScheduled)
    assert isinstance(completed, SessionCompleted)
    assert scheduled.occurred_at > event.occurred_at
    assert (completed.correction, held.outcome) == (1, COMPLETION)


def test_each_correction_has_events_with_ids_of_their_own() -> None:
    session, first = mark_missed(scheduled_session(RELATIONSHIP), RELATIONSHIP, NOW)
    ids = [event.id for event in first]
    for outcome in (COMPLETION, Missed(), COMPLETION):
        session, events = correct(session, RELATIONSHIP, correction(outcome), LATER, REQUEST_OPTIONS)
        ids += [event.id for event in events]

    assert len(set(ids)) == len(ids) == 1 + 3 + 1 + 3


def test_links_sent_before_a_wrong_correction_work_again() -> None:
    request = completed_session(RELATIONSHIP).feedback["client"].model_copy(update={"token_hash": "sent"})
    session = completed_session(RELATIONSHIP).with_request("client", request)
    for outcome in (Missed(), COMPLETION):
        session, _ = correct(session, RELATIONSHIP, correction(outcome), LATER, REQUEST_OPTIONS)

    assert session.rater_of("sent") == "client"
    assert session.feedback["client"].status == "awaiting"


def test_a_link_to_a_session_that_was_not_held_opens_no_form() -> None:
    session, _ = correct(completed_session(RELATIONSHIP), RELATIONSHIP, correction(Missed()), LATER, REQUEST_OPTIONS)

    with pytest.raises(Rejected) as rejected:
        open_form(session, RELATIONSHIP, "c1", LATER)
    assert rejected.value.code == "session-not-held"


def test_links_sent_before_a_completion_was_taken_back_work_again() -> None:
    request = completed_session(RELATIONSHIP).feedback["client"].model_copy(update={"token_hash": "sent"})
    session = completed_session(RELATIONSHIP).with_request("client", request)
    session, _ = correct(session, RELATIONSHIP, correction(None), LATER, REQUEST_OPTIONS)
    session, _ = complete(session, RELATIONSHIP, COMPLETION, LATER, REQUEST_OPTIONS)

    assert session.rater_of("sent") == "client"


def test_a_link_of_the_clinician_before_opens_no_form_of_the_next() -> None:
    request = completed_session(RELATIONSHIP).feedback["clinician"].model_copy(update={"token_hash": "sent"})
    session = completed_session(RELATIONSHIP).with_request("clinician", request)
    next_relationship = make_relationship()
    session, _ = correct(session, RELATIONSHIP, correction(None), LATER, REQUEST_OPTIONS)
    session, _ = schedule(
        session, session.session_id, next_relationship, STARTS_AT, 50, LATER, {RELATIONSHIP.relationship_id}
    )
    session, _ = complete(session, next_relationship, COMPLETION, LATER, REQUEST_OPTIONS)

    assert session.relationship_id == next_relationship.relationship_id
    assert session.rater_of("sent") is None


def test_a_lapse_says_after_which_correction_the_form_was_requested() -> None:
    completed, _ = correct(missed_session(), RELATIONSHIP, correction(COMPLETION), LATER, REQUEST_OPTIONS)

    _, lapsed = lapse(completed, RELATIONSHIP, LATER + 2 * WINDOW)

    assert [event.correction for event in lapsed if isinstance(event, FeedbackLapsed)] == [1, 1]


def test_a_lapsed_form_about_a_session_that_was_not_held_is_over_too() -> None:
    lapsed, _ = lapse(completed_session(RELATIONSHIP), RELATIONSHIP, LATER + 2 * WINDOW)
    session, _ = correct(lapsed, RELATIONSHIP, correction(Missed()), LATER, REQUEST_OPTIONS)

    assert {request.status for request in session.feedback.values()} == {"lapsed"}
    assert {request.expires_at for request in session.feedback.values()} == {LATER}


def test_a_correction_that_changed_nothing_does_not_undo_a_later_one_when_it_is_repeated() -> None:
    first = correction(Missed())
    session, events = correct(missed_session(), RELATIONSHIP, first, LATER, REQUEST_OPTIONS)
    session, _ = correct(session, RELATIONSHIP, correction(COMPLETION), LATER, REQUEST_OPTIONS)

    assert events == ()
    assert correct(session, RELATIONSHIP, first, LATER, REQUEST_OPTIONS) == (session, ())


def test_a_repeated_correction_changes_nothing_even_if_more_has_happened_since() -> None:
    first = correction(COMPLETION)
    session, _ = correct(missed_session(), RELATIONSHIP, first, LATER, REQUEST_OPTIONS)
    session, _ = correct(session, RELATIONSHIP, correction(Missed()), LATER, REQUEST_OPTIONS)

    assert correct(session, RELATIONSHIP, first, LATER, REQUEST_OPTIONS) == (session, ())
    with pytest.raises(Rejected, match="choose a new id") as rejected:
        correct(session, RELATIONSHIP, correction(None, first.correction_id), LATER, REQUEST_OPTIONS)
    assert rejected.value.code == "correction-id-used"


def test_what_is_right_already_needs_no_correction() -> None:
    session = missed_session()

    after, events = correct(session, RELATIONSHIP, correction(Missed()), LATER, REQUEST_OPTIONS)

    assert (after.outcome, events) == (Missed(), ())
    with pytest.raises(Rejected, match="POST /sessions/") as rejected:
        correct(scheduled_session(RELATIONSHIP), RELATIONSHIP, correction(Missed()), LATER, REQUEST_OPTIONS)
    assert rejected.value.code == "nothing-to-correct"


def test_a_session_is_corrected_a_limited_number_of_times() -> None:
    session, outcomes = missed_session(), (COMPLETION, Missed())
    for number in range(MAX_CORRECTIONS):
        session, _ = correct(session, RELATIONSHIP, correction(outcomes[number % 2]), LATER, REQUEST_OPTIONS)

    with pytest.raises(Rejected, match="10 times") as rejected:
        correct(session, RELATIONSHIP, correction(COMPLETION), LATER, REQUEST_OPTIONS)
    assert rejected.value.code == "corrected-too-often"


def test_a_refused_outcome_names_the_route_that_corrects_it() -> None:
    session = missed_session()

    refused: list[Callable[[], Decision]] = [
        lambda: complete(session, RELATIONSHIP, COMPLETION, NOW, REQUEST_OPTIONS),
        lambda: cancel(session, CANCELLED, NOW),
        lambda: record_answer(session, RELATIONSHIP, "client", make_answer(), LATER, LATER, WINDOW, "desk"),
    ]
    for decide in refused:
        with pytest.raises(Rejected, match=f"PUT /sessions/{session.session_id}/corrections/"):
            decide()
