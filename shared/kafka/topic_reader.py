"""Reading topics from the first message on, outside every consumer group.

All topics have the same number of partitions and the same keys. So all events of one relationship are on the same
partition number of every topic, and reading that number of all topics reads everything about the relationship.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self
from zlib import crc32

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from shared.errors import BrokerUnavailable, DecodeError
from shared.events import Event, by_type
from shared.events.cloudevents import decode
from shared.events.topics import Topic
from shared.kafka.consumer import FUTURE_TOLERANCE
from shared.kafka.errors import NoConsumerGroups, translate_errors
from shared.kafka.readers import stop_reader

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


class TopicReader:
    """Reads all events on some topics. Every method raises BrokerUnavailable."""

    def __init__(self, servers: str, topics: Sequence[Topic], event_types: tuple[type[Event], ...]) -> None:
        self._topics = [topic.name for topic in topics]
        self._event_types = by_type(event_types)
        self._servers = servers
        self._consumer: AIOKafkaConsumer | None = None
        self._partitions: list[TopicPartition] = []

    async def __aenter__(self) -> Self:
        # A fetch at the end of one topic delays the next topic by this time, and there is nothing to wait for.
        consumer = AIOKafkaConsumer(bootstrap_servers=self._servers, enable_auto_commit=False, fetch_max_wait_ms=20)
        try:
            with translate_errors():
                await consumer.start()
                await consumer._client.force_metadata_update()  # by default aiokafka only asks about assigned topics
            self._partitions = _list_partitions(consumer, self._topics)
        except BaseException:
            await stop_reader(consumer)
            raise
        self._consumer = consumer
        return self

    async def __aexit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._consumer is not None:
            await stop_reader(self._consumer)

    async def message_counts(self) -> list[int]:
        """The number of messages on each partition number, all topics together."""
        beginning_offsets, end_offsets = await self._offset_ranges(self._partitions)
        counts = [0] * (1 + max(topic_partition.partition for topic_partition in end_offsets))
        for topic_partition, end in end_offsets.items():
            counts[topic_partition.partition] += end - beginning_offsets[topic_partition]
        return counts

    async def end_offsets(self, partition: int) -> Offsets:
        """The end offset of each topic on one partition number."""
        with translate_errors():
            offsets = await self._connected_consumer.end_offsets(self._partitions_with_number(partition))
        return {topic_partition.topic: end for topic_partition, end in offsets.items()}

    async def read(self, partition_slice: PartitionSlice, offsets: Offsets) -> AsyncIterator[list[RecordedEvent]]:
        """The events from `offsets` up to the current end offsets; advances `offsets` to there.

        What a consumer dead-letters or skips is omitted here as well.
        """
        partitions = self._partitions_with_number(partition_slice.partition)
        beginning_offsets, end_offsets = await self._offset_ranges(partitions)
        next_offsets = {
            topic_partition: offsets.get(topic_partition.topic, beginning_offsets[topic_partition])
            for topic_partition in partitions
        }
        unfinished = {
            topic_partition
            for topic_partition in partitions
            if next_offsets[topic_partition] < end_offsets[topic_partition]
        }
        self._connected_consumer.assign(list(unfinished))
        for topic_partition in unfinished:
            self._connected_consumer.seek(topic_partition, next_offsets[topic_partition])
        while unfinished:
            with translate_errors():
                fetched = await self._fetch(unfinished, next_offsets)
                records = [
                    record
                    for topic_partition, partition_records in fetched.items()
                    for record in partition_records
                    if record.offset < end_offsets[topic_partition]
                ]
                finished = {
                    topic_partition
                    for topic_partition in unfinished
                    if await self._connected_consumer.position(topic_partition) >= end_offsets[topic_partition]
                }
            next_offsets.update(
                {
                    topic_partition: partition_records[-1].offset + 1
                    for topic_partition, partition_records in fetched.items()
                }
            )
            self._connected_consumer.pause(*finished)  # what is told from now on is not fetched meanwhile
            unfinished -= finished
            for start in range(0, len(records), DECODE_BATCH_SIZE):
                yield list(
                    self._decode_records(
                        record
                        for record in records[start : start + DECODE_BATCH_SIZE]
                        if partition_slice.contains(record.key)
                    )
                )
                await asyncio.sleep(0)
        offsets.update(
            {
                topic_partition.topic: max(end, next_offsets[topic_partition])
                for topic_partition, end in end_offsets.items()
            }
        )

    async def _fetch(
        self, partitions: Collection[TopicPartition], next_offsets: dict[TopicPartition, int]
    ) -> RecordsByPartition:
        """The next records; `next_offsets` skips a record that the client cannot decode, as consumers must."""
        try:
            fetched: RecordsByPartition = await self._connected_consumer.getmany(
                *partitions, timeout_ms=POLL_TIMEOUT_MS
            )
        except UnicodeDecodeError:  # in the name of a header: aiokafka drops fetched records of all partitions
            for topic_partition in partitions:
                self._connected_consumer.seek(topic_partition, next_offsets[topic_partition])
        else:
            return fetched
        fetched = {}
        for topic_partition in partitions:
            try:
                fetched |= await self._connected_consumer.getmany(
                    topic_partition, timeout_ms=POLL_TIMEOUT_MS, max_records=1
                )
            except UnicodeDecodeError:
                next_offsets[topic_partition] = await self._connected_consumer.position(topic_partition) + 1
                self._connected_consumer.seek(topic_partition, next_offsets[topic_partition])
        return fetched

    def _decode_records(self, records: Iterable[ConsumerRecord]) -> Iterator[RecordedEvent]:
        for record in records:
            with suppress(DecodeError):
                event = decode(record.value, self._event_types)
                # An event from the future is omitted, just as a consumer dead-letters it when it arrives.
                if (
                    event is not None
                    and event.occurred_at.timestamp() <= record.timestamp / 1000 + FUTURE_TOLERANCE.total_seconds()
                ):
                    yield RecordedEvent(event, record.value)

    @property
    def _connected_consumer(self) -> AIOKafkaConsumer:
        if self._consumer is None:
            raise BrokerUnavailable("not connected to Kafka yet")
        return self._consumer

    def _partitions_with_number(self, number: int) -> list[TopicPartition]:
        return [topic_partition for topic_partition in self._partitions if topic_partition.partition == number]

    async def _offset_ranges(self, partitions: Sequence[TopicPartition]) -> tuple[dict[TopicPartition, int], ...]:
        with translate_errors():
            return await self._connected_consumer.beginning_offsets(
                partitions
            ), await self._connected_consumer.end_offsets(partitions)


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


def _list_partitions(consumer: AIOKafkaConsumer, topics: Sequence[str]) -> list[TopicPartition]:
    numbers_by_topic = {topic: consumer.partitions_for_topic(topic) for topic in topics}
    if missing := sorted(topic for topic, partitions in numbers_by_topic.items() if not partitions):
        raise BrokerUnavailable(f"topics do not exist: {', '.join(missing)}")
    return [
        TopicPartition(topic, number)
        for topic, partitions in numbers_by_topic.items()
        for number in sorted(partitions or ())
    ]
