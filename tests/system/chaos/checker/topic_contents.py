"""What lies on the topics, as anybody may read it."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from uuid import UUID

from aiokafka import ConsumerRecord

from shared.errors import Unreadable
from shared.events import KINDS, AlertRaised, AllianceUpdated, Event, RuptureEvent, by_name
from shared.events.alerts import AlertEvent
from shared.events.cloudevents import decode
from shared.events.topics import ALERTS, ALLIANCE, FEEDBACK, INTAKE, SESSIONS, SUBJECTS, Topic, dead_letters
from tests.system.support.poison import Poison
from tools.sandbox.servers.kafka_inspector import HEARD_BY, Topics

OF_PEOPLE = (INTAKE, SESSIONS, FEEDBACK)
"""The topics of what people told; what follows from it is on the others."""
_KINDS = by_name(KINDS)


@dataclass
class Record:
    """Each event once; how often it was told is counted."""

    facts: dict[UUID, Event] = field(default_factory=dict)
    """What people told."""
    updates: dict[UUID, AllianceUpdated] = field(default_factory=dict)
    """The highest version of each relationship."""
    ruptures: dict[UUID, RuptureEvent] = field(default_factory=dict)
    alerts: dict[UUID, AlertEvent] = field(default_factory=dict)
    copies: Counter[str] = field(default_factory=Counter)
    """By topic, how often something was told that had been told before."""
    events: Counter[str] = field(default_factory=Counter)
    """By topic, how many there are, each counted once."""
    contradictions: set[str] = field(default_factory=set)
    """One id, or one version of a relationship, and two contents."""
    unreadable: list[str] = field(default_factory=list)
    """Where something lies that is no event and was not planted."""
    poison: dict[str, Poison] = field(default_factory=dict)
    """What was planted, by where it lies."""
    letters: dict[str, list[ConsumerRecord]] = field(default_factory=dict)
    """The dead letters of each consumer."""
    behind: dict[str, int] = field(default_factory=dict)
    """How many messages each consumer has not taken."""


async def read(kafka_inspector: Topics, planted: Sequence[Poison]) -> Record:
    """Read all topics from their beginning."""
    contents = Record()
    for topic in SUBJECTS:
        note(contents, topic, await kafka_inspector.records(topic), planted)
    contents.letters = {consumer: await kafka_inspector.records(dead_letters(consumer)) for consumer in HEARD_BY}
    contents.behind = await kafka_inspector.lag(await kafka_inspector.ends())
    return contents


def origin(record: ConsumerRecord) -> str:
    """Where a message lies."""
    return f"{record.topic}/{record.partition}/{record.offset}"


def note(record: Record, topic: Topic, records: Iterable[ConsumerRecord], planted: Sequence[Poison]) -> None:
    """Take what lies on `topic` into the record."""
    poison_by_content = {(p.key, p.value): p for p in planted if p.topic == topic}
    content_by_key: dict[object, bytes] = {}
    for message in records:
        if poison_message := poison_by_content.get((message.key, message.value)):
            record.poison[origin(message)] = poison_message
        elif isinstance(event := _read(message, topic), str):
            record.unreadable.append(f"{origin(message)}: {event}")
        else:
            _note(record, topic, event, content_by_key)


def _read(record: ConsumerRecord, topic: Topic) -> Event | str:
    """The event, or what is wrong with it."""
    try:
        event = decode(record.value, _KINDS)
    except Unreadable as error:
        return str(error)
    if event is None or topic != event.TOPIC or record.key != str(event.key).encode():
        return "of a kind, or under a key, that does not belong there"
    return event


def _note(record: Record, topic: Topic, event: Event, content_by_key: dict[object, bytes]) -> None:
    content, is_duplicate = _content(event), event.id in content_by_key
    record.copies[topic.name] += is_duplicate
    record.events[topic.name] += not is_duplicate
    if any(content_by_key.setdefault(key, content) != content for key in _told_once(event)):
        record.contradictions.add(f"{event.kind()} {event.id} of {event.key}")
    if not is_duplicate:
        _keep(record, topic, event)


def _told_once(event: Event) -> Iterator[object]:
    """What one event only may tell of."""
    yield event.id
    if isinstance(event, AllianceUpdated):
        yield event.relationship_id, event.version


def _content(event: Event) -> bytes:
    # A severity that is told of late may have come with an earlier sign than was thought.
    excluded = {"occurred_at"} if isinstance(event, AlertRaised) else set[str]()
    return sha256(event.model_dump_json(exclude=excluded).encode()).digest()


def _keep(record: Record, topic: Topic, event: Event) -> None:
    if topic in OF_PEOPLE:
        record.facts[event.id] = event
    elif topic == ALERTS and isinstance(event, AlertEvent):
        record.alerts[event.id] = event
    elif topic == ALLIANCE and isinstance(event, RuptureEvent):
        record.ruptures[event.id] = event
    elif isinstance(event, AllianceUpdated):
        previous = record.updates.get(event.relationship_id)
        if previous is None or previous.version < event.version:
            record.updates[event.relationship_id] = event
