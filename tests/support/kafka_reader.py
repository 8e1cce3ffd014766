"""Reads topics from outside, as any other consumer could."""

from uuid import UUID

from aiokafka import ConsumerRecord

from shared.events import EVENT_TYPES, Event, by_type
from shared.events.cloudevents import decode
from shared.events.topics import Topic
from shared.kafka.topic_reader import TopicReader


async def read_records(servers: str, topic: Topic) -> list[ConsumerRecord]:
    """All records on `topic` up to now."""
    async with TopicReader(servers, [topic]) as reader:
        return await reader.read_all()


async def read_events(servers: str, topic: Topic, key: UUID) -> list[Event]:
    """The events about `key` on `topic`, in order."""
    event_types = by_type(EVENT_TYPES)
    key_records = [candidate for candidate in await read_records(servers, topic) if candidate.key == str(key).encode()]
    events = [decode(record.value, event_types) for record in key_records]
    return [event for event in events if event is not None]
