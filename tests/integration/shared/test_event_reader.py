"""Reading topics from the beginning, outside every consumer group."""

from shared.events import SessionCompleted
from shared.events.cloudevents import encode
from shared.kafka.event_reader import EventReader, Offsets, PartitionSlice
from shared.kafka.producer import Message
from tests.support.harness import ConsumerHarness, completed_sessions
from tests.system.support.poison import publish_undecodable_record


async def test_only_a_record_that_the_client_cannot_decode_is_omitted(harness: ConsumerHarness) -> None:
    """The name of a header is not UTF-8: aiokafka drops fetched records of other partitions as well."""
    events = completed_sessions(12)

    async def produce(partition: int, *sessions: SessionCompleted) -> None:
        await harness.producer.send(
            [Message(harness.topic.name, b"key", encode(e), partition=partition) for e in sessions]
        )

    await produce(1, *events[:3])
    await publish_undecodable_record(harness.servers, harness.topic.name, 1)
    await publish_undecodable_record(harness.servers, harness.topic.name, 1)
    await produce(1, *events[3:6])
    await publish_undecodable_record(harness.servers, harness.topic.name, 1)
    await produce(0, *events[6:])
    offsets: Offsets = {}

    async with EventReader(harness.servers, [harness.topic], (SessionCompleted,)) as reader:
        found = [recorded.event.id async for batch in reader.read(PartitionSlice(1), offsets) for recorded in batch]
        found += [recorded.event.id async for batch in reader.read(PartitionSlice(0), {}) for recorded in batch]
        again = [recorded async for batch in reader.read(PartitionSlice(1), offsets) for recorded in batch]

    assert found == [event.id for event in events]
    assert (offsets, again) == ({harness.topic.name: 9}, [])
