"""Reading topics from the first message on, outside every consumer group.

All topics have the same number of partitions and the same keys. So all events of one relationship are on the same
partition number of every topic, and reading that number of all topics reads everything about the relationship.
"""

import asyncio
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Self
from zlib import crc32

from aiokafka import ConsumerRecord, TopicPartition

from shared.errors import DecodeError
from shared.events import Event, by_type
from shared.events.cloudevents import decode
from shared.events.topics import Topic
from shared.kafka.dead_letters.index import DeadLetterIndex
from shared.kafka.dead_letters.record import Origin
from shared.kafka.group_offsets import Offsets, committed_offsets
from shared.kafka.record_decoder import decode_record
from shared.kafka.topic_reader import TopicReader
from shared.runtime.clock import now

DECODE_BATCH_SIZE = 2_000
"""The maximum number of messages that are decoded before other tasks get a turn."""


@dataclass(frozen=True, slots=True)
class PartitionSlice:
    """A part of one partition number, small enough for memory: some of its keys, with all their messages."""

    partition: int
    index: int = 0
    count: int = 1

    def contains(self, key: bytes | None) -> bool:
        return self.count == 1 or crc32(key or b"") % self.count == self.index


@dataclass(frozen=True, slots=True)
class RecordedEvent:
    """An event on a topic, and its message as published."""

    event: Event
    message: bytes
    origin: Origin


class EventReader:
    """The events of some topics, by partition number, as one consumer sees them.

    What the consumer dead-lettered is omitted, whatever became of the dead letter; without a consumer, nothing is. What
    it will dead-letter, as it looks now, is omitted as well. Every method raises BrokerUnavailable.
    """

    def __init__(
        self,
        servers: str,
        topics: Sequence[Topic],
        event_types: tuple[type[Event], ...],
        consumer: str | None = None,
        clock: Callable[[], datetime] = now,
    ) -> None:
        self._servers = servers
        self._event_types = by_type(event_types)
        self._reader = TopicReader(servers, topics)
        self._publishers = {topic.name: topic.publisher for topic in topics}
        self._consumer = consumer
        self._dead_letters = DeadLetterIndex(servers, consumer) if consumer is not None else None
        self._clock = clock
        self._stack = AsyncExitStack()
        self._undecodable: set[Origin] = set()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._reader)
            if self._dead_letters is not None:
                await stack.enter_async_context(self._dead_letters)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._stack.__aexit__(error_type, error, traceback)

    async def message_counts(self) -> list[int]:
        """The number of messages on each partition number, all topics together."""
        counts = Counter[int]()
        for partition, offset_range in (await self._reader.offset_ranges(self._reader.partitions)).items():
            counts[partition.partition] += len(offset_range)
        return [counts[number] for number in range(1 + max(counts))]

    async def end_offsets(self, partition: int) -> Offsets:
        """The end offset of each topic on one partition number."""
        ranges = await self._reader.offset_ranges(self._partitions_with_number(partition))
        return {partition.topic: offset_range.stop for partition, offset_range in ranges.items()}

    async def known_offsets(self, partition: int) -> Offsets:
        """What the consumer knows of each topic on one partition number: what it committed, and all that is its own."""
        if self._consumer is None:
            return {}
        committed = await committed_offsets(self._servers, self._consumer)
        own = {topic: sys.maxsize for topic, publisher in self._publishers.items() if publisher == self._consumer}
        return {**{p.topic: offset for p, offset in committed.items() if p.partition == partition}, **own}

    async def dead_letters(self) -> Collection[Origin]:
        """What the consumer has dead-lettered by now."""
        return await self._dead_letters.read() if self._dead_letters is not None else ()

    async def read(self, partition_slice: PartitionSlice, offsets: Offsets) -> AsyncIterator[list[RecordedEvent]]:
        """The events from `offsets` up to the current end offsets; advances `offsets` to there."""
        dead_letters = await self.dead_letters()
        partitions = self._partitions_with_number(partition_slice.partition)
        next_offsets = {partition: offsets[partition.topic] for partition in partitions if partition.topic in offsets}
        async for records in self._reader.read(partitions, next_offsets):
            for start in range(0, len(records), DECODE_BATCH_SIZE):
                batch = records[start : start + DECODE_BATCH_SIZE]
                own_records = (record for record in batch if partition_slice.contains(record.key))
                yield list(self._decode_records(own_records, dead_letters))
                await asyncio.sleep(0)
        offsets.update({partition.topic: offset for partition, offset in next_offsets.items()})

    async def list_unread(self) -> list[str]:
        """What was on the topics and could not be read, a line for each kind."""
        undecided = sorted(self._undecodable.difference(await self.dead_letters()))
        lines = [
            f"records on {partition.topic}/{partition.partition} cannot be decoded by the client"
            for partition in sorted(self._reader.undecodable)
        ]
        if undecided:
            lines.append(
                f"{len(undecided)} records cannot be decoded, and {self._consumer} has not dead-lettered them; "
                f"the first is {undecided[0]}"
            )
        return lines

    def _decode_records(
        self, records: Iterable[ConsumerRecord], dead_letters: Collection[Origin]
    ) -> Iterator[RecordedEvent]:
        moment = self._clock()
        for record in records:
            origin = Origin(record.topic, record.partition, record.offset)
            if origin in dead_letters:
                continue
            try:
                if self._publishers[record.topic] == self._consumer or self._consumer is None:
                    event = decode(record.value, self._event_types)  # no consumer judges when it occurred
                else:
                    event = decode_record(record, self._event_types, moment)
            except DecodeError:
                self._undecodable.add(origin)
                continue
            if event is not None:
                yield RecordedEvent(event, record.value, origin)

    def _partitions_with_number(self, number: int) -> list[TopicPartition]:
        return [partition for partition in self._reader.partitions if partition.partition == number]
