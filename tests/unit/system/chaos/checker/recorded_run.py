"""A run as the checker sees it: the acknowledged requests, and the observed state of Attune afterwards.

Each test builds it completely and corrupts one thing.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID

from aiokafka import ConsumerRecord

from shared.events import Event
from shared.events.cloudevents import encode
from shared.events.topics import EVENT_TOPICS, Topic, dead_letter_topic
from tests.support.builders import RelationshipBuilder
from tests.system.chaos.checker import check_observed
from tests.system.chaos.checker.acknowledged.requests import read_requests
from tests.system.chaos.checker.clocks import max_clock_skew
from tests.system.chaos.checker.observation import ObservedState
from tests.system.chaos.checker.topic_contents import TopicContents, add_records
from tests.system.chaos.evidence import Evidence, Fault
from tests.system.support.checks import Checks
from tests.system.support.poison import PoisonMessage, create_poison_messages
from tests.unit.system.chaos.checker.recorded_requests import (
    CLINIC_ID,
    NOW,
    STARTED_AT,
    Document,
    client_requests,
    session_time,
)
from tools.sandbox.network.course import Clinician
from tools.sandbox.network.credentials import NoCredentials
from tools.sandbox.network.ledger import AcknowledgedRequest
from tools.sandbox.network.receivers import ReceivedEmail, ReceivedWebhook

SIMULATED_CLINICIAN = Clinician(CLINIC_ID, CLINIC_ID, "ours", "ours@example.org", has_webhook=True)


def create_fault(kind: str, target: str, started_at: datetime, duration: timedelta = timedelta(seconds=20)) -> Fault:
    return Fault(
        kind=kind,
        target=target,
        fault_point="",
        started_at=started_at,
        ended_at=started_at + duration,
        recovery_seconds=1.0,
    )


def injected_events() -> list[Event]:
    """Events that were published past all services."""
    builder = RelationshipBuilder(UUID(int=5), first_session_at=session_time(0))
    return [builder.started(), builder.consent_changed(0, given=True), builder.completed(1), builder.feedback(1)]


@dataclass
class RecordedRun:
    """The parts of a run, which a test can corrupt."""

    requests: list[AcknowledgedRequest] = field(default_factory=client_requests)
    injected: list[Event] = field(default_factory=injected_events)
    faults: list[Fault] = field(default_factory=list)
    poison: list[PoisonMessage] = field(default_factory=lambda: list(create_poison_messages(NOW)))
    records: dict[str, list[ConsumerRecord]] = field(default_factory=dict)
    """By topic name."""
    lag: dict[str, int] = field(default_factory=dict)
    databases: dict[str, dict[str, dict[Any, Document]]] = field(default_factory=dict)
    alliances: dict[UUID, Any] = field(default_factory=dict)
    trajectories: dict[UUID, Any] = field(default_factory=dict)
    inboxes: dict[UUID, Any] = field(default_factory=dict)
    unready_services: list[str] = field(default_factory=list)
    received_emails: list[ReceivedEmail] = field(default_factory=list)
    received_webhooks: list[ReceivedWebhook] = field(default_factory=list)

    def add_record(self, topic: Topic, key: bytes | None, value: bytes | None, **headers: bytes) -> ConsumerRecord:
        """Append a record to a topic."""
        records = self.records.setdefault(topic.name, [])
        position = {"topic": topic.name, "partition": 0, "offset": len(records)}
        header_list = [(name.replace("_", "-"), content) for name, content in headers.items()]
        records.append(cast("ConsumerRecord", SimpleNamespace(key=key, value=value, headers=header_list, **position)))
        return records[-1]

    def publish(self, *events: Event) -> None:
        for event in events:
            self.add_record(event.TOPIC, str(event.key).encode(), encode(event))

    def remove(self, event: Event) -> None:
        """Remove an event from its topic."""
        records = self.records[event.TOPIC.name]
        records[:] = [record for record in records if record.value != encode(event)]

    def replace_event(self, event: Event, **changes: Any) -> None:
        """Replace an event on its topic by a changed copy."""
        self.remove(event)
        self.publish(event.model_copy(update=changes))

    def topic_contents(self) -> TopicContents:
        contents = TopicContents(lag=self.lag)
        for topic in EVENT_TOPICS:
            add_records(contents, topic, self.records.get(topic.name, ()), self.poison)
        contents.dead_letters = {
            consumer: self.records.get(dead_letter_topic(consumer).name, [])
            for consumer in ("sessions", "alliance", "notify")
        }
        return contents

    def find_event(self, event_type: type[Event], condition: Callable[[Any], bool] = lambda _: True) -> Any:
        """The first event of this type on the topics that meets the condition."""
        contents = self.topic_contents()
        events = (
            *contents.source_events.values(),
            *contents.alliance_updates.values(),
            *contents.rupture_events.values(),
            *contents.alert_events.values(),
        )
        return next(event for event in events if isinstance(event, event_type) and condition(event))

    def document(self, service: str, collection: str, document_id: UUID) -> Document:
        return self.databases[service][collection][document_id]

    def failed_checks(self) -> list[str]:
        """The names of the failed checks."""
        evidence = Evidence(
            started_at=STARTED_AT,
            requests=self.requests,
            injected_events=self.injected,
            poison=self.poison,
            faults=self.faults,
            clinicians={CLINIC_ID: SIMULATED_CLINICIAN},
            received_emails=self.received_emails,
            received_webhooks=self.received_webhooks,
            bootstrap_servers="",
            mongodb_uri="",
            credentials=NoCredentials(),
            urls={},
            ops_urls={},
        )
        observed = ObservedState(
            NOW,
            self.topic_contents(),
            self.databases,
            self.alliances,
            self.trajectories,
            self.inboxes,
            self.unready_services,
        )
        checks, clock_skew = Checks(lambda _: None), max_clock_skew(self.faults)
        check_observed(evidence, read_requests(self.requests, STARTED_AT, clock_skew), observed, clock_skew, checks)
        return [check.name for check in checks.results if not check.is_passed]
