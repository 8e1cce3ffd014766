"""The acknowledged requests are converted into expected events, and repeated requests add nothing."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from shared.events import (
    ClinicianRegistered,
    ClinicianUpdated,
    ConsentGiven,
    ConsentWithdrawn,
    Event,
    FeedbackAmended,
    FeedbackRequested,
    FeedbackSubmitted,
    RelationshipAimsUpdated,
    RelationshipEnded,
    RelationshipStarted,
    SessionCancelled,
    SessionCompleted,
    SessionScheduled,
)
from tests.system.chaos.checker.acknowledged.history import AcknowledgedHistory
from tests.system.chaos.checker.acknowledged.requests import read_requests
from tests.system.chaos.checker.clocks import CLOCK_TOLERANCE
from tools.sandbox.network.ledger import AcknowledgedRequest

STARTED_AT = datetime(2026, 11, 24, 12, tzinfo=UTC)
CLINIC, CLINICIAN, OTHER_CLINICIAN, CLIENT, RELATIONSHIP, NEXT_RELATIONSHIP, SESSION = (
    UUID(int=number) for number in range(1, 8)
)

Request = tuple[str, str, str, dict[str, Any], Any]


def days_after_start(days: float) -> datetime:
    return STARTED_AT + timedelta(days=days)


def read_history(*requests: Request) -> AcknowledgedHistory:
    """The history of these requests, acknowledged one second apart."""
    writes = [
        AcknowledgedRequest(*request, STARTED_AT + timedelta(seconds=number)) for number, request in enumerate(requests)
    ]
    return read_requests(writes, STARTED_AT, CLOCK_TOLERANCE)


def events_of_type(history: AcknowledgedHistory, event_type: type[Event]) -> list[Any]:
    return [expected.event for expected in history.expected_events if isinstance(expected.event, event_type)]


def intake_request(path: str, method: str = "PUT", /, **body: Any) -> Request:
    return method, "intake", path, body, {}


def sessions_request(path: str, method: str = "POST", /, response: Any = None, **body: Any) -> Request:
    return method, "sessions", f"/sessions/{SESSION}{path}", body, response


def start_requests() -> list[Request]:
    ids = {"clinic_id": str(CLINIC), "clinician_id": str(CLINICIAN), "client_id": str(CLIENT), "cadence_days": 7}
    return [
        intake_request(f"/clients/{CLIENT}", clinic_id=str(CLINIC), case_code="AB-12"),
        intake_request(
            f"/relationships/{RELATIONSHIP}",
            **ids,
            started_at=days_after_start(-30).isoformat(),
            aims=["coping"],
            consent=True,
        ),
    ]


def schedule_request(days: float, minutes: int = 50) -> Request:
    body = {"relationship_id": str(RELATIONSHIP), "starts_at": days_after_start(days).isoformat(), "minutes": minutes}
    return sessions_request("", "PUT", **body)


def completion_request(days: float, *, asked: Sequence[str] = ("client", "clinician")) -> Request:
    response = {"feedback": {rater: {} for rater in asked}, "clinician_form": {"url": "http://here/f/clinician"}}
    return sessions_request("/completion", response=response, ended_at=days_after_start(days).isoformat(), minutes=50)


def client_link_request(token: str) -> Request:
    return sessions_request("/client-link", response={"url": f"http://here/f/{token}"})


def paper_answer_request(days: float, trust: int) -> Request:
    return sessions_request(
        "/feedback/client", "PUT", given_at=days_after_start(days).isoformat(), ratings={"trust": trust}
    )


def test_a_registration_is_expected_once_and_an_update_when_something_changes() -> None:
    def register(time_zone: str) -> Request:
        return intake_request(f"/clinicians/{CLINICIAN}", clinic_id=str(CLINIC), time_zone=time_zone, contact="a@b.org")

    history = read_history(register("Europe/Berlin"), register("Europe/Berlin"), register("Asia/Tokyo"))

    assert len(events_of_type(history, ClinicianRegistered)) == 1
    assert [event.time_zone for event in events_of_type(history, ClinicianUpdated)] == ["Asia/Tokyo"]


def test_a_start_includes_consent_and_its_repetition_adds_nothing() -> None:
    history = read_history(*start_requests(), *start_requests())

    (started,) = events_of_type(history, RelationshipStarted)
    assert (started.case_code, started.occurred_at) == ("AB-12", days_after_start(-30))
    assert len(events_of_type(history, ConsentGiven)) == 1


def test_a_consent_event_is_expected_only_when_consent_changes() -> None:
    def change_consent(days: float, given: bool) -> Request:
        return intake_request(
            f"/relationships/{RELATIONSHIP}/consent", given=given, at=days_after_start(days).isoformat()
        )

    history = read_history(
        *start_requests(),
        change_consent(-20, True),
        change_consent(-10, False),
        change_consent(-10, False),
        change_consent(-5, True),
    )

    assert [event.occurred_at for event in events_of_type(history, ConsentWithdrawn)] == [days_after_start(-10)]
    assert [event.occurred_at for event in events_of_type(history, ConsentGiven)] == [
        days_after_start(-30),
        days_after_start(-5),
    ]


def test_unchanged_aims_add_no_event() -> None:
    def update_aims(days: float, aim: str) -> Request:
        return intake_request(
            f"/relationships/{RELATIONSHIP}/aims", aims=[aim], agreed_at=days_after_start(days).isoformat()
        )

    history = read_history(
        *start_requests(), update_aims(-30, "coping"), update_aims(-9, "loss"), update_aims(-9, "loss")
    )

    assert [event.aims for event in events_of_type(history, RelationshipAimsUpdated)] == [("loss",)]


def test_a_transfer_ends_one_relationship_and_starts_its_successor_with_the_same_fields() -> None:
    body = {
        "clinician_id": str(OTHER_CLINICIAN),
        "relationship_id": str(NEXT_RELATIONSHIP),
        "at": days_after_start(-1).isoformat(),
    }
    transfer = intake_request(f"/relationships/{RELATIONSHIP}/transfer", "POST", **body)
    aims = intake_request(
        f"/relationships/{RELATIONSHIP}/aims", aims=["loss"], agreed_at=days_after_start(-9).isoformat()
    )

    history = read_history(*start_requests(), aims, transfer, transfer)

    (ended,) = events_of_type(history, RelationshipEnded)
    _, started = events_of_type(history, RelationshipStarted)
    assert (ended.reason, ended.successor_id, ended.occurred_at) == (
        "transferred",
        NEXT_RELATIONSHIP,
        days_after_start(-1),
    )
    assert (started.clinician_id, started.predecessor_id, started.aims) == (OTHER_CLINICIAN, RELATIONSHIP, ("loss",))
    assert (started.case_code, started.occurred_at) == ("AB-12", days_after_start(-1))
    assert [event.relationship_id for event in events_of_type(history, ConsentGiven)] == [
        RELATIONSHIP,
        NEXT_RELATIONSHIP,
    ]


def test_an_appointment_that_is_moved_there_and_back_gives_three_events() -> None:
    history = read_history(
        *start_requests(), schedule_request(1), schedule_request(1), schedule_request(2), schedule_request(1)
    )

    assert [event.starts_at for event in events_of_type(history, SessionScheduled)] == [
        days_after_start(1),
        days_after_start(2),
        days_after_start(1),
    ]


def test_an_appointment_is_made_before_its_start_and_moved_after_it_was_made() -> None:
    first, second = read_history(*start_requests(), schedule_request(-2), schedule_request(-3)).expected_events[-2:]

    assert first.earliest == first.latest == days_after_start(-2)
    assert second.earliest > first.earliest


def test_a_repeated_completion_counts_once_and_each_form_is_a_feedback_request() -> None:
    history = read_history(
        *start_requests(),
        schedule_request(-2, minutes=60),
        completion_request(-1.9),
        completion_request(-1.9),
    )

    (completed,) = events_of_type(history, SessionCompleted)
    assert (completed.minutes, completed.planned_minutes) == (50, 60)
    assert {event.rater for event in events_of_type(history, FeedbackRequested)} == {"client", "clinician"}
    assert {event.due_at for event in events_of_type(history, FeedbackRequested)} == {days_after_start(-1.9 + 3)}


def test_feedback_of_a_client_without_a_form_may_have_been_requested_or_not() -> None:
    history = read_history(*start_requests(), schedule_request(-2), completion_request(-1.9, asked=["clinician"]))

    assert [event.rater for event in events_of_type(history, FeedbackRequested)] == ["clinician"]
    assert [expected.event.event_type() for expected in history.possible_events] == [FeedbackRequested.event_type()]


def test_a_completion_that_an_older_version_acknowledged_has_both_forms() -> None:
    forms = {f"{rater}_form": {"url": f"http://here/f/{rater}"} for rater in ("client", "clinician")}
    body = {"ended_at": days_after_start(-1.9).isoformat(), "minutes": 50}

    history = read_history(
        *start_requests(), schedule_request(-2), sessions_request("/completion", response=forms, **body)
    )

    assert {event.rater for event in events_of_type(history, FeedbackRequested)} == {"client", "clinician"}
    assert {rater for _, rater in history.form_links.values()} == {"client", "clinician"}


def test_notice_of_a_cancellation_is_counted_until_the_planned_start() -> None:
    body = {"by": "client", "cancelled_at": days_after_start(-2.5).isoformat()}

    history = read_history(
        *start_requests(),
        schedule_request(-2),
        sessions_request("/cancellation", **body),
        sessions_request("/cancellation", **body),
    )

    assert [event.notice_hours for event in events_of_type(history, SessionCancelled)] == [12.0]


def test_a_later_answer_on_paper_amends_the_first_and_an_equal_one_does_not() -> None:
    paper = [
        paper_answer_request(-1, 9),
        paper_answer_request(-1, 9),
        paper_answer_request(-0.5, 4),
        paper_answer_request(-0.5, 4),
    ]

    history = read_history(*start_requests(), schedule_request(-2), completion_request(-1.9), *paper)

    assert [event.ratings for event in events_of_type(history, FeedbackSubmitted)] == [{"trust": 9.0}]
    assert [event.ratings for event in events_of_type(history, FeedbackAmended)] == [{"trust": 4.0}]


@pytest.mark.parametrize("link", ["one", "two"])
def test_an_answer_by_link_was_given_between_the_session_and_its_acknowledgement(link: str) -> None:
    form: Request = ("POST", "sessions", f"/f/{link}", {"trust": "3", "fit": "", "tension": "none"}, None)

    history = read_history(
        *start_requests(),
        schedule_request(-2),
        completion_request(-1.9),
        client_link_request("one"),
        client_link_request("two"),
        form,
        form,
    )

    (submitted,) = (expected for expected in history.expected_events if isinstance(expected.event, FeedbackSubmitted))
    assert isinstance(submitted.event, FeedbackSubmitted)
    assert (submitted.event.ratings, submitted.event.tension) == ({"trust": 3.0}, "none")
    assert STARTED_AT - CLOCK_TOLERANCE <= submitted.earliest < submitted.latest <= STARTED_AT + timedelta(minutes=1)


def test_a_request_without_a_handler_is_an_error() -> None:
    with pytest.raises(ValueError, match="/somewhere"):
        read_history(intake_request("/somewhere"))
