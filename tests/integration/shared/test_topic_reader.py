"""Reading what lies on the topics from the beginning, outside every consumer group."""

from shared.events import SessionCompleted
from shared.events.cloudevents import encode
from shared.kafka.producer import Message
from shared.kafka.topic_reader import History, Positions, Slice
from tests.support.harness import Room, sessions
from tests.system.support.poison import plant_unreadable


async def test_a_record_that_the_client_cannot_read_is_left_out_and_nothing_else(room: Room) -> None:
    """A header whose name is no UTF-8: aiokafka drops what it has in hand of other partitions as well."""
    events = sessions(12)

    async def put(partition: int, *some: SessionCompleted) -> None:
        await room.producer.send([Message(room.topic.name, b"key", encode(e), partition=partition) for e in some])

    await put(1, *events[:3])
    await plant_unreadable(room.servers, room.topic.name, 1)
    await plant_unreadable(room.servers, room.topic.name, 1)
    await put(1, *events[3:6])
    await plant_unreadable(room.servers, room.topic.name, 1)
    await put(0, *events[6:])
    offsets: Positions = {}

    async with History(room.servers, [room.topic], (SessionCompleted,)) as reader:
        found = [recorded.event.id async for batch in reader.read(Slice(1), offsets) for recorded in batch]
        found += [recorded.event.id async for batch in reader.read(Slice(0), {}) for recorded in batch]
        again = [recorded async for batch in reader.read(Slice(1), offsets) for recorded in batch]

    assert found == [event.id for event in events]
    assert (offsets, again) == ({room.topic.name: 9}, [])
