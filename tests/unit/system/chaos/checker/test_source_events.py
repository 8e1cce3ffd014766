"""The checker detects every difference between the acknowledged events and the topics."""

from datetime import timedelta

import pytest

from shared.events import (
    AlertRaised,
    AllianceUpdated,
    FeedbackAmended,
    FeedbackLapsed,
    FeedbackSubmitted,
    SessionCompleted,
    SessionMissed,
)
from shared.events.topics import FEEDBACK, INTAKE
from tests.unit.system.chaos.checker.corruption import (
    LAPSES_PUBLISHED,
    NO_CONTRADICTIONS,
    NO_DUPLICATES,
    NOTHING_UNEXPECTED,
    ON_TOPIC,
    Corruption,
    failed_checks_after,
)
from tests.unit.system.chaos.checker.healthy_run import healthy_run
from tests.unit.system.chaos.checker.recorded_requests import (
    CLINIC_ID,
    LAST_WEEK,
    NOW,
    RELATIONSHIP_ID,
    STARTED_AT,
    session_id,
    session_time,
)
from tests.unit.system.chaos.checker.recorded_run import RecordedRun, create_fault


def remove_event(run: RecordedRun) -> None:
    run.remove(run.find_event(SessionMissed))


def change_rating(run: RecordedRun) -> None:
    run.replace_event(run.find_event(FeedbackSubmitted), ratings={"trust": 3.0})


def change_time(run: RecordedRun) -> None:
    run.replace_event(run.find_event(SessionCompleted), occurred_at=session_time(LAST_WEEK) + timedelta(days=1))


def amend_other_event(run: RecordedRun) -> None:
    run.replace_event(run.find_event(FeedbackAmended), amends=run.find_event(FeedbackSubmitted).id)


def remove_injected_events(run: RecordedRun) -> None:
    for event in run.injected:
        run.remove(event)


@pytest.mark.parametrize(
    "corrupt", [remove_event, change_rating, change_time, amend_other_event, remove_injected_events]
)
def test_an_acknowledged_event_that_is_missing_or_changed_is_detected(corrupt: Corruption) -> None:
    assert ON_TOPIC in failed_checks_after(corrupt)


def test_an_event_under_two_ids_is_detected() -> None:
    def duplicate(run: RecordedRun) -> None:
        run.publish(run.find_event(SessionCompleted).model_copy(update={"id": CLINIC_ID}))

    assert NO_DUPLICATES in failed_checks_after(duplicate)


def add_unknown_session(run: RecordedRun) -> None:
    fields = {
        "id": CLINIC_ID,
        "relationship_id": RELATIONSHIP_ID,
        "session_id": CLINIC_ID,
        "occurred_at": session_time(2),
    }
    run.publish(SessionMissed.model_validate(fields))


def add_invalid_record(run: RecordedRun) -> None:
    run.add_record(INTAKE, b"key", b"{}")


def change_key(run: RecordedRun) -> None:
    run.records[FEEDBACK.name][0].key = b"another"


def lapse_answered_session(run: RecordedRun) -> None:
    run.replace_event(run.find_event(FeedbackLapsed), session_id=session_id(LAST_WEEK))


def change_lapse_time(run: RecordedRun) -> None:
    run.replace_event(run.find_event(FeedbackLapsed), occurred_at=NOW)


@pytest.mark.parametrize(
    "corrupt", [add_unknown_session, add_invalid_record, change_key, lapse_answered_session, change_lapse_time]
)
def test_an_event_that_no_client_caused_is_detected(corrupt: Corruption) -> None:
    assert NOTHING_UNEXPECTED in failed_checks_after(corrupt)


def test_a_lapse_that_is_not_published_is_detected() -> None:
    assert LAPSES_PUBLISHED in failed_checks_after(lambda run: run.remove(run.find_event(FeedbackLapsed)))


def test_a_lapse_is_due_later_if_a_process_with_a_wrong_clock_may_have_completed_the_session() -> None:
    run = healthy_run()
    run.remove(run.find_event(FeedbackLapsed))
    run.faults.append(create_fault("the clock is wrong", "sessions", STARTED_AT))

    assert LAPSES_PUBLISHED not in run.failed_checks()


def test_one_id_with_two_contents_is_detected() -> None:
    def change_minutes(run: RecordedRun) -> None:
        run.publish(run.find_event(SessionCompleted).model_copy(update={"minutes": 10}))

    assert failed_checks_after(change_minutes) == [NO_CONTRADICTIONS]


def test_two_contents_of_one_version_are_detected() -> None:
    def change_sessions(run: RecordedRun) -> None:
        run.publish(run.find_event(AllianceUpdated).model_copy(update={"id": CLINIC_ID, "sessions": 99}))

    assert NO_CONTRADICTIONS in failed_checks_after(change_sessions)


def test_an_exact_duplicate_is_not_an_error() -> None:
    def duplicate(run: RecordedRun) -> None:
        run.publish(run.find_event(SessionCompleted), run.find_event(AllianceUpdated), run.find_event(AlertRaised))

    assert failed_checks_after(duplicate) == []
