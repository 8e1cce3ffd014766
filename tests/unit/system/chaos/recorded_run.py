"""A small run without faults: the acknowledged requests and the complete observed state of Attune afterwards.

Each test builds it completely and corrupts one thing.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID, uuid5

from aiokafka import ConsumerRecord
from standardwebhooks import Webhook

from services.alliance.domain.derived_events import derive_events
from services.alliance.domain.fold import fold_steps
from services.alliance.domain.policy.policy import DEFAULT_POLICY
from services.alliance.domain.presentation.trajectory import point_for
from services.alliance.domain.state.history import HISTORY_EVENTS
from services.alliance.http.views import RelationshipView
from services.alliance.store.mongo import to_document
from services.alliance.store.protocol import Versioned
from shared.events import (
    AlertRaised,
    ConsentGiven,
    ConsentWithdrawn,
    Event,
    FeedbackAmended,
    FeedbackLapsed,
    FeedbackSubmitted,
    RuptureEvent,
    SessionScheduled,
)
from shared.events.cloudevents import encode
from shared.events.topics import EVENT_TOPICS, Topic, dead_letter_topic
from tests.support.builders import ELEMENTS, RelationshipBuilder
from tests.system.chaos.checker import acknowledged, check_observed
from tests.system.chaos.checker import topic_contents as topic_contents
from tests.system.chaos.checker.observation import ObservedState
from tests.system.chaos.checker.states import refold_relationships
from tests.system.chaos.checker.topic_contents import TopicContents, add_records
from tests.system.chaos.evidence import Evidence, Fault
from tests.system.support.checks import Checks
from tests.system.support.poison import PoisonMessage, create_poison_messages
from tools.sandbox.network.clinic_systems import webhook_secret
from tools.sandbox.network.course import Clinician
from tools.sandbox.network.ledger import AcknowledgedRequest
from tools.sandbox.network.receivers import ReceivedEmail, ReceivedWebhook

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
STARTED_AT = NOW - timedelta(minutes=10)
CLINIC_ID = UUID(int=1)
SIMULATED_CLINICIAN = Clinician(CLINIC_ID, CLINIC_ID, "ours", "ours@example.org", has_webhook=True)
RELATIONSHIP_ID, CLIENT_ID = UUID(int=3), UUID(int=4)
WEEKS = 10
RELATIONSHIP_STARTED_AT = NOW - timedelta(weeks=WEEKS, days=2)
MISSED_WEEK, CANCELLED_WEEK, UNANSWERED_WEEK, AMENDED_WEEK, LAST_WEEK = 3, 4, 5, 6, WEEKS
VERSION = 7
OLD_ALERT_ID = UUID(int=9)
"""An alert that was repaired before it could be acknowledged."""

Document = dict[str, Any]
Request = tuple[str, str, str, Document, Any]


def session_id(week: int) -> UUID:
    return uuid5(RELATIONSHIP_ID, f"session {week}")


def session_time(week: int) -> datetime:
    return RELATIONSHIP_STARTED_AT + timedelta(weeks=week)


def ratings(value: int) -> dict[str, int]:
    return dict.fromkeys(ELEMENTS, value)


def client_requests() -> list[AcknowledgedRequest]:
    """The requests of clients and their responses."""
    ids = {"clinic_id": str(CLINIC_ID), "clinician_id": str(CLINIC_ID), "client_id": str(CLIENT_ID)}
    body = {**ids, "started_at": session_time(0).isoformat(), "aims": ["coping"], "cadence_days": 7, "consent": True}
    requests: list[Request] = [
        ("PUT", "intake", f"/clinics/{CLINIC_ID}", {"name": "Linden", "time_zone": "Europe/Berlin"}, {}),
        ("PUT", "intake", f"/clinicians/{CLINIC_ID}", {"clinic_id": str(CLINIC_ID), "time_zone": "Europe/Berlin"}, {}),
        ("PUT", "intake", f"/clients/{CLIENT_ID}", {"clinic_id": str(CLINIC_ID), "case_code": "AB-1234"}, {}),
        ("PUT", "intake", f"/relationships/{RELATIONSHIP_ID}", body, {}),
        *(request for week in range(1, WEEKS + 1) for request in _week_requests(week)),
        ("POST", "notify", f"/alerts/{OLD_ALERT_ID}/acknowledgement", {}, {"status": "repaired", "severity": "urgent"}),
    ]
    return [
        AcknowledgedRequest(*request, STARTED_AT + timedelta(seconds=number)) for number, request in enumerate(requests)
    ]


def _week_requests(week: int) -> list[Request]:
    path, starts_at = f"/sessions/{session_id(week)}", session_time(week)
    appointment = {"relationship_id": str(RELATIONSHIP_ID), "starts_at": starts_at.isoformat(), "minutes": 50}
    requests: list[Request] = [("PUT", "sessions", path, appointment, {})]
    if week == MISSED_WEEK:
        return [*requests, ("POST", "sessions", f"{path}/missed", {}, {})]
    if week == CANCELLED_WEEK:
        cancelled_at = (starts_at - timedelta(days=3)).isoformat()
        body = {"by": "clinic", "cancelled_at": cancelled_at}
        return [*requests, ("POST", "sessions", f"{path}/cancellation", body, {})]
    ended_at = starts_at + timedelta(minutes=50)
    forms = {f"{rater}_form": {"url": f"http://here/f/{rater}{week}"} for rater in ("client", "clinician")}
    completion = {"ended_at": ended_at.isoformat(), "minutes": 50}
    requests += [("POST", "sessions", f"{path}/completion", completion, forms)] * 2  # the client had to retry
    paper_answer = {"given_at": (ended_at + timedelta(hours=1)).isoformat(), "ratings": ratings(9), "tension": "none"}
    requests.append(("PUT", "sessions", f"{path}/feedback/clinician", paper_answer, {}))
    if week == LAST_WEEK:
        form_fields = {
            **{name: str(rating) for name, rating in ratings(1).items()},
            "tension": "yes",
            "talked_about": "not",
        }
        requests.append(("POST", "sessions", f"/f/client{week}", form_fields, None))
    elif week != UNANSWERED_WEEK:
        requests.append(("PUT", "sessions", f"{path}/feedback/client", paper_answer, {}))
    if week == AMENDED_WEEK:
        given_at = (ended_at + timedelta(hours=20)).isoformat()
        requests.append(
            (
                "PUT",
                "sessions",
                f"{path}/feedback/client",
                {**paper_answer, "given_at": given_at, "ratings": ratings(8)},
                {},
            )
        )
    return requests


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
            urls={},
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
        checks, clock_skew = Checks(lambda _: None), acknowledged.max_clock_skew(self.faults)
        check_observed(
            evidence, acknowledged.read_requests(self.requests, STARTED_AT, clock_skew), observed, clock_skew, checks
        )
        return [check.name for check in checks.results if not check.is_passed]


def healthy_run() -> RecordedRun:
    """A run that passes all checks."""
    run = RecordedRun()
    _publish_source_events(run)
    _add_states(run)
    _add_alert(run)
    _add_intake_documents(run)
    _add_session_documents(run)
    _add_poison(run)
    return run


def _publish_source_events(run: RecordedRun) -> None:
    """Publish all expected events, with new ids and at allowed times."""
    history = acknowledged.read_requests(run.requests, STARTED_AT, acknowledged.CLOCK_TOLERANCE)
    submitted_ids: dict[object, UUID] = {}
    for number, expected in enumerate(history.expected_events):
        changes: Document = {"id": uuid5(CLINIC_ID, f"event {number}"), "occurred_at": expected.latest}
        if isinstance(expected.event, FeedbackSubmitted):
            submitted_ids[expected.event.session_id, expected.event.rater] = changes["id"]
        if isinstance(expected.event, FeedbackAmended):
            changes["amends"] = submitted_ids[expected.event.session_id, expected.event.rater]
        run.publish(expected.event.model_copy(update=changes))
    due_at = session_time(UNANSWERED_WEEK) + timedelta(minutes=50, hours=72)
    common_fields = {"relationship_id": RELATIONSHIP_ID, "session_id": session_id(UNANSWERED_WEEK), "rater": "client"}
    run.publish(
        FeedbackLapsed.model_validate({"id": uuid5(CLINIC_ID, "lapsed"), "occurred_at": due_at, **common_fields})
    )
    run.publish(*run.injected, *run.injected[:1])


def _add_states(run: RecordedRun) -> None:
    contents = run.topic_contents()
    events = [event for event in contents.source_events.values() if isinstance(event, HISTORY_EVENTS)]
    database = run.databases["alliance"] = {
        "facts": {
            stored_event.id: {"_id": stored_event.id, "r": stored_event.relationship_id, "event": encode(stored_event)}
            for stored_event in events
        },
        "alliances": {},
    }
    for relationship, result in refold_relationships(contents).items():
        state = Versioned(relationship, result, VERSION)
        database["alliances"][relationship] = to_document(state)
        run.publish(*derive_events(relationship, result, VERSION, DEFAULT_POLICY))
        run.alliances[relationship] = RelationshipView.from_versioned(state, DEFAULT_POLICY).model_dump(mode="json")
        relationship_events = [event for event in events if event.relationship_id == relationship]
        points = (
            point_for(event, previous, DEFAULT_POLICY)
            for event, previous, _ in fold_steps(relationship_events, DEFAULT_POLICY)
        )
        shown_points = [
            trajectory_point.model_dump(mode="json") for trajectory_point in points if trajectory_point is not None
        ]
        run.trajectories[relationship] = {"points": shown_points}


def _add_alert(run: RecordedRun) -> None:
    """Add the open alert to notify, with its deliveries and messages."""
    rupture = run.find_event(RuptureEvent)
    alert_id = uuid5(rupture.episode_id, "alert")
    common_fields = {
        "alert_id": alert_id,
        "episode_id": rupture.episode_id,
        "relationship_id": RELATIONSHIP_ID,
        "clinician_id": CLINIC_ID,
    }
    raised_fields = {
        "id": uuid5(alert_id, f"raised:{rupture.severity}"),
        "occurred_at": rupture.last_sign_at,
        "severity": rupture.severity,
    }
    run.publish(AlertRaised.model_validate({**raised_fields, **common_fields}))
    alert = {
        **{name: value for name, value in common_fields.items() if name != "alert_id"},
        "said": rupture.model_dump(include={"version", "severity", "first_sign_at", "last_sign_at"}),
        "status": "open",
        "steps": {rupture.severity: {}},
        "acknowledged": None,
        "resolved": None,
    }
    deliveries = {
        uuid5(alert_id, f"raised:{channel}"): {
            "alert_id": alert_id,
            "channel": channel,
            "change": "raised",
            "outcome": "sent",
        }
        for channel in ("email", "webhook")
    }
    relationships: dict[Any, Document] = {}
    for relationship, result in refold_relationships(run.topic_contents()).items():
        open_episode = result.alliance.open_episode.id if result.alliance.open_episode else None
        relationships[relationship] = {
            "clinician_id": result.alliance.clinician_id,
            "ended_at": None,
            "alliance_version": VERSION,
            "open_episode_id": open_episode,
            "appointments": [],
        }
    run.databases["notify"] = {"alerts": {alert_id: alert}, "deliveries": deliveries, "relationships": relationships}
    inbox_alert = {"alert_id": str(alert_id), "status": "open", "severity": rupture.severity}
    run.inboxes[CLINIC_ID] = {"alerts": [inbox_alert]}
    run.received_emails.append(create_email(alert_id))
    run.received_webhooks.append(create_webhook(alert_id))


def create_email(alert_id: UUID, recipient: str = "ours@example.org", received_at: datetime = NOW) -> ReceivedEmail:
    message = EmailMessage()
    message["Message-ID"] = f"<{uuid5(alert_id, 'raised:email')}@localhost>"
    message.set_content("http://here/inbox")
    return ReceivedEmail((recipient,), message, received_at)


def create_webhook(alert_id: UUID, received_at: datetime = NOW) -> ReceivedWebhook:
    body = f'{{"type": "alert.raised", "alert_id": "{alert_id}", "url": "http://here/inbox"}}'
    headers = {
        "webhook-id": "1",
        "webhook-timestamp": str(int(received_at.timestamp())),
        "webhook-signature": Webhook(webhook_secret(CLINIC_ID)).sign("1", received_at, body),
    }
    return ReceivedWebhook(f"/{CLINIC_ID}", headers, body.encode(), received_at)


def _add_intake_documents(run: RecordedRun) -> None:
    contents, start_fields = run.topic_contents(), {"started_at": session_time(0), "clinician_id": CLINIC_ID}
    consents = [
        consent for consent in contents.source_events.values() if isinstance(consent, ConsentGiven | ConsentWithdrawn)
    ]
    stored_consents = [
        {"at": consent.occurred_at, "given": True} for consent in consents if consent.relationship_id == RELATIONSHIP_ID
    ]
    relationship = {
        "start": start_fields,
        "agreements": [{"agreed_at": session_time(0), "aims": ["coping"]}],
        "consents": stored_consents,
    }
    registered = run.find_event(Event, lambda event: event.KEY == "clinician_id")
    run.databases["intake"] = {
        "relationships": {RELATIONSHIP_ID: {**relationship, "end": None}},
        "clinicians": {CLINIC_ID: {"told_at": registered.occurred_at}},
    }


def _add_session_documents(run: RecordedRun) -> None:
    history, contents = (
        acknowledged.read_requests(run.requests, STARTED_AT, acknowledged.CLOCK_TOLERANCE),
        run.topic_contents(),
    )
    scheduled_by_session = {
        event.session_id: event for event in contents.source_events.values() if isinstance(event, SessionScheduled)
    }
    sessions: dict[Any, Document] = {}
    for document_id, acknowledged_session in history.sessions.items():
        feedback: Document = {
            rater: {
                "status": "answered" if rater in acknowledged_session.answers else "lapsed",
                "answer": acknowledged_session.answers[rater].model_dump()
                if rater in acknowledged_session.answers
                else None,
            }
            for rater in acknowledged_session.requested_raters
        }
        outcome: Document = {"what": acknowledged_session.outcome, "minutes": 50}
        if acknowledged_session.due_at:
            outcome["ended_at"] = acknowledged_session.starts_at + timedelta(minutes=50)
        else:
            outcome |= {"by": "clinic", "cancelled_at": acknowledged_session.starts_at - timedelta(days=3)}
        sessions[document_id] = {
            "starts_at": acknowledged_session.starts_at,
            "minutes": 50,
            "scheduled_at": scheduled_by_session[document_id].occurred_at,
            "outcome": outcome,
            "feedback": feedback,
        }
    stored_relationships = {
        relationship: {"started_at": result.alliance.started_at, "ended_at": None, "consent": True}
        for relationship, result in refold_relationships(contents).items()
    }
    run.databases["sessions"] = {"sessions": sessions, "relationships": stored_relationships}


def _add_poison(run: RecordedRun) -> None:
    for poison_message in run.poison:
        origin = topic_contents.origin(run.add_record(poison_message.topic, poison_message.key, poison_message.value))
        for consumer in poison_message.dead_lettered_by:
            add_dead_letter(run, consumer, poison_message, origin)


def add_dead_letter(run: RecordedRun, consumer: str, poison_message: PoisonMessage, origin: str) -> None:
    headers = {"attune_error": b"message: is not JSON", "attune_origin": origin.encode()}
    run.add_record(dead_letter_topic(consumer), poison_message.key, poison_message.value, **headers)
