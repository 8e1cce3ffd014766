"""The judge finds what is wrong: a judgement that nothing can fail is worth nothing."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID, uuid5

import pytest
from aiokafka import ConsumerRecord
from standardwebhooks import Webhook

from tests.system.smoke import checker
from tests.system.smoke.checker import Alert
from tests.system.support import messages
from tests.system.support.checks import Checks
from tests.system.support.poison import poisons
from tools.sandbox.network.clinic_systems import Clinics, secret
from tools.sandbox.network.course import ELEMENTS, Clinician, Course, Rupture, Said, Session
from tools.sandbox.network.ledger import Ledger
from tools.sandbox.network.receivers import Hook, Mail

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
OURS, THEIRS = UUID(int=1), UUID(int=2)
RELATIONSHIP, SESSION = UUID(int=3), UUID(int=4)


# Scores


class Answering(Clinics):
    """Clinics to whom alliance answers so."""

    def __init__(self, alliance: Mapping[str, Any], points: list[dict[str, Any]]) -> None:
        super().__init__({}, Ledger())
        self._alliance = {
            f"/relationships/{RELATIONSHIP}": alliance,
            f"/relationships/{RELATIONSHIP}/trajectory": {"points": points},
        }

    async def get(self, service: str, path: str) -> Any:
        assert service == "alliance"
        return self._alliance[path]


SAID = {"what": "client_rating", "session_id": str(SESSION), "rating": 80.0}
RIGHT = {"sessions": 1, "missed": 0, "client_ratings": 1, "clinician_ratings": 0, "level": 80.0, "unanswered": 0}


def acknowledged() -> Ledger:
    return Ledger(
        started={RELATIONSHIP}, held={RELATIONSHIP: {SESSION}}, said={RELATIONSHIP: {(SESSION, "client"): 80.0}}
    )


async def found(alliance: Mapping[str, Any], points: list[dict[str, Any]], ledger: Ledger) -> list[str]:
    return await checker.not_in_a_score(Answering(alliance, points), ledger, NOW, NOW)


async def test_what_was_acknowledged_and_is_in_the_score_is_right() -> None:
    assert await found(RIGHT, [SAID], acknowledged()) == []


@pytest.mark.parametrize(
    ("alliance", "points"),
    [
        ({"sessions": 0}, [SAID]),
        ({"sessions": 2}, [SAID]),
        ({"missed": 1}, [SAID]),
        ({"client_ratings": 0}, [SAID]),
        ({"clinician_ratings": 1}, [SAID]),
        ({"level": None}, [SAID]),
        ({"unanswered": 1}, [SAID]),
        ({}, []),
        ({}, [{**SAID, "rating": 79.0}]),
        ({}, [{**SAID, "session_id": str(UUID(int=9))}]),
        ({}, [SAID, {**SAID, "what": "clinician_rating"}]),
        ({}, [SAID, {"what": "cancelled", "session_id": str(UUID(int=9)), "rating": None}]),
    ],
)
async def test_what_is_missing_or_too_much_or_otherwise_is_found(
    alliance: dict[str, Any], points: list[dict[str, Any]]
) -> None:
    (difference,) = await found({**RIGHT, **alliance}, points, acknowledged())

    assert str(RELATIONSHIP) in difference


async def test_a_form_that_nobody_answered_counts_once_its_time_is_over() -> None:
    ledger = Ledger(
        started={RELATIONSHIP},
        held={RELATIONSHIP: {SESSION}},
        silent={RELATIONSHIP: {SESSION: NOW - timedelta(hours=1), UUID(int=9): NOW + timedelta(hours=1)}},
    )
    alliance = {**RIGHT, "client_ratings": 0, "level": None}

    assert await found({**alliance, "unanswered": 1}, [], ledger) == []
    assert len(await found({**alliance, "unanswered": 0}, [], ledger)) == 1
    assert len(await found({**alliance, "unanswered": 2}, [], ledger)) == 1


# Alerts

ALERT = Alert(
    id=str(UUID(int=5)),
    clinician=OURS,
    relationship=RELATIONSHIP,
    episode=str(UUID(int=6)),
    severity="concern",
    status="open",
    first_sign_at=NOW - timedelta(days=2),
    last_sign_at=NOW - timedelta(days=1),
)


def ruptured() -> Course:
    """With a rupture that began two days ago."""
    session = Session(SESSION, 0, NOW - timedelta(days=2), client=Said(NOW, dict.fromkeys(ELEMENTS, 9)))
    return Course(
        id=RELATIONSHIP,
        clinic_id=OURS,
        clinician_id=OURS,
        client_id=OURS,
        case_code="A1",
        started_at=NOW - timedelta(days=9),
        aims=("coping",),
        cadence_days=7,
        sessions=(session,),
        rupture=Rupture("dip", 0, 0, 4),
    )


def test_a_rupture_needs_an_alert_of_its_own_time_in_its_own_inbox() -> None:
    old_alert = replace(ALERT, first_sign_at=NOW - timedelta(days=60), last_sign_at=NOW - timedelta(days=50))

    assert checker.without_alert([ruptured()], [ALERT]) == []
    assert checker.without_alert([ruptured()], [])
    assert checker.without_alert([ruptured()], [old_alert])
    assert checker.without_alert([ruptured()], [replace(ALERT, clinician=THEIRS)])
    assert checker.without_alert([ruptured()], [replace(ALERT, relationship=THEIRS)])


def test_an_alert_in_somebody_elses_inbox_is_found() -> None:
    assert checker.in_a_wrong_inbox([ALERT], [ruptured()]) == []
    assert checker.in_a_wrong_inbox([replace(ALERT, clinician=THEIRS)], [ruptured()])
    assert checker.in_a_wrong_inbox([replace(ALERT, relationship=THEIRS)], [ruptured()])


def test_two_open_alerts_of_one_relationship_are_found() -> None:
    other = replace(ALERT, id="another", episode="another")

    assert checker.open_twice([ALERT, replace(other, status="repaired"), replace(other, relationship=THEIRS)]) == []
    assert checker.open_twice([ALERT, other])
    assert checker.open_twice([ALERT, replace(other, status="acknowledged")])


# Dead letters

PLANTED = poisons(NOW)


def letters() -> list[ConsumerRecord]:
    """As sessions should have set them aside."""
    return [
        letter(poison.key, poison.value, poison.topic.name) for poison in PLANTED if "sessions" in poison.set_aside_by
    ]


def letter(key: bytes, value: bytes | None, topic: str, error: bytes = b"message: is not JSON") -> ConsumerRecord:
    headers = [("planted", b"\xff not UTF-8"), ("attune-error", error), ("attune-origin", f"{topic}/0/1".encode())]
    return cast("ConsumerRecord", SimpleNamespace(key=key, value=value, headers=headers))


def test_dead_letters_are_exactly_those_planted() -> None:
    expected = letters()
    first = expected[0]
    changed = letter(first.key, b"changed", "clinic.intake")
    without_cause = letter(first.key, first.value, "clinic.intake", error=b"")
    wrong_origin = letter(first.key, first.value, "clinic.feedback")

    assert checker.dead_letters_amiss("sessions", PLANTED, expected) == []
    assert checker.dead_letters_amiss("sessions", PLANTED, expected[1:])
    assert checker.dead_letters_amiss("sessions", PLANTED, [*expected, first])
    assert checker.dead_letters_amiss("sessions", PLANTED, [changed, *expected[1:]])
    assert checker.dead_letters_amiss("sessions", PLANTED, [without_cause, *expected[1:]])
    assert checker.dead_letters_amiss("sessions", PLANTED, [wrong_origin, *expected[1:]])
    assert checker.dead_letters_amiss("alliance", PLANTED, expected)


# Messages

CLINICIANS = {
    OURS: Clinician(OURS, OURS, "ours", "ours@example.org", webhook=True),
    THEIRS: Clinician(THEIRS, THEIRS, "theirs", "theirs@example.org", webhook=False),
}


def mail(change: str = "raised", to: str = "ours@example.org", text: str = "http://here/inbox") -> Mail:
    message = EmailMessage()
    message["Message-ID"] = f"<{uuid5(UUID(ALERT.id), f'{change}:email')}@localhost>"
    message.set_content(text)
    return Mail((to,), message, NOW)


def hook(change: str = "raised", whose: UUID = OURS, signed_for: UUID = OURS, late: timedelta = timedelta()) -> Hook:
    body = f'{{"type": "alert.{change}", "alert_id": "{ALERT.id}", "url": "http://here/inbox"}}'
    headers = {
        "webhook-id": "1",
        "webhook-timestamp": str(int(NOW.timestamp())),
        "webhook-signature": Webhook(secret(signed_for)).sign("1", NOW, body),
    }
    return Hook(f"/{whose}", headers, body.encode(), NOW + late)


def amiss(mails: list[Mail], hooks: list[Hook], *alerts: Alert) -> list[str]:
    return messages.amiss(messages.received(mails, hooks, alerts), alerts, CLINICIANS, NOW)


def test_one_message_by_each_channel_is_owed_for_a_fresh_concern() -> None:
    assert amiss([mail()], [hook()], ALERT) == []
    assert amiss([mail()], [], ALERT)
    assert amiss([], [hook()], ALERT)


def test_the_same_message_twice_is_found_but_a_rise_may_be_told() -> None:
    assert amiss([mail(), mail()], [hook()], ALERT)
    assert amiss([mail()], [hook(), hook()], ALERT)
    assert amiss([mail(), mail("rose")], [hook()], replace(ALERT, severity="urgent")) == []


def test_a_message_about_history_or_for_a_mere_watch_or_about_nothing_is_found() -> None:
    old_alert = replace(ALERT, last_sign_at=NOW - timedelta(days=8))

    assert amiss([], [], old_alert) == []
    assert amiss([mail()], [], old_alert)
    assert amiss([mail()], [], replace(ALERT, severity="watch"))
    assert amiss([mail()], [])
    assert amiss([mail()], [hook()], replace(ALERT, clinician=THEIRS))


def test_nobody_must_be_told_of_what_is_not_open_any_more() -> None:
    assert amiss([], [], replace(ALERT, status="retracted")) == []
    assert amiss([mail()], [], replace(ALERT, status="retracted")) == []


def test_a_message_to_somebody_else_or_signed_by_somebody_else_is_found() -> None:
    def wrong(mails: list[Mail], hooks: list[Hook]) -> list[str]:
        return messages.to_the_wrong_one(mails, hooks, [ALERT], CLINICIANS)

    assert wrong([mail()], [hook()]) == []
    assert wrong([mail(to="theirs@example.org")], [])
    assert wrong([], [hook(whose=THEIRS)])
    assert wrong([], [hook(signed_for=THEIRS)])
    assert wrong([], [hook(late=timedelta(minutes=6))])


def test_a_message_that_says_about_whom_it_is_or_holds_no_link_is_found() -> None:
    assert messages.telling([mail()], [hook()], {"A1-0001"}) == []
    assert messages.telling([mail(text="A1-0001, http://here/inbox")], [], {"A1-0001"})
    assert messages.telling([mail(text="come")], [], {"A1-0001"})


def test_every_failure_is_counted_and_shown() -> None:
    lines: list[str] = []
    checks = Checks(lines.append)

    checks.none("all is well", [])
    checks.none("nothing is lost", ["this", "that"], "2 of 9")

    assert (checks.passed, checks.failed) == (1, 1)
    assert lines == ["ok     all is well", "FAILED nothing is lost (2 of 9)", "         this", "         that"]
