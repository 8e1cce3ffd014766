"""A small run in which all is well: what clients were told, and everything that can be seen of Attune afterwards.

It is told once, whole; each test spoils one thing.
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

from services.alliance.domain.derived_events import what_follows
from services.alliance.domain.fold import states
from services.alliance.domain.policy.policy import DEFAULT
from services.alliance.domain.presentation.trajectory import point
from services.alliance.domain.state.history import FACTS, Fact
from services.alliance.http.views import RelationshipView
from services.alliance.store.mongo import Kept, as_document
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
from shared.events.topics import SUBJECTS, Topic, dead_letters
from tests.support.builders import ELEMENTS, Told
from tests.system.chaos.checker import acknowledged, weigh
from tests.system.chaos.checker import topic_contents as topics
from tests.system.chaos.checker.observation import Seen
from tests.system.chaos.checker.states import refolded
from tests.system.chaos.checker.topic_contents import Record, note
from tests.system.chaos.evidence import Evidence, Fault
from tests.system.support.checks import Checks
from tests.system.support.poison import Poison, poisons
from tools.sandbox.network.clinic_systems import secret
from tools.sandbox.network.course import Clinician
from tools.sandbox.network.ledger import Taken
from tools.sandbox.network.receivers import Hook, Mail

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
SINCE = NOW - timedelta(minutes=10)
OURS = UUID(int=1)
CLINICIAN = Clinician(OURS, OURS, "ours", "ours@example.org", webhook=True)
RELATIONSHIP, CLIENT = UUID(int=3), UUID(int=4)
WEEKS = 10
BEGAN = NOW - timedelta(weeks=WEEKS, days=2)
MISSED, CANCELLED, SILENT, AMENDED, LAST = 3, 4, 5, 6, WEEKS
VERSION = 7
OF_LONG_AGO = UUID(int=9)
"""An alert of which nothing was left to take on."""

Document = dict[str, Any]
Request = tuple[str, str, str, Document, Any]


def session(week: int) -> UUID:
    return uuid5(RELATIONSHIP, f"session {week}")


def at(week: int) -> datetime:
    return BEGAN + timedelta(weeks=week)


def ratings(value: int) -> dict[str, int]:
    return dict.fromkeys(ELEMENTS, value)


def requests() -> list[Taken]:
    """What clients asked, and were answered."""
    ids = {"clinic_id": str(OURS), "clinician_id": str(OURS), "client_id": str(CLIENT)}
    body = {**ids, "started_at": at(0).isoformat(), "aims": ["coping"], "cadence_days": 7, "consent": True}
    found: list[Request] = [
        ("PUT", "intake", f"/clinics/{OURS}", {"name": "Linden", "time_zone": "Europe/Berlin"}, {}),
        ("PUT", "intake", f"/clinicians/{OURS}", {"clinic_id": str(OURS), "time_zone": "Europe/Berlin"}, {}),
        ("PUT", "intake", f"/clients/{CLIENT}", {"clinic_id": str(OURS), "case_code": "AB-1234"}, {}),
        ("PUT", "intake", f"/relationships/{RELATIONSHIP}", body, {}),
        *(request for week in range(1, WEEKS + 1) for request in _week(week)),
        ("POST", "notify", f"/alerts/{OF_LONG_AGO}/acknowledgement", {}, {"status": "repaired", "severity": "urgent"}),
    ]
    return [Taken(*request, SINCE + timedelta(seconds=number)) for number, request in enumerate(found)]


def _week(week: int) -> list[Request]:
    path, starts_at = f"/sessions/{session(week)}", at(week)
    appointment = {"relationship_id": str(RELATIONSHIP), "starts_at": starts_at.isoformat(), "minutes": 50}
    found: list[Request] = [("PUT", "sessions", path, appointment, {})]
    if week == MISSED:
        return [*found, ("POST", "sessions", f"{path}/missed", {}, {})]
    if week == CANCELLED:
        cancelled_at = (starts_at - timedelta(days=3)).isoformat()
        body = {"by": "clinic", "cancelled_at": cancelled_at}
        return [*found, ("POST", "sessions", f"{path}/cancellation", body, {})]
    ended_at = starts_at + timedelta(minutes=50)
    forms = {f"{rater}_form": {"url": f"http://here/f/{rater}{week}"} for rater in ("client", "clinician")}
    completion = {"ended_at": ended_at.isoformat(), "minutes": 50}
    found += [("POST", "sessions", f"{path}/completion", completion, forms)] * 2  # the client had to ask again
    paper_answer = {"given_at": (ended_at + timedelta(hours=1)).isoformat(), "ratings": ratings(9), "tension": "none"}
    found.append(("PUT", "sessions", f"{path}/feedback/clinician", paper_answer, {}))
    if week == LAST:
        form_fields = {
            **{name: str(rating) for name, rating in ratings(1).items()},
            "tension": "yes",
            "talked_about": "not",
        }
        found.append(("POST", "sessions", f"/f/client{week}", form_fields, None))
    elif week != SILENT:
        found.append(("PUT", "sessions", f"{path}/feedback/client", paper_answer, {}))
    if week == AMENDED:
        given_at = (ended_at + timedelta(hours=20)).isoformat()
        found.append(
            (
                "PUT",
                "sessions",
                f"{path}/feedback/client",
                {**paper_answer, "given_at": given_at, "ratings": ratings(8)},
                {},
            )
        )
    return found


def fault(kind: str, target: str, begun: datetime, duration: timedelta = timedelta(seconds=20)) -> Fault:
    return Fault(kind=kind, target=target, point="", begun=begun, ended=begun + duration, recovered=1.0)


def injected() -> list[Event]:
    """Put on the topics past every service."""
    builder = Told(UUID(int=5), beginning=at(0))
    return [builder.started(), builder.consent(0, given=True), builder.held(1), builder.felt(1)]


@dataclass
class Story:
    """Everything there is, in pieces that can be spoiled."""

    taken: list[Taken] = field(default_factory=requests)
    injected: list[Event] = field(default_factory=injected)
    faults: list[Fault] = field(default_factory=list)
    planted: list[Poison] = field(default_factory=lambda: list(poisons(NOW)))
    records: dict[str, list[ConsumerRecord]] = field(default_factory=dict)
    """By the name of the topic."""
    behind: dict[str, int] = field(default_factory=dict)
    kept: dict[str, dict[str, dict[Any, Document]]] = field(default_factory=dict)
    alliances: dict[UUID, Any] = field(default_factory=dict)
    trajectories: dict[UUID, Any] = field(default_factory=dict)
    inboxes: dict[UUID, Any] = field(default_factory=dict)
    not_ready: list[str] = field(default_factory=list)
    mails: list[Mail] = field(default_factory=list)
    hooks: list[Hook] = field(default_factory=list)

    def put(self, topic: Topic, key: bytes | None, value: bytes | None, **headers: bytes) -> ConsumerRecord:
        """Lay a message on a topic."""
        records = self.records.setdefault(topic.name, [])
        position = {"topic": topic.name, "partition": 0, "offset": len(records)}
        header_list = [(name.replace("_", "-"), content) for name, content in headers.items()]
        records.append(cast("ConsumerRecord", SimpleNamespace(key=key, value=value, headers=header_list, **position)))
        return records[-1]

    def tell(self, *events: Event) -> None:
        for event in events:
            self.put(event.TOPIC, str(event.key).encode(), encode(event))

    def take_back(self, event: Event) -> None:
        """As if it had never been told."""
        records = self.records[event.TOPIC.name]
        records[:] = [record for record in records if record.value != encode(event)]

    def instead(self, event: Event, **changes: Any) -> None:
        """Tell it otherwise than it is."""
        self.take_back(event)
        self.tell(event.model_copy(update=changes))

    def record(self) -> Record:
        contents = Record(behind=self.behind)
        for topic in SUBJECTS:
            note(contents, topic, self.records.get(topic.name, ()), self.planted)
        contents.letters = {
            consumer: self.records.get(dead_letters(consumer).name, [])
            for consumer in ("sessions", "alliance", "notify")
        }
        return contents

    def one(self, kind: type[Event], condition: Callable[[Any], bool] = lambda _: True) -> Any:
        """The event of this kind on the topics; the first of those that are `so`."""
        contents = self.record()
        events = (
            *contents.facts.values(),
            *contents.updates.values(),
            *contents.ruptures.values(),
            *contents.alerts.values(),
        )
        return next(event for event in events if isinstance(event, kind) and condition(event))

    def document(self, service: str, collection: str, document_id: UUID) -> Document:
        return self.kept[service][collection][document_id]

    def amiss(self) -> list[str]:
        """What the judge finds wrong."""
        evidence = Evidence(
            since=SINCE,
            taken=self.taken,
            injected=self.injected,
            planted=self.planted,
            faults=self.faults,
            clinicians={OURS: CLINICIAN},
            mails=self.mails,
            hooks=self.hooks,
            kafka="",
            mongodb="",
            urls={},
        )
        observed = Seen(NOW, self.record(), self.kept, self.alliances, self.trajectories, self.inboxes, self.not_ready)
        checks, clock_skew = Checks(lambda _: None), acknowledged.clocks_apart(self.faults)
        weigh(evidence, acknowledged.read(self.taken, SINCE, clock_skew), observed, clock_skew, checks)
        return [check.what for check in checks.all if not check.holds]


def well() -> Story:
    """The story in which all is well."""
    run = Story()
    _tell_facts(run)
    _fold(run)
    _alert(run)
    _keep_at_intake(run)
    _keep_sessions(run)
    _poison(run)
    return run


def _tell_facts(run: Story) -> None:
    """Under ids of their own, at the times that are right."""
    history = acknowledged.read(run.taken, SINCE, acknowledged.A_LITTLE)
    submitted_ids: dict[object, UUID] = {}
    for number, expected in enumerate(history.told):
        changes: Document = {"id": uuid5(OURS, f"fact {number}"), "occurred_at": expected.latest}
        if isinstance(expected.fact, FeedbackSubmitted):
            submitted_ids[expected.fact.session_id, expected.fact.rater] = changes["id"]
        if isinstance(expected.fact, FeedbackAmended):
            changes["amends"] = submitted_ids[expected.fact.session_id, expected.fact.rater]
        run.tell(expected.fact.model_copy(update=changes))
    due_at = at(SILENT) + timedelta(minutes=50, hours=72)
    common_fields = {"relationship_id": RELATIONSHIP, "session_id": session(SILENT), "rater": "client"}
    run.tell(FeedbackLapsed.model_validate({"id": uuid5(OURS, "lapsed"), "occurred_at": due_at, **common_fields}))
    run.tell(*run.injected, *run.injected[:1])


def _fold(run: Story) -> None:
    contents = run.record()
    events = [cast("Fact", event) for event in contents.facts.values() if isinstance(event, FACTS)]
    database = run.kept["alliance"] = {
        "facts": {
            stored_event.id: {"_id": stored_event.id, "r": stored_event.relationship_id, "event": encode(stored_event)}
            for stored_event in events
        },
        "alliances": {},
    }
    for relationship, result in refolded(contents).items():
        state = Kept(relationship, result, VERSION)
        database["alliances"][relationship] = as_document(state)
        run.tell(*what_follows(relationship, result, VERSION, DEFAULT))
        run.alliances[relationship] = RelationshipView.of(state, DEFAULT).model_dump(mode="json")
        relationship_events = [event for event in events if event.relationship_id == relationship]
        points = (point(event, previous, DEFAULT) for event, previous, _ in states(relationship_events, DEFAULT))
        shown_points = [
            trajectory_point.model_dump(mode="json") for trajectory_point in points if trajectory_point is not None
        ]
        run.trajectories[relationship] = {"points": shown_points}


def _alert(run: Story) -> None:
    """In notify: the one that is open, and what it sent."""
    rupture = run.one(RuptureEvent)
    alert_id = uuid5(rupture.episode_id, "alert")
    common_fields = {
        "alert_id": alert_id,
        "episode_id": rupture.episode_id,
        "relationship_id": RELATIONSHIP,
        "clinician_id": OURS,
    }
    raised_fields = {
        "id": uuid5(alert_id, f"raised:{rupture.severity}"),
        "occurred_at": rupture.last_sign_at,
        "severity": rupture.severity,
    }
    run.tell(AlertRaised.model_validate({**raised_fields, **common_fields}))
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
    for relationship, result in refolded(run.record()).items():
        open_episode = result.alliance.open.id if result.alliance.open else None
        relationships[relationship] = {
            "clinician_id": result.alliance.clinician_id,
            "ended_at": None,
            "alliance_version": VERSION,
            "open_episode_id": open_episode,
            "appointments": [],
        }
    run.kept["notify"] = {"alerts": {alert_id: alert}, "deliveries": deliveries, "relationships": relationships}
    inbox_alert = {"alert_id": str(alert_id), "status": "open", "severity": rupture.severity}
    run.inboxes[OURS] = {"alerts": [inbox_alert]}
    run.mails.append(mail(alert_id))
    run.hooks.append(hook(alert_id))


def mail(alert_id: UUID, to: str = "ours@example.org", when: datetime = NOW) -> Mail:
    message = EmailMessage()
    message["Message-ID"] = f"<{uuid5(alert_id, 'raised:email')}@localhost>"
    message.set_content("http://here/inbox")
    return Mail((to,), message, when)


def hook(alert_id: UUID, when: datetime = NOW) -> Hook:
    body = f'{{"type": "alert.raised", "alert_id": "{alert_id}", "url": "http://here/inbox"}}'
    headers = {
        "webhook-id": "1",
        "webhook-timestamp": str(int(when.timestamp())),
        "webhook-signature": Webhook(secret(OURS)).sign("1", when, body),
    }
    return Hook(f"/{OURS}", headers, body.encode(), when)


def _keep_at_intake(run: Story) -> None:
    contents, start_fields = run.record(), {"started_at": at(0), "clinician_id": OURS}
    consents = [consent for consent in contents.facts.values() if isinstance(consent, ConsentGiven | ConsentWithdrawn)]
    stored_consents = [
        {"at": consent.occurred_at, "given": True} for consent in consents if consent.relationship_id == RELATIONSHIP
    ]
    relationship = {
        "start": start_fields,
        "agreements": [{"agreed_at": at(0), "aims": ["coping"]}],
        "consents": stored_consents,
    }
    registered = run.one(Event, lambda event: event.KEY == "clinician_id")
    run.kept["intake"] = {
        "relationships": {RELATIONSHIP: {**relationship, "end": None}},
        "clinicians": {OURS: {"told_at": registered.occurred_at}},
    }


def _keep_sessions(run: Story) -> None:
    history, contents = acknowledged.read(run.taken, SINCE, acknowledged.A_LITTLE), run.record()
    scheduled_by_session = {
        event.session_id: event for event in contents.facts.values() if isinstance(event, SessionScheduled)
    }
    sessions: dict[Any, Document] = {}
    for document_id, acknowledged_session in history.sittings.items():
        feedback: Document = {
            rater: {
                "status": "answered" if rater in acknowledged_session.answers else "lapsed",
                "answer": acknowledged_session.answers[rater].model_dump()
                if rater in acknowledged_session.answers
                else None,
            }
            for rater in acknowledged_session.asked
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
        for relationship, result in refolded(contents).items()
    }
    run.kept["sessions"] = {"sessions": sessions, "relationships": stored_relationships}


def _poison(run: Story) -> None:
    for poison_message in run.planted:
        origin = topics.origin(run.put(poison_message.topic, poison_message.key, poison_message.value))
        for consumer in poison_message.set_aside_by:
            set_aside(run, consumer, poison_message, origin)


def set_aside(run: Story, consumer: str, poison_message: Poison, origin: str) -> None:
    headers = {"attune_error": b"message: is not JSON", "attune_origin": origin.encode()}
    run.put(dead_letters(consumer), poison_message.key, poison_message.value, **headers)
