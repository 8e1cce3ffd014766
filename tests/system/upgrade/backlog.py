"""The unfinished work in the recording, which the current code must complete; each check names what it expects."""

import json
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from uuid import UUID

import httpx2
from aiokafka import ConsumerRecord

from shared.events.topics import EVENT_TOPICS
from shared.kafka.dead_letters.topic import dead_letters_of
from tests.system.support.checks import Checks
from tests.system.upgrade.archive import Json, Recording
from tests.system.upgrade.expectations import Alert, DeadLetter, Expectations, Form, Link
from tools.sandbox.network.receivers import ReceivedEmail, ReceivedWebhook
from tools.sandbox.servers.kafka_inspector import KafkaInspector

Fetch: TypeAlias = Callable[[str, str, UUID | None], Awaitable[httpx2.Response]]
"""Requests a path of a service, as a clinician or as a client, who need not sign in."""
NOT_FOUND, SEE_OTHER = 404, 303  # the second leads to the sign-in
LAPSED = "clinic.feedback.lapsed.v1"
RAISED = "clinic.alert.raised.v1"
RETRACTED = "clinic.rupture.retracted.v1"

REVISED: Mapping[UUID | None, tuple[str, str]] = {
    UUID("ef44ce75-3999-5f27-bcaa-6b46f6c1b21e"): ("open", "urgent"),
    UUID("e2574076-c687-523c-aea4-4a582b5e342b"): ("repaired", "watch"),
    UUID("1ecacc0c-83de-559b-9e75-7b86c95799b3"): ("retracted", "watch"),
    UUID("b15745d7-2a6d-575f-a230-3759e1e5025a"): ("retracted", "urgent"),
    UUID("42589307-57aa-5cb4-8402-cb3fda5a1f08"): ("open", "concern"),
}
"""The status and severity of alerts about which the rules after the recording decide otherwise."""


@dataclass(frozen=True)
class Observation:
    """What can be observed from outside."""

    published: Mapping[str, Sequence[Json]]
    """By topic, every event after the recorded ones."""
    arrival_counts: Counter[UUID]
    """How often each message has arrived since loading."""
    inboxes: Mapping[UUID, Sequence[Json]] = field(default_factory=dict)
    withdrawn: frozenset[str] = frozenset()
    """Relationships in which an episode was retracted because the client withdrew consent, also the recorded ones."""

    def ids(self, topic: str) -> set[str]:
        return {event["id"] for event in self.published[topic]}

    @property
    def lapsed(self) -> set[Form]:
        events = [event for event in self.published["clinic.feedback"] if event["type"] == LAPSED]
        return {Form(session=e["data"]["session_id"], rater=e["data"]["rater"]) for e in events}


async def observe(
    kafka_inspector: KafkaInspector,
    recording: Recording,
    emails: Iterable[ReceivedEmail],
    webhooks: Iterable[ReceivedWebhook],
    fetch: Fetch,
    expected: Expectations,
) -> Observation:
    """Read the topics, the receivers and the inboxes."""
    recorded = {name: Counter(record.partition for record in records) for name, records in recording.topics.items()}
    published, withdrawn = {}, set[str]()
    for topic in EVENT_TOPICS:
        records = await kafka_inspector.read_records(topic)
        new = [r for r in records if r.offset >= recorded[topic.name][r.partition]]
        published[topic.name] = [event for record in new if (event := _event(record)) is not None]
        events = [event for record in records if (event := _event(record)) is not None]
        withdrawn |= {e["partitionkey"] for e in events if _is_withdrawal(e)}
    arrived = Counter(UUID(str(mail.message["Message-ID"]).strip("<>").partition("@")[0]) for mail in emails)
    arrived += Counter(UUID(hook.headers["webhook-id"]) for hook in webhooks)
    clinicians = {alert.clinician for alert in (*expected.unchanged, *expected.changed)}
    inboxes = {c: (await fetch("notify", f"/clinicians/{c}/inbox", c)).json()["alerts"] for c in clinicians}
    return Observation(published, arrived, inboxes, frozenset(withdrawn))


def _is_withdrawal(event: Json) -> bool:
    return event["type"] == RETRACTED and bool(event["data"]["reason"] == "consent_withdrawn")


def unfinished(expected: Expectations, observation: Observation) -> list[str]:
    """What is not done yet."""
    return [
        *_not_published(expected, observation),
        *_not_arrived(expected, observation),
        *_not_lapsed(expected, observation),
        *_not_raised(expected, observation),
        *_not_shown(expected.changed, observation),
    ]


async def check(expected: Expectations, observation: Observation, kafka: str, fetch: Fetch, checks: Checks) -> None:
    """Check each kind of unfinished work."""
    types = ", ".join(sorted({entry.type.removeprefix("clinic.") for entry in expected.outbox}))
    checks.expect_none(
        "every outbox entry is published", _not_published(expected, observation), f"{len(expected.outbox)}: {types}"
    )
    for message in expected.deliveries:
        times = observation.arrival_counts[message.id]
        check_name = f"{message.channel} {message.id} is delivered once"
        checks.expect_none(check_name, [] if times == 1 else [f"arrived {times} times"], message.why)
    lapses = ", ".join(f"{form.rater} of {form.session}" for form in expected.lapses)
    checks.expect_none("every overdue feedback request lapses", _not_lapsed(expected, observation), lapses)
    early = [f"{form}" for form in observation.lapsed - set(expected.lapses)]
    checks.expect_none("no other feedback request lapses", early, f"{len(expected.awaited)} still awaited")
    lag = ", ".join(f"{group} {count}" for group, count in expected.lag.items())
    wrong = [*_not_raised(expected, observation), *_not_shown(expected.changed, observation)]
    changed = ", ".join(f"{alert.status} about {alert.relationship}" for alert in expected.changed)
    checks.expect_none("consumers catch up, and the expected alerts change", wrong, f"lag: {lag}; alerts: {changed}")
    checks.expect_none(
        "every other alert is unchanged", _not_shown(expected.unchanged, observation), _by_status(expected)
    )
    checks.expect_none(
        "no message that was given up is sent",
        [one for one in expected.failed if observation.arrival_counts[one.id]],
    )
    await _check_dead_letters(expected, kafka, checks)
    await _check_links(expected, fetch, checks)


def _not_published(expected: Expectations, observation: Observation) -> list[str]:
    return [f"{e.service}: {e.type} {e.event}" for e in expected.outbox if str(e.event) not in observation.ids(e.topic)]


def _not_arrived(expected: Expectations, observation: Observation) -> list[str]:
    return [f"{m.channel} {m.id} ({m.why})" for m in expected.deliveries if not observation.arrival_counts[m.id]]


def _not_lapsed(expected: Expectations, observation: Observation) -> list[str]:
    return [f"{form.rater} of session {form.session}" for form in set(expected.lapses) - observation.lapsed]


def _not_raised(expected: Expectations, observation: Observation) -> list[str]:
    """New alerts whose raised event is not published."""
    raised = {e["partitionkey"] for e in observation.published["clinic.alerts"] if e["type"] == RAISED}
    new = [alert for alert in expected.changed if alert.status == "open"]
    return [f"no alert raised for relationship {a.relationship}" for a in new if str(a.relationship) not in raised]


def _has_left(alert: Alert, observation: Observation) -> bool:
    """Whether the alert is shown no more, because the client withdrew consent."""
    relationships = {shown["relationship_id"] for shown in observation.inboxes[alert.clinician]}
    return str(alert.relationship) in observation.withdrawn - relationships


def _not_shown(alerts: Iterable[Alert], observation: Observation) -> list[str]:
    return [
        f"{alert.status} alert about {alert.relationship}"
        for alert in alerts
        if not _is_shown(alert, observation) and not _has_left(alert, observation)
    ]


def _is_shown(alert: Alert, observation: Observation) -> bool:
    decided = {(alert.status, severity) for severity in alert.severities}
    if alert.alert in REVISED:
        decided = {REVISED[alert.alert]}
    return any(
        shown["relationship_id"] == str(alert.relationship)
        and alert.alert in (None, UUID(shown["alert_id"]))
        and (shown["status"], shown["severity"]) in decided
        for shown in observation.inboxes[alert.clinician]
    )


def _by_status(expected: Expectations) -> str:
    counts = Counter(alert.status for alert in expected.unchanged)
    return ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))


async def _check_dead_letters(expected: Expectations, kafka: str, checks: Checks) -> None:
    found = set[DeadLetter]()
    for consumer in expected.lag:
        for dead_letter in await dead_letters_of(kafka, consumer):
            settled = dead_letter.resolution.action if dead_letter.resolution else None
            found.add(DeadLetter(consumer=consumer, origin=str(dead_letter.origin), settled=settled))
    counts = Counter(dead_letter.settled or "open" for dead_letter in expected.dead_letters)
    summary = ", ".join(f"{count} {settled}" for settled, count in sorted(counts.items()))
    checks.expect_none("exactly these dead letters exist", found ^ set(expected.dead_letters), summary)


async def _check_links(expected: Expectations, fetch: Fetch, checks: Checks) -> None:
    clinicians = {alert.clinician for alert in (*expected.unchanged, *expected.changed)}
    statuses = [(link, await _open_link(link, clinicians, fetch)) for link in expected.links]
    wrong = [f"status {status}, not {link.status}" for link, status in statuses if status != link.status]
    counts = Counter(link.status for link in expected.links)
    summary = f"{counts[200]} open a form, {counts[410]} were used"
    checks.expect_none("every form link works as before", wrong, summary)


async def _open_link(link: Link, clinicians: Iterable[UUID], fetch: Fetch) -> int:
    """The status that a client gets, or the clinician whose form it is: others do not learn that it exists."""
    status = (await fetch("sessions", f"/f/{link.token}", None)).status_code
    if status != SEE_OTHER:
        return status
    statuses = {(await fetch("sessions", f"/f/{link.token}", clinician)).status_code for clinician in clinicians}
    return next(iter(statuses - {NOT_FOUND}), NOT_FOUND)


def _event(record: ConsumerRecord) -> Json:
    """The event in a record; None if it is not an event."""
    try:
        event: Any = json.loads(record.value or b"")
    except ValueError:
        return None
    return event if isinstance(event, dict) and {"id", "type", "partitionkey", "data"} <= event.keys() else None
