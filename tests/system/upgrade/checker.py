"""The chaos test's checker, applied to a loaded recording."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from email import message_from_string, policy
from uuid import UUID

from shared.events.topics import ALL_TOPICS
from shared.kafka.dead_letters.record import parse_dead_letter
from tests.system.chaos.checker import check_observed
from tests.system.chaos.checker.acknowledged.requests import read_requests
from tests.system.chaos.checker.clocks import max_clock_skew
from tests.system.chaos.checker.observation import ObservedState, observe
from tests.system.chaos.evidence import Evidence
from tests.system.support.checks import Checks
from tests.system.support.poison import PoisonMessage
from tests.system.upgrade.archive import Json, Recording, as_bytes
from tests.system.upgrade.expectations import Expectations
from tools.sandbox.network.course import Clinician
from tools.sandbox.network.credentials import Credentials
from tools.sandbox.network.ledger import AcknowledgedRequest
from tools.sandbox.network.receivers import ReceivedEmail, ReceivedWebhook

NOTIFY, DELIVERIES = "notify", "deliveries"


def evidence(
    recording: Recording,
    emails: Sequence[ReceivedEmail],
    webhooks: Sequence[ReceivedWebhook],
    kafka: str,
    mongodb: str,
    credentials: Credentials,
    requests: Sequence[AcknowledgedRequest],
    urls: Mapping[str, str],
    ops_urls: Mapping[str, str],
) -> Evidence:
    """The evidence of the recording and of the messages received since it was loaded. There are no faults."""
    rows, clinicians = recording.rows, recorded_clinicians(recording)
    return Evidence(
        started_at=recording.manifest.began_at,
        requests=[*map(_request, rows["ledger"]), *requests],
        injected_events=(),
        poison=[_poison(row) for row in rows["undecodable"]],
        faults=(),
        clinicians={clinician.id: clinician for clinician in clinicians},
        received_emails=[*map(_email, rows["mails"]), *emails],
        received_webhooks=[*map(_webhook, rows["hooks"]), *webhooks],
        bootstrap_servers=kafka,
        mongodb_uri=mongodb,
        credentials=credentials,
        urls=urls,
        ops_urls=ops_urls,
    )


def recorded_clinicians(recording: Recording) -> list[Clinician]:
    """The clinicians of the recorded clinics."""
    return [
        Clinician(UUID(row["id"]), UUID(row["clinic"]), row["name"], row["email"], row["webhook"])
        for row in recording.rows["clinicians"]
    ]


async def check(evidence: Evidence, expected: Expectations, checks: Checks) -> None:
    """Check an idle system like the chaos test, which does not expect failed deliveries or resolved dead letters."""
    clock_skew = max_clock_skew(evidence.faults)
    history = read_requests(evidence.requests, evidence.started_at, clock_skew)
    observed = await observe(evidence, history.relationships)
    failed = {one.id: one.outcome for one in expected.failed}
    documents = observed.documents(NOTIFY, DELIVERIES)
    outcomes = {which: documents.get(which, {}).get("outcome") for which in failed}
    checks.expect_none(
        "every failed delivery stays failed", outcomes.items() ^ failed.items(), ", ".join(failed.values())
    )
    check_observed(evidence, history, _without(observed, set(failed)), clock_skew, checks)


def _without(observed: ObservedState, failed: set[UUID]) -> ObservedState:
    """The observed state without failed deliveries and without resolutions of dead letters."""
    deliveries = {i: d for i, d in observed.documents(NOTIFY, DELIVERIES).items() if i not in failed}
    databases = {**observed.databases, NOTIFY: {**observed.databases[NOTIFY], DELIVERIES: deliveries}}
    dead_letters = {
        consumer: [record for record in records if parse_dead_letter(record) is not None]
        for consumer, records in observed.topic_contents.dead_letters.items()
    }
    return replace(
        observed, databases=databases, topic_contents=replace(observed.topic_contents, dead_letters=dead_letters)
    )


def _request(row: Json) -> AcknowledgedRequest:
    return AcknowledgedRequest(
        method=row["method"],
        service=row["service"],
        path=row["path"],
        body=row["body"],
        response=row["answer"],
        acknowledged_at=datetime.fromisoformat(row["at"]),
    )


def _poison(row: Json) -> PoisonMessage:
    topic = next(topic for topic in ALL_TOPICS if topic.name == row["topic"])
    return PoisonMessage(row["name"], topic, as_bytes(row["value"]), tuple(row["dead_lettered_by"]))


def _email(row: Json) -> ReceivedEmail:
    message = message_from_string(row["message"], policy=policy.default)
    return ReceivedEmail(tuple(row["to"]), message, datetime.fromisoformat(row["at"]))


def _webhook(row: Json) -> ReceivedWebhook:
    return ReceivedWebhook(row["path"], row["headers"], row["body"].encode(), datetime.fromisoformat(row["at"]))
