"""What the topics say, in parts that fit into memory.

A slice holds some keys of one partition number, with all their events. Everything is read slice by slice.
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Protocol
from uuid import UUID

from shared.kafka.dead_letters.record import Origin
from shared.kafka.event_reader import PartitionSlice, RecordedEvent
from shared.kafka.group_offsets import Offsets

MAX_SLICE_MESSAGES = 100_000
"""Messages in one slice; as events they take about 250 MB."""

History = list[RecordedEvent]
"""All events with one key, in the order in which they were read."""


class EventReader(Protocol):
    """Where the events come from, such as the EventReader of Kafka. Every method raises BrokerUnavailable."""

    async def message_counts(self) -> list[int]:
        """The number of messages on each partition number."""

    def read(self, partition_slice: PartitionSlice, offsets: Offsets) -> AsyncIterator[list[RecordedEvent]]:
        """The events from `offsets` up to the current end; advances `offsets` to there."""

    async def dead_letters(self) -> Collection[Origin]:
        """What the service has dead-lettered by now."""

    async def known_offsets(self, partition: int) -> Offsets:
        """Up to where the service knows each topic on a partition number."""


@dataclass(frozen=True, slots=True)
class PageSize:
    """When a page is full: as soon as one of the two is reached."""

    documents: int
    events: int


class SliceReader:
    """Reads one slice, and what is published on it later. Raises BrokerUnavailable."""

    def __init__(self, reader: EventReader, partition_slice: PartitionSlice, offsets: Offsets | None = None) -> None:
        self.partition_slice = partition_slice
        self.offsets = offsets or Offsets()
        """Everything before these offsets has been read."""
        self.histories: dict[UUID, History] = {}
        self._reader = reader
        self._lock = asyncio.Lock()

    async def read(self) -> None:
        """Read the histories of the slice."""
        self.histories = await self.read_newer()

    async def read_newer(self) -> dict[UUID, History]:
        """The events since the last read. They are appended to `histories`, as far as these have their keys."""
        async with self._lock:
            offsets, newer = dict(self.offsets), dict[UUID, History]()
            async for batch in self._reader.read(self.partition_slice, offsets):
                for recorded in batch:
                    newer.setdefault(recorded.event.key, []).append(recorded)
            self.offsets = offsets
            for key in newer.keys() & self.histories.keys():
                self.histories[key] += newer[key]
            return newer

    async def drop_dead_letters(self) -> set[UUID]:
        """Remove the events that the service has dead-lettered since they were read; return keys without any left."""
        dead_letters = await self._reader.dead_letters()
        remaining = {
            key: [recorded for recorded in history if recorded.origin not in dead_letters]
            for key, history in self.histories.items()
        }
        self.histories = {key: history for key, history in remaining.items() if history}
        return remaining.keys() - self.histories.keys()


def known_part(history: History, known: Offsets) -> History:
    """The events before these offsets."""
    return [recorded for recorded in history if recorded.origin.offset < known.get(recorded.origin.topic, 0)]


def slice_partitions(message_counts: Sequence[int]) -> list[tuple[PartitionSlice, int]]:
    """The partition numbers in slices that fit into memory, each with about how many messages it has."""
    slice_counts = [max(1, ceil(message_count / MAX_SLICE_MESSAGES)) for message_count in message_counts]
    return [
        (PartitionSlice(partition, index, slice_count), message_counts[partition] // slice_count)
        for partition, slice_count in enumerate(slice_counts)
        for index in range(slice_count)
    ]


def paginate(histories: Mapping[UUID, History], size: PageSize) -> Iterator[dict[UUID, History]]:
    """The histories in pages: what is compared with the database in one round trip."""
    page: dict[UUID, History] = {}
    event_count = 0
    for key, history in histories.items():
        page[key] = history
        event_count += len(history)
        if len(page) >= size.documents or event_count >= size.events:
            yield page
            page, event_count = {}, 0
    if page:
        yield page


def count_events(page: Mapping[UUID, History]) -> int:
    """The number of events on a page."""
    return sum(map(len, page.values()))
