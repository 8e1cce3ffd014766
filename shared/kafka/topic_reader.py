"""Reading what lies on the topics, from the first message on and outside every consumer group.

All topics have the same number of partitions and the same keys, so whatever is told of one relationship lies on the
same partition number of each: who reads that number of all topics has read everything about it.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self
from zlib import crc32

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupCoordinatorNotAvailableError, KafkaError

from shared.errors import BrokerUnavailable, Unreadable
from shared.events import Event, by_name
from shared.events.cloudevents import decode
from shared.events.topics import Topic
from shared.kafka.consumer import AHEAD
from shared.kafka.readers import stop

WAIT_MS = 1_000
LOOK_EVERY = 0.5
"""Seconds between two looks at how far a group has come."""
AT_ONCE = 2_000
"""The most messages that are decoded before others get a turn."""

Fetched = dict[TopicPartition, list[ConsumerRecord]]
Positions = dict[str, int]
"""How far each topic was read: the next offset. What is missing was not read at all."""


@dataclass(frozen=True, slots=True)
class Slice:
    """A part of one partition number, small enough to be held in memory: some of its keys, with all their messages."""

    partition: int
    number: int = 0
    of: int = 1

    def holds(self, key: bytes | None) -> bool:
        return self.of == 1 or crc32(key or b"") % self.of == self.number


@dataclass(frozen=True, slots=True)
class Recorded:
    """What was told, and the bytes in which it was."""

    event: Event
    message: bytes


class History:
    """Everything that was ever told on some topics. Every method raises BrokerUnavailable."""

    def __init__(self, servers: str, topics: Sequence[Topic], kinds: tuple[type[Event], ...]) -> None:
        self._topics = [topic.name for topic in topics]
        self._kinds = by_name(kinds)
        self._servers = servers
        self._consumer: AIOKafkaConsumer | None = None
        self._partitions: list[TopicPartition] = []

    async def __aenter__(self) -> Self:
        # A fetch that has come to the end of one topic holds up the next for so long: there is nothing to wait for.
        consumer = AIOKafkaConsumer(bootstrap_servers=self._servers, enable_auto_commit=False, fetch_max_wait_ms=20)
        try:
            with _unavailable():
                await consumer.start()
                await consumer._client.force_metadata_update()  # of itself aiokafka asks only about assigned topics
            self._partitions = _partitions(consumer, self._topics)
        except BaseException:
            await stop(consumer)
            raise
        self._consumer = consumer
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._consumer is not None:
            await stop(self._consumer)

    async def sizes(self) -> list[int]:
        """How many messages lie on each partition number, all topics together."""
        beginning_offsets, end_offsets = await self._extent(self._partitions)
        counts = [0] * (1 + max(topic_partition.partition for topic_partition in end_offsets))
        for topic_partition, end in end_offsets.items():
            counts[topic_partition.partition] += end - beginning_offsets[topic_partition]
        return counts

    async def ends(self, partition: int) -> Positions:
        """Where the next message of each topic will lie."""
        with _unavailable():
            offsets = await self._reader.end_offsets(self._of(partition))
        return {topic_partition.topic: end for topic_partition, end in offsets.items()}

    async def read(self, partition_slice: Slice, offsets: Positions) -> AsyncIterator[list[Recorded]]:
        """What lies behind `positions` and before the ends as they are now; `positions` move on to there.

        What a consumer sets aside or skips is left out here as well.
        """
        partitions = self._of(partition_slice.partition)
        beginning_offsets, end_offsets = await self._extent(partitions)
        next_offsets = {
            topic_partition: offsets.get(topic_partition.topic, beginning_offsets[topic_partition])
            for topic_partition in partitions
        }
        unfinished = {
            topic_partition
            for topic_partition in partitions
            if next_offsets[topic_partition] < end_offsets[topic_partition]
        }
        self._reader.assign(list(unfinished))
        for topic_partition in unfinished:
            self._reader.seek(topic_partition, next_offsets[topic_partition])
        while unfinished:
            with _unavailable():
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
                    if await self._reader.position(topic_partition) >= end_offsets[topic_partition]
                }
            next_offsets.update(
                {
                    topic_partition: partition_records[-1].offset + 1
                    for topic_partition, partition_records in fetched.items()
                }
            )
            self._reader.pause(*finished)  # what is told from now on is not fetched meanwhile
            unfinished -= finished
            for start in range(0, len(records), AT_ONCE):
                yield list(
                    self._readable(
                        record for record in records[start : start + AT_ONCE] if partition_slice.holds(record.key)
                    )
                )
                await asyncio.sleep(0)
        offsets.update(
            {
                topic_partition.topic: max(end, next_offsets[topic_partition])
                for topic_partition, end in end_offsets.items()
            }
        )

    async def _fetch(self, partitions: Collection[TopicPartition], at: dict[TopicPartition, int]) -> Fetched:
        """What comes next; `at` moves on behind a record that the client cannot read, as its consumers had to."""
        try:
            fetched: Fetched = await self._reader.getmany(*partitions, timeout_ms=WAIT_MS)
        except UnicodeDecodeError:  # a header's name: aiokafka drops what it has in hand of all partitions
            for topic_partition in partitions:
                self._reader.seek(topic_partition, at[topic_partition])
        else:
            return fetched
        fetched = {}
        for topic_partition in partitions:
            try:
                fetched |= await self._reader.getmany(topic_partition, timeout_ms=WAIT_MS, max_records=1)
            except UnicodeDecodeError:
                at[topic_partition] = await self._reader.position(topic_partition) + 1
                self._reader.seek(topic_partition, at[topic_partition])
        return fetched

    def _readable(self, records: Iterable[ConsumerRecord]) -> Iterator[Recorded]:
        for record in records:
            with suppress(Unreadable):
                event = decode(record.value, self._kinds)
                # As a consumer would have it that hears it at once.
                if (
                    event is not None
                    and event.occurred_at.timestamp() <= record.timestamp / 1000 + AHEAD.total_seconds()
                ):
                    yield Recorded(event, record.value)

    @property
    def _reader(self) -> AIOKafkaConsumer:
        if self._consumer is None:
            raise BrokerUnavailable("not connected to Kafka yet")
        return self._consumer

    def _of(self, number: int) -> list[TopicPartition]:
        return [topic_partition for topic_partition in self._partitions if topic_partition.partition == number]

    async def _extent(self, partitions: Sequence[TopicPartition]) -> tuple[dict[TopicPartition, int], ...]:
        with _unavailable():
            return await self._reader.beginning_offsets(partitions), await self._reader.end_offsets(partitions)


async def has_taken_in(servers: str, group: str, partition: int, offsets: Positions) -> bool:
    """Whether the consumers of `group` are done with everything before `positions`. Raises BrokerUnavailable."""
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    try:
        with _unavailable():
            await admin.start()
            committed_offsets = await admin.list_consumer_group_offsets(group)
    except _NobodyYet:
        committed_offsets = {}
    finally:
        await admin.close()
    committed = {
        topic_partition.topic: metadata.offset
        for topic_partition, metadata in committed_offsets.items()
        if topic_partition.partition == partition
    }
    return all(committed.get(topic, 0) >= end for topic, end in offsets.items())


async def until_taken_in(servers: str, group: str, partition: int, offsets: Positions, within: float) -> bool:
    """Wait for it, at most so many seconds; whether it came true. Raises BrokerUnavailable."""
    deadline = time.monotonic() + within
    while not await has_taken_in(servers, group, partition, offsets):
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(LOOK_EVERY)
    return True


def _partitions(consumer: AIOKafkaConsumer, topics: Sequence[str]) -> list[TopicPartition]:
    numbers_by_topic = {topic: consumer.partitions_for_topic(topic) for topic in topics}
    if missing := sorted(topic for topic, partitions in numbers_by_topic.items() if not partitions):
        raise BrokerUnavailable(f"topics missing: {', '.join(missing)}")
    return [
        TopicPartition(topic, number)
        for topic, partitions in numbers_by_topic.items()
        for number in sorted(partitions or ())
    ]


class _NobodyYet(BrokerUnavailable):
    """Kafka keeps nothing of groups yet: it is as if this one had done nothing."""


@contextmanager
def _unavailable() -> Iterator[None]:
    try:
        yield
    except GroupCoordinatorNotAvailableError as error:
        raise _NobodyYet(str(error)) from error
    except (KafkaError, OSError) as error:
        raise BrokerUnavailable(f"{type(error).__name__}: {error}") from error
