"""Reading topics from the first message on, outside every consumer group.

All topics have the same number of partitions and the same keys. So all events of one relationship are on the same
partition number of every topic, and reading that number of all topics reads everything about the relationship.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self
from zlib import crc32

from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from shared.errors import DecodeError
from shared.events import Event, by_type
from shared.events.cloudevents import decode
from shared.events.topics import Topic
from shared.kafka.consumer import FUTURE_TOLERANCE
from shared.kafka.errors import NoConsumerGroups, translate_errors
from shared.kafka.topic_reader import TopicReader

POLL_TIMEOUT_MS = 1_000
CATCH_UP_CHECK_INTERVAL_SECONDS = 0.5
"""The interval between two checks of the committed offsets of a group."""
DECODE_BATCH_SIZE = 2_000
"""The maximum number of messages that are decoded before other tasks get a turn."""

RecordsByPartition = dict[TopicPartition, list[ConsumerRecord]]
Offsets = dict[str, int]
"""The next offset to read, by topic. A topic that is missing was not read at all."""


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


class EventReader:
    """All events of some topics, by partition number. Every method raises BrokerUnavailable."""

    def __init__(self, servers: str, topics: Sequence[Topic], event_types: tuple[type[Event], ...]) -> None:
        self._event_types = by_type(event_types)
        self._reader = TopicReader(servers, topics)

    async def __aenter__(self) -> Self:
        await self._reader.__aenter__()
        return self

    async def __aexit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._reader.__aexit__(error_type, error, traceback)

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

    async def read(self, partition_slice: PartitionSlice, offsets: Offsets) -> AsyncIterator[list[RecordedEvent]]:
        """The events from `offsets` up to the current end offsets; advances `offsets` to there.

        What a consumer dead-letters or skips is omitted here as well.
        """
        partitions = self._partitions_with_number(partition_slice.partition)
        next_offsets = {partition: offsets[partition.topic] for partition in partitions if partition.topic in offsets}
        async for records in self._reader.read(partitions, next_offsets):
            for start in range(0, len(records), DECODE_BATCH_SIZE):
                batch = records[start : start + DECODE_BATCH_SIZE]
                yield list(self._decode_records(record for record in batch if partition_slice.contains(record.key)))
                await asyncio.sleep(0)
        offsets.update({partition.topic: offset for partition, offset in next_offsets.items()})

    def _decode_records(self, records: Iterable[ConsumerRecord]) -> Iterator[RecordedEvent]:
        for record in records:
            with suppress(DecodeError):
                event = decode(record.value, self._event_types)
                # As for a consumer that received it at once.
                latest_allowed = record.timestamp / 1000 + FUTURE_TOLERANCE.total_seconds()
                if event is not None and event.occurred_at.timestamp() <= latest_allowed:
                    yield RecordedEvent(event, record.value)

    def _partitions_with_number(self, number: int) -> list[TopicPartition]:
        return [partition for partition in self._reader.partitions if partition.partition == number]


async def has_caught_up(servers: str, group: str, partition: int, offsets: Offsets) -> bool:
    """Whether `group` has committed everything before `offsets`. Raises BrokerUnavailable."""
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    try:
        with translate_errors():
            await admin.start()
            committed_offsets = await admin.list_consumer_group_offsets(group)
    except NoConsumerGroups:
        committed_offsets = {}
    finally:
        await admin.close()
    committed = {
        topic_partition.topic: metadata.offset
        for topic_partition, metadata in committed_offsets.items()
        if topic_partition.partition == partition
    }
    return all(committed.get(topic, 0) >= end for topic, end in offsets.items())


async def wait_until_caught_up(
    servers: str, group: str, partition: int, offsets: Offsets, timeout_seconds: float
) -> bool:
    """Wait until `group` has caught up; False after the timeout. Raises BrokerUnavailable."""
    deadline = time.monotonic() + timeout_seconds
    while not await has_caught_up(servers, group, partition, offsets):
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(CATCH_UP_CHECK_INTERVAL_SECONDS)
    return True
