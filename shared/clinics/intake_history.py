"""What intake published before a service knew that it would need it."""

from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from shared.events import Event
from shared.events.topics import INTAKE
from shared.kafka.event_reader import EventReader, PartitionSlice, RecordedEvent
from shared.kafka.group_offsets import Offsets


class Reader(Protocol):
    """Where the events come from, such as the EventReader of Kafka. Every method raises BrokerUnavailable."""

    async def message_counts(self) -> list[int]:
        """The number of messages on each partition number."""

    def read(self, partition_slice: PartitionSlice, offsets: Offsets) -> AsyncIterator[list[RecordedEvent]]:
        """The events from `offsets` up to the current end; advances `offsets` to there."""


class IntakeHistory:
    """The events of intake from the first one on, read outside every consumer group.

    A partition that was read to its end is continued from there. After an error, or in another process, it is read
    again, so what handles the events must be idempotent.
    """

    def __init__(self, open_reader: Callable[[], AbstractAsyncContextManager[Reader]]) -> None:
        self._open_reader = open_reader
        self._offsets: defaultdict[int, Offsets] = defaultdict(dict)

    async def read(self) -> AsyncIterator[Sequence[Event]]:
        """The events since the last read, in batches. Raises BrokerUnavailable."""
        async with self._open_reader() as reader:
            for partition in range(len(await reader.message_counts())):
                offsets = dict(self._offsets[partition])
                async for batch in reader.read(PartitionSlice(partition), offsets):
                    yield [recorded.event for recorded in batch]
                self._offsets[partition] = offsets


def open_intake_history(servers: str, service: str, event_types: tuple[type[Event], ...]) -> IntakeHistory:
    """The events of these types, without those that the service has dead-lettered. It connects only when it reads."""
    return IntakeHistory(lambda: EventReader(servers, (INTAKE,), event_types, service))
