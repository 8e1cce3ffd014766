"""The checker detects every message that is missing, unexpected, duplicate or sent to the wrong clinician."""

from dataclasses import replace
from datetime import timedelta

import pytest

from shared.events import RuptureSuspected
from tests.unit.system.chaos.checker.corruption import (
    DELIVERED_ONCE,
    DELIVERED_TO_CLINICIAN,
    NO_CASE_CODES,
    Corruption,
    alert_id_of,
    failed_checks_after,
)
from tests.unit.system.chaos.checker.healthy_run import healthy_run
from tests.unit.system.chaos.checker.recorded_messages import create_email, create_webhook
from tests.unit.system.chaos.checker.recorded_requests import CLINIC_ID, NOW
from tests.unit.system.chaos.checker.recorded_run import RecordedRun, create_fault


def remove_email(run: RecordedRun) -> None:
    run.received_emails.clear()


def remove_webhook_and_deliveries(run: RecordedRun) -> None:
    run.received_webhooks.clear()
    run.databases["notify"]["deliveries"].clear()


def add_email_without_alert(run: RecordedRun) -> None:
    run.received_emails.append(create_email(CLINIC_ID))


def fail_delivery(run: RecordedRun) -> None:
    next(iter(run.databases["notify"]["deliveries"].values()))["outcome"] = "failed"


def leave_delivery_due(run: RecordedRun) -> None:
    next(iter(run.databases["notify"]["deliveries"].values()))["next_at"] = NOW


def duplicate_email(run: RecordedRun) -> None:
    run.received_emails.append(create_email(alert_id_of(run)))


def triple_email(run: RecordedRun) -> None:
    run.received_emails += [create_email(alert_id_of(run))] * 2
    run.faults.append(create_fault("one is killed", "notify", NOW))


@pytest.mark.parametrize(
    "corrupt",
    [
        remove_email,
        remove_webhook_and_deliveries,
        add_email_without_alert,
        fail_delivery,
        leave_delivery_due,
        duplicate_email,
        triple_email,
    ],
)
def test_a_message_that_is_missing_unexpected_or_duplicate_is_detected(corrupt: Corruption) -> None:
    assert DELIVERED_ONCE in failed_checks_after(corrupt)


def remove_messages_of_alert_found_in_retrospect(run: RecordedRun) -> None:
    run.replace_event(run.find_event(RuptureSuspected), retrospective=True)
    run.received_emails.clear()
    run.received_webhooks.clear()
    run.databases["notify"]["deliveries"].clear()


def test_no_message_is_required_about_what_was_found_in_retrospect() -> None:
    assert failed_checks_after(remove_messages_of_alert_found_in_retrospect) == []


@pytest.mark.parametrize(
    ("target", "offset_seconds", "is_explained"),
    [
        ("notify", 10, True),
        ("kafka and mongodb", 10, True),
        ("mail", -10, True),
        ("alliance", 10, False),
        ("notify", -120, False),
        ("notify", 90, False),
    ],
)
def test_a_duplicate_message_needs_a_fault_between_the_two_arrivals(
    target: str, offset_seconds: float, is_explained: bool
) -> None:
    run = healthy_run()
    run.received_emails.append(create_email(alert_id_of(run), received_at=NOW + timedelta(seconds=60)))
    fault_started_at = NOW + timedelta(seconds=offset_seconds)
    run.faults.append(create_fault("is killed", target, fault_started_at))

    assert (DELIVERED_ONCE not in run.failed_checks()) is is_explained


def misdirect_email(run: RecordedRun) -> None:
    run.received_emails[0] = create_email(alert_id_of(run), recipient="theirs@example.org")


def expire_signature(run: RecordedRun) -> None:
    run.received_webhooks[0] = replace(create_webhook(alert_id_of(run)), received_at=NOW + timedelta(hours=1))


@pytest.mark.parametrize("corrupt", [misdirect_email, expire_signature])
def test_a_message_to_another_clinician_or_with_an_expired_signature_is_detected(corrupt: Corruption) -> None:
    assert failed_checks_after(corrupt) == [DELIVERED_TO_CLINICIAN]


def test_a_message_that_identifies_the_client_is_detected() -> None:
    assert failed_checks_after(lambda run: run.received_emails[0].message.set_content("http://here/AB-1234")) == [
        NO_CASE_CODES
    ]
