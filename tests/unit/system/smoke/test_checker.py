"""The checker of the smoke test detects every kind of error: a check that cannot fail is useless."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID, uuid5

import httpx2
import pytest
from aiokafka import ConsumerRecord
from standardwebhooks import Webhook

from tests.system.smoke import checker
from tests.system.smoke.checker import InboxAlert
from tests.system.support import messages
from tests.system.support.checks import Checks
from tests.system.support.poison import create_poison_messages
from tools.sandbox.network.clinic_systems import ClinicSystems, webhook_secret
from tools.sandbox.network.course import ELEMENTS, Clinician, Course, Rupture, Session, SimulatedAnswer
from tools.sandbox.network.credentials import NoCredentials
from tools.sandbox.network.ledger import Ledger
from tools.sandbox.network.receivers import ReceivedEmail, ReceivedWebhook

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
OWN_CLINICIAN, OTHER_CLINICIAN = UUID(int=1), UUID(int=2)
RELATIONSHIP_ID, SESSION_ID, CLINIC_ID = UUID(int=3), UUID(int=4), UUID(int=5)


class FakeClinicSystems(ClinicSystems):
    """Clinic systems that get fixed responses from alliance."""

    def __init__(self, alliance: Mapping[str, Any], points: list[dict[str, Any]]) -> None:
        super().__init__({}, NoCredentials(), Ledger())
        self._responses = {
            f"/relationships/{RELATIONSHIP_ID}": alliance,
            f"/relationships/{RELATIONSHIP_ID}/trajectory": {"points": points},
        }

    async def get(self, service: str, path: str, auth: httpx2.Auth | None) -> Any:
        assert service == "alliance"
        return self._responses[path]


RATING_POINT = {"what": "client_rating", "session_id": str(SESSION_ID), "rating": 80.0}
CORRECT_VIEW = {"sessions": 1, "missed": 0, "client_ratings": 1, "clinician_ratings": 0, "level": 80.0, "unanswered": 0}


def create_ledger() -> Ledger:
    return Ledger(
        started_relationships={RELATIONSHIP_ID: CLINIC_ID},
        held_sessions={RELATIONSHIP_ID: {SESSION_ID}},
        scores={RELATIONSHIP_ID: {(SESSION_ID, "client"): 80.0}},
    )


async def find_differences(alliance: Mapping[str, Any], points: list[dict[str, Any]], ledger: Ledger) -> list[str]:
    return await checker.score_differences(FakeClinicSystems(alliance, points), ledger, NOW, NOW)


async def test_a_score_based_on_the_acknowledged_answers_is_correct() -> None:
    assert await find_differences(CORRECT_VIEW, [RATING_POINT], create_ledger()) == []


@pytest.mark.parametrize(
    ("alliance", "points"),
    [
        ({"sessions": 0}, [RATING_POINT]),
        ({"sessions": 2}, [RATING_POINT]),
        ({"missed": 1}, [RATING_POINT]),
        ({"client_ratings": 0}, [RATING_POINT]),
        ({"clinician_ratings": 1}, [RATING_POINT]),
        ({"level": None}, [RATING_POINT]),
        ({"unanswered": 1}, [RATING_POINT]),
        ({}, []),
        ({}, [{**RATING_POINT, "rating": 79.0}]),
        ({}, [{**RATING_POINT, "session_id": str(UUID(int=9))}]),
        ({}, [RATING_POINT, {**RATING_POINT, "what": "clinician_rating"}]),
        ({}, [RATING_POINT, {"what": "cancelled", "session_id": str(UUID(int=9)), "rating": None}]),
    ],
)
async def test_a_missing_extra_or_different_session_or_score_is_detected(
    alliance: dict[str, Any], points: list[dict[str, Any]]
) -> None:
    (difference,) = await find_differences({**CORRECT_VIEW, **alliance}, points, create_ledger())

    assert str(RELATIONSHIP_ID) in difference


async def test_an_unanswered_form_counts_once_it_is_overdue() -> None:
    ledger = Ledger(
        started_relationships={RELATIONSHIP_ID: CLINIC_ID},
        held_sessions={RELATIONSHIP_ID: {SESSION_ID}},
        unanswered_until={
            RELATIONSHIP_ID: {SESSION_ID: NOW - timedelta(hours=1), UUID(int=9): NOW + timedelta(hours=1)}
        },
    )
    alliance = {**CORRECT_VIEW, "client_ratings": 0, "level": None}

    assert await find_differences({**alliance, "unanswered": 1}, [], ledger) == []
    assert len(await find_differences({**alliance, "unanswered": 0}, [], ledger)) == 1
    assert len(await find_differences({**alliance, "unanswered": 2}, [], ledger)) == 1


# Alerts

ALERT = InboxAlert(
    id=str(UUID(int=5)),
    clinician_id=OWN_CLINICIAN,
    relationship_id=RELATIONSHIP_ID,
    episode_id=str(UUID(int=6)),
    severity="concern",
    status="open",
    first_sign_at=NOW - timedelta(days=2),
    last_sign_at=NOW - timedelta(days=1),
)


def ruptured_course() -> Course:
    """A course with a rupture that started two days ago."""
    session = Session(SESSION_ID, 0, NOW - timedelta(days=2), client=SimulatedAnswer(NOW, dict.fromkeys(ELEMENTS, 9)))
    return Course(
        id=RELATIONSHIP_ID,
        clinic_id=OWN_CLINICIAN,
        clinician_id=OWN_CLINICIAN,
        client_id=OWN_CLINICIAN,
        case_code="A1",
        started_at=NOW - timedelta(days=9),
        aims=("coping",),
        cadence_days=7,
        sessions=(session,),
        rupture=Rupture("dip", 0, 0, 4),
    )


def test_a_rupture_needs_an_alert_of_its_time_in_the_inbox_of_its_clinician() -> None:
    old_alert = replace(ALERT, first_sign_at=NOW - timedelta(days=60), last_sign_at=NOW - timedelta(days=50))

    assert checker.missing_alerts([ruptured_course()], [ALERT]) == []
    assert checker.missing_alerts([ruptured_course()], [])
    assert checker.missing_alerts([ruptured_course()], [old_alert])
    assert checker.missing_alerts([ruptured_course()], [replace(ALERT, clinician_id=OTHER_CLINICIAN)])
    assert checker.missing_alerts([ruptured_course()], [replace(ALERT, relationship_id=OTHER_CLINICIAN)])


def test_an_alert_in_the_inbox_of_another_clinician_is_detected() -> None:
    assert checker.misrouted_alerts([ALERT], [ruptured_course()]) == []
    assert checker.misrouted_alerts([replace(ALERT, clinician_id=OTHER_CLINICIAN)], [ruptured_course()])
    assert checker.misrouted_alerts([replace(ALERT, relationship_id=OTHER_CLINICIAN)], [ruptured_course()])


def test_two_open_alerts_of_one_relationship_are_detected() -> None:
    other = replace(ALERT, id="another", episode_id="another")

    assert (
        checker.multiple_open_alerts(
            [ALERT, replace(other, status="repaired"), replace(other, relationship_id=OTHER_CLINICIAN)]
        )
        == []
    )
    assert checker.multiple_open_alerts([ALERT, other])
    assert checker.multiple_open_alerts([ALERT, replace(other, status="acknowledged")])


# Dead letters

POISON_MESSAGES = create_poison_messages(NOW)


def create_dead_letters() -> list[ConsumerRecord]:
    """The dead letters that sessions should have published."""
    return [
        create_dead_letter(poison.key, poison.value, poison.topic.name)
        for poison in POISON_MESSAGES
        if "sessions" in poison.dead_lettered_by
    ]


def create_dead_letter(
    key: bytes, value: bytes | None, topic: str, error: bytes = b"message: is not JSON"
) -> ConsumerRecord:
    headers = [("planted", b"\xff not UTF-8"), ("attune-error", error), ("attune-origin", f"{topic}/0/1".encode())]
    return cast("ConsumerRecord", SimpleNamespace(key=key, value=value, headers=headers))


def test_dead_letters_must_be_exactly_the_poison_messages() -> None:
    expected = create_dead_letters()
    first = expected[0]
    changed = create_dead_letter(first.key, b"changed", "clinic.intake")
    without_error = create_dead_letter(first.key, first.value, "clinic.intake", error=b"")
    wrong_origin = create_dead_letter(first.key, first.value, "clinic.feedback")

    assert checker.dead_letter_differences("sessions", POISON_MESSAGES, expected) == []
    assert checker.dead_letter_differences("sessions", POISON_MESSAGES, expected[1:])
    assert checker.dead_letter_differences("sessions", POISON_MESSAGES, [*expected, first])
    assert checker.dead_letter_differences("sessions", POISON_MESSAGES, [changed, *expected[1:]])
    assert checker.dead_letter_differences("sessions", POISON_MESSAGES, [without_error, *expected[1:]])
    assert checker.dead_letter_differences("sessions", POISON_MESSAGES, [wrong_origin, *expected[1:]])
    assert checker.dead_letter_differences("alliance", POISON_MESSAGES, expected)


# Messages

CLINICIANS = {
    OWN_CLINICIAN: Clinician(OWN_CLINICIAN, OWN_CLINICIAN, "ours", "ours@example.org", has_webhook=True),
    OTHER_CLINICIAN: Clinician(OTHER_CLINICIAN, OTHER_CLINICIAN, "theirs", "theirs@example.org", has_webhook=False),
}


def create_email(
    change: str = "raised", recipient: str = "ours@example.org", text: str = "http://here/inbox"
) -> ReceivedEmail:
    message = EmailMessage()
    message["Message-ID"] = f"<{uuid5(UUID(ALERT.id), f'{change}:email')}@localhost>"
    message.set_content(text)
    return ReceivedEmail((recipient,), message, NOW)


def create_webhook(
    change: str = "raised", receiver: UUID = OWN_CLINICIAN, signer: UUID = OWN_CLINICIAN, delay: timedelta = timedelta()
) -> ReceivedWebhook:
    body = f'{{"type": "alert.{change}", "alert_id": "{ALERT.id}", "url": "http://here/inbox"}}'
    headers = {
        "webhook-id": "1",
        "webhook-timestamp": str(int(NOW.timestamp())),
        "webhook-signature": Webhook(webhook_secret(signer)).sign("1", NOW, body),
    }
    return ReceivedWebhook(f"/{receiver}", headers, body.encode(), NOW + delay)


def find_message_differences(
    received_emails: list[ReceivedEmail], received_webhooks: list[ReceivedWebhook], *alerts: InboxAlert
) -> list[str]:
    return messages.message_differences(
        messages.parse_messages(received_emails, received_webhooks, alerts), alerts, CLINICIANS, NOW
    )


def test_a_recent_concern_requires_one_message_on_each_channel() -> None:
    assert find_message_differences([create_email()], [create_webhook()], ALERT) == []
    assert find_message_differences([create_email()], [], ALERT)
    assert find_message_differences([], [create_webhook()], ALERT)


def test_a_duplicate_message_is_detected_but_a_rise_may_be_sent() -> None:
    assert find_message_differences([create_email(), create_email()], [create_webhook()], ALERT)
    assert find_message_differences([create_email()], [create_webhook(), create_webhook()], ALERT)
    assert (
        find_message_differences(
            [create_email(), create_email("rose")], [create_webhook()], replace(ALERT, severity="urgent")
        )
        == []
    )


def test_a_message_about_an_old_a_watch_or_no_alert_is_detected() -> None:
    old_alert = replace(ALERT, last_sign_at=NOW - timedelta(days=8))

    assert find_message_differences([], [], old_alert) == []
    assert find_message_differences([create_email()], [], old_alert)
    assert find_message_differences([create_email()], [], replace(ALERT, severity="watch"))
    assert find_message_differences([create_email()], [])
    assert find_message_differences([create_email()], [create_webhook()], replace(ALERT, clinician_id=OTHER_CLINICIAN))


def test_an_alert_that_is_not_open_requires_no_message() -> None:
    assert find_message_differences([], [], replace(ALERT, status="retracted")) == []
    assert find_message_differences([create_email()], [], replace(ALERT, status="retracted")) == []


def test_a_message_to_another_clinician_or_with_an_invalid_signature_is_detected() -> None:
    def misdelivered(received_emails: list[ReceivedEmail], received_webhooks: list[ReceivedWebhook]) -> list[str]:
        return messages.misdelivered_messages(received_emails, received_webhooks, [ALERT], CLINICIANS)

    assert misdelivered([create_email()], [create_webhook()]) == []
    assert misdelivered([create_email(recipient="theirs@example.org")], [])
    assert misdelivered([], [create_webhook(receiver=OTHER_CLINICIAN)])
    assert misdelivered([], [create_webhook(signer=OTHER_CLINICIAN)])
    assert misdelivered([], [create_webhook(delay=timedelta(minutes=6))])


def test_a_message_that_identifies_the_client_or_has_no_link_is_detected() -> None:
    assert messages.identifying_messages([create_email()], [create_webhook()], {"A1-0001"}) == []
    assert messages.identifying_messages([create_email(text="A1-0001, http://here/inbox")], [], {"A1-0001"})
    assert messages.identifying_messages([create_email(text="come")], [], {"A1-0001"})


def test_every_failed_check_is_counted_and_reported() -> None:
    lines: list[str] = []
    checks = Checks(lines.append)

    checks.expect_none("all is well", [])
    checks.expect_none("nothing is lost", ["this", "that"], "2 of 9")

    assert (checks.passed, checks.failed) == (1, 1)
    assert lines == ["ok     all is well", "FAILED nothing is lost (2 of 9)", "         this", "         that"]
