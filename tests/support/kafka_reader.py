"""Looking at topics from outside, as any other consumer could."""

import asyncio
from contextlib import suppress
from uuid import UUID

from aiokafka import AIOKafkaConsumer, ConsumerRecord

from shared.events import EVENT_TYPES, Event, by_type
from shared.events.cloudevents import decode
from shared.events.topics import Topic


async def read_records(servers: str, topic: Topic) -> list[ConsumerRecord]:
    """Everything that is on `topic` now."""
    consumer = AIOKafkaConsumer(topic.name, bootstrap_servers=servers, auto_offset_reset="earliest")
    await consumer.start()
    try:
        end_offsets = await consumer.end_offsets(consumer.assignment())
        found: list[ConsumerRecord] = []
        while any([await consumer.position(topic_partition) < end for topic_partition, end in end_offsets.items()]):
            for batch in (await consumer.getmany(timeout_ms=1000)).values():
                found += batch
        return found
    finally:
        with suppress(asyncio.CancelledError):  # a group-less aiokafka consumer lets its own cancelled task out
            await consumer.stop()


async def read_events(servers: str, topic: Topic, key: UUID) -> list[Event]:
    """The events about `key` on `topic`, in order."""
    event_types = by_type(EVENT_TYPES)
    key_records = [candidate for candidate in await read_records(servers, topic) if candidate.key == str(key).encode()]
    events = [decode(record.value, event_types) for record in key_records]
    return [event for event in events if event is not None]
