"""A topic in memory, from which rebuild and verify read."""

from collections.abc import AsyncIterator

from shared.events import Event
from shared.events.cloudevents import encode
from shared.kafka.dead_letters.record import Origin
from shared.kafka.event_reader import PartitionSlice, RecordedEvent
from shared.kafka.group_offsets import Offsets


class MemoryTopic:
    """A topic with one partition."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.dead_lettered: set[int] = set()
        """Offsets."""

    async def message_counts(self) -> list[int]:
        return [len(self.events)]

    async def read(self, partition_slice: PartitionSlice, offsets: Offsets) -> AsyncIterator[list[RecordedEvent]]:
        first, offsets["topic"] = offsets.get("topic", 0), len(self.events)
        yield [
            RecordedEvent(event, encode(event), Origin("topic", 0, offset))
            for offset, event in enumerate(self.events[first:], first)
            if offset not in self.dead_lettered and partition_slice.contains(str(event.key).encode())
        ]

    async def dead_letters(self) -> set[Origin]:
        return {Origin("topic", 0, offset) for offset in self.dead_lettered}

    async def known_offsets(self, _partition: int) -> Offsets:
        return {}
