"""Looking at topics from outside, as any other consumer could."""

from uuid import UUID

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from shared.events import KINDS, Event, by_name
from shared.events.cloudevents import decode
from shared.topics import Topic


async def records(servers: str, topic: Topic) -> list[ConsumerRecord]:
    """Everything that is on `topic` now."""
    consumer = AIOKafkaConsumer(bootstrap_servers=servers, enable_auto_commit=False)
    await consumer.start()
    try:
        partitions = [TopicPartition(topic.name, p) for p in consumer.partitions_for_topic(topic.name) or ()]
        if not partitions:
            return []
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        ends = await consumer.end_offsets(partitions)
        found: list[ConsumerRecord] = []
        while any([await consumer.position(p) < end for p, end in ends.items()]):
            for batch in (await consumer.getmany(timeout_ms=1000)).values():
                found += batch
        return found
    finally:
        await consumer.stop()


async def told(servers: str, topic: Topic, key: UUID) -> list[Event]:
    """The events about `key` on `topic`, in order."""
    kinds = by_name(KINDS)
    own = [r for r in await records(servers, topic) if r.key == str(key).encode()]
    events = [decode(record.value, kinds) for record in own]
    return [event for event in events if event is not None]
