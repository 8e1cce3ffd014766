"""What clients were told is read for what it says, also when it was said twice."""

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
from tests.system.chaos.checker import acknowledged
from tests.system.chaos.checker.acknowledged import Reading
from tools.sandbox.network.ledger import Taken

SINCE = datetime(2026, 11, 24, 12, tzinfo=UTC)
CLINIC, CLINICIAN, OTHER, CLIENT, RELATIONSHIP, NEXT, SESSION = (UUID(int=number) for number in range(1, 8))

Request = tuple[str, str, str, dict[str, Any], Any]


def at(days: float) -> datetime:
    return SINCE + timedelta(days=days)


def read(*requests: Request) -> Reading:
    """Each request a second after the one before."""
    writes = [Taken(*request, SINCE + timedelta(seconds=number)) for number, request in enumerate(requests)]
    return acknowledged.read(writes, SINCE, acknowledged.A_LITTLE)


def facts(reading: Reading, kind: type[Event]) -> list[Any]:
    return [expected.fact for expected in reading.told if isinstance(expected.fact, kind)]


def intake(what: str, method: str = "PUT", /, **body: Any) -> Request:
    return method, "intake", what, body, {}


def desk(what: str, method: str = "POST", /, answer: Any = None, **body: Any) -> Request:
    return method, "sessions", f"/sessions/{SESSION}{what}", body, answer


def began() -> list[Request]:
    ids = {"clinic_id": str(CLINIC), "clinician_id": str(CLINICIAN), "client_id": str(CLIENT), "cadence_days": 7}
    return [
        intake(f"/clients/{CLIENT}", clinic_id=str(CLINIC), case_code="AB-12"),
        intake(
            f"/relationships/{RELATIONSHIP}",
            **ids,
            started_at=at(-30).isoformat(),
            aims=["coping"],
            consent=True,
        ),
    ]


def planned(days: float, minutes: int = 50) -> Request:
    body = {"relationship_id": str(RELATIONSHIP), "starts_at": at(days).isoformat(), "minutes": minutes}
    return desk("", "PUT", **body)


def held(days: float, *, client: str | None = "one") -> Request:
    form = {"url": f"http://here/f/{client}"} if client else None
    response = {"client_form": form, "clinician_form": {"url": "http://here/f/clinician"}}
    return desk("/completion", answer=response, ended_at=at(days).isoformat(), minutes=50)


def on_paper(days: float, trust: int) -> Request:
    return desk("/feedback/client", "PUT", given_at=at(days).isoformat(), ratings={"trust": trust})


def test_a_clinician_is_told_of_once_and_again_when_something_changes() -> None:
    def lives(where: str) -> Request:
        return intake(f"/clinicians/{CLINICIAN}", clinic_id=str(CLINIC), time_zone=where, contact="a@b.org")

    history = read(lives("Europe/Berlin"), lives("Europe/Berlin"), lives("Asia/Tokyo"))

    assert len(facts(history, ClinicianRegistered)) == 1
    assert [event.time_zone for event in facts(history, ClinicianUpdated)] == ["Asia/Tokyo"]


def test_a_start_brings_consent_and_the_same_request_again_brings_nothing() -> None:
    history = read(*began(), *began())

    (started,) = facts(history, RelationshipStarted)
    assert (started.case_code, started.occurred_at) == ("AB-12", at(-30))
    assert len(facts(history, ConsentGiven)) == 1


def test_a_word_of_the_client_is_told_when_it_changes_something() -> None:
    def said(days: float, given: bool) -> Request:
        return intake(f"/relationships/{RELATIONSHIP}/consent", given=given, at=at(days).isoformat())

    history = read(*began(), said(-20, True), said(-10, False), said(-10, False), said(-5, True))

    assert [event.occurred_at for event in facts(history, ConsentWithdrawn)] == [at(-10)]
    assert [event.occurred_at for event in facts(history, ConsentGiven)] == [at(-30), at(-5)]


def test_aims_that_stand_already_are_not_told_again() -> None:
    def agreed(days: float, aim: str) -> Request:
        return intake(f"/relationships/{RELATIONSHIP}/aims", aims=[aim], agreed_at=at(days).isoformat())

    history = read(*began(), agreed(-30, "coping"), agreed(-9, "loss"), agreed(-9, "loss"))

    assert [event.aims for event in facts(history, RelationshipAimsUpdated)] == [("loss",)]


def test_a_transfer_ends_one_relationship_and_starts_the_next_with_all_that_stood() -> None:
    body = {"clinician_id": str(OTHER), "relationship_id": str(NEXT), "at": at(-1).isoformat()}
    transfer = intake(f"/relationships/{RELATIONSHIP}/transfer", "POST", **body)
    aims = intake(f"/relationships/{RELATIONSHIP}/aims", aims=["loss"], agreed_at=at(-9).isoformat())

    history = read(*began(), aims, transfer, transfer)

    (ended,) = facts(history, RelationshipEnded)
    _, started = facts(history, RelationshipStarted)
    assert (ended.reason, ended.successor_id, ended.occurred_at) == ("transferred", NEXT, at(-1))
    assert (started.clinician_id, started.predecessor_id, started.aims) == (OTHER, RELATIONSHIP, ("loss",))
    assert (started.case_code, started.occurred_at) == ("AB-12", at(-1))
    assert [event.relationship_id for event in facts(history, ConsentGiven)] == [RELATIONSHIP, NEXT]


def test_an_appointment_that_moves_there_and_back_is_told_three_times() -> None:
    history = read(*began(), planned(1), planned(1), planned(2), planned(1))

    assert [event.starts_at for event in facts(history, SessionScheduled)] == [at(1), at(2), at(1)]


def test_an_appointment_was_made_before_it_began_and_a_move_after_it_was_made() -> None:
    first, second = read(*began(), planned(-2), planned(-3)).told[-2:]

    assert first.earliest == first.latest == at(-2)
    assert second.earliest > first.earliest


def test_a_completion_that_was_asked_for_again_is_one_and_who_got_a_form_was_asked() -> None:
    history = read(*began(), planned(-2, minutes=60), held(-1.9), held(-1.9, client="two"))

    (completed,) = facts(history, SessionCompleted)
    assert (completed.minutes, completed.planned_minutes) == (50, 60)
    assert {event.rater for event in facts(history, FeedbackRequested)} == {"client", "clinician"}
    assert {event.due_at for event in facts(history, FeedbackRequested)} == {at(-1.9 + 3)}


def test_a_client_without_a_form_may_have_been_asked_or_not() -> None:
    history = read(*began(), planned(-2), held(-1.9, client=None))

    assert [event.rater for event in facts(history, FeedbackRequested)] == ["clinician"]
    assert [expected.fact.kind() for expected in history.perhaps] == [FeedbackRequested.kind()]


def test_notice_is_counted_from_when_the_session_would_have_begun() -> None:
    body = {"by": "client", "cancelled_at": at(-2.5).isoformat()}

    history = read(*began(), planned(-2), desk("/cancellation", **body), desk("/cancellation", **body))

    assert [event.notice_hours for event in facts(history, SessionCancelled)] == [12.0]


def test_an_answer_on_paper_is_corrected_by_a_later_one_and_not_by_the_same() -> None:
    paper = [on_paper(-1, 9), on_paper(-1, 9), on_paper(-0.5, 4), on_paper(-0.5, 4)]

    history = read(*began(), planned(-2), held(-1.9), *paper)

    assert [event.ratings for event in facts(history, FeedbackSubmitted)] == [{"trust": 9.0}]
    assert [event.ratings for event in facts(history, FeedbackAmended)] == [{"trust": 4.0}]


@pytest.mark.parametrize("link", ["one", "two"])
def test_an_answer_by_link_was_given_between_the_session_and_our_hearing_of_it(link: str) -> None:
    form: Request = ("POST", "sessions", f"/f/{link}", {"trust": "3", "fit": "", "tension": "none"}, None)

    history = read(*began(), planned(-2), held(-1.9), held(-1.9, client="two"), form, form)

    (submitted,) = (expected for expected in history.told if isinstance(expected.fact, FeedbackSubmitted))
    assert isinstance(submitted.fact, FeedbackSubmitted)
    assert (submitted.fact.ratings, submitted.fact.tension) == ({"trust": 3.0}, "none")
    assert SINCE - acknowledged.A_LITTLE <= submitted.earliest < submitted.latest <= SINCE + timedelta(minutes=1)


def test_a_request_that_the_judge_does_not_know_is_an_error() -> None:
    with pytest.raises(ValueError, match="/somewhere"):
        read(intake("/somewhere"))
