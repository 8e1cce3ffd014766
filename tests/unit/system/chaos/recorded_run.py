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
    who = {"clinic_id": str(OURS), "clinician_id": str(OURS), "client_id": str(CLIENT)}
    start = {**who, "started_at": at(0).isoformat(), "aims": ["coping"], "cadence_days": 7, "consent": True}
    found: list[Request] = [
        ("PUT", "intake", f"/clinics/{OURS}", {"name": "Linden", "time_zone": "Europe/Berlin"}, {}),
        ("PUT", "intake", f"/clinicians/{OURS}", {"clinic_id": str(OURS), "time_zone": "Europe/Berlin"}, {}),
        ("PUT", "intake", f"/clients/{CLIENT}", {"clinic_id": str(OURS), "case_code": "AB-1234"}, {}),
        ("PUT", "intake", f"/relationships/{RELATIONSHIP}", start, {}),
        *(request for week in range(1, WEEKS + 1) for request in _week(week)),
        ("POST", "notify", f"/alerts/{OF_LONG_AGO}/acknowledgement", {}, {"status": "repaired", "severity": "urgent"}),
    ]
    return [Taken(*request, SINCE + timedelta(seconds=number)) for number, request in enumerate(found)]


def _week(week: int) -> list[Request]:
    where, starts_at = f"/sessions/{session(week)}", at(week)
    appointment = {"relationship_id": str(RELATIONSHIP), "starts_at": starts_at.isoformat(), "minutes": 50}
    found: list[Request] = [("PUT", "sessions", where, appointment, {})]
    if week == MISSED:
        return [*found, ("POST", "sessions", f"{where}/missed", {}, {})]
    if week == CANCELLED:
        cancelled_at = (starts_at - timedelta(days=3)).isoformat()
        body = {"by": "clinic", "cancelled_at": cancelled_at}
        return [*found, ("POST", "sessions", f"{where}/cancellation", body, {})]
    ended_at = starts_at + timedelta(minutes=50)
    forms = {f"{rater}_form": {"url": f"http://here/f/{rater}{week}"} for rater in ("client", "clinician")}
    completion = {"ended_at": ended_at.isoformat(), "minutes": 50}
    found += [("POST", "sessions", f"{where}/completion", completion, forms)] * 2  # the client had to ask again
    paper = {"given_at": (ended_at + timedelta(hours=1)).isoformat(), "ratings": ratings(9), "tension": "none"}
    found.append(("PUT", "sessions", f"{where}/feedback/clinician", paper, {}))
    if week == LAST:
        form = {**{name: str(rating) for name, rating in ratings(1).items()}, "tension": "yes", "talked_about": "not"}
        found.append(("POST", "sessions", f"/f/client{week}", form, None))
    elif week != SILENT:
        found.append(("PUT", "sessions", f"{where}/feedback/client", paper, {}))
    if week == AMENDED:
        later = (ended_at + timedelta(hours=20)).isoformat()
        found.append(
            ("PUT", "sessions", f"{where}/feedback/client", {**paper, "given_at": later, "ratings": ratings(8)}, {})
        )
    return found


def fault(kind: str, target: str, begun: datetime, lasted: timedelta = timedelta(seconds=20)) -> Fault:
    return Fault(kind=kind, target=target, point="", begun=begun, ended=begun + lasted, recovered=1.0)


def injected() -> list[Event]:
    """Put on the topics past every service."""
    other = Told(UUID(int=5), beginning=at(0))
    return [other.started(), other.consent(0, given=True), other.held(1), other.felt(1)]


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
        there = self.records.setdefault(topic.name, [])
        lies = {"topic": topic.name, "partition": 0, "offset": len(there)}
        named = [(name.replace("_", "-"), content) for name, content in headers.items()]
        there.append(cast("ConsumerRecord", SimpleNamespace(key=key, value=value, headers=named, **lies)))
        return there[-1]

    def tell(self, *events: Event) -> None:
        for event in events:
            self.put(event.TOPIC, str(event.key).encode(), encode(event))

    def take_back(self, event: Event) -> None:
        """As if it had never been told."""
        there = self.records[event.TOPIC.name]
        there[:] = [record for record in there if record.value != encode(event)]

    def instead(self, event: Event, **changed: Any) -> None:
        """Tell it otherwise than it is."""
        self.take_back(event)
        self.tell(event.model_copy(update=changed))

    def record(self) -> Record:
        found = Record(behind=self.behind)
        for topic in SUBJECTS:
            note(found, topic, self.records.get(topic.name, ()), self.planted)
        found.letters = {c: self.records.get(dead_letters(c).name, []) for c in ("sessions", "alliance", "notify")}
        return found

    def one(self, kind: type[Event], so: Callable[[Any], bool] = lambda _: True) -> Any:
        """The event of this kind on the topics; the first of those that are `so`."""
        record = self.record()
        events = (*record.facts.values(), *record.updates.values(), *record.ruptures.values(), *record.alerts.values())
        return next(event for event in events if isinstance(event, kind) and so(event))

    def document(self, service: str, collection: str, which: UUID) -> Document:
        return self.kept[service][collection][which]

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
        seen = Seen(NOW, self.record(), self.kept, self.alliances, self.trajectories, self.inboxes, self.not_ready)
        checks, apart = Checks(lambda _: None), acknowledged.clocks_apart(self.faults)
        weigh(evidence, acknowledged.read(self.taken, SINCE, apart), seen, apart, checks)
        return [check.what for check in checks.all if not check.holds]


def well() -> Story:
    """The story in which all is well."""
    story = Story()
    _tell_facts(story)
    _fold(story)
    _alert(story)
    _keep_at_intake(story)
    _keep_sessions(story)
    _poison(story)
    return story


def _tell_facts(story: Story) -> None:
    """Under ids of their own, at the times that are right."""
    reading = acknowledged.read(story.taken, SINCE, acknowledged.A_LITTLE)
    first: dict[object, UUID] = {}
    for number, each in enumerate(reading.told):
        changed: Document = {"id": uuid5(OURS, f"fact {number}"), "occurred_at": each.latest}
        if isinstance(each.fact, FeedbackSubmitted):
            first[each.fact.session_id, each.fact.rater] = changed["id"]
        if isinstance(each.fact, FeedbackAmended):
            changed["amends"] = first[each.fact.session_id, each.fact.rater]
        story.tell(each.fact.model_copy(update=changed))
    due_at = at(SILENT) + timedelta(minutes=50, hours=72)
    about = {"relationship_id": RELATIONSHIP, "session_id": session(SILENT), "rater": "client"}
    story.tell(FeedbackLapsed.model_validate({"id": uuid5(OURS, "lapsed"), "occurred_at": due_at, **about}))
    story.tell(*story.injected, *story.injected[:1])


def _fold(story: Story) -> None:
    record = story.record()
    facts = [cast("Fact", fact) for fact in record.facts.values() if isinstance(fact, FACTS)]
    kept = story.kept["alliance"] = {
        "facts": {f.id: {"_id": f.id, "r": f.relationship_id, "event": encode(f)} for f in facts},
        "alliances": {},
    }
    for relationship, read in refolded(record).items():
        state = Kept(relationship, read, VERSION)
        kept["alliances"][relationship] = as_document(state)
        story.tell(*what_follows(relationship, read, VERSION, DEFAULT))
        story.alliances[relationship] = RelationshipView.of(state, DEFAULT).model_dump(mode="json")
        own = [fact for fact in facts if fact.relationship_id == relationship]
        points = (point(fact, before, DEFAULT) for fact, before, _ in states(own, DEFAULT))
        shown = [p.model_dump(mode="json") for p in points if p is not None]
        story.trajectories[relationship] = {"points": shown}


def _alert(story: Story) -> None:
    """In notify: the one that is open, and what it sent."""
    said = story.one(RuptureEvent)
    which = uuid5(said.episode_id, "alert")
    about = {"alert_id": which, "episode_id": said.episode_id, "relationship_id": RELATIONSHIP, "clinician_id": OURS}
    raised = {
        "id": uuid5(which, f"raised:{said.severity}"),
        "occurred_at": said.last_sign_at,
        "severity": said.severity,
    }
    story.tell(AlertRaised.model_validate({**raised, **about}))
    alert = {
        **{name: value for name, value in about.items() if name != "alert_id"},
        "said": said.model_dump(include={"version", "severity", "first_sign_at", "last_sign_at"}),
        "status": "open",
        "steps": {said.severity: {}},
        "acknowledged": None,
        "resolved": None,
    }
    deliveries = {
        uuid5(which, f"raised:{channel}"): {
            "alert_id": which,
            "channel": channel,
            "change": "raised",
            "outcome": "sent",
        }
        for channel in ("email", "webhook")
    }
    relationships: dict[Any, Document] = {}
    for relationship, read in refolded(story.record()).items():
        open_episode = read.alliance.open.id if read.alliance.open else None
        relationships[relationship] = {
            "clinician_id": read.alliance.clinician_id,
            "ended_at": None,
            "alliance_version": VERSION,
            "open_episode_id": open_episode,
            "appointments": [],
        }
    story.kept["notify"] = {"alerts": {which: alert}, "deliveries": deliveries, "relationships": relationships}
    shown = {"alert_id": str(which), "status": "open", "severity": said.severity}
    story.inboxes[OURS] = {"alerts": [shown]}
    story.mails.append(mail(which))
    story.hooks.append(hook(which))


def mail(alert: UUID, to: str = "ours@example.org", when: datetime = NOW) -> Mail:
    message = EmailMessage()
    message["Message-ID"] = f"<{uuid5(alert, 'raised:email')}@localhost>"
    message.set_content("http://here/inbox")
    return Mail((to,), message, when)


def hook(alert: UUID, when: datetime = NOW) -> Hook:
    body = f'{{"type": "alert.raised", "alert_id": "{alert}", "url": "http://here/inbox"}}'
    headers = {
        "webhook-id": "1",
        "webhook-timestamp": str(int(when.timestamp())),
        "webhook-signature": Webhook(secret(OURS)).sign("1", when, body),
    }
    return Hook(f"/{OURS}", headers, body.encode(), when)


def _keep_at_intake(story: Story) -> None:
    record, start = story.record(), {"started_at": at(0), "clinician_id": OURS}
    consents = [f for f in record.facts.values() if isinstance(f, ConsentGiven | ConsentWithdrawn)]
    words = [{"at": f.occurred_at, "given": True} for f in consents if f.relationship_id == RELATIONSHIP]
    relationship = {"start": start, "agreements": [{"agreed_at": at(0), "aims": ["coping"]}], "consents": words}
    registered = story.one(Event, lambda event: event.KEY == "clinician_id")
    story.kept["intake"] = {
        "relationships": {RELATIONSHIP: {**relationship, "end": None}},
        "clinicians": {OURS: {"told_at": registered.occurred_at}},
    }


def _keep_sessions(story: Story) -> None:
    reading, record = acknowledged.read(story.taken, SINCE, acknowledged.A_LITTLE), story.record()
    made = {f.session_id: f for f in record.facts.values() if isinstance(f, SessionScheduled)}
    sessions: dict[Any, Document] = {}
    for which, sitting in reading.sittings.items():
        feedback: Document = {
            rater: {
                "status": "answered" if rater in sitting.answers else "lapsed",
                "answer": sitting.answers[rater].model_dump() if rater in sitting.answers else None,
            }
            for rater in sitting.asked
        }
        outcome: Document = {"what": sitting.outcome, "minutes": 50}
        if sitting.due_at:
            outcome["ended_at"] = sitting.starts_at + timedelta(minutes=50)
        else:
            outcome |= {"by": "clinic", "cancelled_at": sitting.starts_at - timedelta(days=3)}
        sessions[which] = {
            "starts_at": sitting.starts_at,
            "minutes": 50,
            "scheduled_at": made[which].occurred_at,
            "outcome": outcome,
            "feedback": feedback,
        }
    known = {
        relationship: {"started_at": read.alliance.started_at, "ended_at": None, "consent": True}
        for relationship, read in refolded(record).items()
    }
    story.kept["sessions"] = {"sessions": sessions, "relationships": known}


def _poison(story: Story) -> None:
    for each in story.planted:
        lies = topics.origin(story.put(each.topic, each.key, each.value))
        for consumer in each.set_aside_by:
            set_aside(story, consumer, each, lies)


def set_aside(story: Story, consumer: str, poison: Poison, origin: str) -> None:
    headers = {"attune_error": b"message: is not JSON", "attune_origin": origin.encode()}
    story.put(dead_letters(consumer), poison.key, poison.value, **headers)
