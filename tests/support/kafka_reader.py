"""Looking at topics from outside, as any other consumer could."""

import asyncio
from contextlib import suppress
from uuid import UUID

from aiokafka import AIOKafkaConsumer, ConsumerRecord

from shared.events import KINDS, Event, by_name
from shared.events.cloudevents import decode
from shared.events.topics import Topic


async def records(servers: str, topic: Topic) -> list[ConsumerRecord]:
    """Everything that is on `topic` now."""
    consumer = AIOKafkaConsumer(topic.name, bootstrap_servers=servers, auto_offset_reset="earliest")
    await consumer.start()
    try:
        ends = await consumer.end_offsets(consumer.assignment())
        found: list[ConsumerRecord] = []
        while any([await consumer.position(p) < end for p, end in ends.items()]):
            for batch in (await consumer.getmany(timeout_ms=1000)).values():
                found += batch
        return found
    finally:
        with suppress(asyncio.CancelledError):  # a group-less aiokafka consumer lets its own cancelled task out
            await consumer.stop()


async def told(servers: str, topic: Topic, key: UUID) -> list[Event]:
    """The events about `key` on `topic`, in order."""
    kinds = by_name(KINDS)
    own = [r for r in await records(servers, topic) if r.key == str(key).encode()]
    events = [decode(record.value, kinds) for record in own]
    return [event for event in events if event is not None]
