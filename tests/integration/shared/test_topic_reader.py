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
    positions: Positions = {}

    async with History(room.servers, [room.topic], (SessionCompleted,)) as history:
        found = [r.event.id async for some in history.read(Slice(1), positions) for r in some]
        found += [r.event.id async for some in history.read(Slice(0), {}) for r in some]
        again = [r async for some in history.read(Slice(1), positions) for r in some]

    assert found == [event.id for event in events]
    assert (positions, again) == ({room.topic.name: 9}, [])
