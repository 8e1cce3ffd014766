"""The topic of intake, without Kafka."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from shared.errors import BrokerUnavailable
from shared.events import Event
from shared.kafka.dead_letters.record import Origin
from shared.kafka.event_reader import PartitionSlice, RecordedEvent
from shared.kafka.group_offsets import Offsets


class FakeTopic:
    """A topic with these events on its partitions, which records what is read of it."""

    def __init__(self, *partitions: list[Event]) -> None:
        self.partitions = partitions
        self.read_events: list[Event] = []
        self.is_available = True

    @asynccontextmanager
    async def open(self) -> AsyncIterator["FakeTopic"]:
        if not self.is_available:
            raise BrokerUnavailable("Kafka is unavailable")
        yield self

    async def message_counts(self) -> list[int]:
        return [len(events) for events in self.partitions]

    async def read(self, partition_slice: PartitionSlice, offsets: Offsets) -> AsyncIterator[list[RecordedEvent]]:
        number, start = partition_slice.partition, offsets.get("intake", 0)
        for offset, event in enumerate(self.partitions[number][start:], start):
            self.read_events.append(event)
            offsets["intake"] = offset + 1
            yield [RecordedEvent(event, b"", Origin("intake", number, offset))]
