"""The contents of all topics, read like any Kafka client could."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from uuid import UUID

from aiokafka import ConsumerRecord

from shared.errors import DecodeError
from shared.events import EVENT_TYPES, AlertRaised, AllianceUpdated, Event, RuptureEvent, by_type
from shared.events.alerts import AlertEvent
from shared.events.cloudevents import decode
from shared.events.topics import (
    ALERTS,
    ALLIANCE,
    CONSUMED_TOPICS,
    EVENT_TOPICS,
    FEEDBACK,
    INTAKE,
    SESSIONS,
    Topic,
    dead_letter_topic,
)
from tests.system.support.poison import PoisonMessage
from tools.sandbox.servers.kafka_inspector import KafkaInspector

SOURCE_TOPICS = (INTAKE, SESSIONS, FEEDBACK)
"""The topics of source events, which people caused; derived events are on the other topics."""
_EVENT_TYPES = by_type(EVENT_TYPES)


@dataclass
class TopicContents:
    """Each event once, and counts of the duplicates."""

    source_events: dict[UUID, Event] = field(default_factory=dict)
    """Events that people caused."""
    alliance_updates: dict[UUID, AllianceUpdated] = field(default_factory=dict)
    """The highest version of each relationship."""
    rupture_events: dict[UUID, RuptureEvent] = field(default_factory=dict)
    alert_events: dict[UUID, AlertEvent] = field(default_factory=dict)
    duplicate_counts: Counter[str] = field(default_factory=Counter)
    """How many records per topic repeat an earlier event."""
    event_counts: Counter[str] = field(default_factory=Counter)
    """How many different events per topic."""
    contradictions: set[str] = field(default_factory=set)
    """Events that share an id, or the version of a relationship, but differ in content."""
    undecodable: list[str] = field(default_factory=list)
    """Records that are neither valid events nor poison messages."""
    poison_by_origin: dict[str, PoisonMessage] = field(default_factory=dict)
    """The poison messages, by origin (topic/partition/offset)."""
    dead_letters: dict[str, list[ConsumerRecord]] = field(default_factory=dict)
    """The dead letters of each consumer."""
    lag: dict[str, int] = field(default_factory=dict)
    """How many messages each consumer has not committed."""


async def read_topics(kafka_inspector: KafkaInspector, poison_messages: Sequence[PoisonMessage]) -> TopicContents:
    """Read all topics from their beginning."""
    contents = TopicContents()
    for topic in EVENT_TOPICS:
        add_records(contents, topic, await kafka_inspector.read_records(topic), poison_messages)
    contents.dead_letters = {
        consumer: await kafka_inspector.read_records(dead_letter_topic(consumer)) for consumer in CONSUMED_TOPICS
    }
    contents.lag = await kafka_inspector.lag(await kafka_inspector.end_offsets())
    return contents


def origin(record: ConsumerRecord) -> str:
    """The position of a record: topic/partition/offset."""
    return f"{record.topic}/{record.partition}/{record.offset}"


def add_records(
    contents: TopicContents, topic: Topic, records: Iterable[ConsumerRecord], poison_messages: Sequence[PoisonMessage]
) -> None:
    """Add the records of `topic` to `contents`."""
    poison_by_content = {(p.key, p.value): p for p in poison_messages if p.topic == topic}
    content_by_key: dict[object, bytes] = {}
    for message in records:
        if poison_message := poison_by_content.get((message.key, message.value)):
            contents.poison_by_origin[origin(message)] = poison_message
        elif isinstance(event := _decode_event(message, topic), str):
            contents.undecodable.append(f"{origin(message)}: {event}")
        else:
            _add_event(contents, topic, event, content_by_key)


def _decode_event(record: ConsumerRecord, topic: Topic) -> Event | str:
    """The event, or what is wrong with it."""
    try:
        event = decode(record.value, _EVENT_TYPES)
    except DecodeError as error:
        return str(error)
    if event is None or topic != event.TOPIC or record.key != str(event.key).encode():
        return "wrong event type or key for this topic"
    return event


def _add_event(contents: TopicContents, topic: Topic, event: Event, content_by_key: dict[object, bytes]) -> None:
    content, is_duplicate = _content_hash(event), event.id in content_by_key
    contents.duplicate_counts[topic.name] += is_duplicate
    contents.event_counts[topic.name] += not is_duplicate
    if any(content_by_key.setdefault(key, content) != content for key in _unique_keys(event)):
        contents.contradictions.add(f"{event.event_type()} {event.id} of {event.key}")
    if not is_duplicate:
        _store_event(contents, topic, event)


def _unique_keys(event: Event) -> Iterator[object]:
    """Keys that only events of the same content may share."""
    yield event.id
    if isinstance(event, AllianceUpdated):
        yield event.relationship_id, event.version


def _content_hash(event: Event) -> bytes:
    # A raised event that is published again later may have an earlier sign than was known first.
    excluded = {"occurred_at"} if isinstance(event, AlertRaised) else set[str]()
    return sha256(event.model_dump_json(exclude=excluded).encode()).digest()


def _store_event(contents: TopicContents, topic: Topic, event: Event) -> None:
    if topic in SOURCE_TOPICS:
        contents.source_events[event.id] = event
    elif topic == ALERTS and isinstance(event, AlertEvent):
        contents.alert_events[event.id] = event
    elif topic == ALLIANCE and isinstance(event, RuptureEvent):
        contents.rupture_events[event.id] = event
    elif isinstance(event, AllianceUpdated):
        previous = contents.alliance_updates.get(event.relationship_id)
        if previous is None or previous.version < event.version:
            contents.alliance_updates[event.relationship_id] = event
